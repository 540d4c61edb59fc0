/**
 * Big JSON, and its cure: how the report of the whole catalogue is written.
 *
 * The fault makes one text of all of it, and reads it back to check it, in one turn of the loop. The cure writes row by row, and lets
 * others go first between the pieces.
 */
import { setImmediate as yieldToOthers } from 'node:timers/promises';
import { beginStream, send } from '../http/answer.js';
import { Fault } from './fault.js';

/** Rows written between two looks at the socket: about a millisecond of work. */
const PIECE = 200;

export class BigJson extends Fault {
  static kind = 'big-json';
  static knobs = {
    mb: { about: 'megabytes of the text that is made in one go', default: 8, min: 1, max: 64 },
  };

  /**
   * Answers with `rows`.
   * @param {import('node:http').ServerResponse} response
   */
  async write(response, rows) {
    if (this.on) this.#inOneGo(response, rows);
    else await streamed(response, rows);
  }

  /** The fault. */
  #inOneGo(response, rows) {
    const whole = { rows: [...rows] };
    const bytes = this.knob('mb') * 1e6;
    for (let size = JSON.stringify(rows).length; size < bytes; size += size) whole.rows = whole.rows.concat(whole.rows);
    const text = JSON.stringify(whole);
    JSON.parse(text);
    this.tookEffect();
    send(response, 200, 'application/json', JSON.stringify({ rows }));
  }
}

/** The cure. */
async function streamed(response, rows) {
  beginStream(response, 'application/json');
  response.write('{"rows":[');
  for (let from = 0; from < rows.length && !response.destroyed; from += PIECE) {
    const piece = rows.slice(from, from + PIECE).map((row) => JSON.stringify(row));
    const room = response.write((from > 0 ? ',' : '') + piece.join(','));
    if (!room) await drained(response);
    await yieldToOthers();
  }
  response.end(']}');
}

/** Waits until the client has taken what was sent, or is gone. */
export function drained(response) {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}
