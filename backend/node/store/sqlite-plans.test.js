/** What SQLite says of its plans: which step is told, and by whom it is heard. That it says so is `testing/runtimes.test.js`'s. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DatabaseMeter } from '../agent/database.js';
import { Lanes } from '../agent/lanes.js';
import { waitFor } from '../testing/shop.js';
import { planOf, watchPlans } from './sqlite-plans.js';

const step = (id, parent, detail) => ({ id, parent, detail });

test('of a plan the way to a scan of a whole table is told, or else to the first look-up', () => {
  const made = [step(2, 0, 'CO-ROUTINE p'), step(8, 2, 'SCAN purchase'), step(23, 0, 'SCAN p'), step(26, 0, 'SEARCH line USING INDEX i (purchase=?)')];
  assert.deepEqual(planOf(made), { plan: 'CO-ROUTINE p > SCAN purchase', table: 'purchase' });
  const sought = made.with(1, step(8, 2, 'SEARCH purchase USING INDEX by (customer=?)'));
  assert.deepEqual(planOf(sought), { plan: 'CO-ROUTINE p > SEARCH purchase USING INDEX by (customer=?)', table: 'purchase' });
  assert.deepEqual(planOf([step(1, 0, 'USE TEMP B-TREE FOR ORDER BY')]), { plan: '', table: '' });
  assert.deepEqual(planOf([]), { plan: '', table: '' });
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
