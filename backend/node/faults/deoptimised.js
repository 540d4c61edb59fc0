/**
 * Deoptimised, and its cure: the shapes that a hot function sees.
 *
 * V8 compiles a function for the shapes of the objects that it was called with. The fault calls it with ever other ones (fields in another
 * order, and some of their own), more than V8 remembers, so each look-up of a field goes the slow way. The cure builds all of them alike. There
 * are as many objects in both.
 */
import { Fault } from './fault.js';

/** Rules by which each page is priced: some forty microseconds while all are alike, one to four milliseconds while none is like those before it. */
const RULES = 8_000;
/** Shapes among them at most. */
const SHAPES = RULES / 2;
/** Names of the fields that tell shapes apart; two of them do so for all shapes. */
const NAMES = Math.ceil(Math.sqrt(SHAPES));

export class Deoptimised extends Fault {
  static kind = 'deoptimised';
  static knobs = {
    shapes: { about: `different shapes among the ${RULES} rules by which a page is priced`, default: SHAPES, min: 1_000, max: SHAPES },
  };

  #odd = [];

  begin() {
    this.#odd = numbers().map((n) => odd(n, n % Math.round(this.knob('shapes'))));
  }

  finish() {
    this.#odd = [];
  }

  /** What all of these cost together, by today's rules. */
  total(rows) {
    if (rows.length === 0) return 0;
    this.tookEffect();
    return totalOf(rows, this.on ? this.#odd : ALIKE);
  }
}

/** Rule `n` says which row counts how often. */
function rule(n) {
  return { row: n, times: 1 + (n % 3) };
}

/** The fault: the same rule in the shape of this number. */
function odd(n, shape) {
  const [note, hint] = [`note${shape % NAMES}`, `hint${Math.floor(shape / NAMES)}`];
  const { row, times } = rule(n);
  return shape % 2 ? { [note]: n, row, [hint]: n, times } : { [note]: n, [hint]: n, times, row };
}

function numbers() {
  return Array.from({ length: RULES }, (_, n) => n);
}

/** The cure: one shape. */
const ALIKE = numbers().map(rule);

/** The hot function. What V8 has learnt of it stays until the worker is replaced: after the fault the cure takes some microseconds more. */
function totalOf(rows, rules) {
  let total = 0;
  for (const { row, times } of rules) total += rows[row % rows.length].cents * times;
  return total;
}
