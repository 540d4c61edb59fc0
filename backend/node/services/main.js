/**
 * The process of the services: e-mail and billing, apart from the shop as other teams' services would be.
 *
 * Owns the order of starting and ending. What is done lies in `desk.js`, who asks for it in `routes.js` and `consumers.js`.
 */
import { Agent } from '../agent/index.js';
import { Queues } from '../broker/queue.js';
import { Faults, OF_SERVICES } from '../faults/index.js';
import { createServer } from '../http/server.js';
import { putInPlace } from '../remedies.js';
import { giveUp, obey, report, tell, truthsOf } from '../worker/child.js';
import { Consumers } from './consumers.js';
import { Desk } from './desk.js';
import { serviceRoutes } from './routes.js';

let faults;

/** @param {import('../worker/main.js').WorkerSettings} settings */
async function start(settings) {
  try {
    const agent = new Agent(settings.name);
    report(agent);
    faults = new Faults(OF_SERVICES, truthsOf(settings.name));
    const [desk, queues] = [new Desk(), new Queues()];
    const server = createServer(serviceRoutes(desk, queues, process.env.DYNO_TOKEN));
    await new Promise((resolve, reject) => server.once('error', reject).listen(settings.services, '127.0.0.1', resolve));
    const consumers = new Consumers(desk, faults.brokerBacklog, agent);
    if (settings.queues) consumers.startRabbit(settings.queues);
    else consumers.startEmbedded(queues);
    tell({ ready: true });
  } catch (e) {
    giveUp(e);
  }
}

obey({
  settings: start,
  arm: (order) => faults?.arm(order),
  hold: (hold) => faults && putInPlace(hold, faults),
  endFaults(ticket) {
    faults?.endAll();
    tell({ ended: ticket });
  },
  // What RabbitMQ has given out and nobody has acknowledged comes to the next one; nothing else is under way for long.
  drain: () => process.exit(0),
});
