/** `POST /login`: name and password for a token, of a shorter life where the customer asks for one. */
import { readJson } from '../http/body.js';
import { Refusal } from '../http/refusal.js';
import { only, text, whole } from '../http/shape.js';
import { HASH_BYTES, SALT_BYTES, same } from './password.js';

/** Longer ones are refused before anything is spent on them, bytes. */
const MAX_NAME = 64;
const MAX_PASSWORD = 128;
/** For how long a token may be asked for at most, seconds. */
const MAX_TTL_S = 3_600;
/** An unknown name costs as much as a known one, so that names cannot be found out by the clock. */
const NOBODY = { id: 0, salt: Buffer.alloc(SALT_BYTES), hash: Buffer.alloc(HASH_BYTES) };

/** @param {import('./index.js').Shop} shop */
export function loginRoutes(shop) {
  return [{ method: 'POST', template: '/login', handle: ({ request }) => logIn(shop, request) }];
}

async function logIn(shop, request) {
  const given = only(await readJson(request), 'user', 'pass', 'ttl_s');
  const name = text(given, 'user', MAX_NAME);
  const password = text(given, 'pass', MAX_PASSWORD);
  // Where nothing is said it is good as long as its session lasts.
  const lifeMs = Object.hasOwn(given, 'ttl_s') ? whole(given, 'ttl_s', 1, MAX_TTL_S) * 1_000 : undefined;
  const { rows } = await shop.database.run('SELECT id, salt, hash FROM customer WHERE name = $1', [name]);
  const customer = rows[0] ?? NOBODY;
  const found = await shop.faults.blockingCrypto.hash(password, customer.salt);
  if (rows.length === 0 || !same(found, Buffer.from(customer.hash))) throw Refusal.unauthorized('name or password is wrong');
  return { token: await shop.sessions.begin(customer.id, lifeMs) };
}
