/**
 * Regex backtracking, and its cure: how the words of a search are checked.
 *
 * The fault's pattern repeats a repetition, so a text that almost fits is tried in twice as many ways with each letter more. The
 * cure says the same in a way that looks at each letter once. Hostile searches are mixed in at a share, as attackers do.
 */
import { Fault } from './fault.js';

/** Words, each with at most one space behind it: `(\p{L}+ ?)` can be split in 2^n ways. */
const BACKTRACKING = /^([\p{L}\d]+ ?)+$/u;
/** The same language: a space only between words, or at the very end. */
const LINEAR = /^[\p{L}\d]+(?: [\p{L}\d]+)* ?$/u;

export class RegexBacktracking extends Fault {
  static kind = 'regex-backtracking';
  static knobs = {
    share: { about: 'share of the searches that are hostile', default: 0.05, min: 0.01, max: 1 },
    length: { about: 'letters of a hostile search; each one more doubles the time, 22 take about 100 ms', default: 22, min: 16, max: 28 },
  };

  /** Are these words? */
  fits(text) {
    if (!this.on) return LINEAR.test(text);
    if (!this.strikes()) return BACKTRACKING.test(text.slice(0, this.knob('length')));
    // Almost words: the last sign spoils it.
    const hostile = `${'a'.repeat(Math.round(this.knob('length')))}!`;
    BACKTRACKING.test(hostile);
    this.tookEffect();
    return LINEAR.test(text);
  }
}
