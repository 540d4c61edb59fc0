/**
 * What e-mail and billing do for an order, and that they do it once.
 *
 * The e-mail service signs each message (as DKIM does) and sends one after another; how many signatures an order asks for is what
 * makes it slow. Billing has one device that signs, and refuses those for whom there is no room.
 */
import { createHash, generateKeyPair, sign } from 'node:crypto';
import { promisify } from 'node:util';
import { BoundedMap } from '../cache/bounded-map.js';
import { Refusal } from '../http/refusal.js';

/** As messages are signed today; one signature takes about a millisecond. The key is made beside the start, of which it would be a third. */
const key = new Promise((made, failed) => {
  generateKeyPair('rsa', { modulusLength: 2048 }, (why, _, own) => (why ? failed(why) : made(own)));
});
const signed = promisify(sign);
/** Orders of which a service knows that it has done them: what comes twice does so within seconds. */
const REMEMBERED = 100_000;
/** Invoices that may be wanted at once; further ones are refused. */
const ROOM = 16;

export class Desk {
  #known = { email: new BoundedMap(REMEMBERED), billing: new BoundedMap(REMEMBERED) };
  #done = { email: 0, billing: 0, again: 0 };
  /** The end of the message before. */
  #sending = Promise.resolve();
  /** The end of the invoice before. */
  #making = Promise.resolve();
  #wanted = 0;

  /** How many orders each service has done, and how many came to one of them again. */
  get counts() {
    return { ...this.#done };
  }

  /**
   * Has the service called `name` do its work for an order, once. An e-mail has so many signatures.
   * @param {import('../broker/topic.js').Placed} placed
   */
  async serve(name, placed, signatures) {
    const known = this.#known[name];
    if (known.get(placed.order)) {
      this.#done.again += 1;
      return;
    }
    known.set(placed.order, true);
    await (name === 'email' ? this.#send(placed, signatures) : bill(placed));
    this.#done[name] += 1;
  }

  /** The signed invoice of an order, for whoever waits for it; refused when too many do. */
  async invoice(order, signatures) {
    if (this.#wanted === ROOM) throw new Refusal(503, 'too many invoices are wanted');
    this.#wanted += 1;
    try {
      const made = this.#making.then(() => invoiceOf(order, signatures));
      this.#making = made.catch(() => {});
      return await made;
    } finally {
      this.#wanted -= 1;
    }
  }

  async #send({ order, cents }, signatures) {
    const text = `Thank you for order ${order}: ${cents} cents.`;
    const sent = this.#sending.then(() => signedBy(Buffer.from(text), signatures));
    this.#sending = sent.catch(() => {});
    await sent;
  }
}

function bill({ order, cents }) {
  return createHash('sha256').update(`${order}:${cents}`).digest('hex');
}

async function invoiceOf({ lines }, signatures) {
  const rows = lines.map((l) => `${l.product},${l.quantity},${l.cents}`);
  const text = `product,quantity,cents\n${rows.join('\n')}\n`;
  const seal = await signedBy(Buffer.from(text), signatures);
  return `${text}signature,${seal.toString('base64url')}\n`;
}

/** The last of so many signatures, each over the one before. */
async function signedBy(message, signatures) {
  const privateKey = await key;
  for (let i = 0; i < signatures; i++) message = await signed('sha256', message, privateKey);
  return message;
}
