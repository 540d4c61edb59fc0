/** The shop on PostgreSQL and Redis, with this runtime. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { checkRoutes } from './routes.js';
import { PASSWORD, startPostgres, startRedis } from './servers.js';
import { RunningShop, waitFor } from './shop.js';

test('on PostgreSQL and Redis', async (t) => {
  const postgres = await startPostgres();
  t.after(postgres.stop);
  const redis = await startRedis();
  t.after(redis.stop);
  const env = { DYNO_DATABASE_URL: postgres.url, DYNO_CACHE_URL: redis.url };
  const shop = await RunningShop.start({ env });
  t.after(() => shop.child.kill('SIGKILL'));

  const redisSays = (...asked) => {
    const args = ['-p', redis.port, '--no-auth-warning', '-a', PASSWORD, ...asked];
    return execFileSync('redis-cli', args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString().trim();
  };
  redisSays('set', 'dyno-shop-node:product:7', "another's");
  const key = (name) => `dyno-shop-node-${shop.child.pid}-${/^dyno-shop-node-\d+-(\d+):/m.exec(redisSays('keys', 'dyno-shop-node-*'))?.[1]}:${name}`;

  await t.test('every route', () => checkRoutes(shop));
  await t.test('the cache is Redis', () =>
    waitFor(async () => {
      // An entry lives for a second.
      await shop.get('/products/7');
      return redisSays('exists', key('product:7')) === '1';
    }));
  await t.test('under the lock one of all workers loads', async () => {
    const how = { protection: 'lock', 'ttl-ms': 60_000 };
    const { status, json } = await shop.order('PUT', '/v1/cache', how);
    assert.ok(status === 200 && json.protection === 'lock' && json.beta === 1, JSON.stringify(json));
    assert.deepEqual((await shop.order('GET', '/v1/cache')).json, json);
    // Workers hear of it in their turn.
    await waitFor(async () => {
      const id = 400 + Math.floor(Math.random() * 100);
      const replies = await Promise.all(Array.from({ length: 20 }, () => shop.get(`/products/${id}`)));
      for (const { status } of replies) assert.equal(status, 200);
      // Where a holder stood still for longer than its lock lasts, or a worker for longer than Redis may take, another one writes, too: the next product then.
      return redisSays('get', key(`written:product:${id}`)) === '1' && redisSays('exists', key(`lock:product:${id}`)) === '0';
    });
  });
  await t.test('written through: the new entry is there with the change', async () => {
    await shop.order('PUT', '/v1/cache', { mode: 'write-through', protection: 'xfetch', 'ttl-ms': 60_000 });
    const token = await shop.logIn();
    await waitFor(async () => {
      const cents = 100 + Math.floor(Math.random() * 10_000);
      assert.equal((await shop.send('PUT', '/products/77/price', token, { cents })).status, 200);
      const kept = redisSays('get', key('product:77'));
      return kept !== '' && JSON.parse(kept).value.cents === cents;
    });
    assert.equal((await shop.order('PUT', '/v1/cache', {})).json.mode, 'cache-aside');
  });
  await t.test('every event reaches its services', () =>
    waitFor(() => postgres.ask('SELECT count(*) FROM dyno_shop_node.outbox') === '0'));
  await t.test('one database has one shop', async () => {
    await assert.rejects(RunningShop.start({ env }), /ended with 2: .*another shop uses this database/);
  });
  await t.test('what is committed stays when a worker is killed', async () => {
    const token = await shop.logIn('user-2');
    await shop.send('POST', '/cart', token, { product: 3, quantity: 1 });
    const { json: bought } = await shop.send('POST', '/checkout', token, {});
    const { json } = await shop.order('GET', '/v1/instances');
    for (const { pid } of json.instances) process.kill(pid, 'SIGKILL');
    await waitFor(async () => (await shop.get('/readyz').catch(() => ({}))).status === 200);
    // The other worker may not yet be there, or have been handed the connection before it was missed.
    const orders = async () => (await shop.get('/orders', token).catch(() => ({}))).json?.orders;
    await waitFor(async () => (await orders())?.[0].id === bought.order);
  });
  await t.test('no password was told, and of its keys none is left', async () => {
    assert.equal(await shop.end(), 0);
    assert.equal(redisSays('keys', '*'), 'dyno-shop-node:product:7');
    assert.ok(!shop.said.includes(PASSWORD), shop.said);
  });
});

test('a store that is not there is named, without its password', async () => {
  const started = RunningShop.start({ env: { DYNO_DATABASE_URL: `postgres://me:${PASSWORD}@127.0.0.1:9/shop` } });
  await assert.rejects(started, (e) => /ended with 2: .*DYNO_DATABASE_URL cannot be reached: ECONNREFUSED/.test(e.message) && !e.message.includes(PASSWORD));
});
