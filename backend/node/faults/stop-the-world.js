/**
 * Stop the world, and its cure: how the old generation is collected.
 *
 * The fault keeps earlier sessions in the old generation and has all of it marked and compacted in one go, again and again, as a service does
 * that calls `gc()` itself; the more sessions, the longer nothing else happens. The cure leaves it to the runtime, which marks beside the
 * work and in steps.
 */
import v8 from 'node:v8';
import vm from 'node:vm';
import { Fault } from './fault.js';

/** Sessions recalled in one turn of the loop: a millisecond or less, and the young generation's collections between them stay short. */
const AT_ONCE = 1_000;

export class StopTheWorld extends Fault {
  static kind = 'stop-the-world';
  static knobs = {
    sessions: { about: "earlier sessions in each worker's old generation, about 120 bytes each", default: 400_000, min: 50_000, max: 2_000_000 },
    period_ms: { about: 'milliseconds from compaction to compaction', default: 2_000, min: 500, max: 20_000 },
  };

  #sessions = [];
  #timer;

  begin() {
    this.#recall(Math.round(this.knob('sessions')), this.#sessions);
    const collect = collector();
    this.#timer = setInterval(() => {
      this.tookEffect();
      collect();
    }, this.knob('period_ms'));
    this.#timer.unref();
  }

  finish() {
    clearInterval(this.#timer);
    this.#sessions = [];
  }

  /** Fills `sessions`, a few in each turn, for as long as it is this fault's. */
  #recall(wanted, sessions) {
    if (sessions !== this.#sessions || sessions.length >= wanted) return;
    for (let i = 0; i < AT_ONCE; i++) sessions.push({ id: sessions.length, visit: { at_ms: Date.now() + i, path: `/products/${i}` } });
    setImmediate(() => this.#recall(wanted, sessions));
  }
}

/** What collects everything at once. */
function collector() {
  if (process.versions.bun) return () => globalThis.Bun.gc(true);
  v8.setFlagsFromString('--expose-gc');
  return vm.runInNewContext('gc');
}
