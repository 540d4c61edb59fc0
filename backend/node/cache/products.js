/**
 * The cache of product details (cache-aside), in this process or in Redis.
 *
 * Owns what is kept and the figures. How a missed one is loaded, how long it is kept, and what is remembered of one that is
 * not there, are choices between faults and their cures.
 */
import { MemoryCache } from './memory.js';

/** What is kept of a product that does not exist. */
const ABSENT = { absent: true };

export class ProductCache {
  #entries;
  #settings;
  #faults;
  #meter;
  #read;

  /**
   * @param {MemoryCache | import('./redis.js').RedisCache} entries
   * @param {typeof import('../settings.js').SHOP} settings
   * @param {import('../faults/index.js').Faults} faults
   * @param {import('../agent/cache.js').CacheMeter} meter
   * @param {(id: number) => Promise<object | undefined>} read from the database
   */
  constructor(entries, settings, faults, meter, read) {
    this.#entries = entries;
    this.#settings = settings;
    this.#faults = faults;
    this.#meter = meter;
    this.#read = read;
    meter.entries = () => entries.size;
  }

  get plannedCapacity() {
    return this.#settings.cacheCapacity;
  }

  /** The detail of product `id`; undefined when there is none. */
  async get(id) {
    const key = `product:${id}`;
    let found = await this.#entries.get(key);
    this.#meter.count(found ? 'hits' : 'misses');
    found ??= await this.#faults.stampede.load(key, () => this.#load(key, id), this.#meter);
    return found.absent ? undefined : found;
  }

  /** Product `id` was changed: what is kept of it is wrong. */
  async drop(id) {
    await this.#entries.drop(`product:${id}`);
  }

  async clear() {
    await this.#entries.clear();
  }

  resize(capacity) {
    this.#entries.resize(capacity);
  }

  tidy() {
    this.#entries.tidy();
  }

  async end() {
    await this.#entries.end();
  }

  /** From the database, metered as a load of its key. */
  async #load(key, id) {
    const done = this.#meter.begin(key);
    try {
      const found = (await this.#read(id)) ?? ABSENT;
      const keep = !found.absent || this.#faults.penetration.keepsAbsence();
      if (keep) await this.#entries.set(key, found, this.#faults.avalanche.life(this.#settings.cacheTtlMs));
      return found;
    } finally {
      done();
    }
  }
}

/**
 * The cache that the environment names, else one in this process.
 * @param {string | undefined} url `DYNO_CACHE_URL`
 */
export async function openEntries(url, capacity, evicted) {
  if (!url) return new MemoryCache(capacity, evicted);
  const { RedisCache } = await import('./redis.js');
  const cache = new RedisCache(url, capacity, evicted);
  await cache.check();
  return cache;
}
