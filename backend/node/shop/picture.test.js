import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blend } from './picture.js';

test('a blend is the mean of each part, rounded down', () => {
  // Each pair of parts: 256 of one beside each of the other.
  const pairs = Array.from({ length: 65_536 }, (_, n) => [n & 255, n >> 8]);
  const [under, over] = [0, 1].map((which) => Uint8Array.from(pairs, (pair) => pair[which]));
  blend(under, over);
  assert.deepEqual([...under], pairs.map(([a, b]) => (a + b) >> 1));
});
