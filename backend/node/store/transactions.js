/**
 * Transactions, written once for both databases: each is a generator that yields `[sql, values]` and is given `{ rows, count }`.
 *
 * SQLite runs one as a whole on its thread; PostgreSQL runs each statement in a round trip of its own. An outcome with
 * `undo` is rolled back. All texts are constants; values come as parameters.
 */
import { seed } from './seed.js';
import { ORDERS_INDEX, tables } from './schema.js';
import { places } from './places.js';

/**
 * Tables and first content.
 * @param {{ historyRows: number }} input
 */
export function* initialise(dialect, { historyRows }) {
  for (const sql of tables(dialect)) yield [sql];
  yield* seed(historyRows);
  yield [ORDERS_INDEX.create];
}

/**
 * A session begins; those that are over go.
 * @param {{ id: string, customer: number, atMs: number, oldestMs: number }} input
 */
export function* beginSession(_, { id, customer, atMs, oldestMs }) {
  yield ['DELETE FROM session WHERE since_ms < $1', [oldestMs]];
  yield ['INSERT INTO session VALUES ($1, $2, $3, $4)', [id, customer, atMs, '{}']];
}

/**
 * The session's cart becomes an order: stock taken, order and event written, or nothing at all.
 * @param {{ session: string, customer: number, atMs: number }} input
 */
export function* checkOut(_, { session, customer, atMs }) {
  // What is taken out is what is sold, so nothing that is put in meanwhile is lost. Two checkouts of one cart: the second finds it gone.
  const { rows: lines } = yield [
    `DELETE FROM cart WHERE session = $1
     RETURNING product, quantity, (SELECT cents FROM price WHERE price.product = cart.product) AS cents`,
    [session],
  ];
  if (lines.length === 0) return { undo: true, why: 'the cart is empty' };
  // In one order, so that no two checkouts wait for each other's stock.
  lines.sort((a, b) => a.product - b.product);
  for (const { product, quantity } of lines) {
    const { count } = yield ['UPDATE stock SET quantity = quantity - $2 WHERE product = $1 AND quantity >= $2', [product, quantity]];
    if (count === 0) return { undo: true, why: `product ${product} is sold out` };
  }
  const cents = lines.reduce((sum, l) => sum + l.cents * l.quantity, 0);
  const { rows } = yield ['INSERT INTO purchase (customer, at_ms, cents) VALUES ($1, $2, $3) RETURNING id', [customer, atMs, cents]];
  const order = rows[0].id;
  for (const { product, quantity, cents: each } of lines) {
    yield ['INSERT INTO purchase_line VALUES ($1, $2, $3, $4)', [order, product, quantity, each]];
  }
  // In the same transaction: an order without its event, or an event without its order, cannot be.
  yield ['INSERT INTO outbox (purchase, at_ms) VALUES ($1, $2)', [order, atMs]];
  return { order, cents };
}

/**
 * Events that the broker has.
 * @param {{ orders: number[] }} input
 */
export function* crossOut(_, { orders }) {
  yield [`DELETE FROM outbox WHERE purchase IN ${places(1, orders.length)}`, orders];
}

/**
 * A batch of a supplier's offers.
 * @param {'sqlite' | 'postgres'} dialect
 * @param {{ rows: [string, string, number, number][] }} input
 */
export function* putOffers(dialect, { rows }) {
  // One sku twice in a statement is an error to PostgreSQL; the last one counts.
  const last = [...new Map(rows.map((r) => [r[0], r])).values()];
  // In one order, so that no two imports wait for each other's offers.
  last.sort(([a], [b]) => (a < b ? -1 : 1));
  const replace = 'ON CONFLICT (sku) DO UPDATE SET name = excluded.name, cents = excluded.cents, quantity = excluded.quantity';
  if (dialect === 'sqlite') {
    // One text takes a tenth of the time that four thousand values take.
    yield [
      `INSERT INTO offer (sku, name, cents, quantity)
       SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1) WHERE true ${replace}`,
      [JSON.stringify(last)],
    ];
    return;
  }
  // Four arrays are parsed in a fraction of the time that four thousand values take.
  const columns = [0, 1, 2, 3].map((c) => last.map((row) => row[c]));
  yield [
    `INSERT INTO offer (sku, name, cents, quantity)
     SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::integer[]) ${replace}`,
    columns,
  ];
}
