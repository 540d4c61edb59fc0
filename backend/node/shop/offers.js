/**
 * `POST /import`, `GET /export`: a supplier's offers as CSV, as a stream in both directions.
 *
 * Memory does not grow with the file: a chunk, one record and one batch of rows are all that is held. The sender is slowed
 * down by the database, since the next chunk is read only after a full batch is in.
 */
import { beginStream, drained } from '../http/answer.js';
import { chunks } from '../http/body.js';
import { Refusal } from '../http/refusal.js';
import { HEADER, Records, quoted } from './csv.js';

/** Most bytes of a file. */
const MAX_FILE = 4 * 2 ** 30;
/** Rows sent to the database in one transaction. */
const BATCH = 2_000;

/** @param {import('./index.js').Shop} shop */
export function offerRoutes(shop) {
  return [
    { method: 'POST', template: '/import', handle: ({ request }) => put(shop, request) },
    { method: 'GET', template: '/export', handle: ({ request, response }) => get(shop, request, response) },
  ];
}

async function put(shop, request) {
  await shop.sessions.of(request);
  return importFrom(shop, chunks(request));
}

/** Takes a file apart as it comes, and writes it batch by batch. */
export async function importFrom(shop, file) {
  const records = new Records();
  const done = { rows: 0, bytes: 0 };
  let batch = [];
  const flush = async (least) => {
    while (batch.length > 0 && batch.length >= least) {
      const rows = batch.splice(0, BATCH);
      await shop.database.transact('putOffers', { rows });
      done.rows += rows.length;
    }
  };
  for await (const chunk of shop.faults.wholeFile.pieces(file)) {
    done.bytes += chunk.length;
    if (done.bytes > MAX_FILE) throw Refusal.tooLarge(`more than ${MAX_FILE} bytes`);
    batch = batch.concat(records.take(chunk));
    await flush(BATCH);
  }
  batch = batch.concat(records.end());
  await flush(1);
  return done;
}

/** Page by page along the primary key. */
async function get(shop, request, response) {
  await shop.sessions.of(request);
  const sql = 'SELECT sku, name, cents, quantity FROM offer WHERE sku > $1 ORDER BY sku LIMIT $2';
  beginStream(response, 'text/csv; charset=utf-8');
  response.write(`${HEADER.join(',')}\n`);
  for (let after = ''; !response.destroyed; ) {
    const { rows } = await shop.database.run(sql, [after, BATCH]);
    if (rows.length === 0) break;
    after = rows.at(-1).sku;
    const room = response.write(rows.map((r) => `${quoted(r.sku)},${quoted(r.name)},${r.cents},${r.quantity}\n`).join(''));
    if (!room) await drained(response);
  }
  response.end();
}
