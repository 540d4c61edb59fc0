/**
 * Deoptimised, and its cure: the shapes that a hot function sees.
 *
 * V8 compiles a function for the shapes of the objects that it was called with. The fault calls it with ever other ones (fields in another
 * order, and one of their own), so each look-up of a field goes the slow way. The cure builds all of them alike.
 */
import { Fault } from './fault.js';

/** Names of the fields that make each object one of its kind. */
const KINDS = Array.from({ length: 64 }, (_, n) => `note${n}`);

export class Deoptimised extends Fault {
  static kind = 'deoptimised';
  static knobs = {
    rounds: { about: 'thousands of items priced for each page', default: 40, min: 5, max: 200 },
  };

  /** What all of these cost together, by today's rules. */
  total(rows) {
    if (!this.on) return totalOf(alike(rows), 1);
    const rounds = Math.ceil((this.knob('rounds') * 1_000) / Math.max(1, rows.length));
    const total = this.#priceOddly(rows, rounds);
    this.tookEffect();
    return total;
  }

  /** The fault: each row another shape, and a dictionary among them. */
  #priceOddly(rows, rounds) {
    let total = 0;
    for (let round = 0; round < rounds; round++) {
      const items = rows.map((row, i) => {
        const kind = KINDS[(i + round) % KINDS.length];
        const item = i % 2 ? { [kind]: i, cents: row.cents, id: row.id, quantity: 1 } : { id: row.id, [kind]: i, quantity: 1, cents: row.cents };
        if (i % 5 === 0) delete item.id;
        return item;
      });
      total = totalOf(items, 1);
    }
    return total;
  }
}

/** The cure: one shape. */
function alike(rows) {
  return rows.map(({ id, cents }) => ({ id, cents, quantity: 1 }));
}

/** The hot function. */
function totalOf(items, factor) {
  let total = 0;
  for (const item of items) total += item.cents * item.quantity * factor;
  return total;
}
