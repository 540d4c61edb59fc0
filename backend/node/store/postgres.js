/**
 * PostgreSQL through `pg`.
 *
 * Everything lies in one schema, made anew by each supervisor that starts, which holds a lock on it meanwhile. The URL may carry
 * a password: it comes from the environment and goes into no message.
 */
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { metered } from './metered.js';
import * as transactions from './transactions.js';

/** The schema; nothing outside of it is touched. */
const SCHEMA = 'dyno_shop_node';
/** The advisory lock is that of the schema's name, as the Rust shop has it: so whoever sweeps schemas that are nobody's leaves this one alone. */
const TAKE_LOCK = 'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS mine';
/** What the server says to one of two who wait for each other; the other one goes on. */
const DEADLOCK = '40P01';
/** A server that is there answers at once on loopback; one across a network within this, ms. */
const CONNECT_PATIENCE_MS = 5_000;
/** From try to try to take the lock again, ms: a server that is started again is found before somebody starts another shop. */
const RETAKE_MS = 100;

/** From look to look whether somebody still waits, ms. */
const LOOK_MS = 20;

/** Between the ends of connections that are too many: the end of each is work for the server, which has other work to do. */
const BETWEEN_CLOSES_MS = 20;

// Counts and sums come as 64-bit integers and decimals, which pg gives as texts; in this shop all fit a double.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);
pg.types.setTypeParser(pg.types.builtins.NUMERIC, Number);

function config(url) {
  return { connectionString: url, options: `-c search_path=${SCHEMA}`, connectionTimeoutMillis: CONNECT_PATIENCE_MS, keepAlive: true };
}

/**
 * Makes and fills the schema, and holds it until the result is called.
 * @param {string} url
 * @param {{ historyRows: number }} content
 */
export async function claim(url, content) {
  const client = await locked(url);
  if (!client) throw new Error('another shop uses this database: end it first, or name another database in DYNO_DATABASE_URL');
  await client.query(`DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE`);
  await client.query(`CREATE SCHEMA ${SCHEMA}`);
  await wrap(client).transact('initialise', content);
  await client.query('ANALYZE');
  return hold(url, client);
}

/** A connection that has the lock; undefined while somebody else has it. */
async function locked(url) {
  const client = await connect(url);
  let mine = false;
  try {
    ({ mine } = (await client.query(TAKE_LOCK, [SCHEMA])).rows[0]);
  } finally {
    if (!mine) await client.end().catch(() => {});
  }
  return mine ? client : undefined;
}

/**
 * Holds the lock until the result is called. It goes with its connection, as when the server is started again; another connection takes it
 * then, or the next shop that starts would drop the schema of this one.
 */
function hold(url, client) {
  let released = false;
  const watch = () => client.once('end', () => void retake());
  const retake = async () => {
    while (!released) {
      const next = await locked(url).catch(() => undefined);
      if (next) {
        client = next;
        if (released) return client.end().catch(() => {});
        return watch();
      }
      await pause(RETAKE_MS);
    }
  };
  watch();
  return async () => {
    released = true;
    await client.end().catch(() => {});
  };
}

async function connect(url) {
  let client;
  try {
    client = new pg.Client(config(url));
    // A lost connection is told by the next statement; without a listener it would end the process.
    client.on('error', () => {});
    await client.connect();
    return client;
  } catch (e) {
    await client?.end().catch(() => {});
    throw new Error(`the database of DYNO_DATABASE_URL cannot be reached: ${e.code ?? ''} ${e.message}`.trim());
  }
}

/** The common form of a connection. */
function wrap(client) {
  return {
    run: (sql, values) => query(client, sql, values),
    transact: (name, input, meter) => transact(client, name, input, meter),
    close: () => client.end(),
    client,
  };
}

async function query(client, sql, values) {
  const { rows, rowCount } = await client.query(sql, values);
  return { rows, count: rowCount ?? 0 };
}

/** Once more, if it had to give way to another one: nothing of it is left then. */
async function transact(client, name, input, meter) {
  try {
    return await attempt(client, name, input, meter);
  } catch (e) {
    if (e.code !== DEADLOCK) throw e;
    return attempt(client, name, input, meter);
  }
}

/** Each statement of the transaction in a round trip of its own, as it is with a server. */
async function attempt(client, name, input, meter) {
  await client.query('BEGIN');
  try {
    const steps = transactions[name]('postgres', input);
    const ask = ([sql, values]) => metered(meter, sql, () => query(client, sql, values));
    let step = steps.next();
    while (!step.done) step = steps.next(await ask(step.value));
    await client.query(step.value?.undo ? 'ROLLBACK' : 'COMMIT');
    return step.value;
  } catch (e) {
    await client.query('ROLLBACK').catch(() => {});
    throw e;
  }
}

/** pg's pool forgets those who wait in it when it ends; they are served first, or their patience ends. */
async function endWhenServed(pool) {
  while (pool.waitingCount > 0) await pause(LOOK_MS);
  await pool.end();
}

/** Closes what lies idle in the pool beyond its size, one after another. */
async function closeExcess(pool) {
  while (pool.totalCount > pool.options.max && pool.idleCount > 0 && !pool.ending) {
    (await pool.connect()).release(true);
    await pause(BETWEEN_CLOSES_MS);
  }
}

/** Whether more are lent than the pool has room for: then one that comes back is closed. */
function lendsTooMany(pool) {
  return pool.totalCount - pool.idleCount > pool.options.max;
}

export class PostgresDriver {
  kind = 'postgres';
  #url;

  /** @param {string} url */
  constructor(url) {
    this.#url = url;
  }

  /** A connection outside of any pool. */
  async open() {
    return wrap(await connect(this.#url));
  }

  /** `pg`'s own pool. */
  pool(capacity, patienceMs, meter) {
    const pool = new pg.Pool({ ...config(this.#url), max: capacity, connectionTimeoutMillis: patienceMs, idleTimeoutMillis: 0 });
    pool.on('connect', (client) => {
      meter.opened();
      // Nobody else listens while it is lent: what is said of a lost connection would end the process.
      client.on('error', () => {});
    });
    pool.on('remove', () => meter.closed());
    pool.on('error', () => {});
    return {
      get: async () => {
        const client = await pool.connect();
        return { ...wrap(client), release: (broken) => client.release(broken || lendsTooMany(pool)) };
      },
      resize: (size) => {
        pool.options.max = size;
        // It fails where the server has gone away, which the next statement tells.
        void closeExcess(pool).catch(() => {});
      },
      end: () => endWhenServed(pool),
    };
  }

  async end() {}
}
