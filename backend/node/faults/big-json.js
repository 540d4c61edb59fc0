/**
 * Big JSON, and its cure: how a long list is read and written.
 *
 * The fault parses all of it and writes all of it in one turn of the loop. The cure goes through it in pieces, and lets others go first
 * between them.
 */
import { setImmediate as yieldToOthers } from 'node:timers/promises';
import { mono } from '../clock.js';
import { beginStream, drained, send } from '../http/answer.js';
import { priced } from '../shop/price-list.js';
import { Fault } from './fault.js';

/** Rows between two turns of the others: about a millisecond of work. */
const PIECE = 250;

export class BigJson extends Fault {
  static kind = 'big-json';
  static knobs = {
    share: { about: 'share of the price lists that are made in one go', default: 1, min: 0.1, max: 1 },
  };

  /**
   * Answers with the first `count` rows of the supplier's list, priced.
   * @param {import('node:http').ServerResponse} response
   * @param {string[]} list a JSON text for each row
   */
  async write(response, list, count) {
    if (this.strikes()) this.#inOneGo(response, list, count);
    else await inPieces(response, list, count);
  }

  /** The fault. */
  #inOneGo(response, list, count) {
    const began = mono();
    const all = JSON.parse(`[${list.slice(0, count).join(',')}]`);
    const text = JSON.stringify(all.map(priced));
    this.tookEffect(began);
    send(response, 200, 'application/json', text);
  }
}

/** The cure. */
async function inPieces(response, list, count) {
  beginStream(response, 'application/json');
  response.write('[');
  for (let from = 0; from < count && !response.destroyed; from += PIECE) {
    const piece = list.slice(from, Math.min(from + PIECE, count)).map((row) => JSON.stringify(priced(JSON.parse(row))));
    const room = response.write((from > 0 ? ',' : '') + piece.join(','));
    if (!room) await drained(response);
    await yieldToOthers();
  }
  response.end(']');
}
