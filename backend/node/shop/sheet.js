/**
 * `GET /products/{id}/sheet` and `GET /products/{id}/picture`: what else there is of a product.
 *
 * A sheet is sealed by a function of the runtime's offload threads, which keeps its thread for some milliseconds; a picture is drawn here.
 */
import { pbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';
import { send } from '../http/answer.js';
import { productOf } from './catalogue.js';

/** Rounds of a seal: about ten milliseconds. */
const ROUNDS = 20_000;

const stretched = promisify(pbkdf2);

/** @param {import('./index.js').Shop} shop */
export function sheetRoutes(shop) {
  return [
    { method: 'GET', template: '/products/{id}/sheet', handle: ({ path, response }) => sheet(shop, path, response) },
    { method: 'GET', template: '/products/{id}/picture', handle: ({ path }) => picture(shop, path) },
  ];
}

async function sheet(shop, path, response) {
  const product = await productOf(shop, path);
  const lines = Object.entries(product).map(([name, value]) => `${name.padStart(12)} | ${typeof value === 'object' ? JSON.stringify(value) : value}`);
  const text = `${lines.join('\n')}\n`;
  const seal = await stretched(text, 'sheet', ROUNDS, 16, 'sha256');
  send(response, 200, 'text/plain; charset=utf-8', `${text}${'seal'.padStart(12)} | ${seal.toString('hex')}\n`);
}

async function picture(shop, path) {
  const { id } = await productOf(shop, path);
  return { id, layers: shop.faults.churn.draw(id) };
}
