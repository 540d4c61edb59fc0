/**
 * Stampede, and its cure: how a missed product is loaded.
 *
 * The fault: nobody knows of the others, so every request that misses loads, and the loads crowd the pool. The cure, single
 * flight: the first one loads, the others wait for its result. Other cures are a lock over all workers (`cache/lock.js`) and early refreshes
 * (`cache/xfetch.js`); which one runs say the cache's settings.
 */
import { Fault } from './fault.js';

export class Stampede extends Fault {
  static kind = 'stampede';

  #flights = new Map();

  /** Without the fault, too, the cache may be set to let all load who miss. */
  cured(shop) {
    const isOpen = ({ protection }) => protection === 'none' || protection === 'xfetch';
    shop.products.hold(Stampede.kind, (how) => (isOpen(how) ? { ...how, protection: 'single-flight' } : how));
  }

  /**
   * The fault: load, whoever else does.
   * @template T
   * @param {string} key
   * @param {() => Promise<T>} load
   * @param {import('../agent/cache.js').CacheMeter} meter
   */
  async unprotected(key, load, meter) {
    if (meter.running(key) > 0) this.tookEffect();
    return load();
  }

  /** The cure. A flight that fails fails for all who wait for it; the next request begins another one. */
  singleFlight(key, load, meter) {
    const flying = this.#flights.get(key);
    if (flying) {
      meter.count('coalesced');
      return flying;
    }
    const flight = load().finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }
}
