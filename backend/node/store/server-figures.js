/**
 * What the database's server says of itself: its connections, and what is read of its tables.
 *
 * Asked once a second on a connection of its own, as an exporter of metrics does. What SQLite tells is in `sqlite-plans.js`.
 */

/** From question to question, ms: the server's own figures are no newer. */
const EVERY_MS = 1_000;

/** What belongs to others shows no state, but who it is; that counts as a connection all the same. */
const CONNECTIONS = `
  SELECT count(*) AS connections, count(*) FILTER (WHERE state = 'active') AS active,
    count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting, current_setting('max_connections')::bigint AS "limit"
  FROM pg_stat_activity WHERE coalesce(backend_type, 'client backend') = 'client backend' AND usename IS NOT NULL`;
const TABLES = `
  SELECT relname::text AS table, seq_scan AS scans, coalesce(seq_tup_read, 0) AS scanned,
    coalesce(idx_tup_fetch, 0) AS fetched
  FROM pg_stat_user_tables WHERE schemaname = current_schema() AND seq_scan IS NOT NULL`;

/**
 * Tells `meter` what the server says, until the result is called.
 * @param {import('./postgres.js').PostgresDriver} driver
 * @param {import('../agent/database.js').DatabaseMeter} meter
 */
export function watchServer(driver, meter) {
  let connection;
  let timer;
  let ended = false;
  const ask = async () => {
    try {
      connection ??= await driver.open();
      const { rows } = await connection.run(CONNECTIONS, []);
      meter.server = rows[0];
      for (const { table, ...reads } of (await connection.run(TABLES, [])).rows) meter.tableRead(table, reads);
    } catch {
      // It is full, or away: whoever wants a connection says so. What is not known is not shown.
      void connection?.close().catch(() => {});
      connection = undefined;
      meter.server = undefined;
    }
    if (ended) await connection?.close().catch(() => {});
    else timer = setTimeout(ask, EVERY_MS).unref();
  };
  void ask();
  return async () => {
    ended = true;
    clearTimeout(timer);
    await connection?.close().catch(() => {});
  };
}
