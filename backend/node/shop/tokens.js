/**
 * Tokens: JSON Web Tokens, signed with HMAC-SHA-256 (HS256) by a key that all workers share.
 *
 * A token says whose session it is, for whom it is meant and until when; claims and reasons are the Rust shop's. Owns making and
 * checking; whether the session still exists is `sessions.js`'s question.
 */
import { createHmac } from 'node:crypto';
import { unixMs } from '../clock.js';
import { Refusal } from '../http/refusal.js';
import { same } from './password.js';

/** Whom a token is meant for. */
const AUDIENCE = 'dyno-shop';
/** The one head that is made; what a token names itself is only compared. */
const HEAD = encoded({ alg: 'HS256', typ: 'JWT' });
/** Longer ones are none of ours, bytes. */
const LONGEST = 1_024;

export class Tokens {
  #key;

  /** @param {string} secret */
  constructor(secret) {
    this.#key = secret;
  }

  /** The token of `session`, which is good for `lifeMs` from now, and up to a second longer: claims are of whole seconds. */
  make({ id, customer }, lifeMs) {
    const now = unixMs();
    const claims = { aud: AUDIENCE, sub: String(customer), jti: id, iat: Math.floor(now / 1_000), exp: Math.ceil((now + lifeMs) / 1_000) };
    const signed = `${HEAD}.${encoded(claims)}`;
    return `${signed}.${this.#signature(signed).toString('base64url')}`;
  }

  /** The session that `token` is of, if signature, algorithm, audience and time are right. */
  check(token) {
    const parts = token.split('.');
    const head = token.length <= LONGEST && parts.length === 3 ? decoded(parts[0]) : undefined;
    if (!head) throw Refusal.unauthorized('this is no token');
    if (head.alg !== 'HS256') throw Refusal.unauthorized('this token is not signed with HS256');
    // Nothing is believed, and nothing more is parsed, before the signature is known to be ours.
    const given = Buffer.from(parts[2], 'base64url');
    if (!same(given, this.#signature(`${parts[0]}.${parts[1]}`))) throw Refusal.unauthorized("this token's signature is wrong");
    return checkedClaims(decoded(parts[1]));
  }

  #signature(text) {
    return createHmac('sha256', this.#key).update(text).digest();
  }
}

function checkedClaims(claims) {
  if (!claims || !Number.isFinite(claims.exp) || typeof claims.sub !== 'string' || !/^[0-9a-f]{32}$/.test(claims.jti)) {
    throw Refusal.unauthorized('this is no token');
  }
  if (claims.exp <= unixMs() / 1_000) throw Refusal.unauthorized('this token has expired');
  if (claims.aud !== AUDIENCE) throw Refusal.unauthorized('this token is meant for somebody else');
  return claims.jti;
}

function encoded(value) {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** The object in a part; undefined when there is none. */
function decoded(part) {
  try {
    const value = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return value !== null && typeof value === 'object' ? value : undefined;
  } catch {
    return undefined;
  }
}
