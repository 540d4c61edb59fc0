/**
 * Whole file, and its cure: how an import is read.
 *
 * The fault reads the body to its end, makes one text of it and hands on its lines, so memory grows with the file. The cure
 * hands on each piece as it comes; the sender waits while a batch is written.
 */
import { Refusal } from '../http/refusal.js';
import { Fault } from './fault.js';

/** Lines handed on at once. */
const AT_ONCE = 1_000;

export class WholeFile extends Fault {
  static kind = 'whole-file';
  static knobs = {
    megabytes: { about: 'largest file that is read, MiB; larger ones are refused', default: 1_024, min: 64, max: 4_096 },
  };

  /** The body's pieces, as whoever takes them apart is to get them. */
  pieces(chunks) {
    return this.on ? this.#whole(chunks) : chunks;
  }

  async *#whole(chunks) {
    const all = [];
    let left = this.knob('megabytes') * 2 ** 20;
    for await (const chunk of chunks) {
      left -= chunk.length;
      if (left < 0) throw Refusal.tooLarge(`more than ${this.knob('megabytes')} MiB`);
      all.push(chunk);
    }
    const text = Buffer.concat(all).toString('utf8');
    const lines = text.split('\n');
    this.tookEffect();
    for (let from = 0; from < lines.length; from += AT_ONCE) {
      const some = lines.slice(from, from + AT_ONCE).join('\n');
      yield Buffer.from(from + AT_ONCE < lines.length ? `${some}\n` : some);
    }
  }
}
