/**
 * `GET /price-list?rows=N`: the supplier's price list with the shop's own prices, as JSON.
 *
 * Owns the list as the supplier sent it and how a row is priced. Whether it is read and written in one go or in pieces is the choice
 * between the fault `big-json` and its cure.
 */
import { param, wholeText } from '../http/shape.js';

/** Rows of the supplier's list: about five megabytes. */
const ROWS = 50_000;

/** Kept from its first use on, since few workers ever need it. */
let kept;

/** @param {import('./index.js').Shop} shop */
export function priceListRoutes(shop) {
  return [
    {
      method: 'GET',
      template: '/price-list',
      handle: async ({ query, response }) => {
        const rows = wholeText(param(query, 'rows') ?? `${ROWS}`, 'rows', 1, ROWS);
        kept ??= supplierList(ROWS);
        await shop.faults.bigJson.write(response, kept, rows);
      },
    },
  ];
}

/** One JSON text for each row, the same on every machine. */
function supplierList(rows) {
  return Array.from({ length: rows }, (_, n) =>
    JSON.stringify({
      sku: `S-${String(n).padStart(6, '0')}`,
      name: `Spare part ${n} for "model ${n % 97}"`,
      cents: 100 + ((n * 7_919) % 90_000),
      quantity: n % 1_000,
    }),
  );
}

/** The row with the shop's price: a quarter on top. */
export function priced({ sku, name, cents, quantity }) {
  return { sku, name, cents, ours: cents + Math.floor(cents / 4), quantity };
}
