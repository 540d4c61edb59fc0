/**
 * Fencing tokens: which loads a Redis server still keeps.
 *
 * Every load takes a number before it reads the database, with its lock (`lock.js`) or without one, and so does every change of a product. The
 * server remembers the number of the last write or change, and refuses what comes under a lower one: what a holder of the lock writes who was
 * merely slow, and what was read before a change.
 */

/** Numbers and what was last written under are kept this long, ms: far longer than any lock or load. */
export const FENCE_MS = 3_600_000;

/** Key: counter. Argument: its time. Gives the number. */
const TAKE = `
  local number = redis.call('INCR', KEYS[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  return number`;

/**
 * Keys: entry, number written last. Arguments: number, entry, its time, the number's time. Gives whether it was written. The last number is
 * read by a command that writes, because one that reads would be a miss in the server's figures.
 */
const WRITE = `
  local last = redis.call('INCRBY', KEYS[2], 0)
  if tonumber(ARGV[1]) < last then return 0 end
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[4])
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return 1`;

/** Keys: counter, number written last, and the entry if it is to go. Argument: the numbers' time. Gives how many entries went. */
const CHANGE = `
  local number = redis.call('INCR', KEYS[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  redis.call('SET', KEYS[2], number, 'PX', ARGV[1])
  if KEYS[3] then return redis.call('DEL', KEYS[3]) end
  return 0`;

/** Numbers on the server of `redis`; `name` makes a key of what a thing is to an entry. */
export class Fence {
  #redis;
  #name;

  /**
   * @param {import('ioredis').Redis} redis
   * @param {(what: string, key: string) => string} name
   */
  constructor(redis, name) {
    this.#redis = redis;
    this.#name = name;
    redis.defineCommand('takeNumber', { numberOfKeys: 1, lua: TAKE });
    redis.defineCommand('writeFenced', { numberOfKeys: 2, lua: WRITE });
    redis.defineCommand('changeFenced', { lua: CHANGE });
  }

  /** The number of a load of `key` that begins now. */
  number(key) {
    return this.#redis.takeNumber(this.#name('fence', key), FENCE_MS);
  }

  /** Keeps `text` for a while, unless something was written or changed under a later number. Says whether it was kept. */
  async write(key, number, text, lifeMs) {
    return (await this.#redis.writeFenced(this.#name('entry', key), this.#name('written', key), number, text, lifeMs, FENCE_MS)) === 1;
  }

  /** What `key` stands for was changed: what is being loaded now is not kept. With it the entry `goes` or not; gives how many went. */
  change(key, goes) {
    const keys = ['fence', 'written', ...(goes ? ['entry'] : [])].map((what) => this.#name(what, key));
    return this.#redis.changeFenced(keys.length, ...keys, FENCE_MS);
  }
}
