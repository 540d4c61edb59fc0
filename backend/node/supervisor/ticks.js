/** The ticks of one worker, kept for late readers in the form of the probe (`timeline::probe`). */
import { mono } from '../clock.js';

/** Version of the probe's messages. */
export const VERSION = 1;
/** Ticks kept: 30 s. */
const KEPT = 300;

export class Ticks {
  #name;
  #pid;
  #ticks = [];
  #lanes = [];

  constructor(name, pid) {
    this.#name = name;
    this.#pid = pid;
  }

  take(tick, lanes) {
    if (lanes) this.#lanes = lanes;
    this.#ticks.push(tick);
    if (this.#ticks.length > KEPT) this.#ticks.shift();
  }

  /** What was told so far is not asked for any more. */
  forget() {
    this.#ticks = [];
  }

  /** All ticks after number `since` that are still kept. */
  batch(since) {
    const first = this.#ticks[0]?.seq ?? since + 1;
    return {
      version: VERSION,
      instance: this.#name,
      pid: this.#pid,
      now: mono(),
      lanes: this.#lanes,
      ticks: this.#ticks.filter((t) => t.seq > since),
      lost: Math.max(0, first - since - 1),
    };
  }
}
