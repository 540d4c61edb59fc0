/** `GET /products?page=N`, `GET /products/{id}`, `GET /search?q=WORDS`: browsing. */
import { Refusal } from '../http/refusal.js';
import { wholeText } from '../http/shape.js';

const PAGE = 20;
const MAX_PAGE = 100_000;
/** Longest search, bytes. */
const MAX_SEARCH = 64;
/** Beyond this a number is no 32-bit one. */
const MAX_ID = 4_294_967_295;

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
  const number = wholeText(query.get('page') ?? '1', 'page', 1, MAX_PAGE);
  // Products are numbered without gaps, so a page is a range of the primary key and costs no offset.
  const rows = await shop.faults.queryFanOut.page(shop.database, (number - 1) * PAGE, PAGE);
  shop.faults.deoptimised.total(rows);
  return { page: number, products: rows };
}

/** The product that the path names. */
export async function productOf(shop, { id }) {
  const found = await shop.products.get(wholeText(id, 'id', 0, MAX_ID));
  if (!found) throw Refusal.notFound('there is no such product');
  return found;
}

async function search(shop, query) {
  const words = (query.get('q') ?? '').trim();
  if (words === '') throw Refusal.bad('q is missing: what is searched for?');
  if (Buffer.byteLength(words) > MAX_SEARCH) throw Refusal.bad(`q has at most ${MAX_SEARCH} bytes`);
  if (!shop.faults.regexBacktracking.fits(words)) throw Refusal.bad('q must be words of letters and digits');
  // Only letters, digits and spaces get here, so none is a sign of LIKE's.
  const { rows } = await shop.database.run(SEARCH, [`%${words.toLowerCase()}%`, PAGE]);
  return { products: rows };
}
