/**
 * A lock on a Redis server: over all workers one loads and the others wait for what it writes.
 *
 * The lock expires, so a holder that dies holds up nobody for long. A holder that was merely slow may then write while its successor does;
 * so each gets a number with the lock (a fencing token, see `fence.js`), and the server refuses what comes under a lower number than the last.
 */
import { randomBytes } from 'node:crypto';
import { FENCE_MS } from './fence.js';

/** Keys: lock, counter. Arguments: holder, lock's time, counter's time. Gives the number, or 0. */
const ACQUIRE = `
  if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
  local number = redis.call('INCR', KEYS[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  return number`;

/** Key: lock. Argument: holder. A lock that somebody else has by now is left alone. */
const RELEASE = `
  if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
  return 0`;

/** Locks on the server of `redis`; `name` makes a key of what a thing is to an entry. */
export class Locks {
  #redis;
  #name;
  #fence;

  /**
   * @param {import('ioredis').Redis} redis
   * @param {(what: string, key: string) => string} name
   * @param {import('./fence.js').Fence} fence of the same server and names
   */
  constructor(redis, name, fence) {
    this.#redis = redis;
    this.#name = name;
    this.#fence = fence;
    redis.defineCommand('acquireLock', { numberOfKeys: 2, lua: ACQUIRE });
    redis.defineCommand('releaseLock', { numberOfKeys: 1, lua: RELEASE });
  }

  /** Takes the lock of `key`, if it is free. */
  async acquire(key, lockMs) {
    const holder = randomBytes(16).toString('hex');
    const number = await this.#redis.acquireLock(this.#name('lock', key), this.#name('fence', key), holder, Math.round(lockMs), FENCE_MS);
    return number > 0 ? new Held(this.#redis, this.#name, this.#fence, key, holder, number) : undefined;
  }
}

/** The lock of one key, held. */
class Held {
  #redis;
  #name;
  #fence;
  #key;
  #holder;
  #number;

  constructor(redis, name, fence, key, holder, number) {
    [this.#redis, this.#name, this.#fence, this.#key, this.#holder, this.#number] = [redis, name, fence, key, holder, number];
  }

  /** Keeps `text` for a while, unless a later holder has written already, or what it stands for was changed. Says whether it was kept. */
  write(text, lifeMs) {
    return this.#fence.write(this.#key, this.#number, text, lifeMs);
  }

  /** Lets go of it. */
  async release() {
    await this.#redis.releaseLock(this.#name('lock', this.#key), this.#holder);
  }
}
