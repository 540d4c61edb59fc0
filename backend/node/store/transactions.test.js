/** Transactions without a database: which statements, in which order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkOut, putOffers } from './transactions.js';

/** Runs it; `answers` says by the statement's first words what comes back. Gives the outcome and what was asked. */
function run(steps, answers) {
  const asked = [];
  let step = steps.next();
  while (!step.done) {
    const [sql, values] = step.value;
    asked.push([sql.split(/\s+/).slice(0, 3).join(' '), values]);
    const [, answer] = Object.entries(answers).find(([words]) => sql.startsWith(words)) ?? [];
    step = steps.next(answer ?? { rows: [], count: 1 });
  }
  return { outcome: step.value, asked };
}

const input = { session: 's', customer: 4, atMs: 5 };

test('a checkout sells what it has taken out of the cart, in the order of the products', () => {
  const taken = [{ product: 9, quantity: 1, cents: 70 }, { product: 7, quantity: 3, cents: 5 }];
  const { outcome, asked } = run(checkOut('postgres', input), {
    'DELETE FROM cart': { rows: taken, count: 2 },
    'INSERT INTO purchase (': { rows: [{ id: 6 }], count: 1 },
  });
  assert.deepEqual(outcome, { order: 6, cents: 85 });
  assert.deepEqual(asked, [
    ['DELETE FROM cart', ['s']],
    ['UPDATE stock SET', [7, 3]],
    ['UPDATE stock SET', [9, 1]],
    ['INSERT INTO purchase', [4, 5, 85]],
    ['INSERT INTO purchase_line', [6, 7, 3, 5]],
    ['INSERT INTO purchase_line', [6, 9, 1, 70]],
    ['INSERT INTO outbox', [6, 5]],
  ]);
});

test('an import writes its offers in the order of their skus, of two of one sku the later one', () => {
  const rows = [['b', 'B', 1, 2], ['c', 'C', 3, 4], ['a', 'A', 5, 6], ['b', 'Bee', 7, 8]];
  const sorted = [['a', 'A', 5, 6], ['b', 'Bee', 7, 8], ['c', 'C', 3, 4]];
  const values = (dialect) => run(putOffers(dialect, { rows }), {}).asked[0][1];
  assert.deepEqual(JSON.parse(values('sqlite')[0]), sorted);
  assert.deepEqual(values('postgres'), [0, 1, 2, 3].map((column) => sorted.map((row) => row[column])));
});

test('a cart that is empty, or holds what is sold out, is left as it is', () => {
  const empty = run(checkOut('sqlite', input), { 'DELETE FROM cart': { rows: [], count: 0 } });
  assert.deepEqual([empty.outcome, empty.asked.length], [{ undo: true, why: 'the cart is empty' }, 1]);
  const taken = { rows: [{ product: 9, quantity: 1, cents: 70 }], count: 1 };
  const { outcome } = run(checkOut('sqlite', input), { 'DELETE FROM cart': taken, 'UPDATE stock': { rows: [], count: 0 } });
  assert.deepEqual(outcome, { undo: true, why: 'product 9 is sold out' });
});
