/** What SQLite says of its plans: which step is told, when, and by whom it is heard. That it says so is `testing/runtimes.test.js`'s, on Deno and Bun. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DatabaseMeter } from '../agent/database.js';
import { Lanes } from '../agent/lanes.js';
import { waitFor } from '../testing/shop.js';
import { planOf, plansOf, watchPlans } from './sqlite-plans.js';

const step = (id, parent, detail) => ({ id, parent, detail });

test('of a plan the way to a scan of a whole table is told, or else to the first look-up', () => {
  const tables = new Set(['purchase', 'stock']);
  const told = (...steps) => planOf(steps, tables);
  const made = [step(2, 0, 'CO-ROUTINE p'), step(8, 2, 'SCAN purchase'), step(23, 0, 'SCAN p'), step(26, 0, 'SEARCH line USING INDEX i (purchase=?)')];
  assert.deepEqual(told(...made), { plan: 'CO-ROUTINE p > SCAN purchase', table: 'purchase' });
  const sought = made.with(1, step(8, 2, 'SEARCH purchase USING INDEX by (customer=?)'));
  assert.deepEqual(told(...sought), { plan: 'CO-ROUTINE p > SEARCH purchase USING INDEX by (customer=?)', table: 'purchase' });
  const walks = step(1, 0, 'SCAN stock USING INDEX by');
  assert.equal(told(walks, step(2, 0, 'SCAN purchase')).plan, 'SCAN purchase');
  assert.equal(told(step(2, 0, 'SEARCH purchase USING INDEX by (customer=?)'), walks).plan, 'SCAN stock USING INDEX by');
  assert.deepEqual(told(step(1, 0, 'SCAN old')), { plan: 'SCAN old', table: '' }, 'by an alias');
  for (const none of ['SCAN CONSTANT ROW', 'SCAN 2-ROW VALUES CLAUSE', 'SCAN json_each VIRTUAL TABLE INDEX 1:', 'USE TEMP B-TREE FOR ORDER BY']) {
    assert.deepEqual(told(step(1, 0, none)), { plan: '', table: '' });
  }
});

test('a statement is planned again when the schema has changed, and one that has no plan keeps no other from its own', () => {
  let version = 7;
  const asked = [];
  const prepare = (sql) => {
    if (/schema_version/.test(sql)) return { get: () => ({ schema_version: version }) };
    if (/sqlite_schema/.test(sql)) return { all: () => [{ name: 'purchase' }] };
    asked.push(sql);
    if (/gone/.test(sql)) throw new Error('no such table: gone');
    return { all: () => [step(1, 0, 'SCAN purchase')] };
  };
  const planned = new Map();
  const look = () => plansOf({ prepare }, planned, ['SELECT 1 FROM gone', 'SELECT cents FROM purchase']).map(({ plan }) => plan);
  assert.deepEqual(look(), ['', 'SCAN purchase']);
  assert.deepEqual([look(), asked.length], [[], 2]);
  version += 1;
  assert.deepEqual(look(), ['', 'SCAN purchase']);
});

test('a meter tells a plan once, with the one whose place it takes', async () => {
  const meter = new DatabaseMeter(new Lanes('shop-0'));
  const text = 'SELECT cents FROM purchase WHERE customer = $1';
  meter.begin().gave([text], 1);
  const plans = ['SEARCH purchase USING INDEX by (customer=?)', 'SCAN purchase'];
  const seen = { asked: 0, closed: 0 };
  const connection = {
    plans: async (statements) => {
      assert.deepEqual(statements, [text]);
      seen.asked += 1;
      return [{ sql: text, plan: plans[Math.min(seen.asked, plans.length) - 1], table: 'purchase' }];
    },
    close: async () => void (seen.closed += 1),
  };
  const end = watchPlans({ open: async () => connection }, meter);
  await waitFor(() => seen.asked === 3);
  await end();
  const told = meter.takePlans().map(({ labels }) => Object.fromEntries(labels));
  assert.deepEqual(
    told.map(({ statement, before, plan, table }) => [statement, before, plan, table]),
    [
      ['SELECT cents FROM purchase WHERE customer = ?', '', plans[0], 'purchase'],
      ['SELECT cents FROM purchase WHERE customer = ?', plans[0], plans[1], 'purchase'],
    ],
  );
  assert.deepEqual([meter.takePlans(), seen.closed], [[], 1]);
});

test('of two texts that look alike each has its own plan, and of a long one the end is told', () => {
  const meter = new DatabaseMeter(new Lanes('shop-0'));
  const told = (text, plan) => {
    meter.planned(text, { plan, table: 'purchase' });
    return meter.takePlans().map(({ labels }) => Object.fromEntries(labels));
  };
  const [one, other] = ['SELECT cents FROM purchase WHERE customer = 1', 'SELECT cents FROM purchase WHERE customer = 2'];
  assert.equal(told(one, 'SEARCH purchase USING INDEX by (customer=?)')[0].before, '');
  assert.deepEqual([told(other, 'SCAN purchase')[0].before, told(one, 'SEARCH purchase USING INDEX by (customer=?)')], ['', []]);
  const way = [...Array.from({ length: 9 }, (_, i) => `CO-ROUTINE part_${i}_of_it`), 'SCAN purchase USING COVERING INDEX by'].join(' > ');
  const [{ plan }] = told(one, way);
  assert.ok(plan.length <= 120 && plan.startsWith('… > ') && plan.endsWith('> SCAN purchase USING COVERING INDEX by'), plan);
});
