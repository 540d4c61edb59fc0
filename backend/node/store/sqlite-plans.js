/**
 * How SQLite would run the statements that the shop sends, in its own words (`EXPLAIN QUERY PLAN`): nothing of them is run.
 *
 * Owns when statements are planned, and which steps of a plan are told. Here SQLite does not say how many rows a statement reads (Node.js hands
 * no `sqlite3_stmt_status` out); it does say whether it finds them by an index. A plan changes with the schema alone, since nobody
 * analyses the tables, so that is when each statement is planned again.
 */

/** From look to look whether the schema has changed, ms. */
const EVERY_MS = 500;

/** What a statement reads: a table, an index of it, or what another step has made. */
const READS = /^(?<how>SCAN|SEARCH) (?<what>\S+)(?<by> USING )?/;
/** What a step makes for others to read, by its name. */
const MAKES = /^(?:CO-ROUTINE|MATERIALIZE) (\S+)/;
/** What is read, but lies in no table. */
const NO_TABLE = / (?:CONSTANT ROWS?|VALUES CLAUSE)$| VIRTUAL TABLE /;

/**
 * Tells `meter` how its statements are planned, until the result is called.
 * @param {import('./sqlite.js').SqliteDriver} driver
 * @param {import('../agent/database.js').DatabaseMeter} meter
 */
export function watchPlans(driver, meter) {
  const connecting = driver.open();
  let timer;
  let ended = false;
  const ask = async () => {
    try {
      const connection = await connecting;
      for (const { sql, ...plan } of await connection.plans(meter.texts)) meter.planned(sql, plan);
    } catch {
      // It is busy, or away: whoever wants a connection says so. What is not known is not shown.
    }
    if (!ended) timer = setTimeout(ask, EVERY_MS).unref();
  };
  void ask();
  return async () => {
    ended = true;
    clearTimeout(timer);
    await connecting.then((connection) => connection.close()).catch(() => {});
  };
}

/**
 * The plans of those statements that have not been planned for the schema as it is now.
 * @param {import('node:sqlite').DatabaseSync} db
 * @param {Map<string, number>} planned version of the schema for which a statement was planned
 * @param {string[]} statements
 */
export function plansOf(db, planned, statements) {
  const { schema_version: version } = db.prepare('PRAGMA schema_version').get();
  // Planning takes the schema that the connection knows; whoever reads a table looks first whether it has changed.
  const tables = new Set(db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all().map(({ name }) => name));
  return statements
    .filter((sql) => planned.get(sql) !== version)
    .map((sql) => {
      planned.set(sql, version);
      return { sql, ...planOf(stepsOf(db, sql), tables) };
    });
}

/** None where it has no plan any more, such as of a table that has gone. */
function stepsOf(db, sql) {
  try {
    return db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all();
  } catch {
    return [];
  }
}

/**
 * The way to the step that reads the most, as far as SQLite says: one that reads all of a table, or else all of an index, or else the first one.
 * @param {{ id: number, parent: number, detail: string }[]} steps
 * @param {Set<string>} tables those that there are: a step may name another thing, or a table by its alias
 * @returns {{ plan: string, table: string }} empty where nothing is read, and where it is not known of which table
 */
export function planOf(steps, tables) {
  const made = new Set(steps.map(({ detail }) => MAKES.exec(detail)?.[1]));
  const reads = steps
    .filter(({ detail }) => !NO_TABLE.test(detail))
    .map((step) => ({ step, ...READS.exec(step.detail)?.groups }))
    .filter(({ what }) => what && !made.has(what));
  const scans = reads.filter(({ how }) => how === 'SCAN');
  const last = scans.find(({ by }) => !by) ?? scans[0] ?? reads[0];
  const way = [];
  for (let step = last?.step; step; step = steps.find(({ id }) => id === step.parent)) way.unshift(step.detail);
  return { plan: way.join(' > '), table: tables.has(last?.what) ? last.what : '' };
}
