/**
 * Slow downstream, and its cure: how an order reaches the e-mail service.
 *
 * The fault calls the service while the customer waits, and the service becomes slow: it signs each message many times over, one message
 * after another. The cure hands the order to the queue, and the customer does not wait for either.
 */
import { Fault } from './fault.js';

export class SlowDownstream extends Fault {
  static kind = 'slow-downstream';
  static knobs = {
    signatures: { about: 'signatures under each message; 100 take about 100 ms', default: 150, min: 10, max: 2_000 },
  };

  /** Tells the services of an order. */
  async tell(services, order) {
    if (!this.on) return services.publish(order);
    this.tookEffect();
    await services.email(order, Math.round(this.knob('signatures')));
    return services.publish({ ...order, emailed: true });
  }
}
