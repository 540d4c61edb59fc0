"""Serves Autobahn cases: `only` or `without` those that follow. Prints its port, then what failed, then the counts."""

import asyncio
import sys

from kosoku import FailureError, run_fuzzingserver


async def main():
    cases = sys.argv[2:]
    only, without = (cases, None) if sys.argv[1] == "only" else (None, cases)
    async with run_fuzzingserver(only, without, host="127.0.0.1", port=0) as server:
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
