/**
 * The e-mail and the billing service: a process of its own, a port for each, on loopback.
 *
 * The e-mail service signs each message (as DKIM does) and sends one after another; how many signatures an order asks for is what
 * makes it slow. Started by the supervisor, and gone with it.
 */
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { promisify } from 'node:util';
import { readJson } from '../http/body.js';
import { Routes } from '../http/routes.js';
import { createServer } from '../http/server.js';
import { whole } from '../http/shape.js';

/** As messages are signed today; one signature takes about a millisecond. */
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const signed = promisify(sign);
/** More than any knob asks for. */
const MOST_SIGNATURES = 2_000;

/** The end of the message before. */
let sending = Promise.resolve();

async function email({ request }) {
  const order = await readJson(request);
  const signatures = whole(order, 'signatures', 1, MOST_SIGNATURES);
  const sent = sending.then(() => send(order, signatures));
  sending = sent.catch(() => {});
  await sent;
  return { sent: true };
}

async function send(order, signatures) {
  let message = Buffer.from(`Thank you for order ${Number(order.order)}: ${Number(order.cents)} cents.`);
  for (let i = 0; i < signatures; i++) message = await signed('sha256', message, privateKey);
  return message;
}

async function billing({ request }) {
  const order = await readJson(request);
  const invoice = createHash('sha256').update(`${Number(order.order)}:${Number(order.cents)}`).digest('hex');
  return { invoice };
}

async function listen(handle) {
  const server = createServer(new Routes([{ method: 'POST', template: '/', handle }]));
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  return server.address().port;
}

// The terminal's interrupt goes to the whole group of processes; it is the supervisor that decides.
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit(0));
process.send({ ready: { email: await listen(email), billing: await listen(billing) } });
