/** `GET /products/{id}/recommendations`: what goes with a product, the best of very many combinations. */
import { productId } from './catalogue.js';

/** Combinations judged for one request. */
const CANDIDATES = 2_000;
/** Combinations shown, and how much of each. */
const SHOWN = 5;
const LETTERS = 40;

export function recommendRoutes() {
  const handle = async ({ path }) => ({ products: recommended(productId(path)) });
  return [{ method: 'GET', template: '/products/{id}/recommendations', handle }];
}

function recommended(product) {
  const all = Array.from({ length: CANDIDATES }, (_, n) => combined(product, n));
  return all.sort((a, b) => b.worth - a.worth).slice(0, SHOWN);
}

/** Combination `n` of `product`, judged. */
function combined(product, n) {
  let worth = (product * 31 + n) >>> 0;
  let what = '';
  for (let at = 0; at < LETTERS; at++) {
    worth = (Math.imul(worth, 1_664_525) + 1_013_904_223) >>> 0;
    what += String.fromCharCode(97 + ((worth >>> 24) % 26));
  }
  return { worth, what };
}
