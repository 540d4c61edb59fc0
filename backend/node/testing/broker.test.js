/** Events from checkouts to the services, over the embedded broker and over RabbitMQ, and when either is away. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { startRabbit } from './rabbit.js';
import { PASSWORD, startPostgres } from './servers.js';
import { RunningShop, TOKEN, ask, waitFor } from './shop.js';

let postgres;

before(async () => {
  postgres = await startPostgres();
});

after(() => postgres.stop());

async function start(t, env = {}) {
  const shop = await RunningShop.start({ env: { DYNO_DATABASE_URL: postgres.url, ...env } });
  t.after(() => shop.child.kill('SIGKILL'));
  return shop;
}

async function buy(shop, token) {
  assert.equal((await shop.send('POST', '/cart', token, { product: 5, quantity: 1 })).status, 200);
  const { status, text } = await shop.send('POST', '/checkout', token, {});
  assert.equal(status, 200, text);
}

/** E-mails and invoices. Services that stand still for a moment, or are being started, are asked again. */
async function counts(shop) {
  let reply;
  await waitFor(async () => (reply = await shop.order('GET', '/v1/services')).status === 200);
  return [reply.json.email, reply.json.billing];
}

/** All values of a lane of the services that are kept. */
async function values(shop, lane) {
  const { json } = await shop.order('GET', '/v1/instances/services-0/samples');
  const index = json.lanes.findIndex((l) => l.name === lane);
  return json.ticks.flatMap((t) => t.values.filter(([i]) => i === index).map(([, v]) => v));
}

async function services(shop) {
  const { json } = await shop.order('GET', '/v1/instances');
  return json.instances.find((i) => i.name === 'services-0');
}

const outbox = () => Number(postgres.ask('SELECT count(*) FROM dyno_shop_node.outbox'));

/** Orders wait for their consumer, and no customer does. Gives how many there were. */
async function backlog(shop, token) {
  let bought = 0;
  const truth = await shop.during('broker-backlog', { signatures: 600 }, async () => {
    await waitFor(async () => {
      await buy(shop, token);
      bought += 1;
      const begun = (await shop.truth()).includes('broker-backlog services-0 onset');
      return begun && (await values(shop, 'broker.orders.depth')).at(-1) > 0;
    }, 60_000);
  });
  assert.deepEqual(truth, ['armed', 'onset', 'ended']);
  await waitFor(async () => (await values(shop, 'broker.orders.depth')).at(-1) === 0, 60_000);
  return bought;
}

test('a checkout does not wait for services that are away', async (t) => {
  const shop = await start(t);
  const token = await shop.logIn();
  await buy(shop, token);
  await waitFor(async () => (await counts(shop)).join() === '1,1');
  await t.test('what is no event is refused, and strangers are', async () => {
    const { pid } = await services(shop);
    // Where they listen is told to nobody; a process can be asked what it has opened.
    const port = portOf(pid);
    const post = (path, body, bearer = TOKEN) => ask(`http://127.0.0.1:${port}${path}`, 'POST', { Authorization: `Bearer ${bearer}`, 'Content-Type': 'application/json' }, body);
    assert.equal((await post('/events', '[]', 'another')).status, 401);
    const good = { order: 1, customer: 1, cents: 1, at_ms: 1 };
    const bad = {
      '/events': ['', '{', '7', 'null', '{}', '[7]', '[null]', '[{}]', JSON.stringify([{ ...good, published_ms: -1 }]), JSON.stringify([{ ...good, order: '1', published_ms: 1 }])],
      '/email': ['', 'null', '[]', '{}', JSON.stringify(good), JSON.stringify({ ...good, signatures: 1e9 }), JSON.stringify({ ...good, cents: 1.5, signatures: 1 })],
      '/invoice': ['null', '{}', '{"signatures":1}', '{"signatures":1,"lines":[{}]}', '{"signatures":0,"lines":[]}', '{"signatures":1,"lines":{"length":9}}'],
    };
    for (const [path, bodies] of Object.entries(bad)) {
      for (const body of bodies) {
        const { status, json } = await post(path, body);
        assert.ok(status === 400 && json.error, `${path} ${body}: ${status}`);
      }
    }
    assert.equal((await post('/events', `[${' '.repeat(2 ** 20)}]`)).status, 413);
    assert.equal((await post('/no-such', '{}')).status, 404);
    assert.deepEqual(await counts(shop), [1, 1]);
  });
  // What is not crossed out comes again, to one that does not know it.
  await waitFor(() => outbox() === 0);
  const before = await services(shop);
  process.kill(before.pid, 'SIGKILL');
  for (let n = 0; n < 3; n++) await buy(shop, token);
  await waitFor(async () => (await counts(shop)).join() === '3,3');
  const now = await services(shop);
  assert.ok(now.pid !== before.pid && now.deaths === 1, JSON.stringify(now));
  await waitFor(() => outbox() === 0);
  await backlog(shop, token);
});

