/**
 * The supervisor: keeps the workers and the services, and answers for them.
 *
 * A request to a port shared by several processes reaches any of them; so control and probe have a port of their own, here. Owns the
 * order of starting and ending.
 */
import { randomBytes } from 'node:crypto';
import { brokerUrl, claim } from '../broker/rabbit.js';
import { checkedCache } from '../cache/settings.js';
import { create } from '../store/driver.js';
import { ByHand } from './by-hand.js';
import { createControl } from './control.js';
import { Crew } from './crew.js';
import { refused, reserve, show } from './port.js';
import { Truths } from './truths.js';

/** How often ports are looked for until all processes have theirs. */
const PORT_TRIES = 3;

/**
 * Starts the workers and keeps them until it is told to end: by SIGTERM or SIGINT, by the control endpoint, or by the end of standard
 * input. Prints one line of JSON when all are ready.
 * @param {ReturnType<typeof import('../settings.js').options>} options
 */
export async function supervise(options) {
  const token = process.env.DYNO_TOKEN;
  if (!token) throw new Error('the token of control and probe is empty: set DYNO_TOKEN');
  // First, so that one that is taken is said before anything is made.
  await reserve(options.listen);
  const asked = askedToEnd(options.followStdin);
  const undo = [];
  /** First part of the names of whatever this start makes on servers, which goes at its end. */
  const run = `dyno-shop-node-${process.pid}-${Date.now()}`;
  try {
    // First, since it takes no time to find out that it is not there.
    const queues = await claimQueues(undo, run);
    const database = await create(named(process.env.DYNO_DATABASE_URL, 'sqlite'), { historyRows: options.rows });
    undo.push(database.release);
    const truths = new Truths();
    const secret = randomBytes(32).toString('hex');
    const cacheUrl = named(process.env.DYNO_CACHE_URL, 'memory');
    const cache = checkedCache({ protection: options.cacheProtection }, cacheUrl !== undefined);
    const cachePrefix = `${run}:`;
    if (cacheUrl) undo.push(async () => (await import('../cache/redis.js')).sweep(cacheUrl, cachePrefix));
    const shared = { workers: options.workers, file: database.file, cacheUrl, cachePrefix, cache, queues, secret };
    const { listen, crew } = await manned(options, { shared, truths, asked, undo });
    if (!asked.now) await control(options, { listen, crew, truths, token, asked, undo });
    await asked.promise;
  } finally {
    for (const step of undo.reverse()) await step().catch(() => {});
  }
}

/** The crew at work, or as far as it came when it is told to end. Somebody may be quicker with a port that was found free; then others are tried. */
async function manned(options, { shared, truths, asked, undo }) {
  for (let tries = 1; ; tries += 1) {
    const [listen, services] = [await reserve(options.listen), await reserve({ host: '127.0.0.1', port: 0 })];
    const crew = new Crew({ ...shared, listen, services: services.port }, options.workers, truths);
    undo.push(() => crew.stop());
    try {
      await Promise.race([crew.start(), asked.promise]);
      return { listen, crew };
    } catch (e) {
      if (e.code !== 'EADDRINUSE' || tries === PORT_TRIES) throw e;
      await crew.stop();
    }
  }
}

/** Serves control and probe, and says where. */
async function control(options, { listen, crew, truths, token, asked, undo }) {
  const byHand = new ByHand(crew, truths);
  const server = createControl({ crew, truths, byHand, token, shutdown: asked.ask });
  await new Promise((resolve, reject) => {
    server.once('error', (e) => reject(refused(options.control, e)));
    server.listen({ ...options.control, exclusive: true }, resolve);
  });
  undo.push(async () => {
    byHand.endAll();
    server.close();
    server.closeAllConnections();
  });
  const workers = crew.instances.map(({ name, pid }) => ({ name, pid }));
  const probe = show({ host: options.control.host, port: server.address().port });
  console.log(JSON.stringify({ ready: { url: `http://${show(listen)}`, probe: `http://${probe}`, workers } }));
}

/** With RabbitMQ, the first part of the names of this shop's exchange and queues; none when the broker is the embedded one. */
async function claimQueues(undo, run) {
  const url = brokerUrl();
  if (!url) return undefined;
  const prefix = `${run}.`;
  undo.push(await claim(url, prefix));
  return prefix;
}

/** A store's URL; the name of the embedded one means none. */
function named(url, embedded) {
  return url && url !== embedded ? url : undefined;
}

/** The ways in which it can be told to end. */
function askedToEnd(followStdin) {
  const asked = { now: false };
  asked.promise = new Promise((resolve) => {
    asked.ask = () => {
      asked.now = true;
      resolve();
    };
  });
  process.on('SIGTERM', asked.ask);
  // The terminal interrupts the whole group of processes. Whoever holds our input decides what that means.
  process.on('SIGINT', () => followStdin || asked.ask());
  if (followStdin) process.stdin.on('end', asked.ask).on('error', asked.ask).resume();
  return asked;
}
