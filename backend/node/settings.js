/** Figures of the shop, the same in fault and cure, and what its caller chooses; each with its reason. */

import { CACHE } from './cache/settings.js';

/** More workers than this on one machine help nobody. */
const MAX_WORKERS = 64;
/** The most rows of past orders, as of the Rust shop. */
const MAX_ROWS = 10_000_000;

/**
 * How long a worker that ends waits, ms: for idle connections to bring one more request, and after that for requests in flight. The
 * supervisor waits a little longer.
 */
export const GRACE = { idleMs: 1_050, busyMs: 450 };
/**
 * The same of one that was relieved: nobody waits for its end. A client that asks within the first, as long as in the Rust shop, is told with the
 * answer to leave, so only connections that were idle all the while are hung up on; an import may take the second, too.
 */
export const RETIREMENT = { idleMs: 15_000, busyMs: 45_000 };

export const SHOP = {
  /**
   * The stated network round trip before each statement of the embedded database, ms. It runs in this process, so without
   * it a pool would be bound by the CPU alone, which no database server's is. The same as the Rust shop's.
   */
  roundTripMs: 10,
  /** Connections in each worker's pool. */
  poolCapacity: 12,
  /** How long a request waits for a connection before it is refused, ms. */
  poolPatienceMs: 5_000,
  /** How long is tried to open all connections, ms: a server that has just been filled may be busy writing. Less than a supervisor waits for a worker. */
  openPatienceMs: 30_000,
  /** Product details in the cache. */
  cacheCapacity: 10_000,
  /** Rows of past orders with which the shop begins, as of the Rust shop: enough that reading them all shows, and made in seconds. */
  historyRows: 300_000,
  /** Sessions that a worker keeps in memory. */
  sessionCapacity: 20_000,
  /**
   * Threads of the runtime's offload pool (libuv's UV_THREADPOOL_SIZE, 4 unless told): a data sheet keeps a thread for thirteen round trips,
   * so sixteen draw more than a hundred of them a second.
   */
  offloadThreads: 16,
};

/**
 * What the command line says: `[--listen ADDR] [--control ADDR] [--workers N] [--cache-protection KIND] [--rows N] [--follow-stdin]`.
 * @param {string[]} args
 */
export function options(args) {
  const found = {
    listen: address('127.0.0.1:8080'),
    control: address('127.0.0.1:0'),
    workers: 2,
    cacheProtection: CACHE.protection,
    rows: SHOP.historyRows,
    followStdin: false,
  };
  const rest = [...args];
  while (rest.length > 0) {
    const name = rest.shift();
    if (name === '--follow-stdin') found.followStdin = true;
    else if (name === '--listen') found.listen = address(rest.shift());
    else if (name === '--control') found.control = address(rest.shift());
    else if (name === '--workers') found.workers = count(rest.shift(), 'workers', 1, MAX_WORKERS);
    else if (name === '--rows') found.rows = count(rest.shift(), 'rows', 0, MAX_ROWS);
    else if (name === '--cache-protection') found.cacheProtection = rest.shift();
    else throw new Error(`unknown option ${name}; known: --listen, --control, --workers, --cache-protection, --rows, --follow-stdin`);
  }
  return found;
}

/** `127.0.0.1:8080` or `[::1]:8080`. */
function address(text) {
  const [, six, four, port] = /^(?:\[([0-9a-fA-F:]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text ?? '') ?? [];
  if (port === undefined || Number(port) > 65_535) throw new Error(`the address is ${text}, expected one like 127.0.0.1:8080`);
  return { host: six ?? four, port: Number(port) };
}

function count(text, what, least, most) {
  if (!/^\d{1,9}$/.test(text ?? '') || Number(text) < least || Number(text) > most) {
    throw new Error(`${text} ${what} asked for, expected ${least} to ${most}`);
  }
  return Number(text);
}
