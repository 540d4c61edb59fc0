/**
 * The live feed: who listens, to which products, and the one ticker that serves them all.
 *
 * Each listener is served once in ten seconds; the work is spread over the ticks, so that thousands of them never make one long
 * turn. A few who follow all prices are served at every tick. What becomes of one that does not read is a choice between the fault `slow-consumer` and its cure.
 */
import { unixMs } from '../clock.js';
import { generator } from '../store/seed.js';

/** From tick to tick of the feed, ms. */
const TICK_MS = 100;
/** Ticks in a round: each listener is served once a round, every ten seconds. */
const ROUND = 100;
/** Products that one listener may watch. */
export const MAX_WATCHED = 8;
/** A price moves by at most this share at a time, in thousandths. */
const MOVE_PER_MILLE = 5;
/** Close codes of RFC 6455. */
const AWAY = 1001;
const POLICY = 1008;

/** @typedef {{ socket: import('ws').WebSocket, watched: number[] }} Listener */

export class Feed {
  /** @type {Set<Listener>[]} by the tick of the round in which they are served */
  #slots = Array.from({ length: ROUND }, () => new Set());
  /** Those who follow all prices. @type {Set<import('ws').WebSocket>} */
  #followers = new Set();
  #joined = 0;
  #size = 0;
  #closing = false;
  #prices = [];
  /** What a board says of each product besides its price. */
  #listed = [];
  #random = generator(7);
  #slow;
  #timer;
  /** Those for whom something waits to be sent, and perhaps some for whom no longer. */
  #behind = new Set();

  /** @param {import('../faults/slow-consumer.js').SlowConsumer} slow */
  constructor(slow) {
    this.#slow = slow;
  }

  /** Listeners now. */
  get size() {
    return this.#size;
  }

  /** What waits to be sent: of all together, and for the one that is furthest behind, bytes. */
  get waiting() {
    let [all, longest] = [0, 0];
    for (const socket of this.#behind) {
      const bytes = socket.readyState > 2 ? 0 : socket.bufferedAmount;
      if (bytes === 0) this.#behind.delete(socket);
      all += bytes;
      longest = Math.max(longest, bytes);
    }
    return { all, longest };
  }

  /** Serves listeners until `close`, with prices around those of the catalogue. */
  async start(database) {
    const read = async () => {
      const { rows } = await database.run('SELECT product, name, about, cents FROM price JOIN product ON product.id = price.product ORDER BY product');
      this.#prices = rows.map((r) => r.cents);
      this.#listed = rows.map(({ product, name, about }) => ({ product, name, about }));
    };
    await read();
    let tick = 0;
    this.#timer = setInterval(() => {
      this.#serve(tick % ROUND);
      // What workers tell each other may be lost, so the catalogue is read anew each round; when it cannot be, the old one does.
      if (++tick % ROUND === 0) read().catch(() => {});
    }, TICK_MS);
    this.#timer.unref();
  }

  /** A new listener, which watches nothing yet; the result is called when it is gone. */
  join(socket) {
    const listener = { socket, watched: [] };
    const slot = this.#slots[this.#joined++ % ROUND];
    slot.add(listener);
    this.#size += 1;
    if (this.#closing) end(socket, AWAY, 'the server ends');
    const leave = () => {
      this.#followers.delete(socket);
      if (slot.delete(listener)) this.#size -= 1;
    };
    return { listener, leave };
  }

  /** Sends all prices to `socket` from now on. */
  follow(socket) {
    this.#followers.add(socket);
  }

  /** Tells all who watch `product`, at once, what it costs from now on. */
  announce(product, cents) {
    this.#prices[product - 1] = cents;
    const text = JSON.stringify({ op: 'price', product, cents, at: unixMs() });
    for (const slot of this.#slots) for (const { socket, watched } of slot) if (watched.includes(product)) this.send(socket, text);
  }

  /** Lets those go for whom more waits than is usual. */
  letSlowOnesGo() {
    for (const socket of this.#behind) if (!this.#slow.takes(socket)) end(socket, POLICY, 'too slow');
  }

  /** Sends `text`, unless too much waits already: then it is let go. */
  send(socket, text) {
    if (!this.#slow.takes(socket)) return end(socket, POLICY, 'too slow');
    socket.send(text);
    if (socket.bufferedAmount > 0) this.#behind.add(socket);
  }

  /** Lets all listeners go, and those that come later. */
  close() {
    this.#closing = true;
    clearInterval(this.#timer);
    for (const slot of this.#slots) for (const { socket } of slot) end(socket, AWAY, 'the server ends');
  }

  #serve(tick) {
    for (const { socket, watched } of this.#slots[tick]) {
      for (const product of watched) this.send(socket, this.#price(product));
    }
    if (this.#followers.size === 0) return;
    const board = this.#board();
    for (const socket of this.#followers) this.send(socket, board);
  }

  #price(product) {
    return JSON.stringify({ op: 'price', product, cents: this.#moved(product), at: unixMs() });
  }

  /**
   * Some 60 KB for the whole catalogue. Node.js cannot be told how much the system may keep for a socket, which on loopback is 4 MB: so it
   * takes a listener that does not read some seconds to fall behind, and would take it half a minute with prices alone.
   */
  #board() {
    const prices = this.#listed.map((listed) => ({ ...listed, cents: this.#moved(listed.product) }));
    return JSON.stringify({ op: 'board', at: unixMs(), prices });
  }

  #moved(product) {
    const listed = this.#prices[product - 1];
    return listed + Math.trunc((listed * (this.#random(2 * MOVE_PER_MILLE + 1) - MOVE_PER_MILLE)) / 1_000);
  }
}

/** One that does not read does not read a goodbye either: it is cut off after it had the chance. */
function end(socket, code, why) {
  if (socket.readyState > 1) return;
  socket.close(code, why);
  setTimeout(() => socket.terminate(), 1_000).unref();
}
