/**
 * Broker backlog, and its cure: how fast an event's consumer is.
 *
 * The fault signs each message many times over, so the one consumer of the e-mail queue is slower than those who buy, and events wait longer
 * and longer; no customer does. The cure signs each once, which keeps up with hundreds of orders a second.
 */
import { unixMs } from '../clock.js';
import { Fault } from './fault.js';

export class BrokerBacklog extends Fault {
  static kind = 'broker-backlog';
  static knobs = {
    signatures: { about: 'signatures under each message; 100 take 30 to 100 ms', default: 600, min: 10, max: 2_000 },
  };

  /**
   * Has the service called `name` work on a message. The first that had to wait for the one before is the onset.
   * @param {import('../broker/topic.js').Message} message
   * @param {{ doneMs: number }} pace when this consumer was done with its last message
   * @param {import('../services/desk.js').Desk} desk
   */
  async consume(name, message, pace, desk) {
    if (name === 'email' && message.published_ms < pace.doneMs) this.tookEffect();
    await desk.serve(name, message, this.on ? Math.round(this.knob('signatures')) : 1);
    pace.doneMs = unixMs();
  }
}
