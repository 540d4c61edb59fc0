/**
 * Offload saturated, and its cure: how many threads of the runtime's pool are free to work.
 *
 * libuv runs files, look-ups and crypto on a few threads for the whole process. The fault leaves some of them: the others wait in
 * `open` of a pipe to which nobody writes, as they do on a file server that is gone. The cure is a pool that is sized for the load, with
 * nothing in it that can wait for ever. The first sheet that finds no thread free is the onset; all other tasks of the shop keep theirs for less than a
 * millisecond.
 */
import { execFile } from 'node:child_process';
import { closeSync, constants, mkdtempSync, open, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SHOP } from '../settings.js';
import { Fault } from './fault.js';

export class OffloadSaturated extends Fault {
  static kind = 'offload-saturated';
  static knobs = {
    threads: { about: "threads left in each worker's offload pool", default: 4, min: 1, max: 8 },
  };

  #folder;
  /** Threads that are not held. */
  #free = Infinity;
  /** Sheets that have a thread, or wait for one. */
  #tasks = 0;

  begin() {
    this.#folder = mkdtempSync(join(tmpdir(), 'dyno-shop-pipe-'));
    const pipe = join(this.#folder, 'pipe');
    execFile('mkfifo', [pipe], (error) => {
      if (!error && this.on) this.#hold(pipe);
    });
  }

  /**
   * Does `work`, which keeps a thread of the pool.
   * @template T
   * @param {() => Promise<T>} work
   */
  async task(work) {
    this.#tasks += 1;
    if (this.#tasks > this.#free) this.tookEffect();
    try {
      return await work();
    } finally {
      this.#tasks -= 1;
    }
  }

  finish() {
    this.#free = Infinity;
    const pipe = join(this.#folder, 'pipe');
    try {
      // Somebody writes at last: every thread that waits in `open` comes back.
      const writer = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
      setTimeout(() => closeSync(writer), 1_000).unref();
    } catch {
      // The pipe was never made.
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #hold(pipe) {
    const held = Math.max(0, SHOP.offloadThreads - Math.round(this.knob('threads')));
    for (let i = 0; i < held; i++) open(pipe, 'r', (error, descriptor) => error ?? closeSync(descriptor));
    this.#free = SHOP.offloadThreads - held;
  }
}
