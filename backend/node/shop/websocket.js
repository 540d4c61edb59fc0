/**
 * `GET /ws`, or `GET /ws?token=`: the live feed and a say, over one WebSocket.
 *
 * The client sends `{"op":"say","id":ID,"text":..}` and gets `{"op":"said","id":ID,"text":..,"at":MS}`, or
 * `{"op":"watch","product":N}` or `{"op":"follow"}` and gets one price or all of them from then on.
 */
import { WebSocketServer } from 'ws';
import { unixMs } from '../clock.js';
import { hangUp } from '../http/answer.js';
import { Refusal } from '../http/refusal.js';
import { declineUpgrade } from '../http/server.js';
import { param } from '../http/shape.js';
import { PRODUCTS } from '../store/seed.js';
import { clean } from '../text.js';
import { MAX_WATCHED } from './feed.js';

/** Longest message, bytes. */
const MAX_MESSAGE = 64 * 1024;
/** Longest `id`, bytes. */
const MAX_ID = 128;
/** Longest text of an error that may repeat what was sent. */
const MAX_ERROR = 300;

/**
 * Takes the upgrades of `server` that are for the feed. Any other is an offer that need not be taken (`Upgrade: h2c`, which many clients send along):
 * such a request is answered like all others, on Deno and Bun with 404.
 * @param {import('node:http').Server} server
 * @param {import('./index.js').Shop} shop
 */
export function serveWebSockets(server, shop) {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE, perMessageDeflate: false, clientTracking: false });
  // Without this the library would refuse in a form of its own.
  sockets.on('wsClientError', (error, socket) => refuse(socket, Refusal.bad(error.message)));
  server.on('upgrade', async (request, socket, head) => {
    if (!isForFeed(request) && !process.versions.deno && !process.versions.bun) return declineUpgrade(server, request, socket, head);
    // Until it is a WebSocket nobody else listens, and a reset must not end the process.
    socket.on('error', () => {});
    try {
      await admit(shop, request);
      sockets.handleUpgrade(request, socket, head, (webSocket) => converse(shop, webSocket));
    } catch (error) {
      refuse(socket, error);
    }
  });
}

/** For those who ask without an upgrade. */
export function webSocketRoutes() {
  const handle = async ({ request }) => {
    // A handshake is a GET.
    if (request.method !== 'GET') throw Refusal.noMethod('GET');
    throw Refusal.bad('this route wants a WebSocket');
  };
  return [{ method: 'GET', template: '/ws', handle }];
}

function isForFeed({ url, headers }) {
  return url.split('?', 1)[0] === '/ws' && headers.upgrade?.toLowerCase() === 'websocket';
}

/** The feed is open to everybody; a token that is given must be of a session. */
async function admit(shop, request) {
  if (!isForFeed(request)) throw Refusal.notFound('there is no such route');
  const token = param(new URLSearchParams(request.url.split('?')[1]), 'token');
  if (token !== null) await shop.sessions.find(token);
}

function refuse(socket, error) {
  const { status, message } = error instanceof Refusal ? error : new Refusal(500, 'something failed inside the shop');
  hangUp(socket, status, message);
}

function converse(shop, socket) {
  const { listener, leave } = shop.feed.join(socket);
  socket.on('message', (data, binary) => {
    shop.feed.send(socket, JSON.stringify(binary ? { error: 'send text' } : answer(shop.feed, listener, data.toString('utf8'))));
  });
  socket.on('close', leave);
  // Broken frames and messages that are too long: the library closes with the right code.
  socket.on('error', () => {});
}

function answer(feed, listener, text) {
  try {
    return understand(feed, listener, JSON.parse(text));
  } catch (e) {
    return { error: clean(e.message, MAX_ERROR) };
  }
}

function understand(feed, listener, said) {
  const { op, id, text, product } = said ?? {};
  if (op === 'say') {
    const fits = typeof id === 'number' || (typeof id === 'string' && Buffer.byteLength(id) <= MAX_ID);
    if (!fits) throw new Error(`id must be a number or a string of at most ${MAX_ID} bytes`);
    if (typeof text !== 'string') throw new Error('text is missing or no text');
    return { op: 'said', id, text, at: unixMs() };
  }
  if (op === 'watch') return watch(listener, product);
  if (op === 'follow') {
    feed.follow(listener.socket);
    return { op: 'following' };
  }
  throw new Error('op is none of say, watch, follow');
}

function watch({ watched }, product) {
  if (!Number.isInteger(product) || product < 1 || product > PRODUCTS) throw new Error('there is no such product');
  if (!watched.includes(product)) {
    if (watched.length === MAX_WATCHED) throw new Error(`one connection watches at most ${MAX_WATCHED} products`);
    watched.push(product);
  }
  return { op: 'watching', product };
}
