/**
 * What one request asks of the database while it is in its handler.
 *
 * Owns the figures that travel with a request and who adds to them. What is asked outside of any request is not seen here. Lanes are
 * `requests.js`'s.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { mono } from '../clock.js';

const requests = new AsyncLocalStorage();

/** @typedef {{ statements: number, repeated: number, checkouts: number, timeNs: number, wallNs: number, seen: Set<string>, underWay: number, since: number }} Traffic */

/** Runs `work` as the work of one request. */
export function around(work) {
  return requests.run({ statements: 0, repeated: 0, checkouts: 0, timeNs: 0, wallNs: 0, seen: new Set(), underWay: 0, since: 0 }, work);
}

/** What the request at hand has asked so far. @returns {Traffic | undefined} */
export function asked() {
  return requests.getStore();
}

/** A statement of this fingerprint was sent; a batch that goes in one has none. */
export function sent(fingerprint) {
  const request = asked();
  if (!request) return;
  request.statements += 1;
  if (fingerprint === undefined) return;
  if (request.seen.has(fingerprint)) request.repeated += 1;
  else request.seen.add(fingerprint);
}

/**
 * The request asks for a connection.
 * @returns {() => void} to be called once, when it has given it back
 */
export function visit() {
  const request = asked();
  if (!request) return () => {};
  const since = mono();
  request.checkouts += 1;
  if (request.underWay === 0) request.since = since;
  request.underWay += 1;
  return () => {
    const now = mono();
    request.underWay -= 1;
    request.timeNs += now - since;
    if (request.underWay === 0) request.wallNs += now - request.since;
  };
}
