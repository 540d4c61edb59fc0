/**
 * Avalanche, and its cure: when entries expire.
 *
 * The fault lets all entries live to the same instant, as a nightly refresh does: then all are loaded at once. The cure spreads the ends
 * (jitter).
 */
import { Fault } from './fault.js';

/** The cure's spread: a life is between 80% and 100% of the longest. */
const SPREAD = 0.2;

export class Avalanche extends Fault {
  static kind = 'avalanche';
  static knobs = {
    period_ms: { about: 'milliseconds from instant to instant at which everything expires', default: 3_000, min: 500, max: 60_000 },
  };

  /** How long an entry lives, ms. */
  life(ttlMs) {
    if (!this.on) return ttlMs * (1 - Math.random() * SPREAD);
    const period = this.knob('period_ms');
    this.tookEffect();
    return period - (Date.now() % period);
  }
}
