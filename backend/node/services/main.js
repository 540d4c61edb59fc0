/**
 * The e-mail and the billing service: a process of its own, a port for each, on loopback.
 *
 * The e-mail service signs each message (as DKIM does) and sends one after another; how many signatures an order asks for is what
 * makes it slow. Started by the supervisor, and gone with it.
 */
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { promisify } from 'node:util';
import { send } from '../http/answer.js';
import { readJson } from '../http/body.js';
import { Refusal } from '../http/refusal.js';
import { Routes } from '../http/routes.js';
import { createServer } from '../http/server.js';
import { whole } from '../http/shape.js';

/** As messages are signed today; one signature takes about a millisecond. */
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const signed = promisify(sign);
/** Invoices that may be wanted at once; further ones are refused. */
const ROOM = 16;
/** More than any knob asks for. */
const MOST_SIGNATURES = 2_000;

/** The end of the message before. */
let sending = Promise.resolve();
/** The end of the invoice before: there is one device that signs. */
let making = Promise.resolve();
let wanted = 0;

async function email({ request }) {
  const order = await readJson(request);
  const signatures = whole(order, 'signatures', 1, MOST_SIGNATURES);
  const text = `Thank you for order ${Number(order.order)}: ${Number(order.cents)} cents.`;
  const sent = sending.then(() => signedBy(Buffer.from(text), signatures));
  sending = sent.catch(() => {});
  await sent;
  return { sent: true };
}

/** The last of so many signatures, each over the one before. */
async function signedBy(message, signatures) {
  for (let i = 0; i < signatures; i++) message = await signed('sha256', message, privateKey);
  return message;
}

async function billing({ request }) {
  const order = await readJson(request);
  const invoice = createHash('sha256').update(`${Number(order.order)}:${Number(order.cents)}`).digest('hex');
  return { invoice };
}

/** The signed invoice of an order, for whoever waits for it; refused when too many do. */
async function writtenInvoice({ request, response }) {
  const order = await readJson(request);
  const signatures = whole(order, 'signatures', 1, MOST_SIGNATURES);
  if (wanted === ROOM) throw new Refusal(503, 'too many invoices are wanted');
  wanted += 1;
  try {
    const made = making.then(() => invoiceOf(order, signatures));
    making = made.catch(() => {});
    send(response, 200, 'text/csv; charset=utf-8', await made);
  } finally {
    wanted -= 1;
  }
}

async function invoiceOf(order, signatures) {
  const rows = order.lines.map((l) => `${Number(l.product)},${Number(l.quantity)},${Number(l.cents)}`);
  const text = `product,quantity,cents\n${rows.join('\n')}\n`;
  const seal = await signedBy(Buffer.from(text), signatures);
  return `${text}signature,${seal.toString('base64url')}\n`;
}

/** @param {Record<string, (call: object) => Promise<unknown>>} routes by template */
async function listen(routes) {
  const table = Object.entries(routes).map(([template, handle]) => ({ method: 'POST', template, handle }));
  const server = createServer(new Routes(table));
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  return server.address().port;
}

// The terminal's interrupt goes to the whole group of processes; it is the supervisor that decides.
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit(0));
process.send({ ready: { email: await listen({ '/': email }), billing: await listen({ '/': billing, '/invoice': writtenInvoice }) } });