test('RabbitMQ that goes away and comes back gets every event', async (t) => {
  const rabbit = await startRabbit();
  t.after(rabbit.stop);
  const shop = await start(t, { DYNO_BROKER_URL: rabbit.url });
  const token = await shop.logIn();
  await buy(shop, token);
  await waitFor(async () => (await counts(shop)).join() === '1,1');
  await waitFor(async () => (await values(shop, 'broker.orders.consumers')).at(-1) === 2);
  assert.match(rabbit.ask('list_queues', 'name'), /^dyno-shop-node-\d+-\d+\.orders\.email$/m);

  const bought = 1 + (await backlog(shop, token));
  await waitFor(async () => (await counts(shop)).join() === `${bought},${bought}`);

  process.kill(rabbit.pid, 'SIGSTOP');
  for (let n = 0; n < 3; n++) await buy(shop, token);
  assert.deepEqual(await counts(shop), [bought, bought]);
  process.kill(rabbit.pid, 'SIGCONT');
  await waitFor(async () => (await counts(shop)).join() === `${bought + 3},${bought + 3}`);

  // What is no event is passed over; what a killed consumer had not acknowledged comes to the next one.
  const exchange = rabbit.ask('list_exchanges', 'name').match(/^dyno-shop-node-.*\.orders$/m)[0];
  rabbit.ask('eval', `rabbit_basic:publish(rabbit_misc:r(<<"/">>, exchange, <<"${exchange}">>), <<>>, [], <<"no event">>).`);
  await waitFor(() => /a message is no event/.test(shop.said));
  // Neither do those come again that were late for their confirmation.
  await waitFor(() => outbox() === 0);
  process.kill((await services(shop)).pid, 'SIGKILL');
  for (let n = 0; n < 3; n++) await buy(shop, token);
  await waitFor(async () => (await counts(shop)).join() === '3,3');
  await waitFor(() => outbox() === 0);

  assert.equal(await shop.end(), 0);
  assert.ok(!/dyno-shop-node/.test(rabbit.ask('list_queues', 'name')), 'nothing is left behind');
  assert.ok(!shop.said.includes(PASSWORD), shop.said);
});

test('a broker that is not there is named, without its password', async (t) => {
  const refused = async (url, why) => {
    await assert.rejects(start(t, { DYNO_BROKER_URL: url }), (e) => why.test(e.message) && !e.message.includes(PASSWORD));
  };
  await refused(`amqp://me:${PASSWORD}@127.0.0.1:9/`, /ended with 2: .*DYNO_BROKER_URL cannot be reached: RabbitMQ: .*ECONNREFUSED/);
  await refused(`amqps://me:${PASSWORD}@127.0.0.1/`, /ended with 2: .*DYNO_BROKER_URL: expected/);
});

/** The loopback port on which a process listens. */
function portOf(pid) {
  const inodes = readdirSync(`/proc/${pid}/fd`).map((fd) => tried(() => readlinkSync(`/proc/${pid}/fd/${fd}`)));
  const listening = readFileSync('/proc/net/tcp', 'utf8').split('\n').map((l) => l.trim().split(/\s+/));
  const row = listening.find((f) => f[3] === '0A' && inodes.includes(`socket:[${f[9]}]`));
  return parseInt(row[1].split(':')[1], 16);
}

function tried(read) {
  try {
    return read();
  } catch {
    return undefined;
  }
}
