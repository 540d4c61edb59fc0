/** `POST /checkout`, `GET /orders`, `GET /orders/{id}/invoice`: buying, and what was bought. */
import { unixMs } from '../clock.js';
import { send } from '../http/answer.js';
import { Refusal } from '../http/refusal.js';
import { wholeText } from '../http/shape.js';
import { MAX_ID, MOST_ASKED } from '../store/schema.js';

/** Orders shown. */
const SHOWN = 20;

const ORDERS = `SELECT p.id, at_ms, p.cents AS total, product, quantity, line.cents
  FROM (SELECT * FROM purchase WHERE customer = $1 ORDER BY id DESC LIMIT $2) AS p
  JOIN purchase_line AS line ON line.purchase = p.id ORDER BY p.id DESC, product`;

/** @param {import('./index.js').Shop} shop */
export function orderRoutes(shop) {
  return [
    { method: 'POST', template: '/checkout', handle: ({ request }) => checkOut(shop, request) },
    { method: 'GET', template: '/orders', handle: ({ request }) => list(shop, request) },
    { method: 'GET', template: '/orders/{id}/invoice', handle: (call) => invoice(shop, call) },
  ];
}

/** One transaction; the services hear of it afterwards. */
async function checkOut(shop, request) {
  const { id: session, customer } = await shop.sessions.of(request);
  const atMs = unixMs();
  const bought = await shop.database.transact('checkOut', { session, customer, atMs });
  if (bought.undo) throw Refusal.conflict(bought.why);
  await shop.faults.slowDownstream.tell(shop, { order: bought.order, customer, cents: bought.cents, at_ms: atMs });
  return { order: bought.order, cents: bought.cents };
}

async function list(shop, request) {
  const { customer } = await shop.sessions.of(request);
  return { orders: await ordersOf(shop.database, customer) };
}

/** The customer's last orders, with their lines, in one statement. */
async function ordersOf(database, customer) {
  const { rows } = await database.run(ORDERS, [customer, SHOWN]);
  const orders = [];
  for (const { id, at_ms, total, product, quantity, cents } of rows) {
    if (orders.at(-1)?.id !== id) orders.push({ id, at_ms, cents: total, lines: [] });
    orders.at(-1).lines.push({ product, quantity, cents });
  }
  return orders;
}

const LINES = `SELECT at_ms, p.cents AS total, product, quantity, line.cents
  FROM purchase AS p JOIN purchase_line AS line ON line.purchase = p.id WHERE p.id = $1 AND p.customer = $2 ORDER BY product`;

/** Billing makes it while the customer waits. */
async function invoice(shop, { request, response, path }) {
  const { customer } = await shop.sessions.of(request);
  const order = wholeText(path.id, 'id', 0, MOST_ASKED);
  const { rows } = order > MAX_ID ? { rows: [] } : await shop.database.run(LINES, [order, customer]);
  if (rows.length === 0) throw Refusal.notFound('there is no such order of yours');
  const lines = rows.map(({ product, quantity, cents }) => ({ product, quantity, cents }));
  send(response, 200, 'text/csv; charset=utf-8', await shop.services.invoice({ order, customer, cents: rows[0].total, lines }));
}
