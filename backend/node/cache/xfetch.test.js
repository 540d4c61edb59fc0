/** XFetch: how many load for each expiry. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawsTheLot } from './xfetch.js';

/** Milliseconds of a load; a request comes every one of them. */
const LOAD_MS = 100;
const ROUNDS = 2_000;

/** A generator of random numbers (mulberry32), the same each time. */
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Loads for one expiry: each request sees the entry until a load that began is done. */
function loads(draw, beta) {
  // So long that hardly anybody draws the lot at first.
  const ttlMs = 15 * LOAD_MS * beta;
  let [count, done] = [0, Infinity];
  for (let now = 0; now < done; now++) {
    // After the expiry everybody loads: there is no entry any more.
    if (!drawsTheLot(Math.max(0, ttlMs - now), LOAD_MS, beta, 1 - draw())) continue;
    count += 1;
    done = Math.min(done, now + LOAD_MS);
  }
  return count;
}

test('about e to the inverse of beta load for each expiry', () => {
  const draw = random(7);
  for (const beta of [0.7, 1, 2, 4]) {
    let sum = 0;
    for (let i = 0; i < ROUNDS; i++) sum += loads(draw, beta);
    const [mean, expected] = [sum / ROUNDS, Math.exp(1 / beta)];
    // The standard error is below 2% of the mean; requests are not as dense as the derivation has them.
    assert.ok(Math.abs(mean / expected - 1) < 0.1, `beta ${beta}: ${mean}, expected ${expected}`);
  }
});

test('nobody loads long before and everybody after the expiry', () => {
  assert.equal(drawsTheLot(60_000, 10, 1, 0.000_001), false);
  assert.equal(drawsTheLot(0, 10, 1, 1), true);
});
