/**
 * Regex backtracking, and its cure: how the words of a search are checked.
 *
 * The fault's pattern repeats a repetition, so a text that almost fits is tried in twice as many ways with each letter more. The
 * cure says the same in a way that looks at each letter once. V8 cannot be told to give up, so the fault looks at no more letters than its
 * knob's steps allow.
 */
import { Fault } from './fault.js';

/** Words, each with at most one space behind it: n letters can be split into `(letters space?)` in 2^n ways. */
const BACKTRACKING = /^([\p{L}\d]+ ?)+$/u;
/** The same language: a space only between words, or at the very end. */
const LINEAR = /^[\p{L}\d]+(?: [\p{L}\d]+)* ?$/u;

export class RegexBacktracking extends Fault {
  static kind = 'regex-backtracking';
  static knobs = {
    steps: { about: 'steps after which a match is given up, so that the worker comes back', default: 2_000_000, min: 200_000, max: 20_000_000 },
  };

  /** Are these words? */
  fits(text) {
    return this.on ? this.#backtracking(text) : LINEAR.test(text);
  }

  /** The fault. The last letter is kept: it is what makes a text hostile. */
  #backtracking(text) {
    const most = Math.floor(Math.log2(this.knob('steps')));
    const fits = BACKTRACKING.test(text.length > most ? text.slice(0, most - 1) + text.at(-1) : text);
    // A text that fits is matched at once; one that does not is tried in all ways.
    if (!fits) this.tookEffect();
    return fits;
  }
}
