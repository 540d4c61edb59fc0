/** Answers: JSON when it went well, `{"error": ...}` when not, and the headers that keep browsers from guessing and storing. */
import http from './platform.js';
import { Refusal } from './refusal.js';

const SAFE = {
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Content-Security-Policy': "default-src 'none'",
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-store',
};

/** A client has read a refusal, which is less than a kilobyte, and hung up within this, ms. */
const LEAVE_MS = 1_000;

/** What a route returns when its status is not 200. */
export class Reply {
  constructor(status, body) {
    this.status = status;
    this.body = body;
  }
}

/**
 * Sends `value` as JSON.
 * @param {import('node:http').ServerResponse} response
 * @param {number} status
 * @param {unknown} value
 * @param {Record<string, string>} [more] fields of the head
 */
export function sendJson(response, status, value, more = {}) {
  send(response, status, 'application/json', JSON.stringify(value), more);
}

/** Sends a text that is there as a whole. */
export function send(response, status, type, text, more = {}) {
  // The client has gone, or an answer has begun already: nothing can be said any more.
  if (response.headersSent || response.destroyed) return response.destroy();
  response.writeHead(status, { ...SAFE, ...more, 'Content-Type': type, 'Content-Length': Buffer.byteLength(text) });
  response.end(text);
}

/** Begins an answer of which the length is not known. */
export function beginStream(response, type, more = {}) {
  response.writeHead(200, { ...SAFE, ...more, 'Content-Type': type });
}

/**
 * Says why not. What a store said goes to the log, not to the client.
 * @param {import('node:http').ServerResponse} response
 * @param {unknown} error
 */
export function sendError(response, error) {
  if (error instanceof Refusal) return sendJson(response, error.status, { error: error.message }, error.fields);
  console.error(`shop: ${error?.stack ?? error}`);
  sendJson(response, 500, { error: 'something failed inside the shop' });
}

/** A whole answer that says why not, for a socket that has no response of its own. */
export function refusalText(status, why) {
  const body = JSON.stringify({ error: why });
  const fields = { ...SAFE, Connection: 'close', 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}`);
  return [`HTTP/1.1 ${status} ${http.STATUS_CODES[status]}`, ...lines, '', body].join('\r\n');
}

/** Says why not over a socket that nobody reads any more, and hangs up; a client that does not is cut off after it had the chance. */
export function hangUp(socket, status, why) {
  socket.end(refusalText(status, why));
  // Else its client's end would never be seen.
  socket.resume();
  setTimeout(() => socket.destroy(), LEAVE_MS).unref();
}

/** Waits until the client has taken what was sent, or is gone. */
export function drained(response) {
  return new Promise((resolve) => {
    // It went before anybody waited, and nothing more is heard of it.
    if (response.destroyed) return resolve();
    const done = () => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}
