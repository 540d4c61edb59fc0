/**
 * Query fan-out, and its cure: how the list gets its prices.
 *
 * The fault asks for each row's price by itself (N+1); the cure joins.
 */
import { Fault } from './fault.js';

const JOINED = `SELECT product.id, name, cents FROM product JOIN price ON price.product = product.id
  WHERE product.id > $1 ORDER BY product.id LIMIT $2`;
const BARE = 'SELECT id, name FROM product WHERE id > $1 ORDER BY id LIMIT $2';
const PRICE = 'SELECT cents FROM price WHERE product = $1';

export class QueryFanOut extends Fault {
  static kind = 'query-fan-out';

  /** `count` products after number `after`. */
  async page(database, after, count) {
    if (!this.on) return (await database.run(JOINED, [after, count])).rows;
    return database.with((connection) => this.#oneByOne(connection, after, count));
  }

  /** The fault. */
  async #oneByOne(connection, after, count) {
    const { rows } = await connection.run(BARE, [after, count]);
    for (const row of rows) {
      row.cents = (await connection.run(PRICE, [row.id])).rows[0].cents;
      this.tookEffect();
    }
    return rows;
  }
}
