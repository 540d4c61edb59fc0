/** A pool's figures: capacity, in use, idle, waiters; how long was waited and held. */
import { mono } from '../clock.js';
import { Tally } from './histogram.js';

export class PoolMeter {
  #capacity;
  #inUse = 0;
  #waiters = 0;
  #open = 0;
  #counts = { opened: 0, acquired: 0, timeouts: 0 };
  #wait = new Tally();
  #hold = new Tally();

  /** @param {import('./lanes.js').Lanes} lanes */
  constructor(lanes, name, capacity) {
    this.#capacity = capacity;
    const of = (part) => `pool.${name}.${part}`;
    lanes.level(of('capacity'), 'count', () => this.#capacity);
    lanes.level(of('in-use'), 'count', () => this.#inUse);
    lanes.level(of('idle'), 'count', () => Math.max(0, this.#open - this.#inUse));
    lanes.level(of('waiters'), 'count', () => this.#waiters);
    lanes.histogram(of('wait'), this.#wait);
    lanes.histogram(of('hold'), this.#hold);
    for (const part of ['timeouts', 'opened', 'acquired']) lanes.rate(of(part), 'per-second', () => this.#counts[part]);
  }

  /** Is there somebody for whom no place is free? */
  get queue() {
    return this.#inUse + this.#waiters > this.#capacity;
  }

  setCapacity(capacity) {
    this.#capacity = capacity;
  }

  opened() {
    this.#open += 1;
    this.#counts.opened += 1;
  }

  closed() {
    this.#open -= 1;
  }

  /** Somebody asks for a place. Call one of the results, once. */
  beginWait() {
    const since = mono();
    this.#waiters += 1;
    const over = () => {
      this.#waiters -= 1;
      this.#wait.record(mono() - since);
    };
    return {
      /** No place could be made; nobody's patience has ended. */
      failed: over,
      timedOut: () => {
        over();
        this.#counts.timeouts += 1;
      },
      /** @returns {() => void} to be called when the place is given back */
      acquired: () => {
        over();
        this.#counts.acquired += 1;
        this.#inUse += 1;
        const held = mono();
        return () => {
          this.#inUse -= 1;
          this.#hold.record(mono() - held);
        };
      },
    };
  }
}
