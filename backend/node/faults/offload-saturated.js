/**
 * Offload saturated, and its cure: how many threads of the runtime's pool are free to work.
 *
 * libuv runs files, look-ups and crypto on a few threads for the whole process. The fault leaves four of them: the others wait in
 * `open` of a pipe to which nobody writes, as they do on a file server that is gone. And each log-in hashes for tens of
 * milliseconds. The cure is a pool that is sized for the load, with nothing that can wait for ever in it.
 */
import { execFile } from 'node:child_process';
import { randomBytes, scrypt } from 'node:crypto';
import { closeSync, constants, mkdtempSync, open, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SHOP } from '../settings.js';
import { Fault } from './fault.js';

const hashed = promisify(scrypt);

export class OffloadSaturated extends Fault {
  static kind = 'offload-saturated';
  static knobs = {
    threads: { about: 'threads left for everybody', default: 4, min: 1, max: 8 },
    cost: { about: 'log2 of the rounds of each log-in: 13 takes about 20 ms', default: 13, min: 11, max: 15 },
  };

  #folder;

  begin() {
    this.#folder = mkdtempSync(join(tmpdir(), 'dyno-shop-pipe-'));
    const pipe = join(this.#folder, 'pipe');
    execFile('mkfifo', [pipe], (error) => {
      if (!error && this.on) this.#hold(pipe);
    });
  }

  finish() {
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

  /** What every log-in does on the offload threads besides. */
  async work() {
    if (!this.on) return;
    const rounds = 2 ** Math.round(this.knob('cost'));
    await hashed('pepper', randomBytes(16), 32, { N: rounds, r: 8, p: 1, maxmem: 80 << 20 });
  }

  #hold(pipe) {
    const held = Math.max(0, SHOP.offloadThreads - Math.round(this.knob('threads')));
    for (let i = 0; i < held; i++) open(pipe, 'r', (error, descriptor) => error ?? closeSync(descriptor));
    this.tookEffect();
  }
}
