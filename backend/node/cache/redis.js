/**
 * The cache in Redis, through `ioredis`, shared by all workers.
 *
 * All keys begin with the prefix of this start of the shop, and nothing else is touched. The URL comes from the environment and goes into no message. A Redis that does not answer is no reason to refuse a customer: it
 * counts as a miss, and is said in the log once until it is back. How entries are written lies in `fence.js`.
 */
import { Redis } from 'ioredis';
import { unixMs } from '../clock.js';
import { FENCE_MS, Fence } from './fence.js';
import { Locks } from './lock.js';
import { ENTRIES } from './products.js';

/** Keys looked at in one step of finding them all. */
const STEP = 500;
/** Entries that are given another end in one step: a millisecond of work. */
const MOVED = 50;
/** A server that does not answer for so long counts as absent, ms. */
const PATIENCE_MS = 500;
/** At the start and at the end no customer waits, and a machine that is busy stands still for longer than that, ms. */
const CALM_PATIENCE_MS = 5_000;

/** Key: entry. Arguments: how it was, how it is to be, its time. One that was written meanwhile, by another worker that moves it too, stays so. Gives whether it is there. */
const MOVE = `
  local found = redis.call('GET', KEYS[1])
  if not found then return 0 end
  if found == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
  return 1`;

/**
 * A bound that does not hold for the server's other keys: its own limit (`maxmemory`) is for all who use it, so it is left alone. Key: the entries that
 * are there, by when each was used last. Arguments: entry, now, bound, what the keys of entries begin with, the set's time. Gives how many
 * entries had to go.
 */
const USE = `
  redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
  local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[3])
  local gone = 0
  if over > 0 then
    local oldest = redis.call('ZPOPMIN', KEYS[1], over)
    for i = 1, #oldest, 2 do gone = gone + redis.call('UNLINK', ARGV[4] .. oldest[i]) end
  end
  return gone`;

export class RedisCache {
  isShared = true;
  #redis;
  #prefix;
  #fence;
  #locks;
  #planned;
  /** How many entries all workers together may keep; undefined leaves that to the server. */
  #bound;
  #watch;
  #said = false;

  /**
   * @param {string} url
   * @param {string} prefix
   * @param {number} capacity from which on it is no bound
   * @param {import('./products.js').Watch} watch
   * @param {number} [patienceMs] how long is waited for an answer
   */
  constructor(url, prefix, capacity, watch, patienceMs = PATIENCE_MS) {
    this.#prefix = prefix;
    this.#planned = capacity;
    this.#watch = watch;
    this.#redis = connect(url, patienceMs);
    // An entry's own key is the plain one.
    const name = (what, key) => (what === 'entry' ? prefix + key : `${prefix}${what}:${key}`);
    this.#fence = new Fence(this.#redis, name);
    this.#locks = new Locks(this.#redis, name, this.#fence);
    this.#redis.defineCommand('moveEntry', { numberOfKeys: 1, lua: MOVE });
    this.#redis.defineCommand('useEntry', { numberOfKeys: 1, lua: USE });
    this.#redis.on('error', (e) => this.#silent(e));
    this.#redis.on('ready', () => (this.#said = false));
  }

  async get(key) {
    const text = await this.#tried(() => this.#redis.get(this.#prefix + key));
    if (text) await this.#used(key);
    const entry = text ? JSON.parse(text) : undefined;
    return entry?.expiresMs > unixMs() ? entry : undefined;
  }

  /** The number of a load of `key` that begins now; the least one when the server does not answer. */
  async number(key) {
    return (await this.#tried(() => this.#fence.number(key))) ?? 0;
  }

  /** Keeps it, unless it was loaded under a lower number than that of the last change. @param {import('./products.js').Entry} entry */
  async set(key, number, entry) {
    if (await this.#tried(() => this.#fence.write(key, number, JSON.stringify(entry), left(entry)))) await this.#used(key);
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
      if (await this.#tried(() => held.write(JSON.stringify(entry), left(entry)))) await this.#used(key);
    };
    return { held: { write, release: () => this.#tried(() => held.release()) } };
  }

  /** It was read or written. Where there are too many, those used longest ago go. */
  async #used(key) {
    if (this.#bound === undefined) return;
    const gone = await this.#tried(() => this.#redis.useEntry(`${this.#prefix}used`, key, unixMs(), this.#bound, this.#prefix, FENCE_MS));
    if (gone > 0) this.#watch.evicted(gone);
  }

  /** What it stands for was changed, and it is about to be replaced: what is being loaded now is not kept. */
  async outdate(key) {
    await this.#tried(() => this.#fence.change(key, false));
  }

  /** What it stands for was changed: it goes, and what is being loaded now is not kept. */
  async drop(key) {
    const gone = await this.#tried(() => this.#fence.change(key, true));
    this.#watch.removed(gone ?? 0);
  }

  /** Forgets all entries, and gives how many. Locks stay, and their numbers: if those began anew, what an earlier holder writes late would shut out all after it. */
  async clear() {
    const removed = await unlinkAll(this.#redis, this.#prefix + ENTRIES);
    this.#watch.removed(removed);
    return removed;
  }

  /**
   * Gives entries another end, where `endOf` says one; gives how many those are. One that goes meanwhile does not come back.
   * @param {(entry: import('./products.js').Entry) => number | undefined} endOf
   */
  async move(endOf) {
    const keys = (await this.#tried(() => this.#keys())) ?? [];
    let count = 0;
    for (let from = 0; from < keys.length; from += MOVED) {
      count += (await this.#tried(() => this.#move(keys.slice(from, from + MOVED), endOf))) ?? 0;
    }
    return count;
  }

  /** The keys of all entries that are there. */
  async #keys() {
    const all = new Set();
    for await (const keys of scan(this.#redis, this.#prefix + ENTRIES)) for (const key of keys) all.add(key.slice(this.#prefix.length));
    return [...all];
  }

  async #move(keys, endOf) {
    const texts = await this.#redis.mget(keys.map((k) => this.#prefix + k));
    const moves = this.#redis.pipeline();
    for (const [n, text] of texts.entries()) {
      const entry = text && JSON.parse(text);
      const expiresMs = entry && endOf(entry);
      if (!entry || expiresMs === undefined) continue;
      const moved = { ...entry, expiresMs };
      moves.moveEntry(this.#prefix + keys[n], text, JSON.stringify(moved), left(moved));
    }
    return (await moves.exec()).filter(([, said]) => said === 1).length;
  }

  /** Room for so many entries of all workers together; those used longest ago go. */
  resize(capacity) {
    this.#bound = capacity < this.#planned ? capacity : undefined;
    if (this.#bound !== undefined) void this.#tried(() => this.#useAll());
  }

  async #useAll() {
    for (const key of await this.#keys()) await this.#used(key);
  }

  tidy() {}

  async end() {
    this.#redis.disconnect();
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
  let removed = 0;
  for await (const keys of scan(redis, prefix)) removed += await redis.unlink(...keys);
  return removed;
}

/** All keys that begin with `prefix`, some at a time; one may come twice. */
async function* scan(redis, prefix) {
  let from = '0';
  do {
    const [next, keys] = await redis.scan(from, 'MATCH', `${prefix}*`, 'COUNT', STEP);
    if (keys.length > 0) yield keys;
    from = next;
  } while (from !== '0');
}

/** What is left of an entry's time, ms. */
function left(entry) {
  return Math.max(1, Math.round(entry.expiresMs - unixMs()));
}
