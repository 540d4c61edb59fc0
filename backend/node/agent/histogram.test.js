import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tally, recordCorrected } from './histogram.js';

test('cells ascend, keep three digits, and stay within range', () => {
  const tally = new Tally();
  const durations = [0, 999, 1_000, 2_047_000, 2_048_000, 123_456_789, 1e12, 1e16];
  for (let i = 0; i < 2_000; i++) durations.push(2 ** (Math.random() * 45));
  durations.forEach((d) => tally.record(d));
  const cells = tally.take();
  assert.equal(cells.reduce((n, [, count]) => n + count, 0), durations.length);
  for (const [i, [value, count]] of cells.entries()) {
    assert.ok(Number.isInteger(value) && value >= 1 && value <= 3_600_000_000 && count > 0);
    assert.ok(i === 0 || value > cells[i - 1][0]);
  }
  for (const d of durations) {
    const us = Math.min(3_600_000_000, Math.max(1, Math.floor(d / 1_000)));
    assert.ok(cells.some(([value]) => value >= us && value - us <= us / 1_000), `${us} us`);
  }
  assert.deepEqual(tally.take(), []);
});

test('a long delay counts for the turns that it prevented', () => {
  const tally = new Tally();
  recordCorrected(tally, 35e6, 10e6);
  assert.deepEqual(tally.take().map(([us]) => Math.floor(us / 1_000)), [5, 15, 25, 35]);
});
