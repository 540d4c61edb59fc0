/**
 * Penetration, and its cure: what is remembered of a key that exists nowhere.
 *
 * The fault remembers nothing, so each request for such a key reaches the database. The cure remembers the absence for a while (negative
 * caching).
 */
import { Fault } from './fault.js';

export class Penetration extends Fault {
  static kind = 'penetration';

  /** Is the absence of a key kept? */
  keepsAbsence() {
    this.tookEffect();
    return !this.on;
  }
}
