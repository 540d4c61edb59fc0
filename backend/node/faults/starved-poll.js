/**
 * Starved poll, and its cure: when the ranking's next turn comes.
 *
 * No turn is long. The fault puts each next one into `process.nextTick`, which runs before any I/O, so the loop looks for input only when
 * the row of them is over, once in so many turns, as often as tokio would; and it never rests, because it begins anew as soon
 * as it is done. The cure puts the next turn behind what is waiting (`setImmediate`), and rests between rebuilds.
 */
import { Fault } from './fault.js';

/** The cure's turns: a hundredth of the products, some hundred microseconds. */
const ROWS = 5;
/** From rebuild to rebuild, ms. */
const REST_MS = 1_000;
/** Turns between two looks for input: without an end the worker could not be told to stop. */
const TURNS_AHEAD = 61;

export class StarvedPoll extends Fault {
  static kind = 'starved-poll';
  static knobs = {
    rows: { about: 'products that the ranking looks at in one turn, some microseconds each', default: 100, min: 20, max: 500 },
  };

  #timer;
  #stopped = false;

  /** Rebuilds `ranking` again and again until `stop`. */
  async keep(ranking) {
    while (!this.#stopped) {
      while (this.on && !this.#stopped) await this.aheadOfInput(ranking);
      await this.rebuild(ranking);
      await new Promise((resolve) => {
        this.#timer = setTimeout(resolve, REST_MS);
        this.#timer.unref();
      });
    }
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** The fault: a row of turns, each ahead of all input; then one look. */
  async aheadOfInput(ranking) {
    for (let turn = 0; turn < TURNS_AHEAD; turn++) {
      ranking.turn(Math.round(this.knob('rows')));
      await new Promise((resolve) => process.nextTick(resolve));
      this.tookEffect();
    }
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** The cure. */
  async rebuild(ranking) {
    for (let done = false; !done; done = ranking.turn(ROWS)) await new Promise((resolve) => setImmediate(resolve));
  }
}
