/** The cache of products: what a request gets when a load fails, and when all entries get one end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CacheMeter } from '../agent/cache.js';
import { Lanes } from '../agent/lanes.js';
import { Faults, OF_SHOP } from '../faults/index.js';
import { SHOP } from '../settings.js';
import { waitFor } from '../testing/shop.js';
import { MemoryCache } from './memory.js';
import { ProductCache } from './products.js';
import { CACHE } from './settings.js';

function make(how, entries = new MemoryCache(1_000, { evicted() {}, expired() {}, removed() {} }), settings = SHOP, from = undefined) {
  const made = { loads: 0, isAway: false, told: [] };
  const read = async (id) => {
    made.loads += 1;
    if (made.isAway) throw new Error('the database is busy');
    // So long that every lot falls soon.
    await new Promise((resolve) => setTimeout(resolve, 30));
    return { id };
  };
  const faults = new Faults(OF_SHOP, (_, what, at) => made.told.push({ what, at }));
  const meter = new CacheMeter(new Lanes('shop-0'), 'products');
  made.products = new ProductCache(entries, settings, { ...CACHE, ...how }, faults, meter, from ?? read);
  Object.assign(made, { avalanche: faults.avalanche, stampede: faults.stampede });
  return made;
}

test('an early refresh that fails refuses nobody: the entry is still good', async (t) => {
  // With the smallest number every lot falls.
  t.mock.method(Math, 'random', () => 1 - 2 ** -52);
  const made = make({ protection: 'xfetch', 'ttl-ms': 5_000, jitter: 0, beta: 10 });
  await made.products.get(7);
  made.isAway = true;
  assert.deepEqual(await made.products.get(7), { id: 7 });
  assert.equal(made.loads, 2, 'it was tried');
  await assert.rejects(made.products.get(8), /busy/, 'one that is not there');
});

test('what is held counts more than settings and faults: early refreshes, one load for many, room', async (t) => {
  t.mock.method(Math, 'random', () => 1 - 2 ** -52);
  const entries = new MemoryCache(1_000, { evicted() {}, expired() {}, removed() {} });
  const made = make({ protection: 'none', jitter: 0 }, entries);
  const { products } = made;
  const together = (id) => Promise.all(Array.from({ length: 5 }, () => products.get(id)));
  await together(1);
  assert.equal(made.loads, 5);
  made.stampede.holdCure(made);
  products.set({ ...CACHE, protection: 'none', jitter: 0, 'ttl-ms': 5_000 });
  await together(2);
  assert.equal(made.loads, 6);
  products.hold('early-refreshes', (how) => ({ ...how, protection: 'xfetch', beta: 10 }));
  products.set({ ...CACHE, jitter: 0, 'ttl-ms': 5_000 });
  await products.get(2);
  assert.equal(made.loads, 7);
  products.holdCapacity(1);
  products.resize(products.plannedCapacity);
  await products.get(3);
  assert.equal(entries.size, 1);
});

test('who waits in vain for the load of another is told to try again', async () => {
  const held = { isShared: true, get: async () => undefined, lock: async () => ({ held: undefined }) };
  const made = make({ protection: 'lock' }, held, { ...SHOP, poolPatienceMs: 50 });
  await assert.rejects(made.products.get(7), { status: 503, message: /busy, try again/ });
  assert.equal(made.loads, 0);
});

test('written through: when the reload fails the old entry goes all the same', async () => {
  const made = make({ mode: 'write-through', 'ttl-ms': 60_000 });
  await made.products.get(7);
  made.isAway = true;
  await made.products.changed(7);
  assert.equal(made.loads, 2, 'it was tried');
  made.isAway = false;
  assert.deepEqual(await made.products.get(7), { id: 7 });
  assert.equal(made.loads, 3, 'nothing was kept');
});

/** The database reads the price when a load begins; the answer comes when the test lets it. */
function priced(how) {
  const reads = [];
  let cents = 1;
  const read = () => {
    const found = { cents };
    return new Promise((resolve) => reads.push(() => resolve(found)));
  };
  const { products } = make({ 'ttl-ms': 60_000, ...how }, undefined, SHOP, read);
  return { products, reads, change: (to) => (cents = to) };
}

for (const mode of ['cache-aside', 'write-through']) {
  test(`${mode}: what was read before a change is not kept after it`, async () => {
    const { products, reads, change } = priced({ mode, protection: 'none' });
    const early = products.get(7);
    await waitFor(() => reads.length === 1);
    change(2);
    const changed = products.changed(7);
    if (mode === 'write-through') {
      await waitFor(() => reads.length === 2);
      reads[1]();
    }
    await changed;
    reads[0]();
    assert.equal((await early).cents, 1);
    const late = products.get(7);
    if (mode === 'cache-aside') {
      await waitFor(() => reads.length === 2);
      reads[1]();
    }
    assert.equal((await late).cents, 2);
    // Another worker's change, of which this one hears while it loads another product.
    const other = products.get(8);
    await waitFor(() => reads.length === 3);
    await products.changedElsewhere(7);
    reads[2]();
    await other;
    assert.equal((await products.get(8)).cents, 2, 'a change of one does not concern the other');
    assert.equal(reads.length, 3);
  });
}

test('avalanche: at its end those that were to expire together do so apart', async () => {
  const entries = new MemoryCache(1_000, { evicted() {}, expired() {}, removed() {} });
  const made = make({ 'ttl-ms': 60_000 }, entries);
  await Promise.all(Array.from({ length: 30 }, (_, n) => made.products.get(n + 1)));
  const ends = async () => {
    const all = new Set();
    await entries.move(({ expiresMs }) => void all.add(Math.round(expiresMs / 100)));
    return all.size;
  };
  made.avalanche.arm({ name: 'avalanche', for_ms: 60_000, knobs: { period_ms: 60_000 } }, made);
  await waitFor(async () => (await ends()) === 1);
  await made.products.get(31);
  made.avalanche.end(undefined, made);
  await waitFor(async () => (await ends()) > 15);
  assert.deepEqual(made.told.map((t) => t.what), ['armed', 'ended']);
});

test('avalanche: all that is there expires at one instant, and that is the onset', async () => {
  const all = ({ products }) => Promise.all(Array.from({ length: 12 }, (_, n) => products.get(n + 1)));
  let made;
  let instant;
  let before;
  do {
    made = make({ 'ttl-ms': 60_000 });
    await all(made);
    instant = (Math.floor(Date.now() / 2_000) + 1) * 2_000;
    made.avalanche.arm({ name: 'avalanche', for_ms: 60_000, knobs: { period_ms: 2_000 } }, made);
    await all(made);
    before = Number(process.hrtime.bigint());
    // Anew, should the instant have come in between.
  } while (Date.now() >= instant);
  const { told } = made;
  assert.deepEqual([made.loads, told.map((t) => t.what)], [12, ['armed']]);
  await new Promise((resolve) => setTimeout(resolve, instant - Date.now() + 20));
  await all(made);
  assert.equal(made.loads, 24);
  assert.deepEqual(told.map((t) => t.what), ['armed', 'onset']);
  assert.ok(told[1].at > before && told[1].at < Number(process.hrtime.bigint()) - 30e6, 'the instant, not when it was noticed');
});
