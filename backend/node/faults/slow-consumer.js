/**
 * Slow consumer, and its cure: what happens to a listener that does not read.
 *
 * The fault broadcasts news to everybody and keeps all that is not taken, without bound. The cure keeps a little, and lets a
 * listener go that is further behind.
 */
import { Fault } from './fault.js';

/** What may wait for one listener, bytes: dozens of messages. */
const MOST_WAITING = 64 * 1024;
/** Broadcasts a second while the fault is on. */
const PER_SECOND = 10;

export class SlowConsumer extends Fault {
  static kind = 'slow-consumer';
  static knobs = {
    bytes: { about: 'bytes of each news, ten times a second', default: 16_384, min: 256, max: 65_536 },
  };

  #timer;

  begin(shop) {
    const text = JSON.stringify({ op: 'news', at: 0, text: 'n'.repeat(this.knob('bytes')) });
    this.#timer = setInterval(() => shop.feed.broadcast(text), 1_000 / PER_SECOND);
    this.#timer.unref();
  }

  finish() {
    clearInterval(this.#timer);
  }

  /** May `socket` be sent more? */
  takes(socket) {
    if (socket.bufferedAmount <= MOST_WAITING) return true;
    this.tookEffect();
    return this.on;
  }
}
