/**
 * Pool leak, and its cure: whether a connection comes back.
 *
 * The fault forgets to give back a share of the connections, as an early `return` without `finally` does; the cure always does.
 */
import { Fault } from './fault.js';

export class PoolLeak extends Fault {
  static kind = 'pool-leak';
  static knobs = {
    share: { about: 'share of the checkouts that are never given back', default: 0.02, min: 0.001, max: 0.5 },
  };

  #leaked = [];

  /** How a connection is given back. */
  releaseOf(release) {
    return (broken) => {
      if (!this.strikes()) return release(broken);
      this.#leaked.push(release);
      this.tookEffect();
    };
  }

  /** The fault is over: they come back after all. */
  finish() {
    for (const release of this.#leaked.splice(0)) release();
  }
}
