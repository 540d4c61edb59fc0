/**
 * The event loop: how late a timer is that asks to run every 10 ms, and for what share of the time the loop works.
 *
 * The timer sees both kinds of standing still and tells them apart by what the process did meanwhile: it used the CPU (a turn that does
 * not come back), or it did not (the process was stopped, or got no core). All its threads count: while V8 compacts, the main thread
 * waits for those that help it. Whose main thread alone worked for as long as a stall is has stalled, however long it waited for a core beside.
 */
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { mono } from '../clock.js';
import { Tally, recordCorrected } from './histogram.js';

/** How often the timer asks to run: a stall of 20 ms cannot hide between two turns. */
const INTERVAL_MS = 10;
const INTERVAL_NS = INTERVAL_MS * 1e6;
/** From here on a delay is told as an event, ns. */
const EVENT_NS = 20_000_000;

/**
 * @param {import('./lanes.js').Lanes} lanes
 * @param {import('./pauses.js').Pauses} pauses
 */
export function watchLoop(lanes, pauses) {
  const delay = new Tally();
  let last = mono();
  let used = times();
  setInterval(() => {
    const due = last + INTERVAL_NS;
    last = mono();
    const late = Math.max(0, last - due);
    recordCorrected(delay, late, INTERVAL_NS);
    const now = times();
    if (late >= EVENT_NS) tellStall(pauses, due, last, used, now);
    used = now;
  }, INTERVAL_MS).unref();
  lanes.histogram('loop.delay', delay);
  watchUtilisation(lanes);
}

function tellStall(pauses, due, end, before, now) {
  if (now.waited === undefined) return pauses.note('pause.worker-stall', due, end);
  const stood = end - due;
  const [cpu, ran] = [now.cpu - before.cpu, now.ran - before.ran];
  const stalled = cpu >= stood / 2 || ran >= EVENT_NS;
  const lacked = Math.min(stood, now.waited - before.waited);
  const helped = Math.min(lacked, cpu - ran);
  pauses.note(stalled ? 'pause.worker-stall' : 'pause.hiccup', due, end, lacked, helped);
}

/** CPU time of all threads, that of the main thread, and how long it was ready to run and got no core, ns. Linux alone tells the latter two. */
function times() {
  const { user, system } = process.cpuUsage();
  const cpu = (user + system) * 1_000;
  try {
    const [ran, waited] = readFileSync('/proc/self/schedstat', 'utf8').split(' ').map(Number);
    return { cpu, ran, waited };
  } catch {
    return { cpu };
  }
}

/** Deno and Bun answer 0 whatever happens, which is no data. */
function watchUtilisation(lanes) {
  if (process.versions.bun || process.versions.deno) return;
  let before = performance.eventLoopUtilization();
  lanes.level(
    'loop.utilisation',
    'ratio',
    () => {
      const now = performance.eventLoopUtilization();
      const share = performance.eventLoopUtilization(now, before).utilization;
      before = now;
      return share;
    },
    { combine: 'max' },
  );
}
