/** The database's pool: which size it has when several want another, and what no meter hears. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DatabaseMeter } from '../agent/database.js';
import { Lanes } from '../agent/lanes.js';
import { PoolMeter } from '../agent/pool.js';
import { Faults, OF_SHOP } from '../faults/index.js';
import { SHOP } from '../settings.js';
import { waitFor } from '../testing/shop.js';
import { Database } from './database.js';

/** A database whose connections answer at once, and what was seen of it. */
function make(settings = SHOP) {
  const seen = { open: 0, ran: [], told: [], isFull: false };
  const open = async () => {
    if (seen.isFull) throw new Error('too many clients');
    seen.open += 1;
    const run = async (sql) => {
      seen.ran.push(sql);
      return { rows: [], count: 0 };
    };
    return { run, close: async () => void (seen.open -= 1) };
  };
  const lanes = new Lanes('shop-0');
  const faults = new Faults(OF_SHOP, (fault, what) => seen.told.push(`${fault} ${what}`));
  const meter = new PoolMeter(lanes, 'db', settings.poolCapacity);
  const database = new Database({ kind: 'sqlite', open, end: async () => {} }, settings, meter, new DatabaseMeter(lanes), faults);
  return { seen, lanes, shop: { first: true, database, faults } };
}

test('of two sizes of the pool the newest holds, and at its end the other one again', async () => {
  const { seen, shop } = make();
  const { database, faults } = shop;
  const [small, large] = [faults.poolTooSmall, faults.poolTooLarge];
  const order = (fault, capacity) => fault.arm({ name: fault.constructor.kind, for_ms: 1, knobs: { capacity } }, shop);
  order(large, 40);
  await waitFor(() => seen.open === 40);
  order(small, 1);
  assert.equal(database.capacity, 1);
  await waitFor(() => seen.open === 1);
  small.end(undefined, shop);
  assert.equal(database.capacity, 40);
  await waitFor(() => seen.open === 40);
  order(small, 2);
  large.end(undefined, shop);
  assert.equal(database.capacity, 2, 'the one that is on');
  order(small, 3);
  assert.equal(database.capacity, 3, 'ordered anew');
  small.end(undefined, shop);
  assert.equal(database.capacity, SHOP.poolCapacity);
});

test('a size that is held counts more than what faults want, and a pool too large is none', async () => {
  const { seen, shop } = make();
  const { database, faults } = shop;
  const order = (fault, capacity) => fault.arm({ name: fault.constructor.kind, for_ms: 1, knobs: { capacity } }, shop);
  order(faults.poolTooSmall, 1);
  database.hold(14);
  assert.equal(database.capacity, 14);
  await waitFor(() => seen.open === 14);
  order(faults.poolTooLarge, 40);
  faults.poolTooSmall.end(undefined, shop);
  assert.equal(database.capacity, 14);
  faults.poolTooLarge.end(undefined, shop);
  database.hold(9);
  assert.equal(database.capacity, 9);
  await waitFor(() => seen.open === 9);
  assert.deepEqual(seen.told.filter((line) => line.startsWith('pool-too-large')), ['pool-too-large armed', 'pool-too-large ended']);
});

test('whoever the server does not let in has not given up waiting', async () => {
  const { seen, lanes, shop } = make({ ...SHOP, poolCapacity: 1, poolPatienceMs: 30 });
  const { database } = shop;
  const told = () => {
    const tick = { elapsed: 1e9, values: [], histograms: [] };
    lanes.read(tick);
    const values = tick.values.map(([at, value]) => [lanes.specs[at].name, value]);
    const { 'pool.db.timeouts': timeouts, 'pool.db.waiters': waiters } = Object.fromEntries(values);
    return { timeouts, waiters };
  };
  told();
  seen.isFull = true;
  await assert.rejects(database.run('SELECT 1'), /too many clients/);
  assert.deepEqual(told(), { timeouts: 0, waiters: 0 });
  seen.isFull = false;
  const held = await database.checkout();
  await assert.rejects(database.checkout(), { status: 503 });
  assert.deepEqual(told(), { timeouts: 1, waiters: 0 });
  held.release();
});

test('what was opened for one use is no leak of the pool', async () => {
  const { seen, shop } = make({ ...SHOP, poolCapacity: 2 });
  const { database, faults } = shop;
  faults.connectPerRequest.arm({ name: 'connect-per-request', for_ms: 1 }, shop);
  faults.poolLeak.arm({ name: 'pool-leak', for_ms: 1, knobs: { share: 0.5 } }, shop);
  for (let n = 0; n < 100; n++) await database.run('SELECT 1');
  assert.equal(seen.open, 0);
  faults.connectPerRequest.end(undefined, shop);
  await waitFor(async () => {
    await database.run('SELECT 1');
    return seen.told.includes('pool-leak onset');
  });
  assert.ok(seen.open > 0);
  faults.poolLeak.end(undefined, shop);
});

test('missing-index: the switch is told to no meter, and the index is as the switch says in the end', async (t) => {
  t.mock.method(console, 'error', () => {});
  const { seen, lanes, shop } = make();
  const { missingIndex } = shop.faults;
  const order = () => missingIndex.arm({ name: 'missing-index', for_ms: 1 }, shop);
  const last = (word) => waitFor(() => seen.ran.at(-1)?.startsWith(word));
  order();
  await last('DROP INDEX');
  missingIndex.end(undefined, shop);
  await last('CREATE INDEX');
  assert.deepEqual(seen.told, ['missing-index armed', 'missing-index onset', 'missing-index ended']);
  // Nobody gets in when it ends, or it died before: the index is made all the same.
  order();
  await last('DROP INDEX');
  seen.isFull = true;
  missingIndex.end(undefined, shop);
  await waitFor(() => console.error.mock.callCount() > 0);
  seen.isFull = false;
  await last('CREATE INDEX');
  seen.ran = [];
  shop.faults.settleAll({ ...shop, first: false });
  shop.faults.settleAll(shop);
  await last('CREATE INDEX');
  assert.equal(seen.ran.length, 1);
  assert.equal(seen.open, 0, 'its connections are closed');
  assert.deepEqual(lanes.specs.filter((l) => l.subject), []);
});
