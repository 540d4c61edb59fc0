/**
 * `PUT /products/{id}/price`: changes what a product costs, in the database, in the caches and for those who watch, at all workers. Only the shop's
 * keeper may: the customer of number 1.
 */
import { readJson } from '../http/body.js';
import { Refusal } from '../http/refusal.js';
import { only, whole, wholeText } from '../http/shape.js';
import { MOST_ASKED } from '../store/schema.js';
import { possible } from './catalogue.js';

/** Who keeps the shop. */
const KEEPER = 1;
/** A million, in cents. */
const MAX_CENTS = 100_000_000;

const CHANGE = 'UPDATE price SET cents = $2 WHERE product = $1';

/** @param {import('./index.js').Shop} shop */
export function priceRoutes(shop) {
  return [{ method: 'PUT', template: '/products/{id}/price', handle: ({ request, path }) => change(shop, request, path) }];
}

async function change(shop, request, path) {
  const { customer } = await shop.sessions.of(request);
  if (customer !== KEEPER) throw new Refusal(403, "only the shop's keeper changes prices");
  const product = wholeText(path.id, 'id', 0, MOST_ASKED);
  const cents = whole(only(await readJson(request), 'cents'), 'cents', 1, MAX_CENTS);
  const { count } = await shop.database.run(CHANGE, [possible(product), cents]);
  if (count === 0) throw Refusal.notFound('there is no such product');
  await shop.products.changed(product);
  shop.feed.announce(product, cents);
  shop.neighbours.tell({ product, cents });
  return { product, cents };
}

/**
 * Another worker has changed a price. It comes within milliseconds and is not promised to: an entry's time makes up for it.
 * @param {import('./index.js').Shop} shop
 * @param {{ product: number, cents: number }} change
 */
export async function hear(shop, { product, cents }) {
  await shop.products.changedElsewhere(product);
  shop.feed.announce(product, cents);
}
