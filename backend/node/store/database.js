/**
 * The database as routes see it: a metered pool, and the way of a statement through it.
 *
 * Owns how long is waited for a connection. How large the pool is, and whether it is used at all, is a choice between
 * faults and their cures (`faults/pool-too-small.js`, `pool-too-large.js`, `connect-per-request.js`), unless its size is held (`remedies.js`).
 */
import { setTimeout as pause } from 'node:timers/promises';
import { visit } from '../agent/traffic.js';
import { Refusal } from '../http/refusal.js';
import { metered } from './metered.js';
import { Pool, PoolTimeout } from './pool.js';
import { watchServer } from './server-figures.js';
import { watchPlans } from './sqlite-plans.js';

/** What pg and its pool say when patience has ended; it has no code of its own. */
const PG_TIMEOUT = /timeout exceeded when trying to connect|terminated due to connection timeout|timeout expired/;

/** Connections that are opened at once, and the rest after them where a server makes a process for each, and has other work to do. */
const OPENED_AT_ONCE = 4;
const BETWEEN_OPENS_MS = 40;

/** Whether `e` says that a connection was waited for in vain. */
function ofPatience(e) {
  return e instanceof PoolTimeout || PG_TIMEOUT.test(e.message);
}

export class Database {
  #driver;
  #pool;
  #settings;
  /** Sizes that the pool is wanted to have for a while, by whom, the newest last. */
  #wanted = new Map();
  /** The size that is held against them. */
  #held;

  /**
   * @param {import('./sqlite.js').SqliteDriver | import('./postgres.js').PostgresDriver} driver
   * @param {typeof import('../settings.js').SHOP} settings
   * @param {import('../agent/pool.js').PoolMeter} meter
   * @param {import('../agent/database.js').DatabaseMeter} statements
   * @param {import('../faults/index.js').Faults} faults
   */
  constructor(driver, settings, meter, statements, faults) {
    this.#driver = driver;
    this.#settings = settings;
    this.meter = meter;
    this.statements = statements;
    this.faults = faults;
    this.capacity = settings.poolCapacity;
    this.#pool = driver.pool
      ? driver.pool(this.capacity, settings.poolPatienceMs, meter)
      : new Pool(() => driver.open(), this.capacity, settings.poolPatienceMs, meter);
  }

  get kind() {
    return this.#driver.kind;
  }

  /** The size for which the shop was planned. */
  get plannedCapacity() {
    return this.#settings.poolCapacity;
  }

  /**
   * Opens all connections, so that the first burst of requests need not. A server that is too busy to let somebody in within a request's
   * patience is asked again.
   */
  async openAll() {
    const until = performance.now() + this.#settings.openPatienceMs;
    for (let open = 0; open < this.capacity;) {
      const more = Math.min(open + OPENED_AT_ONCE, this.capacity);
      const failed = await this.#openTogether(more);
      if (!failed) open = more;
      else if (!ofPatience(failed) || performance.now() > until) throw failed;
      if (this.kind !== 'sqlite') await pause(BETWEEN_OPENS_MS);
    }
  }

  /** Takes so many connections at the same time and gives them back, so that they are open; what went wrong, if anything did. */
  async #openTogether(many) {
    const taken = Array.from({ length: many }, () => this.#pool.get().then((connection) => connection.release()));
    const failed = (await Promise.allSettled(taken)).find((o) => o.status === 'rejected');
    return failed?.reason;
  }

  /** Gives the pool the size that `who` wants; of several the newest holds. What it has too many is closed as it falls idle. */
  resize(who, capacity) {
    this.#wanted.delete(who);
    this.#wanted.set(who, capacity);
    this.#settleSize();
  }

  /** `who` wants no size any more: what somebody else still wants holds again, or what was planned. */
  restore(who) {
    this.#wanted.delete(who);
    this.#settleSize();
    if (this.#held === undefined) this.#openMore();
  }

  /** Gives the pool a size that counts more than what anybody wants, from now on. */
  hold(capacity) {
    this.#held = capacity;
    this.#settleSize();
    this.#openMore();
  }

  /** A connection of one's own, until `release` is called. */
  async checkout() {
    const visited = visit();
    const waiting = this.meter.beginWait();
    this.faults.poolTooSmall.noteWaiters(this.meter);
    let connection;
    try {
      connection = await this.faults.connectPerRequest.connection(this.#driver, this.#pool, this.meter);
    } catch (e) {
      visited();
      if (!ofPatience(e)) {
        waiting.failed();
        throw e;
      }
      waiting.timedOut();
      throw new Refusal(503, 'the database is busy, try again');
    }
    const held = waiting.acquired();
    let out = true;
    const release = (broken) => {
      if (!out) return;
      out = false;
      held();
      visited();
      connection.release(broken);
    };
    return {
      run: guarded((sql, values) => metered(this.statements, sql, () => connection.run(sql, values)), release),
      transact: guarded((name, input) => connection.transact(name, input, this.statements), release),
      // The pool leaks what is the pool's; one that was opened for this use alone is closed.
      release: connection.isFresh ? release : this.faults.poolLeak.releaseOf(release),
    };
  }

  /** Calls `work` with a connection, which goes back when it is done. */
  async with(work) {
    const connection = await this.checkout();
    try {
      return await work(connection);
    } finally {
      connection.release();
    }
  }

  /** One statement on a connection taken for it alone. */
  run(sql, values = []) {
    return this.with((c) => c.run(sql, values));
  }

  /** One transaction of `transactions.js`. */
  transact(name, input) {
    return this.with((c) => c.transact(name, input));
  }

  /** One statement as an operator of the database would send it: on a connection of its own, and told to no meter. */
  async operate(sql) {
    const connection = await this.#driver.open();
    try {
      await connection.run(sql, []);
    } finally {
      await connection.close().catch(() => {});
    }
  }

  /** Asks the database what it says of itself, until the result is called. */
  watch() {
    return (this.kind === 'sqlite' ? watchPlans : watchServer)(this.#driver, this.statements);
  }

  async end() {
    await this.#pool.end().catch(() => {});
    await this.#driver.end();
  }

  #settleSize() {
    this.capacity = this.#held ?? [...this.#wanted.values()].at(-1) ?? this.plannedCapacity;
    this.meter.setCapacity(this.capacity);
    this.#pool.resize(this.capacity);
  }

  /** Whoever wants more than was planned wants them open. */
  #openMore() {
    if (this.capacity > this.plannedCapacity) void this.openAll().catch(() => {});
  }
}

/** A statement that failed for a reason of the connection itself: the connection is thrown away, not reused. */
function guarded(run, release) {
  return async (...args) => {
    try {
      return await run(...args);
    } catch (e) {
      if (!e.severity && e.code) release(true);
      throw e;
    }
  };
}
