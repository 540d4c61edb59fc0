/** A bounded pool of connections in the form of `pg`'s, for the database that brings none along. */

/** What a caller gets whose patience has ended. */
export class PoolTimeout extends Error {}

export class Pool {
  #open;
  #capacity;
  #patienceMs;
  #meter;
  #idle = [];
  #size = 0;
  #waiters = [];
  #ending = false;

  /**
   * @param {() => Promise<{ close: () => Promise<void> }>} open
   * @param {import('../agent/pool.js').PoolMeter} meter
   */
  constructor(open, capacity, patienceMs, meter) {
    this.#open = open;
    this.#capacity = capacity;
    this.#patienceMs = patienceMs;
    this.#meter = meter;
  }

  /** A connection, with `release`. */
  async get() {
    const idle = this.#idle.pop();
    if (idle) return this.#lend(idle);
    if (this.#size < this.#capacity) return this.#lend(await this.#growForCaller());
    return this.#lend(await this.#wait());
  }

  /** Another size: who waits gets what there is room for now, and what is too many is closed as it falls idle. */
  resize(capacity) {
    this.#capacity = capacity;
    while (this.#size > capacity && this.#idle.length) void this.#shut(this.#idle.pop());
    const places = Math.min(capacity - this.#size, this.#waiters.length);
    for (let n = 0; n < places; n += 1) void this.#growForWaiter();
  }

  /** Closes what is idle, and the rest when it comes back. */
  async end() {
    this.#ending = true;
    await Promise.all(this.#idle.splice(0).map((c) => this.#shut(c)));
  }

  async #grow() {
    this.#size += 1;
    try {
      const connection = await this.#open();
      this.#meter.opened();
      return connection;
    } catch (e) {
      this.#size -= 1;
      throw e;
    }
  }

  async #growForCaller() {
    try {
      return await this.#grow();
    } catch (e) {
      void this.#growForWaiter();
      throw e;
    }
  }

  /**
   * A place that was not filled is the next waiter's: nobody else may come to give theirs back. Who waits does so in the row until the
   * connection is there; when nobody does any more, it goes into the pool.
   */
  async #growForWaiter() {
    if (this.#waiters.length === 0) return;
    try {
      this.#back(await this.#grow());
    } catch (e) {
      this.#waiters.shift()?.reject(e);
      void this.#growForWaiter();
    }
  }

  #wait() {
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      const timer = setTimeout(() => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(new PoolTimeout());
      }, this.#patienceMs);
      const served = (done) => (value) => {
        clearTimeout(timer);
        done(value);
      };
      Object.assign(waiter, { resolve: served(resolve), reject: served(reject) });
      this.#waiters.push(waiter);
    });
  }

  #lend(connection) {
    return { ...connection, release: () => this.#back(connection) };
  }

  #back(connection) {
    if (this.#size > this.#capacity) return void this.#shut(connection);
    const waiter = this.#waiters.shift();
    if (waiter) waiter.resolve(connection);
    else if (this.#ending) void this.#shut(connection);
    else this.#idle.push(connection);
  }

  async #shut(connection) {
    this.#size -= 1;
    this.#meter.closed();
    await connection.close().catch(() => {});
  }
}
