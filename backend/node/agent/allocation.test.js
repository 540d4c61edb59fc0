import assert from 'node:assert/strict';
import { test } from 'node:test';
import { watchAllocation } from './allocation.js';

test('what was dropped was allocated all the same, and never more than there was', () => {
  let count;
  watchAllocation({ rate: (_, __, read) => (count = read) });
  const before = count();
  const [size, times] = [64 * 1024, 2_000];
  let kept = 0;
  for (let n = 0; n < times; n++) kept += new Array(size / 8).fill(n).length;
  const allocated = count() - before;
  assert.equal(kept, (size / 8) * times);
  assert.ok(allocated > (size * times) / 2 && allocated < size * times * 1.5, `${allocated} of ${size * times} bytes`);
});
