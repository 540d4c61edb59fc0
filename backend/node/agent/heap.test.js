import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Growth, hasten, watchHeap } from './heap.js';
import { Pauses } from './pauses.js';

const MIB = 1_024 * 1_024;

/** How often it is said of `bytes` by the second that it grows, read ten times a second. */
const said = (seconds, bytes) => {
  const growth = new Growth();
  return Array.from({ length: seconds * 10 }, (_, n) => growth.goesOn(bytes(n / 10), 1 + n * 100)).filter(Boolean).length;
};

test('what rises for six seconds grows, and nothing else does', () => {
  assert.equal(said(6, (t) => t * MIB), 0);
  assert.equal(said(7, (t) => t * MIB), 1);
  assert.equal(said(60, () => 20 * MIB), 0);
  // A step, a saw, and what creeps.
  assert.equal(said(60, (t) => (t > 5 ? 40 : 20) * MIB), 0);
  assert.equal(said(60, (t) => (t % 2.5) * 10 * MIB), 0);
  assert.equal(said(60, (t) => t * MIB * 0.1), 0);
});

test('a collection that is hastened comes at once, once, and tells what lives', async () => {
  const read = {};
  const pauses = new Pauses({ level: (name, _, now) => (read[name] = now), rate: () => {} });
  if (!pauses.seesCollections) return;
  watchHeap({ level: (name, _, now) => (read[name] = now) }, pauses);
  const kept = [];
  const turns = async (many, over = () => false) => {
    for (let n = 0; n < many && !over(); n++) {
      for (let i = 0; i < 400; i++) kept.push({ n, text: `${i}` });
      await pause(2);
    }
  };
  // V8 begins none below 8 MiB.
  while (read['heap.old.used']() < 12 * MIB) await turns(50);
  const before = pauses.collections.major;
  const live = read['heap.live']();
  hasten(true);
  await turns(2_000, () => pauses.collections.major > before);
  const after = pauses.collections.major;
  await turns(100);
  pauses.stop();
  assert.equal(after, before + 1);
  assert.ok(pauses.collections.major <= after + 1, `${pauses.collections.major - after} more`);
  assert.ok(read['heap.live']() > live + MIB, `${live} and ${read['heap.live']()} bytes`);
});
