/**
 * One fault: on or off for a span, with its life written down as it truly was: armed, first effect, ended.
 *
 * A fault's file holds the fault and its cure side by side; off means that the cure runs. Knobs are numbers within a range. While the cure is
 * held (`remedies.js`), a fault that is ordered stays off: that it was armed is all there is to write down.
 */
import { mono } from '../clock.js';

/**
 * @typedef {{ fault: string, instance: string, what: 'armed' | 'onset' | 'ended', at: number }} Truth
 * @typedef {{ name: string, for_ms: number, knobs: Record<string, number> }} Order
 * @typedef {{ about: string, default: number, min: number, max: number }} Knob
 */

export class Fault {
  /** The catalogue's name. */
  static kind = '';
  /** @type {Record<string, Knob>} */
  static knobs = {};

  #tell;
  #knobs = {};
  #arms = 0;
  #begun = false;
  #isCured = false;
  /** By order, and until its end: it is on then, unless its cure is held. */
  ordered = false;
  on = false;

  /** @param {(fault: string, what: Truth['what'], at: number) => void} tell */
  constructor(tell) {
    this.#tell = (what, at = mono()) => tell(this.constructor.kind, what, at);
  }

  /** The knob's value: as ordered, or its default. */
  knob(name) {
    return this.#knobs[name] ?? this.constructor.knobs[name].default;
  }

  /**
   * Switches on, unless its cure is held. Gives the number with which its timer may end it; one that is on already ends, and begins anew.
   * @param {Order} order
   * @param {import('../shop/index.js').Shop} shop
   */
  arm(order, shop) {
    this.end(undefined, shop);
    this.#knobs = order.knobs ?? {};
    this.#begun = false;
    this.ordered = true;
    this.on = !this.#isCured;
    this.#tell('armed');
    if (this.on) this.begin(shop);
    return ++this.#arms;
  }

  /** The fault has an effect now, or had one at an instant on `mono`'s clock; the first one is written down. */
  tookEffect(at) {
    if (!this.on || this.#begun) return;
    this.#begun = true;
    this.#tell('onset', at);
  }

  /** Switches off: the arm of this number, or whichever is on. */
  end(arm, shop) {
    if (!this.ordered || (arm !== undefined && arm !== this.#arms)) return;
    this.ordered = false;
    this.#stop(shop);
  }

  /** Its cure runs from now on, whatever is ordered. */
  holdCure(shop) {
    this.#isCured = true;
    this.#stop(shop);
    this.cured(shop);
  }

  #stop(shop) {
    if (!this.on) return;
    this.on = false;
    this.#tell('ended');
    this.finish(shop);
  }

  /** What is done at once when it is switched on; where the cure would run, `on` is looked at. */
  begin(_shop) {}

  /** What puts the cure back. */
  finish(_shop) {}

  /** What is done once when the cure comes to be held. */
  cured(_shop) {}

  /** Puts right what a process of the same name that has died may have left behind. */
  settle(_shop) {}

  /** True for the share that knob `share` says of all calls. */
  strikes() {
    return this.on && Math.random() < this.knob('share');
  }
}
