/** `GET /dashboard`: a customer's page, for which several questions are asked that do not depend on each other. */
import { ordersOf } from './orders.js';

/** @param {import('./index.js').Shop} shop */
export function dashboardRoutes(shop) {
  return [{ method: 'GET', template: '/dashboard', handle: ({ request }) => show(shop, request) }];
}

async function show(shop, request) {
  const { id: session, customer } = await shop.sessions.of(request);
  const rows = async (sql, ...values) => (await shop.database.run(sql, values)).rows;
  const [orders, cart, [spent], sellers, newest] = await shop.faults.serialQueries.ask([
    () => ordersOf(shop.database, customer),
    () => rows('SELECT product, quantity FROM cart WHERE session = $1 ORDER BY product', session),
    () => rows('SELECT count(*) AS orders, sum(cents) AS cents FROM purchase WHERE customer = $1', customer),
    () => rows('SELECT town, count(*) AS sellers FROM seller GROUP BY town ORDER BY town'),
    () => rows('SELECT id, name FROM product ORDER BY id DESC LIMIT $1', 5),
  ]);
  return { orders: orders.slice(0, 5), cart, spent: { orders: spent.orders, cents: spent.cents ?? 0 }, sellers, newest };
}
