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
  const keep = async (cache, key) => cache.set(key, await cache.number(key), entry);
  for (const key of keys) await keep(one, key);
  await keep(other, 'product:7');
  assert.deepEqual(await one.get('product:7'), entry);

  await redis.unlink('one:product:3');
  const soon = Date.now() + 30_000;
  assert.equal(await one.move(() => soon), 119, 'one that is gone does not come back');
  assert.equal((await one.get('product:7')).expiresMs, soon);
  assert.ok((await redis.pttl('one:product:7')) <= 30_000);
  assert.equal((await other.get('product:7')).expiresMs, entry.expiresMs);

  await other.clear();
  assert.deepEqual(removed, [1]);
  await keep(other, 'product:7');
  await sweep(url, 'one:');
  const left = ['fence:product:7', 'product:7', 'written:product:7'].map((key) => `other:${key}`);
  assert.deepEqual((await redis.keys('*')).sort(), left);
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
  await cache.set('product:8', 0, entry(8));
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

test('what was loaded before a change is not kept, of whichever worker', async (t) => {
  const { url, stop } = await startRedis();
  t.after(stop);
  const open = () => new RedisCache(url, 'one:', 1_000, { evicted() {}, removed() {} }, PATIENCE_MS);
  const [loads, changes] = [open(), open()];
  t.after(() => Promise.all([loads.end(), changes.end()]));
  const entry = (cents) => ({ value: { cents }, loadMs: 1, expiresMs: Date.now() + 60_000 });
  const cents = async () => (await changes.get('product:7'))?.value.cents;
  const first = await loads.number('product:7');
  await changes.drop('product:7');
  await loads.set('product:7', first, entry(1));
  assert.equal(await cents(), undefined);
  await loads.set('product:7', await loads.number('product:7'), entry(2));
  assert.equal(await cents(), 2);
  // Written through.
  const second = await loads.number('product:7');
  await changes.outdate('product:7');
  assert.equal(await cents(), 2, 'it stays until the new one is there');
  await changes.set('product:7', await changes.number('product:7'), entry(3));
  await loads.set('product:7', second, entry(2));
  assert.equal(await cents(), 3);
});

test('a bound holds for all workers together, and those used longest ago go', async (t) => {
  const { url, stop } = await startRedis();
  t.after(stop);
  const redis = new Redis(url);
  t.after(() => redis.disconnect());
  let evicted = 0;
  const open = () => new RedisCache(url, 'one:', 1_000, { evicted: (n) => (evicted += n), removed() {} }, PATIENCE_MS);
  const workers = [open(), open()];
  t.after(() => Promise.all(workers.map((w) => w.end())));
  const entry = { value: {}, loadMs: 1, expiresMs: Date.now() + 60_000 };
  const keep = (n) => workers[n % 2].set(`product:${n}`, 0, entry);
  const kept = async () => (await redis.keys('one:product:*')).length;
  for (let n = 0; n < 40; n++) await keep(n);
  assert.deepEqual([await kept(), evicted], [40, 0]);
  for (const worker of workers) worker.resize(20);
  await waitFor(async () => (await kept()) === 20);
  for (let n = 100; n < 130; n++) {
    await keep(n);
    // Later than what was kept before, which counts in milliseconds.
    await new Promise((resolve) => setTimeout(resolve, 2));
    assert.ok(await workers[0].get('product:100'), `it is in use when ${n} comes`);
  }
  assert.deepEqual([await kept(), evicted], [20, 50]);
  for (const worker of workers) worker.resize(1_000);
  for (let n = 200; n < 240; n++) await keep(n);
  assert.equal(await kept(), 60);
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
