/**
 * `GET /products/{id}/sheet`: the product's data sheet, drawn into a file and sealed by a function of the runtime's offload threads, which keeps its thread for some
 * milliseconds.
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
  return [{ method: 'GET', template: '/products/{id}/sheet', handle: ({ path, response }) => sheet(shop, path, response) }];
}

async function sheet(shop, path, response) {
  const product = await productOf(shop, path);
  const lines = Object.entries(product).map(([name, value]) => `${name.padStart(12)} | ${typeof value === 'object' ? JSON.stringify(value) : value}`);
  const text = `${lines.join('\n')}\n`;
  const drawn = await shop.faults.fdExhausted.passThrough(text);
  const seal = await stretched(drawn, 'sheet', ROUNDS, 16, 'sha256');
  send(response, 200, 'text/plain; charset=utf-8', `${drawn}${'seal'.padStart(12)} | ${seal.toString('hex')}\n`);
}
