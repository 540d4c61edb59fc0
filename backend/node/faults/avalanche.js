/**
 * Avalanche, and its cure: when entries expire.
 *
 * The fault lets all entries live to the same instant, as a nightly refresh does: then all are loaded at once. The cure spreads the ends
 * (jitter).
 */
import { Fault } from './fault.js';

export class Avalanche extends Fault {
  static kind = 'avalanche';
  static knobs = {
    period_ms: { about: 'milliseconds from instant to instant at which everything expires', default: 3_000, min: 500, max: 60_000 },
  };

  /** How long an entry lives, ms; with the cure up to the share `jitter` less than it could. */
  life(ttlMs, jitter) {
    if (!this.on) return ttlMs * (1 - Math.random() * jitter);
    const period = this.knob('period_ms');
    this.tookEffect();
    return period - (Date.now() % period);
  }
}
