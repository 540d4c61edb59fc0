/**
 * The cache in Redis, through `ioredis`, shared by all workers.
 *
 * All keys begin with the prefix of this start of the shop, and nothing else is touched. The URL comes from the environment and goes into no message. A Redis that does not answer is no reason to refuse a customer: it
 * counts as a miss, and is said in the log once until it is back.
 */
import { Redis } from 'ioredis';
import { unixMs } from '../clock.js';
import { BoundedMap } from './bounded-map.js';
import { Locks } from './lock.js';
import { ENTRIES } from './products.js';

/** Keys looked at in one step of emptying. */
const STEP = 500;
/** Entries that are given another end in one step: a millisecond of work. */
const MOVED = 50;
/** A server that does not answer for so long counts as absent, ms. */
const PATIENCE_MS = 500;
/** At the start and at the end no customer waits, and a machine that is busy stands still for longer than that, ms. */
const CALM_PATIENCE_MS = 5_000;

export class RedisCache {
  isShared = true;
  #redis;
  #prefix;
  #locks;
  #keys;
  #watch;
  #said = false;

  /**
   * @param {string} url
   * @param {string} prefix
   * @param {import('./products.js').Watch} watch
   * @param {number} [patienceMs] how long is waited for an answer
   */
  constructor(url, prefix, capacity, watch, patienceMs = PATIENCE_MS) {
    this.#prefix = prefix;
    this.#keys = new BoundedMap(capacity);
    this.#watch = watch;
    this.#redis = connect(url, patienceMs);
    // An entry's own key is the plain one.
    this.#locks = new Locks(this.#redis, (what, key) => (what === 'entry' ? prefix + key : `${prefix}${what}:${key}`));
    this.#redis.on('error', (e) => this.#silent(e));
    this.#redis.on('ready', () => (this.#said = false));
  }

  get size() {
    return this.#keys.size;
  }

  async get(key) {
    const text = await this.#tried(() => this.#redis.get(this.#prefix + key));
    const entry = text ? JSON.parse(text) : undefined;
    return entry?.expiresMs > unixMs() ? entry : undefined;
  }

  /** @param {import('./products.js').Entry} entry */
  async set(key, entry) {
    await this.#tried(() => this.#redis.set(this.#prefix + key, JSON.stringify(entry), 'PX', left(entry)));
    await this.#keep(key);
  }

  /**
   * Takes the lock of `key`, if it is free: then it is `held`. Undefined when the server does not answer.
   * @returns {Promise<{ held?: { write: (entry: import('./products.js').Entry) => Promise<void>, release: () => Promise<void> } } | undefined>}
   */
  async lock(key, lockMs) {
    const answer = await this.#tried(async () => ({ held: await this.#locks.acquire(key, lockMs) }));
    const held = answer?.held;
    if (!held) return answer;
    const write = async (entry) => {
      if (await this.#tried(() => held.write(JSON.stringify(entry), left(entry)))) await this.#keep(key);
    };
    return { held: { write, release: () => this.#tried(() => held.release()) } };
  }

  /** Counts the key as one of this worker's; one too many lets the oldest go. */
  async #keep(key) {
    const before = [...this.#oldest(1)];
    const gone = this.#keys.set(key, true);
    if (gone > 0) await this.#drop(before);
  }

  async drop(key) {
    this.#keys.delete(key);
    const gone = await this.#tried(() => this.#redis.unlink(this.#prefix + key));
    this.#watch.removed(gone ?? 0);
  }

  /** Forgets all entries. Locks stay, and their numbers: if those began anew, what an earlier holder writes late would shut out all after it. */
  async clear() {
    this.#watch.removed(await unlinkAll(this.#redis, this.#prefix + ENTRIES));
    this.#keys.clear();
  }

  /** All entries of this worker that are there expire at this time; gives how many those are. One that goes meanwhile does not come back. */
  async expireAt(expiresMs) {
    const keys = [...this.#keys.entries()].map(([key]) => key);
    let count = 0;
    for (let from = 0; from < keys.length; from += MOVED) {
      count += (await this.#tried(() => this.#move(keys.slice(from, from + MOVED), expiresMs))) ?? 0;
    }
    return count;
  }

  async #move(keys, expiresMs) {
    const texts = await this.#redis.mget(keys.map((k) => this.#prefix + k));
    const moves = this.#redis.pipeline();
    for (const [n, text] of texts.entries()) {
      if (!text) continue;
      const entry = { ...JSON.parse(text), expiresMs };
      moves.set(this.#prefix + keys[n], JSON.stringify(entry), 'PX', left(entry), 'XX');
    }
    return (await moves.exec()).filter(([, said]) => said === 'OK').length;
  }

  /** Room for so many keys of this worker; those used longest ago go. */
  resize(capacity) {
    const gone = this.#oldest(Math.max(0, this.#keys.size - capacity));
    this.#keys.resize(capacity);
    if (gone.length > 0) void this.#drop(gone);
  }

  tidy() {}

  async end() {
    this.#redis.disconnect();
  }

  #oldest(count) {
    const keys = [];
    for (const [key] of this.#keys.entries()) {
      if (keys.length >= count) break;
      keys.push(key);
    }
    return keys;
  }

  async #drop(keys) {
    this.#watch.evicted(keys.length);
    await this.#tried(() => this.#redis.unlink(...keys.map((k) => this.#prefix + k)));
  }

  async #tried(ask) {
    try {
      return await ask();
    } catch (e) {
      this.#silent(e);
      return undefined;
    }
  }

  #silent(error) {
    if (!this.#said) console.error(`shop: the cache does not answer: ${error.code ?? error.message}`);
    this.#said = true;
  }
}

function connect(url, patienceMs) {
  return new Redis(url, {
    enableOfflineQueue: true,
    maxRetriesPerRequest: 1,
    connectTimeout: Math.max(PATIENCE_MS * 4, patienceMs),
    commandTimeout: patienceMs,
    retryStrategy: (times) => Math.min(times * 50, 1_000),
  });
}

/** Answers when the server is there. */
export async function check(url) {
  try {
    await calmly(url, (redis) => redis.ping());
  } catch (e) {
    throw new Error(`the cache of DYNO_CACHE_URL cannot be reached: ${e.message}`);
  }
}

/** Removes every key that begins with `prefix`: what a shop leaves at its end. Those of one that is killed expire, the last after an hour. */
export async function sweep(url, prefix) {
  await calmly(url, (redis) => unlinkAll(redis, prefix));
}

/** Does `work` over a connection of its own, for which nobody waits. */
async function calmly(url, work) {
  const redis = connect(url, CALM_PATIENCE_MS);
  redis.on('error', () => {});
  try {
    await work(redis);
  } finally {
    redis.disconnect();
  }
}

/** Gives how many there were. */
async function unlinkAll(redis, prefix) {
  let [removed, from] = [0, '0'];
  do {
    const [next, keys] = await redis.scan(from, 'MATCH', `${prefix}*`, 'COUNT', STEP);
    if (keys.length > 0) removed += await redis.unlink(...keys);
    from = next;
  } while (from !== '0');
  return removed;
}

/** What is left of an entry's time, ms. */
function left(entry) {
  return Math.max(1, Math.round(entry.expiresMs - unixMs()));
}
