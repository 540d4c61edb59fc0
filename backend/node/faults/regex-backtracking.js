/**
 * Regex backtracking, and its cure: how the words of a search are checked.
 *
 * The fault's pattern repeats a repetition, so a text that almost fits is cut into words in all 2^n ways. The cure says the same in a way
 * that looks at each letter once. V8 cannot be told to give up, so the fault looks at no more letters than its
 * knob's steps allow.
 */
import { mono } from '../clock.js';
import { Fault } from './fault.js';

/** Words, each with a separator or none after it. The separator being optional is the mistake. */
const CARELESS = /^(?:[A-Za-z0-9]+[ -]?)+$/;
/** The same texts, and only one way to cut each. */
const CAREFUL = /^[A-Za-z0-9]+(?:[ -][A-Za-z0-9]+)*[ -]?$/;

/**
 * Letters more than the steps are powers of two: V8 compiles the pattern, and one of its steps takes a small part of those of an engine that
 * interprets, for which the knob is made. 2,000,000 take some 60 ms on a fast machine, and 140 ms on a slow one.
 */
const LETTERS_MORE = 4;
/** A match that keeps the loop this long is an effect, ns; a text that is one word takes some microseconds. */
const FELT_NS = 5e6;

export class RegexBacktracking extends Fault {
  static kind = 'regex-backtracking';
  static knobs = {
    steps: { about: 'steps after which a match is given up, so that the worker comes back', default: 2_000_000, min: 200_000, max: 20_000_000 },
  };

  /** Are these words? */
  fits(text) {
    return this.on ? this.#backtracking(text) : CAREFUL.test(text);
  }

  /** The fault. The last letter is kept: it is what makes a text hostile. */
  #backtracking(text) {
    const most = Math.floor(Math.log2(this.knob('steps'))) + LETTERS_MORE;
    const began = mono();
    const fits = CARELESS.test(text.length > most ? text.slice(0, most - 1) + text.at(-1) : text);
    // A text that fits is matched at once; one that does not is tried in all ways, which are few for a short one.
    if (mono() - began >= FELT_NS) this.tookEffect(began);
    return fits;
  }
}
