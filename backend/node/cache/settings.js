/**
 * How the cache of product details works, and what makes sense; it can be changed while the shop runs. The names and ranges are the Rust
 * shop's.
 */
import { Refusal } from '../http/refusal.js';

/** Longest time of an entry, ms: an hour. */
const MAX_TTL_MS = 3_600_000;

/**
 * @typedef {object} CacheSettings
 * @property {number} ttl-ms how long an entry is good
 * @property {'cache-aside' | 'write-through'} mode what happens when a product is changed: the entry is dropped, or written anew
 * @property {'none' | 'single-flight' | 'lock' | 'xfetch'} protection what keeps requests that miss at once from loading at once
 * @property {number} jitter an entry expires up to this share of its time earlier, at random
 * @property {number} negative-ms how long it is remembered that there is no such product; 0 for not at all
 * @property {number} beta eagerness of early refreshes under `xfetch`
 * @property {number} lock-ms after this a lock is free again, whatever became of its holder
 */

/** @type {CacheSettings} */
export const CACHE = {
  'ttl-ms': 1_000,
  mode: 'cache-aside',
  protection: 'single-flight',
  jitter: 0.1,
  'negative-ms': 1_000,
  beta: 1,
  'lock-ms': 2_000,
};

const RANGES = {
  'ttl-ms': [1, MAX_TTL_MS],
  'negative-ms': [0, MAX_TTL_MS],
  'lock-ms': [1, MAX_TTL_MS],
  jitter: [0, 1],
  beta: [0.1, 10],
};

const CHOICES = {
  mode: ['cache-aside', 'write-through'],
  protection: ['none', 'single-flight', 'lock', 'xfetch'],
};

/**
 * Settings of which what is not said is the default.
 * @param {unknown} said
 * @param {boolean} shared do workers share the cache?
 * @returns {CacheSettings}
 */
export function checkedCache(said, shared) {
  if (said === null || typeof said !== 'object' || Array.isArray(said)) throw Refusal.bad('settings of the cache are a JSON object');
  for (const [name, value] of Object.entries(said)) {
    if (!Object.hasOwn(CACHE, name)) throw Refusal.bad(`unknown field \`${name}\`, expected one of ${Object.keys(CACHE).join(', ')}`);
    const [min, max] = RANGES[name] ?? [];
    const fits = CHOICES[name]?.includes(value) ?? (typeof value === 'number' && value >= min && value <= max);
    if (!fits) throw Refusal.bad(`${name} is ${JSON.stringify(value)}, expected ${CHOICES[name]?.join(', ') ?? `${min} to ${max}`}`);
  }
  const settings = { ...CACHE, ...said };
  if (settings.protection === 'lock' && !shared) {
    throw Refusal.bad('protection is `lock`, which needs a cache that all workers share: Redis');
  }
  return settings;
}
