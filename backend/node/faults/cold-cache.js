/**
 * Cold cache, and its cure: what the cache holds when the load is on.
 *
 * The fault empties it again and again under load. The cure leaves it alone, and loads what is wanted most before anybody asks: before the first
 * request comes, and after a fault that has left the cache empty.
 */
import { Fault } from './fault.js';

/** Products that most requests are for. */
const WARMED = 24;
/** Loads at once while warming beside requests: within the pool, with room for others. */
const AT_ONCE = 6;

export class ColdCache extends Fault {
  static kind = 'cold-cache';
  static knobs = {
    period_ms: { about: 'milliseconds from emptying to emptying', default: 1_000, min: 200, max: 60_000 },
  };

  #timer;

  begin(shop) {
    const empty = async () => {
      if ((await shop.products.clear()) > 0) this.tookEffect();
      // It ended meanwhile, and what was warmed then may have gone with the rest.
      if (!this.on) await this.warm(shop.products);
    };
    const tried = () => void empty().catch(() => {});
    tried();
    this.#timer = setInterval(tried, this.knob('period_ms'));
    this.#timer.unref();
  }

  finish(shop) {
    clearInterval(this.#timer);
    // What cannot be loaded is when somebody asks for it.
    void this.warm(shop.products).catch(() => {});
  }

  /** The cure. */
  async warm(products, atOnce = AT_ONCE) {
    for (let id = 1; id <= WARMED; id += atOnce) {
      await Promise.all(Array.from({ length: Math.min(atOnce, WARMED + 1 - id) }, (_, i) => products.get(id + i)));
    }
  }
}
