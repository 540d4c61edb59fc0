/**
 * The routes of the services. All want the token, and check what they are sent.
 *
 * | request | does |
 * | --- | --- |
 * | `POST /email` | sends the message for one order, while the caller waits |
 * | `POST /invoice` | the signed invoice of one order, for whoever waits for it |
 * | `POST /events` | the embedded broker: puts events into the queue of each service, all or none |
 * | `GET /counts` | what has been done |
 */
import { Reply, send } from '../http/answer.js';
import { readJson } from '../http/body.js';
import { Refusal } from '../http/refusal.js';
import { Routes } from '../http/routes.js';
import { object, whole } from '../http/shape.js';
import { guarded } from '../http/token.js';

/** A batch of events, or an invoice with many lines, bytes. */
const MAX_BODY = 2 ** 20;
/** Lines of one invoice. */
const MOST_LINES = 10_000;
/** More than any knob asks for. */
const MOST_SIGNATURES = 2_000;

/**
 * @param {import('./desk.js').Desk} desk
 * @param {import('../broker/queue.js').Queues} queues
 * @param {string} token
 */
export function serviceRoutes(desk, queues, token) {
  const routes = {
    'POST /email': async ({ request }) => {
      const order = object(await readJson(request));
      await desk.serve('email', placed(order), whole(order, 'signatures', 1, MOST_SIGNATURES));
      return { sent: true };
    },
    'POST /invoice': async ({ request, response }) => {
      const order = object(await readJson(request, MAX_BODY));
      const lines = list(order.lines, 'lines', MOST_LINES).map(line);
      const text = await desk.invoice({ lines }, whole(order, 'signatures', 1, MOST_SIGNATURES));
      send(response, 200, 'text/csv; charset=utf-8', text);
    },
    'POST /events': async ({ request }) => {
      const events = list(await readJson(request, MAX_BODY), 'the body', Infinity);
      if (!queues.put(events.map(message))) throw new Refusal(503, 'the queues are full');
      return new Reply(202, { accepted: events.length });
    },
    'GET /counts': async () => desk.counts,
  };
  return new Routes(guarded(routes, token));
}

/**
 * An event as it was published; used by all who take one from a broker.
 * @returns {import('../broker/topic.js').Message}
 */
export function message(said) {
  return { ...placed(said), published_ms: number(said, 'published_ms') };
}

function placed(said) {
  return { order: number(said, 'order'), customer: number(said, 'customer'), cents: number(said, 'cents'), at_ms: number(said, 'at_ms') };
}

function line(said) {
  return { product: number(said, 'product'), quantity: number(said, 'quantity'), cents: number(said, 'cents') };
}

function number(said, field) {
  return whole(said, field, 0, Number.MAX_SAFE_INTEGER);
}

function list(said, name, most) {
  if (!Array.isArray(said)) throw Refusal.bad(`${name} is no list`);
  if (said.length > most) throw Refusal.bad(`${name} has at most ${most} entries`);
  return said;
}
