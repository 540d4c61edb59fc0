/** A server listens as was wished last, whatever is wished while it begins to. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { Door } from './door.js';

/** A server as a worker of a cluster has it: it listens when somebody else has said so, which is when the test lets it. */
class Server extends EventEmitter {
  listening = false;
  #asked = false;
  did = [];

  listen() {
    if (this.#asked || this.listening) throw new Error('it listens, or is about to');
    this.#asked = true;
    this.did.push('asks');
    return this;
  }

  /** The answer to whoever has asked. */
  answer(error) {
    assert.ok(this.#asked);
    this.#asked = false;
    if (error) return void this.emit('error', error);
    this.listening = true;
    this.did.push('listens');
    this.emit('listening');
  }

  /** What `http.Server` has from `net.Server`. One that is about to listen is not stopped by it. */
  stop() {
    this.did.push('closes');
    this.listening = false;
  }
}

/** Everything that needs nobody's answer is done. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A door whose server's end is the one that is called where there is a handle. */
function made(t) {
  const server = new Server();
  const { close } = net.Server.prototype;
  net.Server.prototype.close = function (done) {
    return this === server ? server.stop() : close.call(this, done);
  };
  t.after(() => (net.Server.prototype.close = close));
  return { server, door: new Door(server, { host: '127.0.0.1', port: 1 }) };
}

test('what is wished while a server begins to listen is done afterwards', async (t) => {
  const { server, door } = made(t);
  const opened = door.set(true);
  await turn();
  void door.set(false);
  server.answer();
  await opened;
  await door.settled();
  assert.deepEqual([server.listening, server.did], [false, ['asks', 'listens', 'closes']]);
});

test('of wishes that come at once the last one is done, and nothing twice', async (t) => {
  const { server, door } = made(t);
  const wish = (...all) => all.map((open) => door.set(open));
  wish(true, false, true, false);
  await door.settled();
  assert.deepEqual(server.did, []);
  wish(false, true, true);
  await turn();
  server.answer();
  await door.settled();
  assert.deepEqual([server.listening, server.did], [true, ['asks', 'listens']]);
  // While it is about to listen again, too.
  wish(false);
  await door.settled();
  wish(true);
  await turn();
  wish(false, true);
  server.answer();
  await door.settled();
  assert.deepEqual([server.listening, server.did], [true, ['asks', 'listens', 'closes', 'asks', 'listens']]);
});

test('what keeps it from listening is told, and what is wished later is done', async (t) => {
  const { server, door } = made(t);
  const opened = door.set(true);
  const closed = door.set(false);
  const again = closed.then(() => door.set(true));
  await turn();
  server.answer(new Error('the port is taken'));
  await assert.rejects(again, /the port is taken/);
  await opened;
  const better = door.set(true);
  await turn();
  server.answer();
  await better;
  assert.equal(server.listening, true);
});

test('a port that is taken is told, and a connection that cannot be taken ends nothing', async (t) => {
  const taken = net.createServer().listen(0, '127.0.0.1');
  const server = net.createServer();
  t.after(() => [taken, server].forEach((s) => s.close()));
  await once(taken, 'listening');
  const { port } = taken.address();
  await assert.rejects(new Door(server, { host: '127.0.0.1', port }).set(true), { code: 'EADDRINUSE' });
  server.emit('error', new Error('accept EMFILE'));
  assert.equal(server.listening, false);
});
