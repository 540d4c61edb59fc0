/** Upgrades: the feed takes its WebSockets, and who offers anything else is answered as if it had not been offered. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { readJson } from '../http/body.js';
import { Routes } from '../http/routes.js';
import { createServer, openConnections } from '../http/server.js';
import { waitFor } from '../testing/shop.js';
import { serveWebSockets, webSocketRoutes } from './websocket.js';

const H2C = 'Host: shop\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA';
const WEB_SOCKET =
  'Host: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';

test('an offer that is not for the feed is passed over, and the connection goes on', async (t) => {
  const echo = { method: 'POST', template: '/echo', handle: ({ request }) => readJson(request) };
  const server = createServer(new Routes([echo, ...webSocketRoutes()]));
  const open = openConnections(server);
  const feed = { join: (socket) => ({ listener: { socket, watched: [] }, leave() {} }), send: (socket, text) => socket.send(text) };
  serveWebSockets(server, { feed });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => server.close());
  const { port } = server.address();
  const client = net.connect(port, '127.0.0.1');
  t.after(() => client.destroy());
  let heard = '';
  client.on('data', (d) => (heard += d));
  const warned = [];
  const warn = (warning) => warned.push(warning.message);
  process.on('warning', warn);
  t.after(() => process.off('warning', warn));

  for (let n = 100; n < 112; n += 1) {
    heard = '';
    client.write(`POST /echo HTTP/1.1\r\n${H2C}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"n":`);
    // The rest of the body comes when the head has been taken up.
    await new Promise((resolve) => setTimeout(resolve, 20));
    client.write(`${n}}`);
    await waitFor(() => heard.endsWith(`\r\n\r\n{"n":${n}}`));
    assert.match(heard, /^HTTP\/1\.1 200 OK\r\n/);
  }
  assert.deepEqual([open(), warned], [1, []]);
  for (const [asked, status] of [[`GET /ws HTTP/1.1\r\n${H2C}`, 400], [`GET // HTTP/1.1\r\n${WEB_SOCKET}`, 404]]) {
    heard = '';
    client.write(`${asked}\r\n\r\n`);
    await waitFor(() => heard.endsWith('}'));
    assert.ok(heard.startsWith(`HTTP/1.1 ${status} `), heard);
  }
  // A route that is not there ends the connection, since nobody reads the body.
  await waitFor(() => open() === 0);

  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`);
  t.after(() => socket.terminate());
  await once(socket, 'open');
  socket.send('{"op":"say","id":1,"text":"hello"}');
  const [data] = await once(socket, 'message');
  assert.equal(JSON.parse(data).text, 'hello');
  assert.equal(open(), 0, 'a WebSocket is no HTTP connection');
});
