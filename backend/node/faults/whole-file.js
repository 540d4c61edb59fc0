/**
 * Whole file, and its cure: how an import is read.
 *
 * The fault reads the body to its end, makes one text of it and takes that apart, so memory grows with the file. The cure
 * hands on each piece as it comes; the sender waits while a batch is written.
 */
import { Fault } from './fault.js';

export class WholeFile extends Fault {
  static kind = 'whole-file';

  /** The body's pieces, as whoever takes them apart is to get them. */
  pieces(chunks) {
    return this.on ? this.#whole(chunks) : chunks;
  }

  async *#whole(chunks) {
    const all = [];
    for await (const chunk of chunks) all.push(chunk);
    const text = Buffer.concat(all).toString('utf8');
    const lines = text.split('\n');
    this.tookEffect();
    yield Buffer.from(lines.join('\n'));
  }
}
