/**
 * The runtime's offload threads. libuv tells nothing of them, so a small task is sent there ten times a second: how long it takes is how long
 * everybody's task waits for a thread.
 */
import { stat } from 'node:fs';
import { mono } from '../clock.js';
import { Tally } from './histogram.js';

/** From task to task, ms; there is never more than one on its way. */
const PERIOD_MS = 100;

/** @param {import('./lanes.js').Lanes} lanes */
export function watchOffload(lanes) {
  const wait = new Tally();
  let since;
  setInterval(() => {
    if (since !== undefined) return;
    since = mono();
    stat('/', () => {
      wait.record(mono() - since);
      since = undefined;
    });
  }, PERIOD_MS).unref();
  lanes.histogram('offload.wait', wait, { quality: 'sampled' });
  const threads = Number(process.env.UV_THREADPOOL_SIZE);
  // Deno and Bun have pools of their own, which are not sized by this.
  if (threads > 0 && !process.versions.deno && !process.versions.bun) lanes.level('offload.capacity', 'count', () => threads);
}
