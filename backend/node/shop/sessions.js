/**
 * Sessions: who is logged in, by token.
 *
 * They live in the database, which all workers share; a worker keeps those it has seen in memory (`faults/leak.js` says how).
 */
import { randomBytes } from 'node:crypto';
import { BoundedMap } from '../cache/bounded-map.js';
import { unixMs } from '../clock.js';
import { Refusal } from '../http/refusal.js';
import { Tokens } from './tokens.js';

/** A session ends after this, ms: longer than any run that is watched. */
const LIFE_MS = 24 * 3_600_000;

/** @typedef {{ id: string, customer: number }} Session */

export class Sessions {
  #bounded;
  #database;
  #leak;
  #visits;
  #tokens;

  /**
   * @param {import('../store/database.js').Database} database
   * @param {import('../faults/leak.js').Leak} leak
   * @param {import('./visits.js').Visits} visits
   */
  constructor(database, leak, visits, secret, capacity) {
    this.#database = database;
    this.#leak = leak;
    this.#visits = visits;
    this.#tokens = new Tokens(secret);
    this.#bounded = new BoundedMap(capacity);
  }

  get size() {
    return this.#bounded.size + this.#leak.size;
  }

  /** Begins a session of `customer`; gives its token, which is good for `lifeMs`. */
  async begin(customer, lifeMs = LIFE_MS) {
    const session = { id: randomBytes(16).toString('hex'), customer };
    const now = unixMs();
    await this.#database.transact('beginSession', { id: session.id, customer, atMs: now, oldestMs: now - LIFE_MS });
    if (!this.#leak.keep(session)) this.#bounded.set(session.id, session);
    return this.#tokens.make(session, lifeMs);
  }

  /** @returns {Promise<Session>} */
  async find(token) {
    const id = this.#tokens.check(token);
    const kept = this.#bounded.get(id) ?? this.#leak.find(id);
    if (kept) return kept;
    const sql = 'SELECT customer FROM session WHERE id = $1 AND since_ms >= $2';
    const { rows } = await this.#database.run(sql, [id, unixMs() - LIFE_MS]);
    if (rows.length === 0) throw Refusal.unauthorized('this token is of no session');
    const session = { id, customer: rows[0].customer };
    this.#bounded.set(id, session);
    return session;
  }

  /** Whoever sends this request; refused when nobody is logged in. */
  async of(request) {
    const [, token] = /^Bearer +(\S+) *$/.exec(request.headers.authorization ?? '') ?? [];
    if (!token) throw Refusal.unauthorized('log in first: this route wants `Authorization: Bearer TOKEN`');
    const session = await this.find(token);
    this.#visits.visited(session.id, request.url.split('?')[0]);
    return session;
  }
}
