/**
 * Blocking crypto, and its cure: where a password is hashed.
 *
 * The fault hashes on the event loop, so nobody is served meanwhile; the cure on the offload threads. The shop's own hashes are cheap on
 * purpose (`shop/password.js`), so while the fault runs every log-in is stretched by its knob to what a shop should spend, wherever it is
 * hashed.
 */
import { mono } from '../clock.js';
import { hash, hashSync } from '../shop/password.js';
import { Fault } from './fault.js';

export class BlockingCrypto extends Fault {
  static kind = 'blocking-crypto';
  static knobs = {
    cost: { about: "times the shop's usual cost of a hash, a third of a millisecond", default: 30, min: 5, max: 200 },
    share: { about: 'share of the log-ins that hash on the loop; the others cost as much off it', default: 1, min: 0.1, max: 1 },
  };

  /** The password's hash. */
  hash(password, salt) {
    const rounds = this.ordered ? Math.round(this.knob('cost')) : 1;
    return this.strikes() ? this.#onTheLoop(password, salt, rounds) : offloaded(password, salt, rounds);
  }

  /** The fault. */
  #onTheLoop(password, salt, rounds) {
    const began = mono();
    const found = hashSync(password, salt);
    for (let round = 1; round < rounds; round++) hashSync(password, salt);
    this.tookEffect(began);
    return found;
  }
}

/** The cure. */
async function offloaded(password, salt, rounds) {
  const found = await hash(password, salt);
  for (let round = 1; round < rounds; round++) await hash(password, salt);
  return found;
}
