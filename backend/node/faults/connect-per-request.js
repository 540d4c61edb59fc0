/**
 * Connect per request, and its cure: where a connection comes from.
 *
 * The fault opens a new one for each use and closes it afterwards: handshake, log-in and a server process each time. The cure takes one
 * out of the pool.
 */
import { Fault } from './fault.js';

export class ConnectPerRequest extends Fault {
  static kind = 'connect-per-request';

  /** A connection with `release`; one that `isFresh` is not the pool's. */
  async connection(driver, pool, meter) {
    return this.on ? this.#fresh(driver, meter) : pool.get();
  }

  /** The fault. */
  async #fresh(driver, meter) {
    const connection = await driver.open();
    meter.opened();
    this.tookEffect();
    const release = () => {
      meter.closed();
      void connection.close().catch(() => {});
    };
    return { ...connection, release, isFresh: true };
  }
}
