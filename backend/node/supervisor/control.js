/**
 * The control endpoint, and the probe of all workers on the same port. Everything here wants the token.
 *
 * | request | does |
 * | --- | --- |
 * | `POST /v1/faults` | switches a fault on, for a span |
 * | `DELETE /v1/faults` | ends all faults; answers when their truth is here, or 504 when a worker does not tell it |
 * | `GET /v1/cache`, `PUT /v1/cache` | how the cache works; of what is put, what is not given is the default |
 * | `POST /v1/remedies` | holds something against whatever faults do, as `remedies.js` knows it; answers with it |
 * | `GET /v1/truth?since=N` | what truly happened, from line N on |
 * | `GET /v1/instances`, `GET /v1/instances/NAME/samples?since=SEQ` | the workers, and what their agents say |
 * | `GET /v1/services` | what e-mail and billing have done |
 * | `POST /v1/reload` | replaces the workers of the shop one by one; answers when all are new, or one could not be replaced |
 * | `POST /v1/shutdown` | ends the backend |
 */
import { checkedCache } from '../cache/settings.js';
import { Reply } from '../http/answer.js';
import { readText } from '../http/body.js';
import { call } from '../http/client.js';
import { parseJson } from '../http/json.js';
import { Refusal } from '../http/refusal.js';
import { Routes } from '../http/routes.js';
import { createServer } from '../http/server.js';
import { param, wholeText } from '../http/shape.js';
import { guarded } from '../http/token.js';
import { checkedHold } from '../remedies.js';
import { checkedOrder, isByHand } from './orders.js';
import { VERSION } from './ticks.js';

/** An order is a few hundred bytes. */
const MAX_BODY = 16 * 1024;
const MAX_NUMBER = 9_999_999_999;

/**
 * @param {object} parts
 * @param {import('./crew.js').Crew} parts.crew
 * @param {import('./truths.js').Truths} parts.truths
 * @param {import('./by-hand.js').ByHand} parts.byHand
 * @param {string} parts.token
 * @param {() => void} parts.shutdown
 */
export function createControl({ crew, truths, byHand, token, shutdown }) {
  let reloading = false;
  const since = ({ query }) => wholeText(param(query, 'since') ?? '0', 'since', 0, MAX_NUMBER);
  const routes = {
    'POST /v1/faults': async ({ request }) => {
      const order = checkedOrder(parseJson(await readText(request, MAX_BODY)));
      if (isByHand(order)) byHand.arm(order);
      else crew.arm(order);
      return new Reply(202, { accepted: order.name });
    },
    'DELETE /v1/faults': async () => {
      // First of all: a worker that is stopped cannot end its faults.
      byHand.endAll();
      const late = await crew.endFaults();
      if (late) throw new Refusal(504, `${late} does not say that its faults are ended`);
      return { accepted: 'all faults are ended' };
    },
    'GET /v1/cache': async () => crew.cache,
    'PUT /v1/cache': async ({ request }) => {
      crew.cache = checkedCache(parseJson(await readText(request, MAX_BODY)), crew.sharesCache);
      return crew.cache;
    },
    'POST /v1/remedies': async ({ request }) => {
      const hold = checkedHold(parseJson(await readText(request, MAX_BODY)));
      crew.hold(hold);
      return { hold };
    },
    'GET /v1/truth': async (call) => truths.since(since(call)),
    'GET /v1/instances': async () => ({ version: VERSION, service: 'shop', instances: crew.instances }),
    'GET /v1/instances/{name}/samples': async (call) => samples(crew, call.path.name, since(call)),
    'GET /v1/instances/{name}/{what...}': async ({ path }) => {
      member(crew, path.name);
      throw Refusal.notFound(`this runtime's agent has no ${path.what}; attach to its inspector instead`);
    },
    'GET /v1/services': async () => {
      try {
        return JSON.parse(await call({ port: crew.servicesPort, method: 'GET', path: '/counts' }));
      } catch (e) {
        throw new Refusal(502, `the services: ${e.message}`);
      }
    },
    'POST /v1/reload': async () => {
      // One at a time: two would leave names without a process.
      if (reloading) throw Refusal.conflict('a reload is under way');
      reloading = true;
      try {
        await crew.reload();
      } catch (e) {
        throw new Refusal(500, e.message);
      } finally {
        reloading = false;
      }
      return { accepted: 'all workers are new' };
    },
    'POST /v1/shutdown': async () => {
      setImmediate(shutdown);
      return new Reply(202, { accepted: 'the backend ends' });
    },
  };
  return createServer(new Routes(guarded(routes, token)));
}

function member(crew, name) {
  const found = crew.member(name);
  if (!found) throw Refusal.notFound('there is no such instance');
  return found;
}

function samples(crew, name, since) {
  const { life } = member(crew, name);
  if (!life) throw new Refusal(502, `${name}: it is being started`);
  return life.ticks.batch(since);
}
