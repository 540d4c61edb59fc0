/**
 * Descriptors exhausted, and its cure: what becomes of the file into which a data sheet is drawn.
 *
 * The library that draws sheets writes files, so each sheet is one for a moment, without a name. The fault leaves it open, for ever; the
 * worker has its limit of descriptors lowered (`prlimit`, of util-linux; without it the leak goes on for longer), so that seconds do for
 * what takes a service days. At the limit it draws no sheet and takes no connection. The cure closes the file.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Fault } from './fault.js';

const run = promisify(execFile);

export class FdExhausted extends Fault {
  static kind = 'fd-exhausted';
  static knobs = {
    room: { about: 'descriptors that each worker may open beyond those it has', default: 300, min: 50, max: 10_000 },
  };

  #leftOpen = [];
  #before = Promise.resolve();

  begin() {
    this.#settle();
  }

  finish() {
    const files = this.#leftOpen.splice(0);
    // Only when they are closed is there a descriptor with which another program can be started.
    this.#before = this.#before.then(() => Promise.all(files.map((file) => file.close().catch(() => {}))));
    this.#settle();
  }

  /** Sees to it that the limit is low or high, as the switch says when its turn comes; where it cannot be, what comes after is done all the same. */
  #settle() {
    const settled = this.#before.then(() => (this.on ? limit(descriptors() + Math.round(this.knob('room'))) : raise()));
    this.#before = settled.catch((e) => console.error(`shop: the limit of descriptors stays: ${e.message}`));
  }

  /** Writes `text` into a file, and gives what the file holds. */
  async passThrough(text) {
    const name = join(tmpdir(), `dyno-shop-sheet-${randomUUID()}`);
    const file = await open(name, 'wx+', 0o600);
    try {
      await unlink(name);
      await file.writeFile(text);
      const { buffer } = await file.read(Buffer.alloc(Buffer.byteLength(text)), 0, undefined, 0);
      return buffer.toString();
    } finally {
      if (this.on) {
        this.#leftOpen.push(file);
        this.tookEffect();
      } else {
        await file.close();
      }
    }
  }
}

/** Descriptors that are open. */
function descriptors() {
  return readdirSync('/proc/self/fd').length;
}

/** As high as it may be. */
async function raise() {
  await limit((await ofThisProcess('--nofile', '--noheadings', '--raw', '--output', 'HARD')).trim());
}

/** Sets the soft limit; the hard one stays, so that it can be raised again. */
async function limit(soft) {
  await ofThisProcess(`--nofile=${soft}:`);
}

/** What `prlimit` says. */
async function ofThisProcess(...asked) {
  return (await run('prlimit', ['--pid', String(process.pid), ...asked])).stdout;
}
