/**
 * `POST /import/supplier?megabytes=N`: imports the file that a supplier has put up, of about that size.
 *
 * Owns the file, which is made as it is read: a stream of chunks, as from a socket, so that a scenario can import a gigabyte without
 * sending one. What happens to it is the import's business.
 */
import { param, wholeText } from '../http/shape.js';
import { importFrom } from './offers.js';

/** Largest file, MiB. */
const MOST = 1_024;
/** Bytes of a chunk: what a socket gives at once. */
const CHUNK = 64 * 1_024;
/** Different products in the file: later rows bring newer prices of the same ones, so the database does not grow with it. */
const SKUS = 10_000;

/** @param {import('./index.js').Shop} shop */
export function supplierFileRoutes(shop) {
  return [{ method: 'POST', template: '/import/supplier', handle: ({ request, query }) => put(shop, request, query) }];
}

async function put(shop, request, query) {
  await shop.sessions.of(request);
  const megabytes = wholeText(param(query, 'megabytes') ?? '', 'megabytes', 1, MOST);
  return importFrom(shop, file(megabytes * 2 ** 20));
}

/** At least `bytes` long, and less than a chunk and a row longer. */
async function* file(bytes) {
  let row = 0;
  for (let made = 0; made < bytes; ) {
    let text = row === 0 ? 'sku,name,cents,quantity\n' : '';
    // About 200 bytes a row, as long as a name may be.
    for (; text.length < CHUNK; row++) {
      const sku = row % SKUS;
      const name = `Spare part ${sku}, ${'fits all models '.padEnd(150, '.')}`;
      text += `supply-${String(sku).padStart(5, '0')},"${name}",${100 + (row % 9_000)},${row % 500}\n`;
    }
    made += text.length;
    // As from a socket: the loop turns between two chunks.
    await new Promise((resolve) => setImmediate(resolve));
    yield Buffer.from(text);
  }
}
