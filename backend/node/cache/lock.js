/**
 * A lock on a Redis server: over all workers one loads and the others wait for what it writes.
 *
 * The lock expires, so a holder that dies holds up nobody for long. A holder that was merely slow may then write while its successor does;
 * so each gets a number with the lock (a fencing token), and the server refuses what comes under a lower number than the last.
 */
import { randomBytes } from 'node:crypto';

/** Numbers and what was last written under are kept this long, ms: far longer than any lock. */
const FENCE_MS = 3_600_000;

/** Keys: lock, counter. Arguments: holder, lock's time, counter's time. Gives the number, or 0. */
const ACQUIRE = `
  if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
  local number = redis.call('INCR', KEYS[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  return number`;

/** Keys: entry, number written last. Arguments: number, entry, its time, the number's time. Gives whether it was written. */
const WRITE = `
  local last = tonumber(redis.call('GET', KEYS[2]) or '0')
  if tonumber(ARGV[1]) < last then return 0 end
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[4])
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return 1`;

/** Key: lock. Argument: holder. A lock that somebody else has by now is left alone. */
const RELEASE = `
  if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
  return 0`;

/** Locks on the server of `redis`; `name` makes a key of what a thing is to an entry. */
export class Locks {
  #redis;
  #name;

  /**
   * @param {import('ioredis').Redis} redis
   * @param {(what: string, key: string) => string} name
   */
  constructor(redis, name) {
    this.#redis = redis;
    this.#name = name;
    redis.defineCommand('acquireLock', { numberOfKeys: 2, lua: ACQUIRE });
    redis.defineCommand('writeFenced', { numberOfKeys: 2, lua: WRITE });
    redis.defineCommand('releaseLock', { numberOfKeys: 1, lua: RELEASE });
  }

  /** Takes the lock of `key`, if it is free. */
  async acquire(key, lockMs) {
    const holder = randomBytes(16).toString('hex');
    const number = await this.#redis.acquireLock(this.#name('lock', key), this.#name('fence', key), holder, Math.round(lockMs), FENCE_MS);
    return number > 0 ? new Held(this.#redis, this.#name, key, holder, number) : undefined;
  }
}

/** The lock of one key, held. */
class Held {
  #redis;
  #name;
  #key;
  #holder;
  #number;

  constructor(redis, name, key, holder, number) {
    [this.#redis, this.#name, this.#key, this.#holder, this.#number] = [redis, name, key, holder, number];
  }

  /** Keeps `text` for a while, unless a later holder has written already. Says whether it was kept. */
  async write(text, lifeMs) {
    const keys = [this.#name('entry', this.#key), this.#name('written', this.#key)];
    return (await this.#redis.writeFenced(...keys, this.#number, text, lifeMs, FENCE_MS)) === 1;
  }

  /** Lets go of it. */
  async release() {
    await this.#redis.releaseLock(this.#name('lock', this.#key), this.#holder);
  }
}
