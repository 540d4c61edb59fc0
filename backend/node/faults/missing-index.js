/**
 * Missing index, and its cure: the index on the orders' customer.
 *
 * The fault drops it, for all workers, since they share the database: each look-up of a customer's orders reads all orders there are. The
 * cure makes it again. One worker does both, as an operator of the database would: no meter of the shop tells of it.
 */
import { ORDERS_INDEX } from '../store/schema.js';
import { Fault } from './fault.js';

/** A database that let nobody in is asked again after this, ms. */
const AGAIN_MS = 1_000;

export class MissingIndex extends Fault {
  static kind = 'missing-index';

  #before = Promise.resolve();

  begin(shop) {
    this.settle(shop);
  }

  finish(shop) {
    this.settle(shop);
  }

  /** Sees to it that the index is there or not, as the switch says when its turn comes. */
  settle(shop) {
    // One that ends leaves it to its successor, which has been told the same.
    if (shop.first && !shop.draining) this.#before = this.#before.then(() => this.#operate(shop));
  }

  async #operate(shop) {
    const drops = this.on;
    try {
      await shop.database.operate(drops ? ORDERS_INDEX.drop : ORDERS_INDEX.create);
      if (drops) this.tookEffect();
    } catch (e) {
      console.error(`shop: the index on orders stays as it is: ${e.message}`);
      if (!shop.draining) setTimeout(() => this.settle(shop), AGAIN_MS).unref();
    }
  }
}
