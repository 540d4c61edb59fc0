"""Serves the Autobahn cases that its arguments leave in; prints its port, then one line a case."""

import asyncio
import sys

from kosoku import FailureError, run_fuzzingserver


async def main():
    async with run_fuzzingserver(None, sys.argv[1:], host="127.0.0.1", port=0) as server:
        print(server.port, flush=True)
        try:
            results = await server.get_result()
            failed = []
        except FailureError as failure:
            results = failure.results
            failed = [r for r in results if not r.passed]
        for r in failed:
            print("FAILED", r.case_id, r.behavior.value, r.behavior_close.value, r.result, r.result_close, r.was_not_clean_reason)
        print("DONE", len(results), len(failed), flush=True)


asyncio.run(main())
