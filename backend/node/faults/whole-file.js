/**
 * Whole file, and its cure: how an import is read.
 *
 * The fault reads the body to its end, makes text of it and hands on its lines, so memory grows with the file. The cure
 * hands on each piece as it comes; the sender waits while a batch is written.
 */
import { Refusal } from '../http/refusal.js';
import { Fault } from './fault.js';

/** Bytes of which one text is made: V8 takes no text of 512 MiB, and no list of more than some hundred million lines. */
const TEXT_BYTES = 100 * 2 ** 20;
/** Beyond so many bytes the memory taken is an effect that shows. */
const FELT = 2 ** 20;
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
    const most = this.knob('megabytes') * 2 ** 20;
    let read = 0;
    for await (const chunk of chunks) {
      read += chunk.length;
      if (read > most) throw Refusal.tooLarge(`more than ${most / 2 ** 20} MiB`);
      all.push(chunk);
      if (read >= FELT) this.tookEffect();
    }
    for (let from = 0, to = 0; from < all.length; from = to) {
      for (let bytes = 0; to < all.length && bytes < TEXT_BYTES; to++) bytes += all[to].length;
      yield* lines(Buffer.concat(all.slice(from, to)));
    }
  }
}

/** In Latin-1 each byte is a letter, so all come out as they were, in whatever they are written and wherever the text is cut. */
function* lines(bytes) {
  const all = bytes.toString('latin1').split('\n');
  for (let from = 0; from < all.length; from += AT_ONCE) {
    const some = all.slice(from, from + AT_ONCE).join('\n');
    yield Buffer.from(from + AT_ONCE < all.length ? `${some}\n` : some, 'latin1');
  }
}
