/**
 * The live feed: who listens, to which products, and the one ticker that serves them all.
 *
 * Each listener is served once in ten seconds; the work is spread over the ticks, so that thousands of them never make one long
 * turn. What becomes of one that does not read is a choice between the fault `slow-consumer` and its cure.
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
  #joined = 0;
  #size = 0;
  #closing = false;
  #prices = [];
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
    const { rows } = await database.run('SELECT cents FROM price ORDER BY product');
    this.#prices = rows.map((r) => r.cents);
    let tick = 0;
    this.#timer = setInterval(() => this.#serve(tick++ % ROUND), TICK_MS);
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
      if (slot.delete(listener)) this.#size -= 1;
    };
    return { listener, leave };
  }

  /** Tells all who watch `product`, at once, what it costs from now on. */
  announce(product, cents) {
    this.#prices[product - 1] = cents;
    const text = JSON.stringify({ op: 'price', product, cents, at: unixMs() });
    for (const slot of this.#slots) for (const { socket, watched } of slot) if (watched.includes(product)) this.send(socket, text);
  }

  /** Sends `text` to everybody. */
  broadcast(text) {
    for (const slot of this.#slots) for (const { socket } of slot) this.send(socket, text);
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
  }

  #price(product) {
    const listed = this.#prices[product - 1];
    const moved = Math.trunc((listed * (this.#random(2 * MOVE_PER_MILLE + 1) - MOVE_PER_MILLE)) / 1_000);
    return JSON.stringify({ op: 'price', product, cents: listed + moved, at: unixMs() });
  }
}

/** One that does not read does not read a goodbye either: it is cut off after it had the chance. */
function end(socket, code, why) {
  if (socket.readyState > 1) return;
  socket.close(code, why);
  setTimeout(() => socket.terminate(), 1_000).unref();
}
