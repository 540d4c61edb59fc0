/**
 * Slow consumer, and its cure: what waits for a listener that does not read.
 *
 * The fault keeps everything that is sent to it, without bound: memory grows with each such listener and each price. The cure keeps a
 * little, and lets a listener go that is further behind.
 */
import { Fault } from './fault.js';

/** What may wait for one listener while the cure runs, bytes: some boards of all prices, or thousands of single ones. */
const MOST_WAITING = 512 * 1024;

export class SlowConsumer extends Fault {
  static kind = 'slow-consumer';

  finish(shop) {
    shop.feed.letSlowOnesGo();
  }

  /** May `socket` be sent more? */
  takes(socket) {
    if (socket.bufferedAmount <= MOST_WAITING) return true;
    this.tookEffect();
    return this.on;
  }
}
