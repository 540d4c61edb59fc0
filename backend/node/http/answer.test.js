/** Answers whose client goes too soon, or does not go. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import { waitFor } from '../testing/shop.js';
import { beginStream, drained, hangUp } from './answer.js';

/** A client of `server`, which ends with the test; it does not hang up when the server does. */
async function connect(t, server) {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const client = net.connect({ port: server.address().port, host: '127.0.0.1', allowHalfOpen: true });
  t.after(() => {
    client.destroy();
    server.close();
  });
  return client.on('error', () => {});
}

test('a client that has gone before anybody waits for it is not waited for', async (t) => {
  let isOver = false;
  const server = http.createServer(async (request, response) => {
    beginStream(response, 'text/csv');
    request.socket.destroy();
    await once(response, 'close');
    // As after a statement that took a while: there is no room any more, nor will there be.
    assert.equal(response.write('more'), false);
    await drained(response);
    isOver = true;
  });
  const client = await connect(t, server);
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await waitFor(() => isOver, 10_000);
});

test('who is refused hears why, and is cut off when it does not hang up', async (t) => {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => hangUp(socket, 405, 'this server is no proxy'));
  const client = await connect(t, server);
  let heard = '';
  client.on('data', (d) => (heard += d));
  await once(client, 'end');
  assert.match(heard, /^HTTP\/1\.1 405 [^]*\r\n\r\n\{"error":"this server is no proxy"\}$/);
  const open = () => new Promise((resolve) => server.getConnections((_, count) => resolve(count)));
  await waitFor(async () => (await open()) === 0, 10_000);
});
