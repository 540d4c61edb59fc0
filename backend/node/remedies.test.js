/** What can be held, which of it is the same thing, and who is told to hold it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Faults, OF_SERVICES, OF_SHOP, SWITCHED } from './faults/index.js';
import { checkedHold, nameOf, putInPlace } from './remedies.js';

/** Faults that the Rust shop has and this one lacks. */
const LACKED = ['fragmentation', 'accept-overflow'];
const RUST = readFileSync(new URL('../src/remedies.rs', import.meta.url), 'utf8');

const kebab = (name) => name.replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => `-${letter}`).toLowerCase();

/** Why it is refused. */
function refusal(said) {
  try {
    return checkedHold(said) && undefined;
  } catch (e) {
    assert.equal(e.status, 400, e.stack);
    return e.message;
  }
}

test('all that the one table of both shops comes to is known here', () => {
  const [, variants] = /pub enum Hold \{(.*?)\n\}/s.exec(RUST);
  const names = [...variants.matchAll(/^ {4}([A-Z]\w+)/gm)].map(([, name]) => kebab(name));
  assert.deepEqual(names, ['pool-capacity', 'offload-threads', 'cache-capacity', 'early-refreshes', 'index', 'cure']);
  for (const name of names) assert.doesNotMatch(refusal({ [name]: null }), /unknown field/, name);
  const [table] = /const CURES.*?\n\];/s.exec(RUST);
  const cures = new Set([...table.matchAll(/FaultKind::(\w+)/g)].map(([, name]) => kebab(name)));
  assert.deepEqual([...cures].filter((cure) => refusal({ cure })), LACKED);
  assert.ok(cures.size > 15);
});

test('what can be held comes back as it is, and mistakes are named', () => {
  const index = { index: { table: 'purchase', column: 'customer' } };
  for (const hold of [{ 'pool-capacity': 14 }, { 'cache-capacity': 500 }, { 'early-refreshes': 1 }, index, { cure: 'leak' }]) assert.deepEqual(checkedHold(hold), hold);
  const known = 'pool-capacity, offload-threads, cache-capacity, early-refreshes, index, cure';
  const mistakes = {
    [`unknown field \`set\`, expected one of ${known}`]: { set: 'pool.db.capacity', to: 14 },
    [`expected one of ${known}, and what it is to be`]: {},
    'pool-capacity is 0, expected 1 to 1000': { 'pool-capacity': 0 },
    'pool-capacity is missing or no whole number': { 'pool-capacity': '3' },
    'offload-threads cannot be held: the runtime makes the threads of its offload pool once, and no more later': { 'offload-threads': 8 },
    'cache-capacity is 10000001, expected 1 to 10000000': { 'cache-capacity': 10_000_001 },
    'beta is 99, expected 0.1 to 10': { 'early-refreshes': 99 },
    'the shop looks for no rows of x; DROP TABLE y by z': { index: { table: 'x; DROP TABLE y', column: 'z' } },
    'column is missing or no text': { index: { table: 'purchase' } },
    'cure is missing or no text': { cure: 7 },
  };
  for (const [why, said] of Object.entries(mistakes)) assert.equal(refusal(said), why);
  assert.match(refusal({ 'pool-capacity': 3, cure: 'leak' }), /^expected one of /);
  // The supervisor stops and kills: there is nothing beside it that could run instead.
  for (const cure of ['frozen', 'meteor', '__proto__']) assert.ok(refusal({ cure }).startsWith(`fault \`${cure}\` has no cure that could be held; those of: avalanche, `));
});

test('a later value is of the same thing as an earlier one; cures and indexes are each their own', () => {
  assert.equal(nameOf({ 'pool-capacity': 3 }), nameOf({ 'pool-capacity': 9 }));
  assert.equal(nameOf({ cure: 'leak' }), nameOf(checkedHold({ cure: 'leak' })));
  const names = ['leak', 'churn'].map((cure) => nameOf({ cure }));
  const index = (table, column) => nameOf(checkedHold({ index: { column, table } }));
  names.push(index('review', 'product'), index('question', 'product'), nameOf({ 'pool-capacity': 3 }), nameOf({ 'cache-capacity': 3 }));
  assert.equal(new Set(names).size, names.length);
});

test('values are for the shop, an index for its first worker; a cure is for whoever has the fault', () => {
  const done = [];
  const database = { hold: (capacity) => done.push(capacity), operate: async (sql) => done.push(sql) };
  const products = { holdCapacity: (entries) => done.push(entries), hold: (who, change) => done.push(who, change({ protection: 'none', jitter: 0.1 })) };
  const shop = { first: true, draining: false, database, products };
  const ofShop = new Faults(OF_SHOP, () => {});
  const index = { index: { table: 'purchase', column: 'customer' } };
  for (const hold of [{ 'pool-capacity': 14 }, { 'cache-capacity': 500 }, { 'early-refreshes': 2 }, index]) putInPlace(hold, ofShop, shop);
  assert.deepEqual(done.splice(0), [
    14, 500, 'early-refreshes', { protection: 'xfetch', jitter: 0.1, beta: 2 },
    'CREATE INDEX IF NOT EXISTS operators_purchase_by_customer ON purchase (customer)',
  ]);
  for (const other of [{ first: false }, { draining: true }]) putInPlace(index, ofShop, { ...shop, ...other });
  const ofServices = new Faults(OF_SERVICES, () => {});
  putInPlace({ 'pool-capacity': 14 }, ofServices);
  assert.deepEqual(done, []);
  for (const { kind } of SWITCHED) for (const [faults, its] of [[ofShop, shop], [ofServices, undefined]]) putInPlace({ cure: kind }, faults, its);
  assert.deepEqual(done, ['stampede', { protection: 'single-flight', jitter: 0.1 }]);
  const order = (name) => ({ name, for_ms: 1, knobs: {} });
  ofServices.brokerBacklog.arm(order('broker-backlog'));
  ofShop.leak.arm(order('leak'), shop);
  assert.ok(!ofServices.brokerBacklog.on && !ofShop.leak.on);
});
