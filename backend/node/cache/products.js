/**
 * The cache of product details, in this process or in Redis.
 *
 * Owns what is kept and the figures, and which protection is used when. What each does lies in `lock.js`, `xfetch.js` and
 * `faults/stampede.js` (single flight); how long an entry is kept, and what is remembered of one that is not there, are choices between
 * faults and their cures.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { unixMs } from '../clock.js';
import { Refusal } from '../http/refusal.js';
import { MemoryCache } from './memory.js';
import { drawsTheLot } from './xfetch.js';

/** What the keys of all entries begin with; the product's number follows. */
export const ENTRIES = 'product:';
/** What is kept of a product that does not exist. */
const ABSENT = { absent: true };
/** Who waits for another's load looks again after this and as long again at most, ms: a load takes many times as long. */
const LOOK_AGAIN_MS = 10;

/** Ends that were meant to be the same lie no further apart, ms: between two looks at the clock there are few lines. */
const SAME_MS = 20;

/** @typedef {{ value: object, expiresMs: number, loadMs: number }} Entry `expiresMs` since 1970: workers share it */

/** @typedef {(how: import('./settings.js').CacheSettings) => import('./settings.js').CacheSettings} Change */

/**
 * Told how many entries went, and why: to make room, because their time was over (a store elsewhere does not say), removed by the shop.
 * @typedef {{ evicted: (entries: number) => void, expired: (entries: number) => void, removed: (entries: number) => void }} Watch
 */

export class ProductCache {
  #entries;
  #settings;
  /** How it is set to work. */
  #asSet;
  /** How it works: so, but for what is held. */
  #how;
  /** What becomes of any setting, by who holds that. @type {Map<string, Change>} */
  #held = new Map();
  #heldCapacity;
  #faults;
  #meter;
  #read;

  /**
   * @param {MemoryCache | import('./redis.js').RedisCache} entries
   * @param {typeof import('../settings.js').SHOP} settings
   * @param {import('./settings.js').CacheSettings} how
   * @param {import('../faults/index.js').Faults} faults
   * @param {import('../agent/cache.js').CacheMeter} meter
   * @param {(id: number) => Promise<object | undefined>} read from the database
   */
  constructor(entries, settings, how, faults, meter, read) {
    this.#entries = entries;
    this.#settings = settings;
    this.#asSet = how;
    this.#how = how;
    this.#faults = faults;
    this.#meter = meter;
    this.#read = read;
    // On a server they are everybody's, and go by themselves.
    if (!(entries instanceof MemoryCache)) return;
    meter.tellsEntries(() => entries.size);
    meter.tellsExpired();
  }

  get plannedCapacity() {
    return this.#settings.cacheCapacity;
  }

  /** How it works from now on, but for what is held. Entries that are there keep their time. */
  set(how) {
    this.#asSet = how;
    this.#settle();
  }

  /** Changes how it works, whatever it is set to from now on; of what `who` holds the newest counts. @param {Change} change */
  hold(who, change) {
    this.#held.delete(who);
    this.#held.set(who, change);
    this.#settle();
  }

