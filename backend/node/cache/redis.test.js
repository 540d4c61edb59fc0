/** The cache in Redis: under a prefix of its own, and nothing of it is left. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { startRedis } from '../testing/servers.js';
import { waitFor } from '../testing/shop.js';
import { RedisCache, check, sweep } from './redis.js';

/** What does not come in time counts as absent, and the machine may stand still for longer than customers wait. */
const PATIENCE_MS = 60_000;

test('two shops on one server know nothing of each other, and each is swept by itself', async (t) => {
  const { url, stop } = await startRedis();
  t.after(stop);
  const redis = new Redis(url);
  t.after(() => redis.disconnect());
  const removed = [];
  const open = (prefix) => new RedisCache(url, prefix, 1_000, { evicted() {}, removed: (n) => removed.push(n) }, PATIENCE_MS);
  const [one, other] = [open('one:'), open('other:')];
  t.after(() => Promise.all([one.end(), other.end()]));
  const entry = { value: { id: 7 }, loadMs: 1, expiresMs: Date.now() + 60_000 };
  const keys = Array.from({ length: 120 }, (_, n) => `product:${n}`);
  for (const key of keys) await one.set(key, entry);
  await other.set('product:7', entry);
  assert.deepEqual(await one.get('product:7'), entry);

  await redis.unlink('one:product:3');
  const soon = Date.now() + 30_000;
  assert.equal(await one.expireAt(soon), 119, 'one that is gone does not come back');
  assert.equal((await one.get('product:7')).expiresMs, soon);
  assert.ok((await redis.pttl('one:product:7')) <= 30_000);
  assert.equal((await other.get('product:7')).expiresMs, entry.expiresMs);

  await other.clear();
  assert.deepEqual(removed, [1]);
  await other.set('product:7', entry);
  await sweep(url, 'one:');
  assert.deepEqual(await redis.keys('*'), ['other:product:7']);
});

test('emptying leaves a lock to its holder, and numbers go on', async (t) => {
  const { url, stop } = await startRedis();
  t.after(stop);
  const redis = new Redis(url);
  t.after(() => redis.disconnect());
  const removed = [];
  const cache = new RedisCache(url, 'one:', 1_000, { evicted() {}, removed: (n) => removed.push(n) }, PATIENCE_MS);
  t.after(() => cache.end());
  const entry = (id) => ({ value: { id }, loadMs: 1, expiresMs: Date.now() + 60_000 });
  await cache.set('product:8', entry(8));
  const first = await cache.lock('product:7', 60_000);
  await cache.clear();
  assert.deepEqual([removed, await cache.get('product:8')], [[1], undefined]);
  assert.equal((await cache.lock('product:7', 200)).held, undefined, 'it is held');
  // Its time is over.
  await redis.pexpire('one:lock:product:7', 1);
  let second;
  await waitFor(async () => (second = (await cache.lock('product:7', 60_000)).held));
  await second.write(entry(9));
  await first.held.write(entry(7));
  assert.deepEqual((await cache.get('product:7')).value, { id: 9 }, 'who is late is fenced off');
});

test('a server that is late by more than customers wait is there at the start, and swept at the end', async (t) => {
  const { url, stop } = await startRedis();
  t.after(stop);
  const redis = new Redis(url);
  t.after(() => redis.disconnect());
  const late = () => redis.call('CLIENT', 'PAUSE', 1_500, 'ALL');
  await late();
  await check(url);
  await redis.set('one:product:7', 'kept');
  await late();
  await sweep(url, 'one:');
  assert.deepEqual(await redis.keys('*'), []);
});
