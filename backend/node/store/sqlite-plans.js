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
const READS = /^(?<how>SCAN|SEARCH) (?<what>\S+)/;
/** What a step makes for others to read, by its name. */
const MAKES = /^(?:CO-ROUTINE|MATERIALIZE) (\S+)/;

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
    } catch (e) {
      console.error(`shop: SQLite does not tell its plans: ${e.message}`);
      return;
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
  db.prepare('SELECT name FROM sqlite_schema LIMIT 1').all();
  return statements
    .filter((sql) => planned.get(sql) !== version)
    .map((sql) => {
      planned.set(sql, version);
      return { sql, ...planOf(db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all()) };
    });
}

/**
 * The way to the step that reads the most, as far as SQLite says: one that reads all of a table, or else the first one.
 * @param {{ id: number, parent: number, detail: string }[]} steps
 * @returns {{ plan: string, table: string }} both empty where nothing is read
 */
export function planOf(steps) {
  const made = new Set(steps.map(({ detail }) => MAKES.exec(detail)?.[1]));
  const reads = steps.map((step) => ({ step, ...READS.exec(step.detail)?.groups })).filter(({ what }) => what && !made.has(what));
  const last = reads.find(({ how }) => how === 'SCAN') ?? reads[0];
  const way = [];
  for (let step = last?.step; step; step = steps.find(({ id }) => id === step.parent)) way.unshift(step.detail);
  return { plan: way.join(' > '), table: last?.what ?? '' };
}
