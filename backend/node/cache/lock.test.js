/** The lock in Redis: one holder at a time, and one whose time is over writes nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { startRedis } from '../testing/servers.js';
import { waitFor } from '../testing/shop.js';
import { Fence } from './fence.js';
import { Locks } from './lock.js';

test('a lock has one holder, and who is late is fenced off', async (t) => {
  const { url, stop } = await startRedis();
  t.after(stop);
  const redis = new Redis(url);
  t.after(() => redis.disconnect());
  const name = (what, key) => `test:${what}:${key}`;
  const fence = new Fence(redis, name);
  const locks = new Locks(redis, name, fence);
  const slow = await locks.acquire('k', 60_000);
  assert.equal(await locks.acquire('k', 300), undefined, 'it is held');
  assert.ok(await locks.acquire('other', 300), 'each key has a lock of its own');
  // Its time is over.
  await redis.pexpire('test:lock:k', 1);
  let next;
  await waitFor(async () => (next = await locks.acquire('k', 60_000)));
  assert.equal(await next.write('new', 60_000), true);
  assert.equal(await slow.write('old', 60_000), false, 'its successor has written');
  await slow.release();
  assert.equal(await locks.acquire('k', 300), undefined, 'a lock that somebody else has by now is left alone');
  assert.equal(await redis.get('test:entry:k'), 'new');
  assert.equal(await fence.change('k', false), 0, 'it stays');
  assert.equal(await next.write('read before', 60_000), false, 'it was changed meanwhile');
  await next.release();
  assert.ok(await locks.acquire('k', 300));
});
