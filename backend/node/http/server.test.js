/** The end of a server: what was sent to it before is answered. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { waitFor } from '../testing/shop.js';
import { Routes } from './routes.js';
import { createServer, drain } from './server.js';

const GRACE_MS = 300;

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
  const drained = drain(server, GRACE_MS);
  // From here the loop comes to its timers before it reads anything.
  await new Promise((resolve) => setImmediate(resolve));
  late.ask();
  for (const until = performance.now() + 2 * GRACE_MS; performance.now() < until; );
  await drained;
  await Promise.all([late.gone, idle.gone]);
  assert.match(late.heard, /^HTTP\/1\.1 200 OK\r\n[^]*\r\nConnection: close\r\n[^]*\{"status":"alive"\}$/);
  assert.equal(idle.heard, '');
});
