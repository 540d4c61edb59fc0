/**
 * Uneven workers, and its cure: who takes new connections.
 *
 * The fault: all workers but the first stop listening, so it gets every new connection; what is open stays where it is. The cure: all
 * listen, and the cluster deals connections out in turn.
 */
import { stopListening } from '../http/server.js';
import { Fault } from './fault.js';

export class UnevenWorkers extends Fault {
  static kind = 'uneven-workers';

  begin(shop) {
    if (shop.first) return;
    stopListening(shop.server);
    this.tookEffect();
  }

  finish(shop) {
    if (!shop.first && !shop.server.listening) shop.server.listen(shop.address);
  }
}
