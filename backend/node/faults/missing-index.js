/**
 * Missing index, and its cure: the index on the orders' customer.
 *
 * The fault drops it, for all workers, since they share the database: each look-up of a customer's orders reads all orders there are. The
 * cure makes it again. One worker does both; the others only see it.
 */
import { ORDERS_INDEX } from '../store/schema.js';
import { Fault } from './fault.js';

export class MissingIndex extends Fault {
  static kind = 'missing-index';

  begin(shop) {
    if (!shop.first) return;
    void shop.database.run(ORDERS_INDEX.drop).then(() => this.tookEffect(), (e) => console.error(`shop: the index stays: ${e.message}`));
  }

  finish(shop) {
    if (!shop.first) return;
    void shop.database.run(ORDERS_INDEX.create).catch((e) => console.error(`shop: the index is not made again: ${e.message}`));
  }
}
