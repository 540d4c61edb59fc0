/**
 * The embedded database: SQLite on a thread of its own, so that a statement never blocks the loop.
 *
 * Owns the way to the thread, and the stated round trip before each statement or transaction. A transaction
 * goes there as a whole, so no connection holds the file's lock while another one waits for the thread.
 *
 * Deno (2.9) takes a thread inside a worker of a cluster for a worker itself, and it does not start; there statements run on the
 * loop, tens of microseconds each.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

/** The whole transaction in one go: its statements have its time. */
async function transact(ask, name, input, meter) {
  const told = meter?.begin();
  try {
    const { outcome, texts } = await ask({ op: 'transact', name, input });
    told?.gave(texts);
    return outcome;
  } catch (e) {
    told?.failed([]);
    throw e;
  }
}

export class SqliteDriver {
  kind = 'sqlite';
  #file;
  #thread;
  #roundTripMs;
  #asked = new Map();
  #questions = 0;
  #connections = 0;

  /**
   * @param {string} file
   * @param {number} roundTripMs
   */
  constructor(file, roundTripMs) {
    this.#file = file;
    this.#roundTripMs = roundTripMs;
    if (process.versions.deno) return;
    this.#thread = new Worker(new URL('./sqlite-thread.js', import.meta.url));
    this.#thread.on('message', ({ id, value, error }) => this.#answered(id, value, error));
    this.#thread.on('error', (e) => this.#lost(e));
    this.#thread.unref();
  }

  async open() {
    const connection = ++this.#connections;
    await this.#ask({ op: 'open', file: this.#file, connection });
    const timed = async (question) => {
      if (this.#roundTripMs > 0) await pause(this.#roundTripMs);
      return this.#ask({ connection, ...question });
    };
    return {
      run: (sql, values = []) => timed({ op: 'run', sql, values }),
      transact: (name, input, meter) => transact(timed, name, input, meter),
      plans: (statements) => this.#ask({ op: 'plans', connection, statements }),
      close: () => this.#ask({ op: 'close', connection }),
    };
  }

  async end() {
    await this.#thread?.terminate();
  }

  async #ask(question) {
    if (!this.#thread) return (await import('./sqlite-operations.js')).operations[question.op](question);
    const id = ++this.#questions;
    this.#thread.ref();
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#thread.postMessage({ id, ...question });
    });
  }

  #answered(id, value, error) {
    const { resolve, reject } = this.#asked.get(id);
    this.#asked.delete(id);
    if (this.#asked.size === 0) this.#thread.unref();
    if (error) reject(new Error(error));
    else resolve(value);
  }

  #lost(error) {
    for (const { reject } of this.#asked.values()) reject(error);
    this.#asked.clear();
  }
}
