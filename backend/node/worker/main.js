/**
 * A worker process: serves the shop, and obeys its supervisor.
 *
 * Owns the order of starting and ending. Supervisor and worker are always of the same release, so what they tell each other may
 * change freely: `{ settings }` first, then `{ arm }`, `{ cache }`, `{ endFaults }`, `{ drain }`; back come `{ hello }`, `{ ready }`, `{ failed }`, `{ truth }`, `{ ended }`
 * and `{ tick }`.
 */
import { Agent } from '../agent/index.js';
import { Faults } from '../faults/index.js';
import { drain } from '../http/server.js';
import { GRACE_MS } from '../settings.js';
import { Shop } from '../shop/index.js';

/**
 * @typedef {object} WorkerSettings
 * @property {string} name instance name: `shop-0`
 * @property {number} index
 * @property {{ host: string, port: number }} listen the shared address
 * @property {string} [file] the embedded database; else its URL is in the environment
 * @property {string} [cacheUrl]
 * @property {import('../cache/settings.js').CacheSettings} cache how it works
 * @property {string} secret with which tokens are signed
 * @property {{ email: number, billing: number }} services ports of the services
 * @property {typeof import('../settings.js').SHOP} figures
 */

/** From look to look at whose child this process is. */
const ADOPTED_MS = 500;

let shop;
let agent;
let faults;
let ending = false;

const orders = {
  settings: start,
  arm: (order) => shop && faults.arm(order, shop),
  cache: (how) => shop?.products.set(how),
  endFaults(ticket) {
    if (shop) faults.endAll(shop);
    tell({ ended: ticket });
  },
  drain: end,
};

/** A supervisor that is gone needs no reports; `disconnect` follows. */
function tell(report) {
  if (process.connected) process.send(report, () => {});
}

/** @param {WorkerSettings} settings */
async function start(settings) {
  try {
    agent = new Agent(settings.name);
    faults = new Faults((fault, what, at) => tell({ truth: { fault, instance: settings.name, what, at } }));
    shop = await Shop.open(settings, agent, faults);
    await shop.start();
    let told = 0;
    agent.start((tick, specs) => {
      // Lanes are told when there are more of them than before.
      tell(specs.length > told ? { tick, lanes: specs } : { tick });
      told = specs.length;
    });
    tell({ ready: true });
  } catch (e) {
    tell({ failed: e.message });
    setTimeout(() => process.exit(2), 100);
  }
}

/** Finishes what is under way, and goes. */
async function end() {
  if (ending) return;
  ending = true;
  if (shop) {
    shop.draining = true;
    shop.feed.close();
    await drain(shop.server, GRACE_MS);
    await Promise.race([shop.stop(), new Promise((resolve) => setTimeout(resolve, 300))]);
  }
  process.exit(0);
}

process.on('message', (message) => {
  const [[name, value]] = Object.entries(message);
  void orders[name]?.(value);
});
// The terminal's interrupt goes to the whole group of processes; it is the supervisor that decides.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => void end());
process.on('disconnect', () => process.exit(0));
// Deno does not always tell of it: a worker that another process has adopted has been left behind.
const supervisor = process.ppid;
setInterval(() => {
  if (process.ppid !== supervisor) process.exit(0);
}, ADOPTED_MS).unref();
// A mistake in one request must not end those of others.
process.on('unhandledRejection', (e) => console.error(`shop: nobody took care of: ${e?.stack ?? e}`));

tell({ hello: true });