  #settle() {
    this.#how = [...this.#held.values()].reduce((how, change) => change(how), this.#asSet);
  }

  /** The detail of product `id`; undefined when there is none. */
  async get(id) {
    const found = await this.#get(ENTRIES + id, id);
    return found.absent ? undefined : found;
  }

  async #get(key, id) {
    const { protection, beta } = this.#how;
    const load = () => this.#load(key, id);
    const entry = await this.#entries.get(key);
    if (entry) {
      this.#meter.count('hits');
      if (entry.value.absent) this.#meter.count('absent-hits');
      // From (0, 1], since the logarithm of 0 is none.
      const early = protection === 'xfetch' && drawsTheLot(entry.expiresMs - unixMs(), entry.loadMs, beta, 1 - Math.random());
      if (!early) return entry.value;
      this.#meter.count('early-refreshes');
      // One that fails is no harm yet: the entry is still good.
      return load().catch(() => entry.value);
    }
    this.#meter.count('misses');
    const { stampede } = this.#faults;
    if (stampede.on) return stampede.unprotected(key, load, this.#meter);
    if (protection === 'single-flight') return stampede.singleFlight(key, load, this.#meter);
    // One of each worker asks for the lock: many that look again would keep the holder from its work.
    if (protection === 'lock') return stampede.singleFlight(key, () => this.#underLock(key, id), this.#meter);
    return load();
  }

  /** Product `id` was changed: what is kept of it must not stay as it was. The change is done by now, so a load that fails only drops it. */
  async changed(id) {
    const key = ENTRIES + id;
    const drop = () => this.#entries.drop(key);
    if (this.#how.mode !== 'write-through') return drop();
    await this.#entries.outdate(key);
    await this.#load(key, id).catch(drop);
  }

  /** Another worker has changed product `id`. A cache that all share it has seen to itself. */
  async changedElsewhere(id) {
    if (!this.#entries.isShared) await this.#entries.drop(ENTRIES + id);
  }

  /** Gives how many entries went. */
  clear() {
    return this.#entries.clear();
  }

  resize(capacity) {
    if (this.#heldCapacity === undefined) this.#entries.resize(capacity);
  }

  /** It may keep so many entries from now on, whatever anybody wants. */
  holdCapacity(capacity) {
    this.#heldCapacity = capacity;
    this.#entries.resize(capacity);
  }

  /** All entries that are there expire at this time; gives how many those are. */
  expireAt(expiresMs) {
    return this.#entries.move(() => expiresMs);
  }

  /** Entries that expire at this time do so each at its own: what is left of them is drawn, as it is of entries that were loaded one by one. */
  async spread(atMs) {
    const left = () => unixMs() + Math.ceil(Math.random() * this.#how['ttl-ms']);
    await this.#entries.move(({ expiresMs }) => (Math.abs(expiresMs - atMs) <= SAME_MS ? left() : undefined));
  }

  tidy() {
    this.#entries.tidy();
  }

  async end() {
    await this.#entries.end();
  }

  /** Loads, whoever else does, and keeps what came. */
  async #load(key, id) {
    const number = await this.#entries.number(key);
    const entry = await this.#fresh(key, id);
    if (entry.expiresMs > unixMs()) await this.#entries.set(key, number, entry);
    return entry.value;
  }

  /**
   * Over all workers one loads; the others look again until it is there, or the lock is free. When the server does not answer there is
   * no lock to be had, and the shop goes on without. Who waits in vain is refused.
   */
  async #underLock(key, id) {
    for (const until = performance.now() + this.#settings.poolPatienceMs; performance.now() < until; ) {
      const lock = await this.#entries.lock?.(key, this.#how['lock-ms']);
      if (!lock) return this.#load(key, id);
      if (lock.held) return this.#asHolder(key, id, lock.held);
      await pause(LOOK_AGAIN_MS * (1 + Math.random()));
      const entry = await this.#entries.get(key);
      if (!entry) continue;
      this.#meter.count('coalesced');
      return entry.value;
    }
    throw new Refusal(503, 'the cache is busy, try again');
  }

  async #asHolder(key, id, held) {
    try {
      // The holder before us may have written after we missed.
      const there = await this.#entries.get(key);
      if (there) return there.value;
      const entry = await this.#fresh(key, id);
      if (entry.expiresMs > unixMs()) await held.write(entry);
      return entry.value;
    } finally {
      await held.release();
    }
  }

  /**
   * From the database, metered as a load of its key. The entry of one that does not exist has no time left when that is not to be remembered.
   * @returns {Promise<Entry>}
   */
  async #fresh(key, id) {
    const done = this.#meter.begin(key);
    const began = performance.now();
    try {
      const value = (await this.#read(id)) ?? ABSENT;
      if (value.absent) this.#meter.count('absent-loads');
      return { value, loadMs: performance.now() - began, expiresMs: unixMs() + this.#life(value) };
    } finally {
      done();
    }
  }

  #life(value) {
    const { jitter, 'ttl-ms': ttlMs, 'negative-ms': negativeMs } = this.#how;
    if (value.absent) return this.#faults.penetration.keepsAbsence() ? negativeMs : 0;
    return this.#faults.avalanche.life(ttlMs, jitter);
  }
}

/**
 * The cache that the environment names, else one in this process.
 * @param {string | undefined} url `DYNO_CACHE_URL`
 * @param {string} prefix of all keys there
 * @param {Watch} watch
 */
export async function openEntries(url, prefix, capacity, watch) {
  if (!url) return new MemoryCache(capacity, watch);
  const { RedisCache, check } = await import('./redis.js');
  await check(url);
  return new RedisCache(url, prefix, capacity, watch);
}
