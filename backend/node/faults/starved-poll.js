/**
 * Starved poll, and its cure: how a long task goes on beside the requests.
 *
 * The shop ranks its products anew every second, in many small turns. The fault puts each next turn into `process.nextTick`, which runs
 * before any I/O, so the loop does not get to its sockets until all of them are done. The cure puts it behind what is waiting
 * (`setImmediate`).
 */
import { Fault } from './fault.js';

/** From ranking to ranking, ms. */
const PERIOD_MS = 1_000;
/** Turns of a ranking, and products that the cure looks at in one of them: about 2% of a core. */
const TURNS = 2_000;
const ROWS = 20;

export class StarvedPoll extends Fault {
  static kind = 'starved-poll';
  static knobs = {
    rows: { about: 'products that the ranking looks at in one turn, some microseconds each', default: 100, min: 20, max: 500 },
  };

  #timer;
  #scores = new Float64Array(512);

  /** Ranks until `stop`. */
  start() {
    this.#timer = setInterval(() => void this.rank(), PERIOD_MS);
    this.#timer.unref();
  }

  stop() {
    clearInterval(this.#timer);
  }

  /** One ranking, to its end. */
  rank() {
    const starving = this.on;
    const next = starving ? process.nextTick : setImmediate;
    const rows = starving ? Math.round(this.knob('rows')) : ROWS;
    let left = TURNS;
    return new Promise((resolve) => {
      const turn = () => {
        this.#turn(left, rows);
        left -= 1;
        if (left > 0) next(turn);
        else resolve();
      };
      turn();
      if (starving) this.tookEffect();
    });
  }

  /** The scores of some products drift towards their neighbours'. */
  #turn(seed, rows) {
    const scores = this.#scores;
    for (let i = 1; i <= rows; i++) scores[i] = 0.5 * scores[i - 1] + 0.5 * Math.sin(Math.exp(-scores[i]) + i * seed);
  }
}
