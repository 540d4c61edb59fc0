import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Lanes } from '../agent/lanes.js';
import { PoolMeter } from '../agent/pool.js';
import { Pool, PoolTimeout } from './pool.js';

function pool(capacity, patienceMs) {
  const seen = { open: 0, closed: 0 };
  const open = async () => ({ id: ++seen.open, close: async () => void (seen.closed += 1) });
  return { pool: new Pool(open, capacity, patienceMs, new PoolMeter(new Lanes('shop-0'), 'db', capacity)), seen };
}

test('no more connections than there are places, and waiters get theirs in turn', async () => {
  const { pool: two, seen } = pool(2, 5_000);
  const order = [];
  const use = async (n) => {
    const connection = await two.get();
    order.push(n);
    await new Promise((resolve) => setTimeout(resolve, 5));
    connection.release();
  };
  await Promise.all([1, 2, 3, 4, 5].map(use));
  assert.deepEqual([order, seen.open], [[1, 2, 3, 4, 5], 2]);
  await two.end();
  assert.equal(seen.closed, 2);
});

test('patience ends, and who gave up takes nothing', async () => {
  const { pool: one } = pool(1, 20);
  const held = await one.get();
  await assert.rejects(one.get(), PoolTimeout);
  held.release();
  (await one.get()).release();
});

test('a connection that comes back to a pool that ended is closed', async () => {
  const { pool: one, seen } = pool(1, 20);
  const held = await one.get();
  await one.end();
  assert.equal(seen.closed, 0);
  held.release();
  assert.equal(seen.closed, 1);
});

test('when no connection can be opened, everybody hears so at once', async () => {
  const open = () => new Promise((_, reject) => setTimeout(() => reject(new Error('refused')), 1));
  const one = new Pool(open, 1, 60_000, new PoolMeter(new Lanes('shop-0'), 'db', 1));
  const asked = await Promise.allSettled([one.get(), one.get(), one.get()]);
  assert.deepEqual(asked.map((a) => a.reason?.message), ['refused', 'refused', 'refused']);
});

test('another size: waiters are let in, and what is too many goes as it falls idle', async () => {
  const { pool: sized, seen } = pool(1, 5_000);
  const one = await sized.get();
  const waiting = [sized.get(), sized.get()];
  sized.resize(3);
  const [two, three] = await Promise.all(waiting);
  assert.equal(seen.open, 3);
  three.release();
  sized.resize(1);
  assert.equal(seen.closed, 1);
  two.release();
  assert.equal(seen.closed, 2);
  const last = sized.get();
  one.release();
  (await last).release();
  assert.deepEqual([seen.open, seen.closed], [3, 2]);
});

/** A pool of which each connection opens when it is told to, or not. */
function slow(patienceMs) {
  const opening = [];
  const open = () => new Promise((resolve, reject) => opening.push({ resolve: () => resolve({ close: async () => {} }), reject }));
  const sized = new Pool(open, 1, patienceMs, new PoolMeter(new Lanes('shop-0'), 'db', 1));
  const first = sized.get();
  opening.shift().resolve();
  return { sized, first, opening };
}

test('a connection that comes when patience has ended goes into the pool, and nobody else loses the place in the row', async () => {
  const { sized, first, opening } = slow(30);
  const held = await first;
  const late = sized.get();
  sized.resize(2);
  await assert.rejects(late, PoolTimeout);
  const next = sized.get();
  opening.shift().resolve();
  (await next).release();
  assert.equal(opening.length, 0);
  // Both places are there: one is idle, and one is held.
  (await sized.get()).release();
  held.release();
  await Promise.all([sized.get(), sized.get()]);
});

test('a connection that cannot be opened for one who waits is tried for the next', async () => {
  const { sized, first, opening } = slow(5_000);
  await first;
  const waiting = [sized.get(), sized.get()];
  sized.resize(2);
  opening.shift().reject(new Error('refused'));
  await assert.rejects(waiting[0], /refused/);
  opening.shift().resolve();
  await waiting[1];
  assert.equal(opening.length, 0);
});
