import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { watchAllocation } from './allocation.js';
import { Pauses } from './pauses.js';

const told = () => {
  let count;
  const lanes = { level: () => {}, rate: (name, _, read) => name === 'heap.allocated' && (count = read) };
  const pauses = new Pauses(lanes);
  watchAllocation(lanes, pauses);
  return { count, stop: () => pauses.stop() };
};

const SIZE = 64 * 1024;
const made = {
  objects: () => new Array(SIZE / 8).fill(1),
  buffers: () => Buffer.alloc(SIZE, 1),
};

for (const [name, make] of Object.entries(made)) {
  test(`${name} that were dropped were allocated all the same`, async () => {
    const { count, stop } = told();
    const before = count();
    const times = 8_000;
    for (let n = 0; n < times; n++) {
      assert.equal(make()[0], 1);
      // A request of a megabyte each few milliseconds.
      if (n % 16 === 0) await pause(1);
      if (n % 512 === 0) count();
    }
    await pause(20);
    const allocated = count() - before;
    stop();
    assert.ok(allocated > SIZE * times * 0.7 && allocated < SIZE * times * 1.3, `${allocated} of ${SIZE * times} bytes`);
  });
}
