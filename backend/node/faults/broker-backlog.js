/**
 * Broker backlog, and its cure: how fast an order's consumer is.
 *
 * The fault signs each message many times over, so those who consume are slower than those who buy, and orders wait longer and longer; no
 * customer does. The cure signs each once, which keeps up with hundreds of orders a second.
 */
import { Fault } from './fault.js';

export class BrokerBacklog extends Fault {
  static kind = 'broker-backlog';
  static knobs = {
    signatures: { about: 'signatures under each message; 100 take about 100 ms', default: 150, min: 10, max: 2_000 },
  };

  /** How often the consumer has a message signed. */
  get signatures() {
    return this.on ? Math.round(this.knob('signatures')) : 1;
  }

  /** An order found all consumers at work. */
  waited() {
    this.tookEffect();
  }
}
