/** Deno and Bun, from npm (`npm ci --prefix testing/runtimes`): they serve every route on the embedded database, and obey. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkRoutes } from './routes.js';
import { RunningShop, waitFor } from './shop.js';

const MODULES = new URL('./runtimes/node_modules/', import.meta.url);

/** Where the packages put their programs; which of them it is depends on whether npm ran their scripts. */
const PROGRAMS = {
  deno: ['.bin/deno', '@deno/linux-x64-glibc/deno', '@deno/linux-arm64-glibc/deno'],
  bun: ['bun/bin/bun.exe', '@oven/bun-linux-x64/bin/bun', '@oven/bun-linux-aarch64/bin/bun'],
};
const ARGUMENTS = { deno: ['run', '--allow-all'], bun: [] };

function program(runtime) {
  const paths = PROGRAMS[runtime].map((p) => fileURLToPath(new URL(p, MODULES)));
  const found = paths.find((p) => existsSync(p));
  assert.ok(found, `this test needs ${runtime}: npm ci --prefix backend/node/testing/runtimes`);
  return [found, ...ARGUMENTS[runtime]];
}

for (const runtime of Object.keys(PROGRAMS)) {
  test(`on ${runtime}, with the embedded database`, async (t) => {
    const shop = await RunningShop.start({ runtime: program(runtime) });
    t.after(() => shop.child.kill('SIGKILL'));
    await t.test('every route', () => checkRoutes(shop));
    await t.test('it obeys', async () => {
      const truth = await shop.during('pool-too-small', { capacity: 1 }, async () => {
        const pages = await Promise.all(Array.from({ length: 20 }, () => shop.get('/products')));
        assert.deepEqual(pages.filter((p) => p.status !== 200).map((p) => p.text), []);
      });
      assert.deepEqual(truth, ['armed', 'onset', 'ended']);
      assert.equal((await shop.order('POST', '/v1/faults', { name: 'no-such', for_ms: 1 })).status, 400);
      assert.equal((await shop.order('POST', '/v1/reload')).status, 200);
      const { json } = await shop.order('GET', '/v1/instances');
      assert.deepEqual(json.instances.map((i) => i.generation), [1, 1, 0], 'the services stay');
    });
    await t.test('it tells how a look-up is planned, with its index and without', async () => {
      const token = await shop.logIn();
      const told = async () => {
        assert.equal((await shop.get('/orders', token)).status, 200);
        const samples = await Promise.all(['shop-0', 'shop-1'].map((name) => shop.order('GET', `/v1/instances/${name}/samples`)));
        const plans = samples.flatMap(({ json }) => json.ticks.flatMap(({ events }) => events)).filter(({ kind }) => kind === 'db.plan');
        return plans.map(({ labels }) => Object.fromEntries(labels)).filter(({ statement }) => /FROM \(SELECT \* FROM purchase/.test(statement));
      };
      const seeks = /SEARCH purchase USING INDEX purchase_by_customer/;
      await waitFor(async () => (await told()).some(({ plan }) => seeks.test(plan)));
      const scans = ({ plan, before }) => /SCAN purchase$/.test(plan) && seeks.test(before);
      await shop.during('missing-index', {}, () => waitFor(async () => (await told()).some(scans)));
      await waitFor(async () => (await told()).some(({ plan, before }) => seeks.test(plan) && /SCAN purchase$/.test(before)));
    });
    await t.test('a killed worker is started again', async () => {
      const { json } = await shop.order('GET', '/v1/instances');
      process.kill(json.instances[0].pid, 'SIGKILL');
      await waitFor(async () => (await shop.order('GET', '/v1/instances')).json.instances.some((i) => i.generation === 2));
      await waitFor(async () => (await shop.get('/readyz').catch(() => ({}))).status === 200);
    });
    assert.equal(await shop.end(), 0);
  });
}
