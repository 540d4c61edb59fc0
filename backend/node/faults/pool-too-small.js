/**
 * Pool too small, and its cure: how many connections the database pool has.
 *
 * The fault leaves fewer than load x hold time (Little's law) asks for; the cure is the size for which the shop was planned. The queue
 * that follows is real, and its first waiter is the onset.
 */
import { Fault } from './fault.js';

export class PoolTooSmall extends Fault {
  static kind = 'pool-too-small';
  static knobs = {
    capacity: { about: "connections left in each worker's pool", default: 2, min: 1, max: 8 },
  };

  begin(shop) {
    shop.database.resize(PoolTooSmall.kind, Math.round(this.knob('capacity')));
  }

  finish(shop) {
    shop.database.restore(PoolTooSmall.kind);
  }

  /** Somebody asks for a connection: is there a queue? */
  noteWaiters(meter) {
    if (meter.queue) this.tookEffect();
  }
}
