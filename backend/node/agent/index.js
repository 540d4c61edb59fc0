/**
 * The instruments inside a worker: read ten times a second, and told in the form of dyno's probe.
 *
 * Owns the meters and the tick. The supervisor keeps the ticks and answers for them, so that a worker whose loop is blocked
 * can still be asked about; what the figures mean is the profiler's business.
 */
import { mono } from '../clock.js';
import { watchAllocation } from './allocation.js';
import { CacheMeter } from './cache.js';
import { DatabaseMeter } from './database.js';
import { watchHeap } from './heap.js';
import { Lanes } from './lanes.js';
import { watchLoop } from './loop.js';
import { watchOffload } from './offload.js';
import { Pauses } from './pauses.js';
import { PoolMeter } from './pool.js';
import { watchProcess } from './process.js';
import { Requests } from './requests.js';

/** Milliseconds between ticks: 10 Hz. */
export const TICK_MS = 100;

export class Agent {
  #lanes;
  #seq = 0;
  #last = mono();
  #caches = [];
  #databases = [];
  #timer;

  /** @param {string} instance name of the process */
  constructor(instance) {
    this.#lanes = new Lanes(instance);
    this.pauses = new Pauses(this.#lanes);
    watchLoop(this.#lanes, this.pauses);
    watchHeap(this.#lanes, this.pauses);
    watchAllocation(this.#lanes, this.pauses);
    watchOffload(this.#lanes);
    watchProcess(this.#lanes);
    this.requests = new Requests(this.#lanes);
  }

  /** A meter for the pool `name`. */
  pool(name, capacity) {
    return new PoolMeter(this.#lanes, name, capacity);
  }

  /** A meter for the cache `name`. */
  cache(name) {
    const meter = new CacheMeter(this.#lanes, name);
    this.#caches.push(meter);
    return meter;
  }

  /** A meter for the database's statements. */
  database() {
    const meter = new DatabaseMeter(this.#lanes);
    this.#databases.push(meter);
    return meter;
  }

  /** A level that the shop knows. */
  gauge(name, unit, read, how) {
    this.#lanes.level(name, unit, read, how);
  }

  /** A rate from a count that the shop keeps. */
  rate(name, unit, count) {
    this.#lanes.rate(name, unit, count);
  }

  /** Durations that the shop records. */
  histogram(name, tally) {
    this.#lanes.histogram(name, tally);
  }

  /** Hands a tick and the lanes to `tell`, ten times a second. */
  start(tell) {
    this.#timer = setInterval(() => tell(this.tick(), this.#lanes.specs), TICK_MS);
    this.#timer.unref();
  }

  stop() {
    clearInterval(this.#timer);
    this.pauses.stop();
  }

  /** What happened since the last tick. */
  tick() {
    const now = mono();
    const tick = { seq: ++this.#seq, at: now, elapsed: Math.max(1, now - this.#last), values: [], histograms: [], events: [] };
    this.#last = now;
    this.#lanes.read(tick);
    const told = [...this.#caches.flatMap((c) => c.takeRefreshes(now)), ...this.#databases.flatMap((d) => d.takePlans())];
    tick.events = [...this.pauses.take(), ...told];
    delete tick.elapsed;
    return tick;
  }
}
