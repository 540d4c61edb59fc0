/** What the database's server says of itself: how it is asked, without one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '../testing/shop.js';
import { watchServer } from './server-figures.js';

test('a connection on which the server gives no answer is closed before the next one is opened', async () => {
  const seen = { opened: 0, open: 0, most: 0 };
  const open = async () => {
    seen.opened += 1;
    seen.open += 1;
    seen.most = Math.max(seen.most, seen.open);
    const run = async () => {
      throw new Error('column "backend_type" does not exist');
    };
    return { run, close: async () => void (seen.open -= 1) };
  };
  const meter = { server: 'not asked yet' };
  const end = watchServer({ open }, meter);
  await waitFor(() => seen.opened === 2 && seen.open === 0, 10_000);
  await end();
  assert.deepEqual([seen.most, meter.server], [1, undefined]);
});
