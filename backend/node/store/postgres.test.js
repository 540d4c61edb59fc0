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
