/** The outbox without a shop: what is published, crossed out, kept and found again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '../testing/shop.js';
import { Outbox } from './outbox.js';

/** A table, a broker that may be away, and an outbox between them. */
function make() {
  const made = { table: new Map(), published: [], isAway: false, counts: {}, crossings: 0, onPublish() {} };
  const database = {
    run: async (_, [before, most]) => ({ rows: [...made.table.values()].filter((p) => p.at_ms < before).slice(0, most) }),
    transact: async (name, { orders }) => {
      assert.equal(name, 'crossOut');
      made.crossings += 1;
      orders.forEach((order) => made.table.delete(order));
    },
  };
  const publisher = {
    publish: async (messages) => {
      if (made.isAway) throw new Error('it is away');
      made.published.push(...messages);
      made.onPublish();
    },
    end: async () => {},
  };
  const agent = { rate: (lane, _, read) => (made.counts[lane] = read) };
  made.outbox = new Outbox(database, publisher, agent);
  return made;
}

const placed = (order, at_ms = Date.now()) => ({ order, customer: 1, cents: 5, at_ms });

test('events are published together and crossed out together', async () => {
  const made = make();
  for (let order = 0; order < 100; order++) {
    made.table.set(order, placed(order));
    made.outbox.send(placed(order));
  }
  made.outbox.start(false);
  await waitFor(() => made.table.size === 0);
  assert.deepEqual(made.published.map((m) => m.order), Array.from({ length: 100 }, (_, n) => n));
  assert.ok(made.published.every((m) => Number.isInteger(m.published_ms)));
  assert.equal(made.crossings, 2);
  assert.equal(made.counts['broker.orders.published'](), 100);
  await made.outbox.stop();
});

test('what the broker does not take stays, and whoever looks finds it', async (t) => {
  t.mock.method(console, 'error', () => {});
  const made = make();
  made.isAway = true;
  made.table.set(7, placed(7, Date.now() - 60_000));
  // Left behind by another worker, and one that is on its way there.
  made.table.set(8, placed(8, Date.now() - 60_000));
  made.table.set(9, placed(9, Date.now() + 60_000));
  made.outbox.send(placed(7));
  made.outbox.start(true);
  await waitFor(() => made.counts['broker.orders.refused']() > 0);
  assert.equal(made.table.size, 3);
  made.isAway = false;
  await waitFor(() => made.table.size === 1);
  assert.deepEqual(made.published.map((m) => m.order).sort(), [7, 8]);
  await made.outbox.stop();
});

test('what was left behind is found while orders keep coming', async (t) => {
  const made = make();
  made.table.set(7, placed(7, Date.now() - 60_000));
  let next = 100;
  // There is always one more: the queue is never empty.
  made.onPublish = () => made.outbox.send(placed(next++));
  t.after(() => {
    made.onPublish = () => {};
    return made.outbox.stop();
  });
  made.onPublish();
  made.outbox.start(true);
  await waitFor(() => made.table.size === 0, 10_000);
  const orders = made.published.map((m) => m.order);
  assert.equal(orders.filter((order) => order === 7).length, 1);
  await waitFor(() => made.published.at(-1).order > Math.max(...orders));
});

test('what is there at the end is carried on', async () => {
  const made = make();
  made.outbox.start(false);
  made.outbox.send(placed(1));
  await made.outbox.stop();
  assert.deepEqual(made.published.map((m) => m.order), [1]);
});
