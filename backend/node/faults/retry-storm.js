/**
 * Retry storm, and its cure: when a call that came to nothing is made again.
 *
 * The fault slows the service that makes invoices, so that it must refuse some, and asks again at once, as often as its knob says: the more is
 * refused, the more is asked. The cure asks again after a pause that is drawn, and only as long as a budget allows (`shop/retry.js`), so a
 * service in need gets a tenth more calls and not many times as many. Where the cure is held against the fault, the service is as slow.
 */
import { Fault } from './fault.js';

export class RetryStorm extends Fault {
  static kind = 'retry-storm';
  static knobs = {
    tries: { about: 'how often the shop asks for one invoice, the first time among them', default: 8, min: 2, max: 20 },
    signatures: { about: 'signatures under each invoice; 100 take 30 to 100 ms', default: 100, min: 10, max: 1_000 },
  };

  /**
   * @template T
   * @param {import('../shop/retry.js').Budget} budget
   * @param {(signatures: number) => Promise<T>} call
   * @param {() => void} again told of each further try
   */
  async ask(budget, call, again) {
    const signatures = this.ordered ? Math.round(this.knob('signatures')) : 1;
    if (!this.on) return budget.spaced(() => call(signatures), again);
    for (let tries = Math.round(this.knob('tries')); tries > 1; tries--) {
      try {
        return await call(signatures);
      } catch {
        this.tookEffect();
        again();
      }
    }
    return call(signatures);
  }
}
