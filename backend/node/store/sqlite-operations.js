/** What the embedded database does: opens connections, runs statements and whole transactions, one after another. */
import { DatabaseSync } from 'node:sqlite';
import { plansOf } from './sqlite-plans.js';
import * as transactions from './transactions.js';

/** How long a statement waits for another process that writes, ms. One that is amid a transaction may be stopped for three seconds, by `frozen`. */
const BUSY_MS = 10_000;

const connections = new Map();

export const operations = {
  open({ file, connection }) {
    const db = new DatabaseSync(file);
    // A killed process loses nothing committed, since the system has it, and nobody waits for the disk; the file goes with the shop.
    // How long it may wait comes first: what follows may have to.
    db.exec(`PRAGMA busy_timeout = ${BUSY_MS}; PRAGMA journal_mode = wal; PRAGMA synchronous = off; PRAGMA foreign_keys = on`);
    connections.set(connection, { db, prepared: new Map(), planned: new Map() });
  },
  run: ({ connection, sql, values }) => run(connections.get(connection), sql, values),
  transact({ connection, name, input }) {
    const open = connections.get(connection);
    const texts = [];
    open.db.exec('BEGIN IMMEDIATE');
    try {
      const outcome = drive(transactions[name]('sqlite', input), (sql, values) => {
        texts.push(sql);
        return run(open, sql, values);
      });
      open.db.exec(outcome?.undo ? 'ROLLBACK' : 'COMMIT');
      return { outcome, texts };
    } catch (e) {
      open.db.exec('ROLLBACK');
      throw e;
    }
  },
  plans({ connection, statements }) {
    const { db, planned } = connections.get(connection);
    return plansOf(db, planned, statements);
  },
  close({ connection }) {
    connections.get(connection).db.close();
    connections.delete(connection);
  },
};

/** Runs a transaction's steps, each statement's result going to the next step. */
function drive(steps, ask) {
  let step = steps.next();
  while (!step.done) step = steps.next(ask(...step.value));
  return step.value;
}

function run({ db, prepared }, sql, values = []) {
  // Texts of this shop are constants, but for the number of rows in one insert, which takes few forms.
  let statement = prepared.get(sql);
  if (!statement) {
    statement = db.prepare(sql.replaceAll(/\$(\d+)/g, '?$1'));
    prepared.set(sql, statement);
  }
  // `run` alone counts the rows that were changed, and `all` alone gives rows.
  if (/^\s*(SELECT|WITH)|\bRETURNING\b/.test(sql)) {
    const rows = statement.all(...values).map((row) => ({ ...row }));
    return { rows, count: rows.length };
  }
  return { rows: [], count: Number(statement.run(...values).changes) };
}
