/**
 * A worker process: serves the shop, and obeys its supervisor.
 *
 * Owns the order of starting and ending; how they talk lies in `child.js`.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Agent } from '../agent/index.js';
import { Faults, OF_SHOP } from '../faults/index.js';
import { drain } from '../http/server.js';
import { putInPlace } from '../remedies.js';
import { GRACE, RETIREMENT } from '../settings.js';
import { Shop } from '../shop/index.js';
import { hear } from '../shop/price.js';
import { giveUp, obey, report, tell, truthsOf } from './child.js';

/**
 * @typedef {object} WorkerSettings
 * @property {string} name instance name: `shop-0`
 * @property {number} index
 * @property {{ host: string, port: number }} listen the shared address
 * @property {string} [file] the embedded database; else its URL is in the environment
 * @property {number} workers how many there are
 * @property {string} [cacheUrl]
 * @property {string} cachePrefix what all keys there begin with
 * @property {import('../cache/settings.js').CacheSettings} cache how it works
 * @property {string} secret with which tokens are signed
 * @property {string} [queues] first part of the names of the broker's queues; else events go to those of the services
 * @property {number} services port of the services, on loopback
 * @property {typeof import('../settings.js').SHOP} figures
 */

let shop;
let agent;
let faults;
let ending = false;
/** Called when the supervisor has heard of everything that this worker told it before it left. */
let released;
/** Called when one that ends is told so once more: now somebody waits for it. */
let hurry;
const hurried = new Promise((resolve) => (hurry = resolve));

const orders = {
  settings: start,
  // One that ends has a successor, which is told the same.
  arm: (order) => shop && !ending && faults.arm(order, shop),
  settle: () => shop && faults.settleAll(shop),
  cache: (how) => shop?.products.set(how),
  hold: (hold) => shop && putInPlace(hold, faults, shop),
  priceChanged: (change) => shop && hear(shop, change),
  endFaults(ticket) {
    if (shop) faults.endAll(shop);
    tell({ ended: ticket });
  },
  retire,
  drain: () => end(GRACE),
  leave: () => released?.(),
};

/** @param {WorkerSettings} settings */
async function start(settings) {
  try {
    agent = new Agent(settings.name);
    // From now on: the first rate after a silence would be taken for all of it.
    report(agent);
    faults = new Faults(OF_SHOP, truthsOf(settings.name));
    shop = await Shop.open(settings, agent, faults, { tell: (change) => tell({ priceChanged: change }) });
    await shop.start();
    if (!ending) tell({ ready: true });
  } catch (e) {
    // What it opens is closed under its hands when it ends.
    if (!ending) giveUp(e);
  }
}

/** Another process has the name: this one has no faults any more, and lets its clients leave. */
async function retire() {
  if (shop) {
    shop.draining = true;
    faults.endAll(shop);
  }
  await end(RETIREMENT);
}

/** Finishes what is under way, and goes. */
async function end(patience) {
  if (ending) return hurry();
  ending = true;
  if (shop) {
    shop.draining = true;
    shop.feed.close();
    // Node.js dies of a server that is closed before the cluster has refused it the port.
    await shop.door.settled();
    await Promise.race([drain(shop.server, patience), hurried.then(() => drain(shop.server, GRACE))]);
    // Until the cluster knows that this worker listens no more it hands connections to it, which only a process that lives gives back.
    await Promise.all([heard(), Promise.race([shop.stop(), pause(300)])]);
  }
  process.exit(0);
}

/** Done when the supervisor has heard of everything that it was told before. One that is gone ends this process, and one that waits for its end kills it in time. */
function heard() {
  return new Promise((resolve) => {
    released = resolve;
    tell({ leaving: true });
  });
}

// A mistake in one request must not end those of others.
process.on('unhandledRejection', (e) => console.error(`shop: nobody took care of: ${e?.stack ?? e}`));
obey(orders);
