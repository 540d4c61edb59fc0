/** PostgreSQL: the schema belongs to one shop, whatever becomes of the connection that says so; and a lost one ends nothing but its own work. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startPostgres } from '../testing/servers.js';
import { waitFor } from '../testing/shop.js';
import { PostgresDriver, claim } from './postgres.js';

test('a lock whose connection is lost is taken again, and let go at the end', async (t) => {
  const { url, ask, stop } = await startPostgres();
  t.after(stop);
  const release = await claim(url, { historyRows: 10 });
  t.after(release);
  const holders = () => ask("SELECT string_agg(pid::text, ',') FROM pg_locks WHERE locktype = 'advisory' AND granted");
  const first = holders();
  assert.match(first, /^\d+$/);
  for (let before = first, times = 0; times < 2; times += 1) {
    assert.equal(ask(`SELECT pg_terminate_backend(${before})`), 't');
    await waitFor(() => /^\d+$/.test(holders()) && holders() !== before);
    before = holders();
    await assert.rejects(claim(url, { historyRows: 10 }), /another shop uses this database/);
  }
  await release();
  await waitFor(() => holders() === '');
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(holders(), '', 'nobody takes it again');
});

test('the lock is that of the name of the schema, and goes with it', async (t) => {
  const { url, ask, stop } = await startPostgres();
  t.after(stop);
  const release = await claim(url, { historyRows: 10 });
  const isFree = () => ask("SELECT pg_try_advisory_lock(hashtextextended('dyno_shop_node', 0))");
  assert.equal(isFree(), 'f');
  await release();
  await waitFor(() => isFree() === 't');
});

test('imports of the same offers in any order do not wait for each other', async (t) => {
  const { url, ask, stop } = await startPostgres();
  t.after(stop);
  t.after(await claim(url, { historyRows: 10 }));
  const rows = Array.from({ length: 2_000 }, (_, n) => [`sku-${n}`, 'x', n, 1]);
  const driver = new PostgresDriver(url);
  const all = await Promise.all(Array.from({ length: 8 }, () => driver.open()));
  for (let times = 0; times < 5; times += 1) {
    await Promise.all(all.map((c, n) => c.transact('putOffers', { rows: n % 2 ? rows : rows.toReversed() })));
  }
  // Each tells the server's figures of what it saw when it ends at the latest.
  await Promise.all(all.map((c) => c.close()));
  await waitFor(() => ask("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO offer%' OR query = 'COMMIT'") === '0');
  assert.equal(ask("SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"), '0');
});

test('a transaction that must give way to another is done once more', async (t) => {
  const { url, ask, stop } = await startPostgres();
  t.after(stop);
  t.after(await claim(url, { historyRows: 10 }));
  const [imports, other] = await Promise.all([url, url].map((u) => new PostgresDriver(u).open()));
  t.after(() => Promise.all([imports.close(), other.close()]));
  const offers = (cents) => ['a', 'b'].map((sku) => [sku, 'x', cents, 1]);
  await imports.transact('putOffers', { rows: offers(1) });
  // The one that looks first is the one that gives way, and it looks once.
  await imports.run("SET deadlock_timeout = '3s'");
  await other.run("SET deadlock_timeout = '600s'");
  await other.run('BEGIN');
  await other.run("UPDATE offer SET cents = 2 WHERE sku = 'b'");
  const imported = imports.transact('putOffers', { rows: offers(3) });
  await waitFor(() => ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO offer%'") === '1');
  await other.run("UPDATE offer SET cents = 2 WHERE sku = 'a'");
  await other.run('COMMIT');
  await imported;
  assert.equal(ask("SELECT string_agg(sku || cents, ' ' ORDER BY sku) FROM dyno_shop_node.offer"), 'a3 b3');
});

test('a connection that is lost while it is lent does not end the process, and the pool gives another', async (t) => {
  const { url, ask, stop } = await startPostgres();
  t.after(stop);
  let open = 0;
  const pool = new PostgresDriver(url).pool(1, 5_000, { opened: () => (open += 1), closed: () => (open -= 1) });
  const lent = await pool.get();
  const pid = async (connection) => (await connection.run('SELECT pg_backend_pid() AS pid', [])).rows[0].pid;
  const first = await pid(lent);
  const lost = new Promise((resolve) => lent.client.once('end', resolve));
  assert.equal(ask(`SELECT pg_terminate_backend(${first})`), 't');
  await lost;
  await assert.rejects(lent.run('SELECT 1', []));
  lent.release();
  await waitFor(() => open === 0);
  const next = await pool.get();
  assert.notEqual(await pid(next), first);
  next.release();
  await pool.end();
});
