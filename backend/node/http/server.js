/**
 * An HTTP server with time limits, and its orderly end.
 *
 * Shop and control endpoint share it. Owns what surrounds every route: finding it, its answer, bad heads; routes belong to
 * whoever made the table.
 */
import net from 'node:net';
import { Reply, hangUp, refusalText, sendError, sendJson } from './answer.js';
import http from './platform.js';

/** A connection that is idle for so long is closed: it must exceed every think time that is worth keeping a connection for. */
const IDLE_PATIENCE_MS = 75_000;
/** A head that takes longer is somebody who wants to hold connections, not to ask. */
const HEAD_PATIENCE_MS = 20_000;
/** A server whose connections were all closed says so within this, ms. */
const CLOSED_MS = 100;

/** From look to look at connections that have fallen idle, ms. */
const LOOK_MS = 1_000;

/** Servers that end, and their ends: their answers say so. @type {WeakMap<import('node:http').Server, Promise<void>>} */
const draining = new WeakMap();

/**
 * @param {import('./routes.js').Routes} routes
 * @param {(template: string, work: () => Promise<void>) => Promise<void>} [during] runs the work of each request under its template
 */
export function createServer(routes, during = (_, work) => work()) {
  const server = http.createServer(
    { keepAliveTimeout: IDLE_PATIENCE_MS, headersTimeout: HEAD_PATIENCE_MS, requestTimeout: 0, noDelay: true },
    (request, response) => {
      if (draining.has(server)) response.shouldKeepAlive = false;
      void answer(routes, during, request, response);
    },
  );
  server.on('clientError', refuseHead);
  server.on('connect', refuseTunnel);
  return server;
}

async function answer(routes, during, request, response) {
  try {
    const { route, path, query } = routes.find(request.method, request.url);
    await during(route.template, async () => {
      const value = await route.handle({ request, response, path, query });
      if (value instanceof Reply) sendJson(response, value.status, value.body);
      else if (value !== undefined) sendJson(response, 200, value);
    });
  } catch (error) {
    if (!request.complete) response.shouldKeepAlive = false;
    sendError(response, error);
    // A body that nobody wants must not be kept in memory, nor hold the answer back.
    request.resume();
  }
}

/** How many HTTP connections are open; one that has become a WebSocket is none any more. */
export function openConnections(server) {
  const open = new Set();
  function gone() {
    open.delete(this);
  }
  server.on('connection', (socket) => {
    open.add(socket);
    socket.once('close', gone);
  });
  server.on('upgrade', (_, socket) => {
    open.delete(socket);
    socket.off('close', gone);
  });
  return () => open.size;
}

/**
 * Takes up a request that offers an upgrade as if it had offered none, and goes on with its connection. Node.js hands over every such request,
 * whatever is offered, without its body; so the server gets its bytes once more, but for the offer. Deno and Bun cannot do so.
 */
export function declineUpgrade(server, request, socket, head) {
  const { method, url, httpVersion, rawHeaders } = request;
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at].toLowerCase() !== 'upgrade') lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit('connection', socket);
}

/** Why there is no request, by the parser's code; what is not here is no HTTP. */
const NO_REQUEST = {
  HPE_HEADER_OVERFLOW: [431, 'the head of a request is too long'],
  HPE_PAUSED_H2_UPGRADE: [505, 'this server speaks HTTP/1.1'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'the request does not come in time'],
};

/** What is no HTTP is answered with 400 where that is possible: not in the middle of an answer, nor to whom has asked nothing. */
function refuseHead(error, socket) {
  const isIdle = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && socket.bytesRead === 0;
  // Node.js looks at the same, which has no public name, where it answers by itself.
  const isAnswering = socket._httpMessage?.headersSent;
  if (error.code === 'ECONNRESET' || !socket.writable || isIdle || isAnswering) return socket.destroy();
  const [status, why] = NO_REQUEST[error.code] ?? [400, 'this is no HTTP request, or breaks off'];
  socket.end(refusalText(status, why));
}

/** Who wants a tunnel would be hung up on without a word. */
function refuseTunnel(_, socket) {
  // Nobody else listens any more, and a reset must not end the process.
  socket.on('error', () => {});
  hangUp(socket, 405, 'this server is no proxy');
}

/**
 * Accepts no more and lets requests in flight finish; what is left after both times is closed. Whoever is in a hurry may ask again, with
 * shorter ones.
 *
 * Idle connections get the first time to bring one more request, which is answered with `Connection: close`: hanging up at
 * once would cross with requests on their way. So it would for a process that stood still until that time was over: what has come
 * meanwhile is read first, and has the second time.
 * @param {import('node:http').Server} server
 * @param {{ idleMs: number, busyMs: number }} patience
 */
export async function drain(server, { idleMs, busyMs }) {
  const closed = draining.get(server) ?? new Promise((resolve) => stopListening(server, () => resolve()));
  draining.set(server, closed);
  if (await within(closed, idleMs)) return;
  for (let leftMs = busyMs; leftMs > 0; leftMs -= LOOK_MS) {
    server.closeIdleConnections();
    if (await within(closed, Math.min(leftMs, LOOK_MS))) return;
  }
  server.closeAllConnections();
  await within(closed, CLOSED_MS);
}

/** Is it so before that time is over? */
async function within(promise, ms) {
  let isSo = false;
  let timer;
  await Promise.race([promise.then(() => (isSo = true)), new Promise((resolve) => (timer = setTimeout(resolve, ms)))]);
  clearTimeout(timer);
  // Sockets are read between a timer and this.
  await new Promise((resolve) => setImmediate(resolve));
  return isSo;
}

/**
 * Accepts no more; what is open stays open. `http.Server.close` would hang up on idle clients, so the listener's own is called; Bun has no
 * such thing under its HTTP server, and its `close` leaves them alone.
 */
export function stopListening(server, done) {
  if (process.versions.bun) server.close(done);
  else net.Server.prototype.close.call(server, done);
}
