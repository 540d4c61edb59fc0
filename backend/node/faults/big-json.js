/**
 * Big JSON, and its cure: how the long list of all prices is written.
 *
 * The fault makes one text of it, and reads it back to check it, in one turn of the loop. The cure writes row by row, and lets
 * others go first between the pieces.
 */
import { setImmediate as yieldToOthers } from 'node:timers/promises';
import { beginStream, drained, send } from '../http/answer.js';
import { Fault } from './fault.js';

/** Rows written between two looks at the socket: about a millisecond of work. */
const PIECE = 500;

export class BigJson extends Fault {
  static kind = 'big-json';
  static knobs = {
    share: { about: 'share of the price lists that are made in one go', default: 1, min: 0.1, max: 1 },
  };

  /**
   * Answers with `count` rows.
   * @param {import('node:http').ServerResponse} response
   * @param {(n: number) => object} row
   */
  async write(response, count, row) {
    if (this.strikes()) this.#inOneGo(response, count, row);
    else await streamed(response, count, row);
  }

  /** The fault. */
  #inOneGo(response, count, row) {
    const text = JSON.stringify({ rows: Array.from({ length: count }, (_, n) => row(n)) });
    if (JSON.parse(text).rows.length !== count) throw new Error('the price list is not whole');
    this.tookEffect();
    send(response, 200, 'application/json', text);
  }
}

/** The cure. */
async function streamed(response, count, row) {
  beginStream(response, 'application/json');
  response.write('{"rows":[');
  for (let from = 0; from < count && !response.destroyed; from += PIECE) {
    const piece = Array.from({ length: Math.min(PIECE, count - from) }, (_, n) => JSON.stringify(row(from + n)));
    const room = response.write((from > 0 ? ',' : '') + piece.join(','));
    if (!room) await drained(response);
    await yieldToOthers();
  }
  response.end(']}');
}
