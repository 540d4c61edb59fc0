/**
 * The plotters that draw data sheets: devices that are written to by calls which block.
 *
 * Owns the devices, which are named pipes. A plotter takes the head of a job, then reads from the database what is to be drawn, and takes the
 * rest; whoever writes has filled the pipe by then and waits in `write`, as at any slow device. libuv does that on a thread of the offload
 * pool, which is kept until the plotter is done; the loop is free meanwhile.
 */
import { execFile } from 'node:child_process';
import fs, { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SHOP } from '../settings.js';

/** Twice as many as the pool has threads: who waits, waits for a thread and not for a plotter. */
const PLOTTERS = 2 * SHOP.offloadThreads;
/** Bytes of a job: several times what the pipe and its reader hold, so that the writer waits while no more than the head is taken. */
const JOB = Buffer.alloc(8 * 64 * 1_024, '.');

const run = promisify(execFile);
/** All of it in one go: a pipe that blocks takes all. */
const write = promisify(fs.write);

export class Plotters {
  #all = [];
  #free = [];
  #waiting = [];

  /**
   * Sets them up. Only libuv has such a pool, and only POSIX such devices; without them whoever wants a sheet waits for no
   * thread.
   * @param {import('../faults/offload-saturated.js').OffloadSaturated} saturated told of each job, which keeps a thread
   */
  static async open(saturated) {
    const plotters = new Plotters();
    if (process.versions.deno || process.versions.bun) return plotters;
    const folder = mkdtempSync(join(tmpdir(), 'dyno-shop-plotters-'));
    try {
      const pipes = Array.from({ length: PLOTTERS }, (_, n) => join(folder, String(n)));
      await run('mkfifo', pipes);
      plotters.#all = pipes.map((pipe) => new Plotter(pipe, saturated));
      plotters.#free = [...plotters.#all];
    } finally {
      // They are open, and need their names no longer.
      rmSync(folder, { recursive: true, force: true });
    }
    return plotters;
  }

  /**
   * Plots what `read` gives.
   * @template T
   * @param {() => Promise<T>} read what is to be drawn
   * @returns {Promise<T>}
   */
  async plot(read) {
    if (this.#all.length === 0) return read();
    const plotter = this.#free.pop() ?? (await new Promise((resolve) => this.#waiting.push(resolve)));
    try {
      return await plotter.plot(read);
    } finally {
      const next = this.#waiting.shift();
      if (next) next(plotter);
      else this.#free.push(plotter);
    }
  }

  close() {
    for (const plotter of this.#all) plotter.close();
  }
}

class Plotter {
  #descriptor;
  #socket;
  #saturated;
  /** Told how many bytes of the job that is under way came in. */
  #take;

  constructor(pipe, saturated) {
    this.#saturated = saturated;
    // For both, so that opening it waits for no reader; writing does.
    this.#descriptor = openSync(pipe, constants.O_RDWR);
    this.#socket = new net.Socket({ fd: openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK), readable: true, writable: false });
    this.#socket.on('data', (chunk) => this.#take(chunk.length));
    this.#socket.unref();
  }

  /** One job at a time. */
  async plot(read) {
    let drawn;
    let taken = 0;
    const empty = new Promise((resolve) => {
      this.#take = (bytes) => {
        taken += bytes;
        drawn ??= this.#draw(read);
        if (taken === JOB.length) resolve();
      };
    });
    await this.#saturated.task(() => write(this.#descriptor, JOB));
    await empty;
    return drawn;
  }

  /** Takes no more until it has read what is to be drawn. */
  #draw(read) {
    this.#socket.pause();
    const drawn = read();
    const goOn = () => this.#socket.resume();
    drawn.then(goOn, goOn);
    return drawn;
  }

  close() {
    this.#socket.destroy();
    closeSync(this.#descriptor);
  }
}
