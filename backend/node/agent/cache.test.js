import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mono } from '../clock.js';
import { CacheMeter } from './cache.js';
import { Lanes } from './lanes.js';

test('loads of one key that overlap are one refresh', () => {
  const meter = new CacheMeter(new Lanes('shop-0'), 'products');
  const loads = [meter.begin('a'), meter.begin('a'), meter.begin('b')];
  assert.equal(meter.running('a'), 2);
  loads[0]();
  loads.push(meter.begin('a'));
  loads[1]();
  assert.deepEqual(meter.takeRefreshes(mono()), []);
  loads.slice(2).forEach((done) => done());
  const told = meter.takeRefreshes(mono()).map(({ kind, labels, value }) => [kind, labels[1][1], value]);
  assert.deepEqual(told, [['cache.refresh', 'a', 3], ['cache.refresh', 'b', 1]]);
});

test('a stampede is told while it lasts', () => {
  const meter = new CacheMeter(new Lanes('shop-0'), 'products');
  meter.begin('a');
  meter.begin('a');
  const [event] = meter.takeRefreshes(mono() + 1.1e9);
  assert.equal(event.value, 2);
  assert.deepEqual(meter.takeRefreshes(mono() + 1.2e9), []);
});
