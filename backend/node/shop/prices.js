/** `GET /prices`: the price list of everything in every quantity, megabytes of it. */

const ALL = 'SELECT product.id, name, cents FROM product JOIN price ON price.product = product.id ORDER BY product.id';
/** Quantities for which each product has a price: with 500 products the list has about 4 MB. */
const QUANTITIES = 100;

/** @param {import('./index.js').Shop} shop */
export function priceRoutes(shop) {
  return [{ method: 'GET', template: '/prices', handle: ({ response }) => list(shop, response) }];
}

async function list(shop, response) {
  const { rows } = await shop.database.run(ALL);
  await shop.faults.bigJson.write(response, rows.length * QUANTITIES, (n) => priced(rows[Math.floor(n / QUANTITIES)], 1 + (n % QUANTITIES)));
}

/** Half a per cent off for each one more. */
function priced({ id, name, cents }, quantity) {
  return { product: id, name, quantity, cents: Math.round(cents * quantity * 0.995 ** (quantity - 1)) };
}
