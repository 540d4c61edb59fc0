/**
 * Starved poll, and its cure: how a backlog is worked off beside the requests.
 *
 * The shop ranks its products anew every second: a backlog of small pieces. The fault puts each next piece into
 * `process.nextTick`, which runs before any I/O, so the loop does not get to its sockets until the whole backlog is done. The cure
 * puts it behind what is waiting (`setImmediate`).
 */
import { Fault } from './fault.js';

/** From backlog to backlog, ms. */
const PERIOD_MS = 1_000;
/** Pieces of a usual backlog; each takes about 20 us, so it is 1% of a core. */
const PIECES = 500;

export class StarvedPoll extends Fault {
  static kind = 'starved-poll';
  static knobs = {
    backlog: { about: 'how many times as much as usual is to be done each second; 20 takes about 200 ms', default: 20, min: 5, max: 40 },
  };

  #timer;
  #scores = new Float64Array(512);

  /** Works until `stop`. */
  start() {
    this.#timer = setInterval(() => this.#backlog(), PERIOD_MS);
    this.#timer.unref();
  }

  stop() {
    clearInterval(this.#timer);
  }

  #backlog() {
    const starving = this.on;
    const next = starving ? process.nextTick : setImmediate;
    let left = starving ? PIECES * this.knob('backlog') : PIECES;
    const piece = () => {
      this.#rank(left);
      left -= 1;
      if (left > 0) next(piece);
    };
    piece();
    if (starving) this.tookEffect();
  }

  /** A piece: the scores of all products drift towards their neighbours'. */
  #rank(seed) {
    const scores = this.#scores;
    for (let round = 0; round < 8; round++) {
      for (let i = 1; i < scores.length; i++) scores[i] = 0.5 * scores[i - 1] + 0.5 * Math.sin(scores[i] + i * seed);
    }
  }
}
