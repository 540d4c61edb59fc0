/**
 * `GET /products/{id}/sheet`: the product's data sheet, drawn by a plotter, which knows only blocking calls and reads what it draws from the
 * database, and then passed through a file.
 */
import { send } from '../http/answer.js';
import { productId } from './catalogue.js';
import { Refusal } from '../http/refusal.js';
import { readProduct } from './product.js';

/** @param {import('./index.js').Shop} shop */
export function sheetRoutes(shop) {
  return [{ method: 'GET', template: '/products/{id}/sheet', handle: ({ path, response }) => sheet(shop, productId(path), response) }];
}

async function sheet(shop, id, response) {
  const product = await shop.plotters.plot(() => readProduct(shop.database, id));
  if (!product) throw Refusal.notFound('there is no such product');
  const lines = Object.entries(product).map(([name, value]) => `${name.padStart(12)} | ${typeof value === 'object' ? JSON.stringify(value) : value}`);
  const drawn = await shop.faults.fdExhausted.passThrough(`${lines.join('\n')}\n`);
  send(response, 200, 'text/plain; charset=utf-8', drawn);
}
