/**
 * Slow downstream, and its cure: how an order reaches the e-mail service.
 *
 * The fault calls the service while the customer waits, and the service becomes slow: it signs each message many times over, one message
 * after another. The cure hands the event to the broker, and the customer does not wait for either.
 */
import { Fault } from './fault.js';

export class SlowDownstream extends Fault {
  static kind = 'slow-downstream';
  static knobs = {
    signatures: { about: 'signatures under each message; 100 take 30 to 100 ms', default: 400, min: 10, max: 2_000 },
  };

  /** Tells the services of an order. @param {import('../broker/topic.js').Placed} placed */
  async tell(shop, placed) {
    if (this.on) {
      this.tookEffect();
      await shop.services.email(placed, Math.round(this.knob('signatures')));
    }
    // The event was written with the order. A service that has been told already knows it by its number.
    shop.outbox.send(placed);
  }
}
