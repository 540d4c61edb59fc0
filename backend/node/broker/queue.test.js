import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Queues } from './queue.js';

test('a batch goes into all queues or none', async () => {
  const queues = new Queues(3);
  const message = (order) => ({ order });
  assert.ok(queues.put([message(1), message(2)]));
  assert.ok(!queues.put([message(3), message(4)]), 'there is room for one');
  assert.equal(queues.depth, 4);
  assert.equal((await queues.take('email')).order, 1);
  assert.ok(!queues.put([message(3), message(4)]), 'the other queue has still no room');
  assert.ok(queues.put([message(3)]));
  const taken = [];
  for (let n = 0; n < 3; n++) taken.push((await queues.take('billing')).order);
  assert.deepEqual(taken, [1, 2, 3]);
});

test('a consumer waits for what comes', async () => {
  const queues = new Queues();
  const waiting = queues.take('email');
  assert.ok(queues.put([{ order: 7 }]));
  assert.equal((await waiting).order, 7);
});
