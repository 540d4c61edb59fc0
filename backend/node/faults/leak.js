/**
 * Leak, and its cure: where sessions are kept in memory.
 *
 * The fault puts every session that logs in into a map from which nothing is ever removed, with the pages rendered for it.
 * The cure is a bounded map (`cache/bounded-map.js`) that drops the session used longest ago: nothing is lost, since sessions live in the
 * database, and the map only saves reading them again.
 */
import { Fault } from './fault.js';

export class Leak extends Fault {
  static kind = 'leak';
  static knobs = {
    bytes: { about: 'bytes kept for each session that logs in', default: 65_536, min: 1_024, max: 1_048_576 },
  };

  #everlasting = new Map();

  get size() {
    return this.#everlasting.size;
  }

  /** Keeps the session for ever, if the fault is on. */
  keep(session) {
    if (!this.on) return false;
    this.#everlasting.set(session.id, { session, pages: render(session, this.knob('bytes')) });
    this.tookEffect();
    return true;
  }

  find(id) {
    return this.#everlasting.get(id)?.session;
  }

  finish() {
    this.#everlasting = new Map();
  }
}

/** Greets the customer until the page is `bytes` long: one flat text, so that all of it is there. */
function render(session, bytes) {
  const greeting = `<p>Welcome back, customer ${session.customer}. Here is what we have for you today.</p>\n`;
  return Buffer.alloc(bytes, greeting).toString('latin1');
}
