/**
 * Which database: PostgreSQL by URL, else the SQLite that the runtime brings along.
 *
 * A driver opens connections: `{ run(sql, values), transact(name, input, meter), close() }`, where a transaction is one of
 * `transactions.js` by its name, and the meter, if there is one, hears of its statements. Values stand in the text as `$1`, `$2`; nothing a client sent ever becomes part of a text.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A database that the environment does not name lives in a folder of this name. */
const PREFIX = 'dyno-shop-node-';

/**
 * What workers need to open the database; made and filled by the supervisor.
 * @param {string | undefined} url `DYNO_DATABASE_URL`
 * @param {{ historyRows: number }} content
 * @returns {Promise<{ file?: string, release: () => Promise<void> }>}
 */
export async function create(url, content) {
  if (url) {
    const { claim } = await import('./postgres.js');
    return { release: await claim(url, content) };
  }
  await embedded();
  const folder = mkdtempSync(join(tmpdir(), PREFIX));
  const file = join(folder, 'shop.sqlite');
  const { SqliteDriver } = await import('./sqlite.js');
  const driver = new SqliteDriver(file, 0);
  const release = async () => {
    await driver.end();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    // It stays open: SQLite locks the file and folds its log when the last connection closes, which must not be while workers exchange pools.
    const connection = await driver.open();
    // Nobody reads it yet: its log need not be on the disk, from where every page would be written once more.
    await connection.run('PRAGMA journal_mode = memory');
    await connection.transact('initialise', content);
    await connection.run('PRAGMA journal_mode = wal');
    return { file, release };
  } catch (e) {
    await release();
    throw e;
  }
}

/**
 * The driver for a worker.
 * @param {{ file?: string, roundTripMs: number }} where the URL stays in the environment
 */
export async function driver({ file, roundTripMs }) {
  if (file) return new (await import('./sqlite.js')).SqliteDriver(file, roundTripMs);
  return new (await import('./postgres.js')).PostgresDriver(process.env.DYNO_DATABASE_URL);
}

/** Says what to do where the runtime has no SQLite. */
async function embedded() {
  try {
    await import('node:sqlite');
  } catch {
    throw new Error(
      `this runtime (Node.js ${process.versions.node}) has no SQLite of its own: set DYNO_DATABASE_URL to a PostgreSQL ` +
        'database, such as postgres://user@127.0.0.1:5432/shop, or use Node.js 22.13 or later, Deno or Bun',
    );
  }
}
