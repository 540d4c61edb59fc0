/**
 * Uneven workers, and its cure: who takes new connections.
 *
 * The fault: all workers but the first stop listening, so it gets every new connection; what is open stays where it is. The cure: all
 * listen, and the cluster deals connections out in turn.
 */
import { Fault } from './fault.js';

/** Bun's server tells of no connections: there a request stands for one. */
const TAKEN = process.versions.bun ? 'request' : 'connection';

export class UnevenWorkers extends Fault {
  static kind = 'uneven-workers';

  /** The first connection that one worker takes for all is the onset. */
  #taken = () => this.tookEffect();

  begin(shop) {
    if (!shop.first) void shop.door.set(false);
    else if (shop.sharesPort) shop.server.once(TAKEN, this.#taken);
  }

  finish(shop) {
    shop.server.off(TAKEN, this.#taken);
    // One that ends does not listen, whatever was ordered.
    if (!shop.first && !shop.draining) void shop.door.set(true);
  }
}
