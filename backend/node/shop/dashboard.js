/**
 * `GET /dashboard`: how the shop is doing, from questions that do not depend on each other. Whether they are awaited together is the choice
 * between the fault `serial-queries` and its cure.
 */

/** Rows in each list. */
const SHOWN = 5;

const CUSTOMERS = 'SELECT count(*) AS n FROM customer';
const SESSIONS = 'SELECT count(*) AS n FROM session';
const LAST_ORDERS = 'SELECT id, at_ms, cents FROM purchase ORDER BY id DESC LIMIT $1';
const DEAREST = `SELECT product.id, name, cents FROM product JOIN price ON price.product = product.id
  ORDER BY cents DESC, product.id LIMIT $1`;
const BEST_RATED = `SELECT product, CAST(avg(stars) AS DOUBLE PRECISION) AS stars FROM review GROUP BY product
  ORDER BY avg(stars) DESC, product LIMIT $1`;
const SCARCEST = 'SELECT product, quantity FROM stock ORDER BY quantity, product LIMIT $1';

/** @param {import('./index.js').Shop} shop */
export function dashboardRoutes(shop) {
  return [{ method: 'GET', template: '/dashboard', handle: ({ request }) => show(shop, request) }];
}

async function show(shop, request) {
  await shop.sessions.of(request);
  const list = (sql) => async () => (await shop.database.run(sql, [SHOWN])).rows;
  const count = (sql) => async () => (await shop.database.run(sql)).rows[0].n;
  const questions = [count(CUSTOMERS), count(SESSIONS), list(LAST_ORDERS), list(DEAREST), list(BEST_RATED), list(SCARCEST)];
  const [customers, sessions, last_orders, dearest, best_rated, scarcest] = await shop.faults.serialQueries.ask(questions);
  return { customers, sessions, last_orders, dearest, best_rated, scarcest };
}
