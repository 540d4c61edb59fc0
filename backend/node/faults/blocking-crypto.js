/**
 * Blocking crypto, and its cure: where a password is hashed.
 *
 * The fault hashes on the event loop (`scryptSync`), and brings old hashes up to a higher cost there, too: nobody else is
 * served meanwhile. The cure hashes on the offload threads.
 */
import { randomBytes, scryptSync } from 'node:crypto';
import { HASH_BYTES, SALT_BYTES, hash, hashSync } from '../shop/password.js';
import { Fault, SHARE } from './fault.js';

/** Memory that scrypt may take at the greatest cost (2^16 x 8 x 128 = 64 MiB), and a little more. */
const MAX_MEMORY = 80 << 20;

export class BlockingCrypto extends Fault {
  static kind = 'blocking-crypto';
  static knobs = {
    cost: { about: 'log2 of the rounds of the new hash: 14 takes about 40 ms', default: 14, min: 10, max: 16 },
    share: SHARE,
  };

  /** The password's hash. */
  async hash(password, salt) {
    return this.strikes() ? this.#onTheLoop(password, salt) : hash(password, salt);
  }

  /** The fault. */
  #onTheLoop(password, salt) {
    const found = hashSync(password, salt);
    const rounds = 2 ** Math.round(this.knob('cost'));
    scryptSync(password, randomBytes(SALT_BYTES), HASH_BYTES, { N: rounds, r: 8, p: 1, maxmem: MAX_MEMORY });
    this.tookEffect();
    return found;
  }
}
