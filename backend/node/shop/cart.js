/** `POST /cart`: puts a product into the session's cart. */
import { readJson } from '../http/body.js';
import { Refusal } from '../http/refusal.js';
import { only, whole } from '../http/shape.js';
import { MOST_ASKED } from '../store/schema.js';
import { possible } from './catalogue.js';

/** Of one product in one cart. */
const MAX_QUANTITY = 99;

/** One statement; no row when there is no such product. */
const PUT = `INSERT INTO cart (session, product, quantity)
  SELECT CAST($1 AS TEXT), id, CAST($3 AS INTEGER) FROM product WHERE id = $2
  ON CONFLICT (session, product) DO UPDATE SET quantity =
    CASE WHEN cart.quantity + excluded.quantity > ${MAX_QUANTITY} THEN ${MAX_QUANTITY} ELSE cart.quantity + excluded.quantity END
  RETURNING quantity`;

/** @param {import('./index.js').Shop} shop */
export function cartRoutes(shop) {
  return [{ method: 'POST', template: '/cart', handle: ({ request }) => put(shop, request) }];
}

async function put(shop, request) {
  const session = await shop.sessions.of(request);
  const item = only(await readJson(request), 'product', 'quantity');
  const product = whole(item, 'product', 0, MOST_ASKED);
  const quantity = whole(item, 'quantity', 1, MAX_QUANTITY);
  const { rows } = await shop.database.run(PUT, [session.id, possible(product), quantity]);
  if (rows.length === 0) throw Refusal.notFound('there is no such product');
  return { product, quantity: rows[0].quantity };
}
