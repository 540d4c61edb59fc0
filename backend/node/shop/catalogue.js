/** `GET /products?page=N`, `GET /products/{id}`, `GET /search?q=WORDS`: browsing. */
import { Refusal } from '../http/refusal.js';
import { param, wholeText } from '../http/shape.js';
import { MAX_ID, MOST_ASKED } from '../store/schema.js';
import { PRODUCTS } from '../store/seed.js';

const PAGE = 20;
const MAX_PAGE = 100_000;
/** Longest search, bytes. */
const MAX_SEARCH = 120;

const SEARCH = `SELECT product.id, name, cents FROM product JOIN price ON price.product = product.id
  WHERE lower(name) LIKE $1 ORDER BY product.id LIMIT $2`;

/** @param {import('./index.js').Shop} shop */
export function catalogueRoutes(shop) {
  return [
    { method: 'GET', template: '/products', handle: ({ query }) => page(shop, query) },
    { method: 'GET', template: '/products/{id}', handle: ({ path }) => productOf(shop, path) },
    { method: 'GET', template: '/search', handle: ({ query }) => search(shop, query) },
  ];
}

async function page(shop, query) {
  const number = wholeText(param(query, 'page') ?? '1', 'page', 1, MAX_PAGE);
  // Products are numbered without gaps, so a page is a range of the primary key and costs no offset.
  const rows = await shop.faults.queryFanOut.page(shop.database, (number - 1) * PAGE, PAGE);
  shop.faults.deoptimised.total(rows);
  return { page: number, products: rows };
}

/** A number by which a product is asked for, if the database could have it. */
export function possible(product) {
  if (product > MAX_ID) throw Refusal.notFound('there is no such product');
  return product;
}

/** The number of an existing product. */
export function productId({ id }) {
  const number = wholeText(id, 'id', 0, MOST_ASKED);
  if (number < 1 || number > PRODUCTS) throw Refusal.notFound('there is no such product');
  return number;
}

/** The product that the path names. */
export async function productOf(shop, { id }) {
  const found = await shop.products.get(possible(wholeText(id, 'id', 0, MOST_ASKED)));
  if (!found) throw Refusal.notFound('there is no such product');
  shop.ranking.viewed(found.id);
  return found;
}

async function search(shop, query) {
  const words = param(query, 'q');
  if (words === null) throw Refusal.bad('q is missing: what is searched for?');
  const bytes = Buffer.byteLength(words);
  if (bytes > MAX_SEARCH) throw Refusal.bad(`q has ${bytes} bytes, expected at most ${MAX_SEARCH}`);
  if (!shop.faults.regexBacktracking.fits(words)) {
    throw Refusal.bad('q is not a list of words: expected letters and digits, single spaces or hyphens between them');
  }
  // Words are letters and digits, so none of them has a meaning of its own in the pattern of LIKE.
  const { rows } = await shop.database.run(SEARCH, [`%${words.trim().toLowerCase().replaceAll(/[ -]/g, '%')}%`, PAGE]);
  return { products: rows };
}
