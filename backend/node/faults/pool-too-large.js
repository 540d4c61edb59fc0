/**
 * Pool too large, and its cure: how many connections the database has to carry.
 *
 * The fault opens as many as its knob says, all of them, and keeps them; the cure is the size for which the shop was planned. More
 * statements at once than the database has cores only wait there instead of here.
 */
import { Fault } from './fault.js';

export class PoolTooLarge extends Fault {
  static kind = 'pool-too-large';
  static knobs = {
    capacity: { about: "connections of each worker's pool", default: 150, min: 40, max: 500 },
  };

  begin(shop) {
    const capacity = Math.round(this.knob('capacity'));
    shop.database.resize(PoolTooLarge.kind, capacity);
    // Another size may be held over this one.
    if (shop.database.capacity !== capacity) return;
    // A server refuses when it has no more; then they are as many as it gave.
    void shop.database.openAll().catch(() => {}).then(() => this.tookEffect());
  }

  finish(shop) {
    shop.database.restore(PoolTooLarge.kind);
  }
}
