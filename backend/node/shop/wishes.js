/** `PUT /wishes`, `GET /wishes`: what a customer likes, merged field by field into what is known already; for the session's life. */
import { readJson } from '../http/body.js';
import { Refusal } from '../http/refusal.js';
import { object } from '../http/shape.js';

/** Longest text of all wishes of a session, bytes. */
const MOST = 16 * 1024;
/** Deeper wishes are refused, lists among them: writing them down again would exhaust the stack. */
const DEEPEST = 32;

/** @param {import('./index.js').Shop} shop */
export function wishRoutes(shop) {
  return [
    { method: 'PUT', template: '/wishes', handle: ({ request }) => put(shop, request) },
    { method: 'GET', template: '/wishes', handle: ({ request }) => get(shop, request) },
  ];
}

async function put(shop, request) {
  const { id } = await shop.sessions.of(request);
  const wishes = object(await readJson(request));
  if (!isWithin(wishes, DEEPEST)) throw Refusal.bad(`wishes are nested deeper than ${DEEPEST}`);
  const merged = shop.faults.prototypePollution.merge(await known(shop, id), wishes);
  const text = JSON.stringify(merged);
  if (Buffer.byteLength(text) > MOST) throw Refusal.tooLarge(`all wishes together have at most ${MOST} bytes`);
  await shop.database.run('UPDATE session SET wishes = $2 WHERE id = $1', [id, text]);
  return merged;
}

async function get(shop, request) {
  const { id } = await shop.sessions.of(request);
  return known(shop, id);
}

async function known(shop, id) {
  const { rows } = await shop.database.run('SELECT wishes FROM session WHERE id = $1', [id]);
  return JSON.parse(rows[0]?.wishes ?? '{}');
}

/** Is `value` nested in at most so many levels? */
function isWithin(value, levels) {
  if (value === null || typeof value !== 'object') return true;
  return levels > 0 && Object.values(value).every((part) => isWithin(part, levels - 1));
}
