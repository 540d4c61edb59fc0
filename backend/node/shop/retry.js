/**
 * Trying again: after a pause that is drawn, and only as long as a budget allows.
 *
 * A drawn pause keeps callers that failed together from coming back together. The budget keeps retries from adding more than a share to the
 * load of a service that is failing because of its load.
 */
import { setTimeout as pause } from 'node:timers/promises';

/** A call may be tried so often again. */
const RETRIES = 2;
/** What a call adds to the budget, in retries: so at most a tenth is added to the load. */
const SHARE = 0.1;
/** Most that can be saved up: a few failures after a good time need not be told to the customer. */
const SAVED = 10;
/** The first pause is drawn from zero to this, ms; each further one from twice as much. */
const FIRST_PAUSE_MS = 50;

export class Budget {
  /** As after a good time. */
  #retries = SAVED;

  /**
   * Calls, and again after a pause while there is something left.
   * @template T
   * @param {() => Promise<T>} call
   * @param {() => void} again told of each further try
   */
  async spaced(call, again) {
    this.#retries = Math.min(SAVED, this.#retries + SHARE);
    for (let retry = 0; ; retry++) {
      try {
        return await call();
      } catch (e) {
        if (retry === RETRIES || this.#retries < 1) throw e;
        this.#retries -= 1;
      }
      await pause(FIRST_PAUSE_MS * 2 ** retry * Math.random());
      again();
    }
  }
}
