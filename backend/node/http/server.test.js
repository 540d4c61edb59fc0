/** What surrounds the routes of a server: heads that come to none, and its end, where what was sent to it before is answered. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { waitFor } from '../testing/shop.js';
import { Routes } from './routes.js';
import { createServer, drain } from './server.js';

const GRACE = { idleMs: 210, busyMs: 90 };

test('a process that stands still until the grace is over answers what has come meanwhile, and hangs up on the idle', async (t) => {
  const handle = async () => ({ status: 'alive' });
  const server = createServer(new Routes([{ method: 'GET', template: '/healthz', handle }]));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const connect = async () => {
    const client = { heard: '', socket: net.connect(server.address().port, '127.0.0.1') };
    t.after(() => client.socket.destroy());
    client.socket.on('data', (d) => (client.heard += d));
    client.gone = once(client.socket, 'close');
    client.ask = () => client.socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    client.ask();
    await waitFor(() => client.heard.endsWith('}'));
    client.heard = '';
    return client;
  };
  const [late, idle] = [await connect(), await connect()];
  const drained = drain(server, GRACE);
  // From here the loop comes to its timers before it reads anything.
  await new Promise((resolve) => setImmediate(resolve));
  late.ask();
  for (const until = performance.now() + 2 * (GRACE.idleMs + GRACE.busyMs); performance.now() < until; );
  await drained;
  await Promise.all([late.gone, idle.gone]);
  assert.match(late.heard, /^HTTP\/1\.1 200 OK\r\n[^]*\r\nConnection: close\r\n[^]*\{"status":"alive"\}$/);
  assert.equal(idle.heard, '');
});

test('one that ends in its own time hangs up on nobody who is in its midst, and on all when somebody waits for it', async (t) => {
  const answers = [];
  const handle = () => new Promise((resolve) => answers.push(() => resolve({ status: 'alive' })));
  const server = createServer(new Routes([{ method: 'GET', template: '/', handle }]));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const ask = async () => {
    const socket = net.connect(server.address().port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
    const client = { heard: '', gone: once(socket, 'close') };
    socket.on('data', (d) => (client.heard += d)).on('error', () => {});
    const known = answers.length;
    await waitFor(() => answers.length > known);
    return client;
  };
  const [done, never] = [await ask(), await ask()];
  let isOver = false;
  const drained = drain(server, { idleMs: 10, busyMs: 600_000 }).then(() => (isOver = true));
  // Its idle connections are hung up on in the meantime.
  await new Promise((resolve) => setTimeout(resolve, 100));
  answers[0]();
  await done.gone;
  assert.match(done.heard, /^HTTP\/1\.1 200 OK\r\n/);
  assert.deepEqual([isOver, never.heard], [false, '']);
  await drain(server, GRACE);
  await Promise.all([never.gone, drained]);
  assert.equal(never.heard, '');
});

/** All that a client hears until it is hung up on. It says the first of `texts`, and each other at what it hears next; `meet` is given its socket. */
async function hear(t, { handle, meet = () => {} }, ...texts) {
  const server = createServer(new Routes([{ method: 'GET', template: '/', handle }]));
  t.after(() => server.close());
  server.on('connection', (socket) => meet(socket, server));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const client = net.connect(server.address().port, '127.0.0.1', () => client.write(texts.shift()));
  let heard = '';
  client.on('data', (d) => {
    heard += d;
    if (texts.length > 0) client.write(texts.shift());
  });
  await once(client, 'close');
  return heard;
}

/** What Node.js says when its patience is over, said now. */
function expire(server, socket) {
  server.emit('clientError', Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), socket);
}

test('a head that does not come in time is told so, and who has said nothing is not', async (t) => {
  const handle = async () => ({ status: 'alive' });
  const afterBytes = (socket, server) => socket.once('data', () => setImmediate(expire, server, socket));
  const begun = await hear(t, { handle, meet: afterBytes }, 'GET / HT');
  assert.match(begun, /^HTTP\/1\.1 408 Request Timeout\r\n[^]*\r\nConnection: close\r\n[^]*\r\n\r\n\{"error":"./);
  const atOnce = (socket, server) => setImmediate(expire, server, socket);
  assert.equal(await hear(t, { handle, meet: atOnce }, ''), '');
});

test('nothing is said in the middle of an answer', async (t) => {
  const handle = async ({ response }) => {
    response.writeHead(200);
    response.write('begun');
  };
  const heard = await hear(t, { handle }, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'nonsense\r\n\r\n');
  assert.match(heard, /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n5\r\nbegun\r\n$/);
});
