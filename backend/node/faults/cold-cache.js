/**
 * Cold cache, and its cure: what the cache holds when the load is on.
 *
 * The fault empties it again and again under load. The cure fills it before the first request comes, and leaves it alone.
 */
import { Fault } from './fault.js';

/** Products that most requests are for: they are there before the worker says that it is ready. */
const WARMED = 12;
/** Loads at once while warming: within the pool, with room for others. */
const AT_ONCE = 6;

export class ColdCache extends Fault {
  static kind = 'cold-cache';
  static knobs = {
    period_ms: { about: 'milliseconds from emptying to emptying', default: 1_000, min: 200, max: 60_000 },
  };

  #timer;

  begin(shop) {
    const empty = () => void shop.products.clear().then(() => this.tookEffect(), () => {});
    empty();
    this.#timer = setInterval(empty, this.knob('period_ms'));
    this.#timer.unref();
  }

  finish() {
    clearInterval(this.#timer);
  }

  /** The cure. */
  async warm(products) {
    for (let id = 1; id <= WARMED; id += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => products.get(id + i)));
    }
  }
}
