import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Leak } from '../faults/leak.js';
import { BoundedMap } from './bounded-map.js';

test('the one used longest ago goes first', () => {
  const map = new BoundedMap(2);
  map.set('a', 1);
  map.set('b', 2);
  map.get('a');
  assert.equal(map.set('c', 3), 1);
  assert.deepEqual([map.get('a'), map.get('b'), map.get('c')], [1, undefined, 3]);
  assert.equal(map.resize(1), 1);
  assert.equal(map.size, 1);
});

test('the cure stays within its bound and the fault does not', () => {
  const told = [];
  const leak = new Leak((_, what) => told.push(what));
  const cure = new BoundedMap(3);
  const keep = (n) => leak.keep({ id: `${n}`, customer: n }) || cure.set(`${n}`, n);
  for (let n = 0; n < 10; n++) keep(n);
  assert.deepEqual([cure.size, leak.size], [3, 0]);
  const arm = leak.arm({ name: 'leak', for_ms: 1, knobs: { bytes: 2_000 } });
  for (let n = 10; n < 20; n++) keep(n);
  assert.deepEqual([cure.size, leak.size, leak.find('10').customer], [3, 10, 10]);
  leak.end(arm - 1);
  assert.ok(leak.on, 'the timer of an earlier life came late');
  leak.end(arm);
  assert.deepEqual([leak.size, told], [0, ['armed', 'onset', 'ended']]);
});
