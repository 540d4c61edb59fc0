/**
 * The runtime's offload threads. libuv tells nothing of them, so a small task is sent there ten times a second: how long it takes is how long
 * everybody's task waits for a thread, and while it has to wait no thread is free.
 */
import { stat } from 'node:fs';
import { mono } from '../clock.js';
import { Tally, recordCorrected } from './histogram.js';

/** From task to task, ms; there is never more than one on its way. */
const PERIOD_MS = 100;
/** A task that is not back after this, though the loop has turned, waits for a thread, ms. */
const WAITS_MS = 12;

/** @param {import('./lanes.js').Lanes} lanes */
export function watchOffload(lanes) {
  const wait = new Tally();
  let since;
  let waits = false;
  let overdue;
  const ask = () => {
    const mine = mono();
    since = mine;
    // After a long turn its answer may be there and not have been looked at: an immediate comes after that.
    overdue = setTimeout(() => setImmediate(() => (waits = since === mine)), WAITS_MS).unref();
    stat('/', answered);
  };
  const answered = () => {
    clearTimeout(overdue);
    recordCorrected(wait, mono() - since, PERIOD_MS * 1e6);
    since = undefined;
    // A queue has no gaps: where one had to wait, the next one is looked for at once.
    if (waits) ask();
    waits = false;
  };
  setInterval(() => since ?? ask(), PERIOD_MS).unref();
  lanes.histogram('offload.wait', wait, { quality: 'sampled' });
  const threads = Number(process.env.UV_THREADPOOL_SIZE);
  // Deno and Bun have pools of their own, which are not sized by this.
  if (!(threads > 0) || process.versions.deno || process.versions.bun) return;
  lanes.level('offload.capacity', 'count', () => threads);
  lanes.level('offload.queued', 'count', () => Number(waits), { quality: 'inferred' });
}
