/** Figures of the shop, the same in fault and cure, and what its caller chooses; each with its reason. */

import { CACHE } from './cache/settings.js';

/** More workers than this on one machine help nobody. */
const MAX_WORKERS = 64;

/** Requests in flight get this long when a worker ends, ms; the supervisor waits a little longer. */
export const GRACE_MS = 1_500;

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
  /** Product details in the cache. */
  cacheCapacity: 10_000,
  /** Sessions that a worker keeps in memory. */
  sessionCapacity: 20_000,
  /**
   * Threads of the runtime's offload pool (libuv's UV_THREADPOOL_SIZE, 4 unless told): a log-in takes a thread for a few
   * milliseconds, so sixteen serve more log-ins than the cores can.
   */
  offloadThreads: 16,
};

/**
 * What the command line says: `[--listen ADDR] [--control ADDR] [--workers N] [--cache-protection KIND] [--follow-stdin]`.
 * @param {string[]} args
 */
export function options(args) {
  const found = { listen: address('127.0.0.1:8080'), control: address('127.0.0.1:0'), workers: 2, cacheProtection: CACHE.protection, followStdin: false };
  const rest = [...args];
  while (rest.length > 0) {
    const name = rest.shift();
    if (name === '--follow-stdin') found.followStdin = true;
    else if (name === '--listen') found.listen = address(rest.shift());
    else if (name === '--control') found.control = address(rest.shift());
    else if (name === '--workers') found.workers = workers(rest.shift());
    else if (name === '--cache-protection') found.cacheProtection = rest.shift();
    else throw new Error(`unknown option ${name}; known: --listen, --control, --workers, --cache-protection, --follow-stdin`);
  }
  return found;
}

/** `127.0.0.1:8080` or `[::1]:8080`. */
function address(text) {
  const [, six, four, port] = /^(?:\[([0-9a-fA-F:]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text ?? '') ?? [];
  if (port === undefined || Number(port) > 65_535) throw new Error(`the address is ${text}, expected one like 127.0.0.1:8080`);
  return { host: six ?? four, port: Number(port) };
}

function workers(text) {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > MAX_WORKERS) {
    throw new Error(`${text} workers asked for, expected 1 to ${MAX_WORKERS}`);
  }
  return count;
}
