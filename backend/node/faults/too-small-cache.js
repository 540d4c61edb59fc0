/**
 * Too small a cache, and its cure: how many entries it may keep.
 *
 * The fault leaves room for fewer than the load asks for, so entries go before they are asked for again. The cure is the planned size.
 */
import { Fault } from './fault.js';

export class TooSmallCache extends Fault {
  static kind = 'too-small-cache';
  static knobs = {
    capacity: { about: "products that each worker's cache may keep, or all of them together on a server", default: 20, min: 1, max: 400 },
  };

  begin(shop) {
    shop.products.resize(Math.round(this.knob('capacity')));
  }

  finish(shop) {
    shop.products.resize(shop.products.plannedCapacity);
  }

  /** Entries had to make room. */
  evicted() {
    this.tookEffect();
  }
}
