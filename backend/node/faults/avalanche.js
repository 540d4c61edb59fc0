/**
 * Avalanche, and its cure: when entries expire.
 *
 * The fault lets all entries live to the same instant, as a nightly refresh does, those among them that are there when it begins: then all are
 * loaded at once. The cure spreads the ends (jitter); at the fault's end so it does with those that are still to come.
 */
import { mono, unixMs } from '../clock.js';
import { Fault } from './fault.js';

/** So many entries that expire together are an avalanche's beginning, and not a chance: two might be. */
const TOGETHER = 10;

export class Avalanche extends Fault {
  static kind = 'avalanche';
  static knobs = {
    period_ms: { about: 'milliseconds from instant to instant at which everything expires', default: 3_000, min: 500, max: 60_000 },
  };

  #before = Promise.resolve();
  /** The instant to which entries live now, and how many do. */
  #instant = { atMs: 0, entries: 0 };

  begin(shop) {
    this.#instant = { atMs: 0, entries: 0 };
    const atMs = this.#next();
    this.#then(async () => this.#keptUntil(atMs, await shop.products.expireAt(atMs)));
  }

  finish(shop) {
    const atMs = this.#next();
    // One that ends has a successor, for whose entries the instant holds.
    if (!shop.draining) this.#then(() => shop.products.spread(atMs));
  }

  /** One after the other; a cache that does not answer has said so. */
  #then(work) {
    this.#before = this.#before.then(work).catch(() => {});
  }

  /** How long an entry that was just loaded lives, ms; with the cure up to the share `jitter` less than it could. */
  life(ttlMs, jitter) {
    if (!this.on) return ttlMs * (1 - Math.random() * jitter);
    const atMs = this.#next();
    this.#keptUntil(atMs, 1);
    return Math.max(1, atMs - unixMs());
  }

  /** The next multiple of the period; the clock is the wall's, so all workers share it. */
  #next() {
    const period = Math.round(this.knob('period_ms'));
    return (Math.floor(unixMs() / period) + 1) * period;
  }

  /** So many more entries expire then. Those of the instant before have expired by now: the first time is the onset. */
  #keptUntil(atMs, entries) {
    const last = this.#instant;
    if (last.atMs === atMs) {
      last.entries += entries;
      return;
    }
    const agoMs = unixMs() - last.atMs;
    if (last.entries >= TOGETHER && agoMs >= 0) this.tookEffect(mono() - agoMs * 1e6);
    this.#instant = { atMs, entries };
  }
}
