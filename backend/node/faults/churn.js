/**
 * Churn, and its cure: what is built for a page of the list.
 *
 * The fault builds the page out of many copies that are dropped with the answer, so the collector has no rest. The
 * cure picks the fields once.
 */
import { Fault } from './fault.js';

export class Churn extends Fault {
  static kind = 'churn';
  static knobs = {
    mb: { about: 'megabytes of short-lived objects for each page', default: 4, min: 1, max: 32 },
  };

  /** The rows as they are shown. */
  listed(rows) {
    const shown = rows.map(({ id, name, cents }) => ({ id, name, cents }));
    return this.on && shown.length > 0 ? this.#copied(shown) : shown;
  }

  /** The fault: each copy of a row is about 100 bytes, with its text. */
  #copied(shown) {
    const copies = (this.knob('mb') * 1e6) / 100;
    let last = shown;
    for (let made = 0; made < copies; made += shown.length) {
      last = last.map((row, i) => ({ ...row, name: `${row.name}${made % 7}`.slice(0, row.name.length), rank: i + made }));
    }
    this.tookEffect();
    return last.map(({ id, cents }, i) => ({ id, name: shown[i].name, cents }));
  }
}
