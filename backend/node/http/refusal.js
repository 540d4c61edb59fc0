/** Why a request is not done: a status, and a reason for whoever sent it. */
import { clean } from '../text.js';

/** Longest text of an error that may repeat what the client sent, in characters. */
const MOST_TEXT = 300;

export class Refusal extends Error {
  /**
   * @param {number} status 4xx or 5xx
   * @param {unknown} why
   * @param {Record<string, string>} [fields] of the answer's head
   */
  constructor(status, why, fields = {}) {
    super(clean(why, MOST_TEXT));
    this.status = status;
    this.fields = fields;
  }

  static bad = (why) => new Refusal(400, why);
  static unauthorized = (why) => new Refusal(401, why);
  static noMethod = (...known) => new Refusal(405, 'this route has no such method', { Allow: known.join(', ') });
  static notFound = (why) => new Refusal(404, why);
  static conflict = (why) => new Refusal(409, why);
  static tooLarge = (why) => new Refusal(413, why);
}
