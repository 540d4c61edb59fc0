/**
 * Whether a server takes connections: one transition after the other, and what was wished last.
 *
 * To listen takes until the supervisor has answered. A server that is told to listen again before that would throw, and one that is told
 * to close would listen all the same.
 */
import { once } from 'node:events';
import { stopListening } from './server.js';

export class Door {
  #server;
  #address;
  #open = false;
  /** Done when everything wished so far is. */
  #moved = Promise.resolve();

  /**
   * @param {import('node:http').Server} server
   * @param {{ host: string, port: number }} address where it listens
   */
  constructor(server, address) {
    this.#server = server;
    this.#address = address;
    // A connection that cannot be taken must not end the process; what keeps the server from listening is told to whoever wished that.
    server.on('error', () => {});
  }

  /**
   * From now on the server listens, or does not. Done when it does as was wished last; what is open stays open.
   * @param {boolean} open
   */
  set(open) {
    this.#open = open;
    this.#moved = this.settled().then(() => this.#move());
    return this.#moved;
  }

  /** Done when nothing is under way, however that went. */
  settled() {
    return this.#moved.catch(() => {});
  }

  async #move() {
    if (this.#server.listening === this.#open) return;
    if (this.#open) await once(this.#server.listen(this.#address), 'listening');
    else stopListening(this.#server);
  }
}
