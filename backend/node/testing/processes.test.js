/** Supervisor and workers: faults at work, control, reload, killed workers, and the end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { GRACE } from '../settings.js';
import { privateFolder } from './servers.js';
import { RunningShop, TOKEN, ask, waitFor } from './shop.js';

let shop;

before(async () => {
  shop = await RunningShop.onPostgres();
});

after(() => shop.kill());

const FULL = ['armed', 'onset', 'ended'];
const QUICKER = new URL('./quicker.js', import.meta.url);
/** As which the ports are given back by whoever looks for them; the first is the shop's, too, when it is known that it can be had. */
const GIVEN_BACK = { shop: 2, services: 3 };

/** Many requests at once, all of which must go well. */
async function many(count, path, token) {
  const replies = await Promise.all(Array.from({ length: count }, () => shop.get(path, token)));
  for (const { status, text } of replies) assert.equal(status, 200, `${text}\n${shop.said.slice(-2_000)}`);
}

/** The values of a lane that are kept, oldest first, of each worker. */
async function values(lane, of = shop) {
  const found = [];
  for (const name of ['shop-0', 'shop-1']) {
    const { json } = await of.order('GET', `/v1/instances/${name}/samples`);
    const index = json.lanes.findIndex((l) => l.name === lane);
    found.push(json.ticks.flatMap((t) => t.values.filter(([i]) => i === index).map(([, v]) => v)));
  }
  return found;
}

/** Is the lane's newest value, of every worker, as it should be? */
async function now(lane, isRight, of = shop) {
  return (await values(lane, of)).every((kept) => kept.length > 0 && isRight(kept.at(-1)));
}

test('control wants its token, and refuses what it does not understand', async () => {
  const order = (headers, body) => ask(`${shop.probe}/v1/faults`, 'POST', headers, body);
  for (const headers of [{}, { Authorization: 'Bearer ' }, { Authorization: `Bearer ${TOKEN}x` }, { Authorization: TOKEN }]) {
    assert.equal((await order(headers, '{"name":"leak","for_ms":1000}')).status, 401);
  }
  const bearer = { Authorization: `Bearer ${TOKEN}` };
  for (const body of ['', '{', '[]', '{"name":"leak"}', '{"name":"__proto__","for_ms":1}', '{"name":"leak","for_ms":1e9}', '{"name":"leak","for_ms":1,"knobs":{"bytes":0}}', '{"name":"leak","for_ms":1,"knob":{"bytes":4096}}']) {
    const reply = await order(bearer, body);
    assert.ok(reply.status === 400 && reply.json.error, body);
  }
  assert.equal((await order(bearer, 'x'.repeat(20_000))).status, 413);
  for (const path of ['/v1/services', '/v1/instances', '/v1/truth', '/v1/cache']) assert.equal((await ask(shop.probe + path)).status, 401, path);
  assert.equal((await shop.order('DELETE', '/v1/services')).status, 405);
  assert.equal((await shop.order('GET', '/v1/nothing')).status, 404);
  assert.equal((await shop.order('GET', '/v1/instances/shop-9/samples')).status, 404);
  for (const since of ['x', '-1', '1e3', '99999999999', '%00']) assert.equal((await shop.order('GET', `/v1/truth?since=${since}`)).status, 400, since);
  assert.deepEqual(await shop.truth(), []);
});

test('how the cache works is checked, and may be changed', async () => {
  const put = (how) => shop.order('PUT', '/v1/cache', how);
  const mistakes = {
    'ttl-ms is 0, expected 1 to 3600000': { 'ttl-ms': 0 },
    'jitter is 1.5, expected 0 to 1': { jitter: 1.5 },
    'beta is "1", expected 0.1 to 10': { beta: '1' },
    'mode is "aside", expected cache-aside, write-through': { mode: 'aside' },
    'unknown field `ttl`, expected one of ttl-ms, mode, protection, jitter, negative-ms, beta, lock-ms': { ttl: 1 },
    'protection is `lock`, which needs a cache that all workers share: Redis': { protection: 'lock' },
  };
  for (const [why, how] of Object.entries(mistakes)) {
    const { status, json } = await put(how);
    assert.deepEqual([status, json.error], [400, why]);
  }
  // Each hit may refresh, so with the greatest eagerness some of many do before the second is over.
  assert.equal((await put({ protection: 'xfetch', beta: 10, 'ttl-ms': 400 })).status, 200);
  await waitFor(async () => {
    await many(20, '/products/9');
    return (await values('cache.products.early-refreshes')).some((kept) => kept.some((v) => v > 0));
  });
  assert.equal((await put({})).json.protection, 'single-flight');
});

test('a changed price is told to the other workers: none keeps the old one for as long as its entry lives', async () => {
  const token = await shop.logIn();
  assert.equal((await shop.order('PUT', '/v1/cache', { 'ttl-ms': 3_600_000 })).status, 200);
  const prices = async () => new Set((await Promise.all(Array.from({ length: 20 }, () => shop.get('/products/12')))).map((r) => r.json.cents));
  const [old] = await prices();
  const cents = old + 1;
  assert.equal((await shop.send('PUT', '/products/12/price', token, { cents })).status, 200);
  await waitFor(async () => [...(await prices())].join() === `${cents}`);
  assert.equal((await shop.order('PUT', '/v1/cache', {})).status, 200);
});

test('the probe tells lanes in the form that dyno reads', async () => {
  await many(20, '/products/7');
  await many(20, '/products?page=3');
  const samples = async () => (await shop.order('GET', '/v1/instances/shop-0/samples')).json;
  const ticks = async () => (await samples()).ticks;
  await waitFor(async () => (await ticks()).length > 5);
  const told = ['heap.allocated', 'heap.young.used', 'heap.used', 'loop.delay', 'pool.db.waiters', 'cache.products.hits', 'process.cpu', 'server.handler', 'server.connections', 'db.calls', 'server.db.wall', 'cache.products.expired', 'db.connections', 'db.table-scans', 'db.table-fetched'];
  // Some begin when there is something to tell: what the database's server says of itself, with its first answer.
  await waitFor(async () => {
    const { lanes } = await samples();
    return told.every((name) => lanes.some((l) => l.name === name));
  });
  // Not from the first on: those are forgotten after half a minute.
  const since = Math.max(2, (await ticks()).at(-1).seq - 100);
  const before = process.hrtime.bigint();
  const { json } = await shop.order('GET', `/v1/instances/shop-0/samples?since=${since}`);
  assert.deepEqual([json.version, json.instance, json.ticks[0].seq], [1, 'shop-0', since + 1]);
  assert.ok(json.now >= Number(before) && json.now <= Number(process.hrtime.bigint()), 'the host has one monotonic clock');
  for (const lane of json.lanes) assert.deepEqual(Object.keys(lane), ['name', 'subject', 'instance', 'unit', 'shape', 'combine', 'quality']);
  for (const name of told) assert.ok(json.lanes.some((l) => l.name === name), name);
  // Who asks for what comes after all ticks is given the lanes alone.
  const alone = (await shop.order('GET', `/v1/instances/shop-0/samples?since=${2 ** 32}`)).json;
  assert.deepEqual([alone.ticks, alone.lost, alone.lanes.length >= json.lanes.length], [[], 0, true]);
  for (const { at, values, histograms } of json.ticks) {
    assert.ok(Number.isInteger(at));
    for (const [i, value] of values) assert.ok(json.lanes[i].shape !== 'histogram' && Number.isFinite(value));
    for (const [i, cells] of histograms) assert.ok(json.lanes[i].shape === 'histogram' && cells.length > 0);
  }
});

test('pool-too-small: a queue, and the planned pool afterwards', async () => {
  const truth = await shop.during('pool-too-small', { capacity: 1 }, async () => {
    await waitFor(() => now('pool.db.capacity', (v) => v === 1));
    // Those who wait when the pool is exchanged again are not forgotten.
    const waiting = many(60, '/products?page=3');
    await waitFor(async () => (await shop.truth()).some((l) => /^pool-too-small shop-. onset$/.test(l)));
    await shop.order('DELETE', '/v1/faults');
    await waiting;
  });
  assert.deepEqual(truth, FULL);
  await many(20, '/products');
  await waitFor(() => now('pool.db.capacity', (v) => v === 12));
});

test('pool-leak: connections are gone, and come back at the end', async () => {
  const truth = await shop.during('pool-leak', { share: 0.5 }, async () => {
    await many(14, '/products');
    await waitFor(async () => (await values('pool.db.in-use')).some((kept) => kept.at(-1) > 1));
  });
  assert.deepEqual(truth, FULL);
  await waitFor(() => now('pool.db.in-use', (v) => v === 0));
});

test('connect-per-request and pool-too-large: the database has to carry them', async () => {
  const open = () => Number(shop.postgres.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'tester'"));
  const usual = open();
  const pooled = (await values('pool.db.idle')).reduce((sum, kept) => sum + kept.at(-1), 0);
  assert.deepEqual(await shop.during('connect-per-request', {}, () => many(10, '/products')), FULL);
  const truth = await shop.during('pool-too-large', { capacity: 40 }, async () => {
    await waitFor(() => open() > usual + 30);
    await waitFor(async () => (await shop.truth()).includes('pool-too-large shop-0 onset'));
  });
  assert.deepEqual(truth, FULL);
  // Of the pools the planned twelve of each worker stay.
  await waitFor(() => open() - 2 * 12 <= usual - pooled + 2);
  await many(10, '/products');
});

test('missing-index: the plan reads all orders, until it is made again', async () => {
  const plan = () => shop.postgres.ask('EXPLAIN SELECT * FROM dyno_shop_node.purchase WHERE customer = 7');
  assert.match(plan(), /purchase_by_customer/);
  const truth = await shop.during('missing-index', {}, async () => {
    await waitFor(() => /Seq Scan/.test(plan()));
    await waitFor(async () => (await shop.truth()).includes('missing-index shop-0 onset'));
  });
  assert.deepEqual(truth, FULL);
  await waitFor(() => /purchase_by_customer/.test(plan()));
  const { json } = await shop.order('GET', '/v1/instances/shop-0/samples');
  assert.deepEqual(json.lanes.filter((l) => /INDEX/i.test(l.subject)), [], 'no lane tells of the switch');
  // The worker that took it away dies, and the span ends before it is back. Another try, should it have been back before we had come to look.
  let isLeftWithout = false;
  for (let times = 0; times < 5 && !isLeftWithout; times += 1) {
    const began = (await shop.truth()).length;
    await shop.order('POST', '/v1/faults', { name: 'missing-index', for_ms: 600_000 });
    await waitFor(async () => (await shop.truth()).slice(began).includes('missing-index shop-0 onset'));
    const { pid } = (await shop.order('GET', '/v1/instances')).json.instances.find((i) => i.name === 'shop-0');
    process.kill(pid, 'SIGKILL');
    assert.equal((await shop.order('DELETE', '/v1/faults')).status, 200, 'its successor is not waited for');
    isLeftWithout = /Seq Scan/.test(plan());
    await waitFor(() => /purchase_by_customer/.test(plan()));
  }
  assert.ok(isLeftWithout);
});

test('a checkout loses nothing that is put into the cart meanwhile', async (t) => {
  const token = await shop.logIn('user-77');
  const put = (product) => shop.send('POST', '/cart', token, { product, quantity: 1 });
  await put(31);
  await put(32);
  // Somebody who puts something in, and is not done when the checkout comes.
  const client = new pg.Client(shop.postgres.url);
  await client.connect();
  t.after(() => client.end());
  const session = (await client.query('SELECT session FROM dyno_shop_node.cart WHERE product = 31')).rows[0].session;
  await client.query('BEGIN');
  await client.query('UPDATE dyno_shop_node.cart SET quantity = 5 WHERE session = $1 AND product = 31', [session]);
  await client.query('INSERT INTO dyno_shop_node.cart VALUES ($1, 33, 1)', [session]);
  await client.query('DELETE FROM dyno_shop_node.cart WHERE session = $1 AND product = 32', [session]);
  const buying = shop.send('POST', '/checkout', token, {});
  await waitFor(() => shop.postgres.ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE FROM cart%'") === '1');
  await client.query('COMMIT');
  assert.equal((await buying).status, 200);
  assert.equal((await shop.send('POST', '/checkout', token, {})).status, 200);
  const { orders } = (await shop.get('/orders', token)).json;
  const bought = orders.map(({ lines }) => lines.map(({ product, quantity }) => [product, quantity]));
  assert.deepEqual(bought.slice(0, 2), [[[33, 1]], [[31, 5]]]);
});

test('query-fan-out, serial-queries: the same answers', async () => {
  const token = await shop.logIn();
  const [page, board] = [(await shop.get('/products?page=4')).json, (await shop.get('/dashboard', token)).json];
  const fan = await shop.during('query-fan-out', {}, async () => assert.deepEqual((await shop.get('/products?page=4')).json, page));
  const serial = await shop.during('serial-queries', {}, async () => assert.deepEqual(Object.keys((await shop.get('/dashboard', token)).json), Object.keys(board)));
  assert.deepEqual([fan, serial], [FULL, FULL]);
});

test('the faults of the loop and of memory take effect', async () => {
  const token = await shop.logIn();
  const effects = {
    'blocking-crypto': () => shop.logIn(),
    'regex-backtracking': () => shop.get(`/search?q=${'a'.repeat(40)}!`),
    'starved-poll': () => waitFor(async () => (await shop.truth()).includes('starved-poll shop-0 onset')),
    'big-json': () => many(1, '/price-list?rows=20000'),
    churn: () => many(2, '/products/7/picture'),
    'stop-the-world': () => waitFor(async () => (await shop.truth()).includes('stop-the-world shop-0 onset')),
    deoptimised: () => many(2, '/products'),
    leak: () => shop.logIn(),
    'whole-file': () => shop.send('POST', '/import/supplier?megabytes=2', token, ''),
    'offload-saturated': () => saturate(shop),
  };
  for (const [fault, effect] of Object.entries(effects)) assert.deepEqual(await shop.during(fault, {}, effect), FULL, fault);
  await many(20, '/products/7/sheet');
});

/** As many sheets as it takes until in each worker one has waited for a thread. */
async function saturate(shop) {
  await waitFor(async () => {
    await Promise.all(Array.from({ length: 20 }, () => shop.get('/products/7/sheet')));
    const truth = await shop.truth();
    return ['shop-0', 'shop-1'].every((name) => truth.includes(`offload-saturated ${name} onset`));
  });
}

test('the faults of the cache take effect', async () => {
  const effects = {
    stampede: () => {
      // As many products as it takes until some ask for one in the same moment.
      let id = 100;
      return waitFor(async () => {
        await many(30, `/products/${id++}`);
        return (await shop.truth()).some((l) => /^stampede shop-. onset$/.test(l));
      });
    },
    avalanche: () =>
      waitFor(async () => {
        await Promise.all(Array.from({ length: 40 }, (_, n) => shop.get(`/products/${201 + n}`)));
        return (await shop.truth()).some((l) => /^avalanche shop-. onset$/.test(l));
      }),
    penetration: () => shop.get('/products/4001'),
    'cold-cache': () =>
      waitFor(async () => {
        await shop.get('/products/7');
        return (await shop.truth()).some((l) => /^cold-cache shop-. onset$/.test(l));
      }),
    'too-small-cache': () => Promise.all(Array.from({ length: 30 }, (_, n) => shop.get(`/products/${300 + n}`))),
  };
  const knobs = { 'too-small-cache': { capacity: 2 }, avalanche: { period_ms: 500 } };
  for (const [fault, effect] of Object.entries(effects)) assert.deepEqual(await shop.during(fault, knobs[fault] ?? {}, effect), FULL, fault);
});

test('slow-downstream: checkout waits for the service, and not when its cure runs', async () => {
  const token = await shop.logIn();
  const buy = async () => {
    await shop.send('POST', '/cart', token, { product: 5, quantity: 1 });
    const began = performance.now();
    assert.equal((await shop.send('POST', '/checkout', token, {})).status, 200);
    return performance.now() - began;
  };
  // The shortest of three: in others the machine itself may have been slow.
  const cure = Math.min(await buy(), await buy(), await buy());
  let fault;
  const truth = await shop.during('slow-downstream', { signatures: 600 }, async () => (fault = await buy()));
  assert.deepEqual(truth, FULL);
  assert.ok(fault > cure * 3, `${fault} ms against ${cure} ms`);
});

test('retry-storm: refused invoices are asked for again and again', async () => {
  const token = await shop.logIn();
  await shop.send('POST', '/cart', token, { product: 8, quantity: 2 });
  const { json: bought } = await shop.send('POST', '/checkout', token, {});
  const path = `/orders/${bought.order}/invoice`;
  const { status, text } = await shop.get(path, token);
  assert.ok(status === 200 && text.startsWith('product,quantity,cents\n8,2,') && /\nsignature,[\w-]{300,}\n$/.test(text), text);
  assert.equal((await shop.get('/orders/999999/invoice', token)).status, 404);
  const all = () => Promise.all(Array.from({ length: 40 }, () => shop.get(path, token)));
  const truth = await shop.during('retry-storm', { tries: 3 }, () =>
    waitFor(async () => {
      const statuses = new Set((await all()).map((r) => r.status));
      assert.ok([...statuses].every((s) => s === 200 || s === 502), `${[...statuses]}`);
      return (await shop.truth()).some((l) => /^retry-storm shop-. onset$/.test(l));
    }));
  assert.deepEqual(truth, FULL);
  const retried = async () => (await values('downstream.billing.retries')).some((kept) => kept.some((v) => v > 0));
  await waitFor(retried);
  assert.equal((await shop.get(path, token)).status, 200);
});

test('fd-exhausted: sheets leave files open up to the limit, and are drawn again afterwards', async () => {
  const before = await values('process.descriptor-limit');
  const truth = await shop.during('fd-exhausted', { room: 50 }, async () => {
    await waitFor(() => now('process.descriptor-limit', (v) => v < before[0].at(-1)));
    // Connections of the tests' own, which a worker without descriptors loses.
    await waitFor(async () => {
      await Promise.allSettled(Array.from({ length: 20 }, () => ask(`${shop.url}/products/7/sheet`, 'GET', {}, undefined, 1_000)));
      return (await values('process.descriptors')).some((kept) => Math.max(...kept) - Math.min(...kept) >= 30);
    });
  });
  assert.deepEqual(truth, FULL);
  await waitFor(() => now('process.descriptor-limit', (v) => v === before[0].at(-1)));
  await waitFor(async () => (await shop.get('/products/7/sheet').catch(() => ({}))).status === 200);
});

test('slow-consumer: the fault keeps everything for one that does not read, the cure lets it go', async () => {
  const { hostname, port } = new URL(shop.url);
  const socket = net.connect(Number(port), hostname);
  socket.on('error', () => {});
  const key = 'dGhlIHNhbXBsZSBub25jZQ==';
  socket.write(`GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`);
  await once(socket, 'readable');
  // A frame masked with zeros, which is a mask. From here on nothing is read.
  const text = Buffer.from('{"op":"follow"}');
  socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), text]));
  await waitFor(async () => !(await now('server.websockets', (v) => v === 0)));
  const truth = await shop.during('slow-consumer', {}, async () => {
    await waitFor(async () => (await shop.truth()).some((l) => /^slow-consumer shop-. onset$/.test(l)), 60_000);
    assert.equal(socket.destroyed, false);
  });
  assert.deepEqual(truth, FULL);
  await waitFor(() => now('server.websockets', (v) => v === 0));
  socket.destroy();
});

/** Asks until it is so: the first worker gets all new connections, or the other one some. */
async function dealtOut({ evenly }) {
  const ticks = async (name) => {
    const { json } = await shop.order('GET', `/v1/instances/${name}/samples`);
    const lane = json.lanes.findIndex((l) => l.name === 'server.requests' && l.subject === '/healthz');
    return json.ticks.slice(-6).flatMap((t) => t.values.filter(([i, v]) => i === lane && v > 0)).length;
  };
  await waitFor(async () => {
    await many(20, '/healthz');
    const other = await ticks('shop-1');
    return evenly ? other > 0 : other === 0 && (await ticks('shop-0')) > 0;
  });
}

test('uneven-workers: one gets all new connections, and both do again afterwards', async () => {
  assert.deepEqual(await shop.during('uneven-workers', {}, () => dealtOut({ evenly: false })), FULL);
  await dealtOut({ evenly: true });
});

test('uneven-workers: orders that a worker hears at once leave it as the last one says', async () => {
  const { json } = await shop.order('GET', '/v1/instances');
  const { pid, generation } = json.instances.find((i) => i.name === 'shop-1');
  const order = { name: 'uneven-workers', for_ms: 600_000 };
  process.kill(pid, 'SIGSTOP');
  try {
    // Each but the first one ends the fault and begins it anew.
    for (let nth = 0; nth < 3; nth++) assert.equal((await shop.order('POST', '/v1/faults', order)).status, 202);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await dealtOut({ evenly: false });
  assert.equal((await shop.order('DELETE', '/v1/faults')).status, 200);
  await dealtOut({ evenly: true });
  const now = (await shop.order('GET', '/v1/instances')).json.instances.find((i) => i.name === 'shop-1');
  assert.deepEqual([now.pid, now.generation], [pid, generation]);
});

test('the end of faults is not said before each worker has said so', async () => {
  const { pid } = (await shop.order('GET', '/v1/instances')).json.instances.find((i) => i.name === 'shop-0');
  process.kill(pid, 'SIGSTOP');
  const { status, json } = await shop.order('DELETE', '/v1/faults').finally(() => process.kill(pid, 'SIGCONT'));
  assert.deepEqual([status, json.error], [504, 'shop-0 does not say that its faults are ended']);
  assert.equal((await shop.order('DELETE', '/v1/faults')).status, 200);
});

test('a worker that ends stays until the supervisor knows: a connection that is handed to it meanwhile goes to another', async () => {
  const { pid } = (await shop.order('GET', '/v1/instances')).json.instances.find((i) => i.name === 'shop-1');
  process.kill(shop.child.pid, 'SIGSTOP');
  let waiting;
  try {
    process.kill(pid, 'SIGTERM');
    waiting = Promise.all(Array.from({ length: 4 }, () => shop.get('/healthz')));
    // Many times what it takes to end: nothing is under way there.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    assert.ok(isAlive(pid));
  } finally {
    process.kill(shop.child.pid, 'SIGCONT');
  }
  assert.deepEqual((await waiting).map((r) => r.status), [200, 200, 200, 200]);
  const now = async () => (await shop.order('GET', '/v1/instances')).json.instances.find((i) => i.name === 'shop-1')?.pid ?? pid;
  await waitFor(async () => !isAlive(pid) && (await now()) !== pid);
});

test('worker-crash and frozen: another process is behind the name, or the same one', async () => {
  const generation = async () => (await shop.order('GET', '/v1/instances')).json.instances.find((i) => i.name === 'shop-0')?.generation;
  const at = await generation();
  assert.deepEqual(await shop.during('frozen', { stop_ms: 200, period_ms: 500 }, () => new Promise((r) => setTimeout(r, 300))), FULL);
  assert.equal(await generation(), at);
  assert.deepEqual(await shop.during('worker-crash', {}, () => waitFor(async () => (await generation()) > at)), FULL);
  await waitFor(async () => (await shop.order('GET', '/v1/instances')).json.instances.length === 3);
  // A request that the cluster has handed to the one that was killed is not answered.
  await waitFor(async () => (await shop.get('/readyz').catch(() => ({}))).status === 200);
});

test('a rolling reload loses no request', async () => {
  const pids = async () => (await shop.order('GET', '/v1/instances')).json.instances.filter((i) => i.name !== 'services-0').map((i) => i.pid);
  const old = await pids();
  let running = true;
  const agent = new http.Agent({ keepAlive: true });
  const statuses = {};
  const ask = () => new Promise((resolve, reject) => {
    http.get(`${shop.url}/products?page=2`, { agent }, (r) => r.resume().on('end', () => resolve(r.statusCode))).on('error', reject);
  });
  const client = async () => {
    while (running) {
      const status = await ask();
      statuses[status] = (statuses[status] ?? 0) + 1;
    }
  };
  const clients = Array.from({ length: 8 }, client);
  try {
    assert.equal((await shop.order('POST', '/v1/reload')).status, 200);
    await waitFor(() => statuses[200] > 50);
  } finally {
    running = false;
  }
  await Promise.all(clients);
  agent.destroy();
  assert.deepEqual(Object.keys(statuses), ['200']);
  assert.deepEqual((await pids()).filter((p) => old.includes(p)), []);
});

/** A file of which only the header comes, until somebody ends it; done when a worker has begun to read it. */
async function beginUpload(to) {
  const headers = { Authorization: `Bearer ${await to.logIn()}` };
  const upload = http.request(`${to.url}/import`, { method: 'POST', headers, agent: false });
  const answered = once(upload, 'response');
  upload.write('sku,name,cents,quantity\n');
  await waitFor(async () => {
    for (const name of ['shop-0', 'shop-1']) {
      const { json } = await to.order('GET', `/v1/instances/${name}/samples`);
      const lane = json.lanes.findIndex((l) => l.name === 'server.in-flight');
      if (json.ticks.at(-1)?.values.some(([i, v]) => i === lane && v > 0)) return true;
    }
    return false;
  });
  return { upload, answered };
}

test('a worker that is relieved waits for what is under way, and is not waited for', async () => {
  const shops = async () => (await shop.order('GET', '/v1/instances')).json.instances.filter((i) => i.name !== 'services-0');
  const old = await shops();
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const get = (agent) => new Promise((resolve, reject) => {
    const request = http.get(`${shop.url}/healthz`, { agent }, (r) => r.resume().on('end', () => resolve(Object.assign(r, { isReused: request.reusedSocket }))));
    request.on('error', reject);
  });
  assert.equal((await get(agent)).statusCode, 200);
  const { upload, answered } = await beginUpload(shop);
  const began = (await shop.truth()).length;
  await shop.order('POST', '/v1/faults', { name: 'leak', for_ms: 600_000 });
  const told = async (what) => (await shop.truth()).slice(began).filter((l) => l === `leak shop-0 ${what}`).length;
  await waitFor(async () => (await told('armed')) === 1);
  assert.equal((await shop.order('POST', '/v1/reload')).status, 200);
  // Its successor has the fault now.
  await waitFor(async () => (await told('armed')) === 2 && (await told('ended')) === 1);
  // Longer than one has that is told to end at once.
  await new Promise((resolve) => setTimeout(resolve, 2 * (GRACE.idleMs + GRACE.busyMs)));
  upload.end('r-1,One,1,2\n');
  const [response] = await answered;
  assert.equal(response.statusCode, 200);
  const idle = await get(agent);
  assert.deepEqual([idle.statusCode, idle.headers.connection, idle.isReused], [200, 'close', true]);
  await waitFor(() => old.every(({ pid }) => !isAlive(pid)));
  assert.equal((await shop.order('DELETE', '/v1/faults')).status, 200);
  assert.equal(await told('ended'), 2);
});

test('the faults of a process end with it', async () => {
  const began = (await shop.truth()).length;
  const points = async () => {
    const lines = (await shop.truth()).slice(began).filter((l) => /^leak shop-0|^broker-backlog/.test(l));
    return lines.filter((l) => !l.endsWith(' onset')).map((l) => l.replace(/ \S+ /, ' '));
  };
  for (const name of ['leak', 'broker-backlog']) await shop.order('POST', '/v1/faults', { name, for_ms: 600_000 });
  await waitFor(async () => (await points()).length === 2);
  const { instances } = (await shop.order('GET', '/v1/instances')).json;
  for (const { name, pid } of instances) if (name !== 'shop-1') process.kill(pid, 'SIGKILL');
  await waitFor(async () => (await points()).filter((l) => l.endsWith(' armed')).length === 4);
  const of = (lines, fault) => lines.filter((l) => l.startsWith(fault)).map((l) => l.split(' ')[1]);
  const lines = await points();
  for (const fault of ['leak', 'broker-backlog']) assert.deepEqual(of(lines, fault), ['armed', 'ended', 'armed']);
  assert.equal((await shop.order('DELETE', '/v1/faults')).status, 200);
  for (const fault of ['leak', 'broker-backlog']) assert.deepEqual(of(await points(), fault), ['armed', 'ended', 'armed', 'ended']);
});

test('what is held counts more than what is ordered, in workers that are started later, too', async (t) => {
  const { url } = await own('held');
  const held = await RunningShop.start({ env: { DYNO_DATABASE_URL: url }, more: ['--rows', '1000'] });
  t.after(() => held.child.kill('SIGKILL'));
  const index = { index: { table: 'purchase', column: 'customer' } };
  for (const hold of [{ 'pool-capacity': 3 }, { cure: 'leak' }, { cure: 'broker-backlog' }, index, { 'pool-capacity': 14 }]) {
    const { status, json } = await held.order('POST', '/v1/remedies', hold);
    assert.deepEqual([status, json], [200, { hold }]);
  }
  for (const name of ['pool-too-large', 'leak', 'broker-backlog', 'missing-index']) await held.order('POST', '/v1/faults', { name, for_ms: 600_000 });
  const told = async (line) => (await held.truth()).filter((l) => l === line).length;
  await waitFor(async () => (await told('missing-index shop-0 onset')) === 1 && (await told('leak shop-1 armed')) === 1);
  const indexes = () => shop.postgres.ask("SELECT string_agg(indexname, ' ' ORDER BY indexname) FROM pg_indexes WHERE tablename = 'purchase'", url);
  await waitFor(() => indexes() === 'operators_purchase_by_customer purchase_pkey');
  await waitFor(() => now('pool.db.capacity', (v) => v === 14, held));
  await held.logIn();
  const pids = async () => (await held.order('GET', '/v1/instances')).json.instances.map((i) => i.pid);
  const killed = (await pids()).filter((_, nth) => nth !== 1);
  killed.forEach((pid) => process.kill(pid, 'SIGKILL'));
  await waitFor(async () => (await told('leak shop-0 armed')) === 2 && (await told('broker-backlog services-0 armed')) === 2);
  assert.equal((await held.order('POST', '/v1/reload')).status, 200);
  await waitFor(async () => (await told('leak shop-1 armed')) === 2);
  await waitFor(() => now('pool.db.capacity', (v) => v === 14, held));
  await waitFor(async () => (await held.get('/readyz').catch(() => ({}))).status === 200);
  await held.logIn();
  assert.equal((await held.order('DELETE', '/v1/faults')).status, 200);
  await waitFor(() => indexes() === 'operators_purchase_by_customer purchase_by_customer purchase_pkey');
  const lines = (await held.truth()).filter((l) => /^(leak|broker-backlog|pool-too-large) /.test(l));
  assert.deepEqual([...new Set(lines.map((l) => l.replace(/ \S+ /, ' ')))].sort(), ['broker-backlog armed', 'leak armed', 'pool-too-large armed', 'pool-too-large ended']);
  assert.equal(await held.end(), 0);
});

for (const [whose, nth] of Object.entries(GIVEN_BACK)) {
  test(`somebody who is quicker with the port of the ${whose} does not keep it from starting`, async (t) => {
    const { url } = await own(`quick_${whose}`);
    const more = { NODE_OPTIONS: `--import=${QUICKER}`, DYNO_TEST_QUICKER: String(nth) };
    const quick = await RunningShop.start({ env: { DYNO_DATABASE_URL: url, ...more }, more: ['--rows', '1000'] });
    t.after(() => quick.child.kill('SIGKILL'));
    assert.equal((await quick.get('/products')).status, 200);
    assert.equal((await quick.order('GET', '/v1/services')).status, 200);
    const { json } = await quick.order('GET', '/v1/instances');
    assert.deepEqual(json.instances.map((i) => [i.name, i.generation, i.deaths]), [['shop-0', 0, 0], ['shop-1', 0, 0], ['services-0', 0, 0]]);
    assert.equal(await quick.end(), 0);
    assert.equal(quick.said, '');
  });
}

test('a reload of which the new process does not get ready leaves the old one where it is, and kept', async (t) => {
  const { url } = await own('reloaded');
  const reloaded = await RunningShop.start({ env: { DYNO_DATABASE_URL: url }, more: ['--rows', '1000'] });
  t.after(() => reloaded.child.kill('SIGKILL'));
  const instances = async () => (await reloaded.order('GET', '/v1/instances')).json.instances;
  const before = await instances();
  const lets = (everybody) => shop.postgres.ask(`ALTER DATABASE reloaded ALLOW_CONNECTIONS ${everybody}`);
  lets(false);
  const { status, json } = await reloaded.order('POST', '/v1/reload');
  assert.equal(status, 500);
  assert.match(json.error, /^shop-0 did not start: .*not currently accepting connections/);
  assert.deepEqual(await instances(), before);
  assert.equal((await reloaded.get('/products?page=2')).status, 200);
  const begun = (await reloaded.truth()).length;
  await reloaded.order('POST', '/v1/faults', { name: 'query-fan-out', for_ms: 60_000 });
  await waitFor(async () => (await reloaded.truth()).slice(begun).includes('query-fan-out shop-0 armed'));
  lets(true);
  // It is started again when it dies.
  process.kill(before[0].pid, 'SIGKILL');
  await waitFor(async () => (await instances()).some((i) => i.name === 'shop-0' && i.generation === 1 && i.deaths === 1));
  await waitFor(async () => (await reloaded.truth()).slice(begun).filter((l) => l === 'query-fan-out shop-0 armed').length === 2);
  const upload = await beginUpload(reloaded);
  const hungUp = assert.rejects(upload.answered);
  const relieved = await instances();
  assert.equal((await reloaded.order('POST', '/v1/reload')).status, 200);
  assert.deepEqual((await instances()).map((i) => i.generation), [2, 1, 0]);
  // One that was relieved, and would wait for it, ends with the others.
  assert.ok(relieved.some(({ name, pid }) => name !== 'services-0' && isAlive(pid)));
  assert.equal(await reloaded.end(), 0);
  await hungUp;
  assert.ok(relieved.every(({ pid }) => !isAlive(pid)));
});

test('a shop begins with as many past orders as it is told, and kill -9 of its supervisor leaves nobody behind', async () => {
  const { url } = await own('another');
  const second = await RunningShop.start({ env: { DYNO_DATABASE_URL: url }, more: ['--rows', '1001'] });
  assert.equal(shop.postgres.ask('SELECT (SELECT count(*) FROM dyno_shop_node.purchase), count(*) FROM dyno_shop_node.purchase_line', url), '500|500');
  const { json } = await second.order('GET', '/v1/instances');
  second.child.kill('SIGKILL');
  await waitFor(() => json.instances.every(({ pid }) => !isAlive(pid)));
});

test('kill -9 of the supervisor leaves nobody behind whose offload threads are blocked', async (t) => {
  const { url } = await own('blocked');
  // Who is killed leaves its pipe.
  const folder = privateFolder();
  const blocked = await RunningShop.start({ env: { DYNO_DATABASE_URL: url, TMPDIR: folder }, more: ['--rows', '1000'] });
  const { json } = await blocked.order('GET', '/v1/instances');
  t.after(() => json.instances.filter(({ pid }) => isAlive(pid)).forEach(({ pid }) => process.kill(pid, 'SIGKILL')));
  t.after(() => blocked.child.kill('SIGKILL'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  await blocked.order('POST', '/v1/faults', { name: 'offload-saturated', for_ms: 600_000 });
  await saturate(blocked);
  blocked.child.kill('SIGKILL');
  await waitFor(() => json.instances.every(({ pid }) => !isAlive(pid)));
});

function isAlive(pid) {
  try {
    return !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    // Gone, perhaps between opening and reading.
    return false;
  }
}

/** Another database of the same server, for a shop beside the first. */
async function own(name) {
  shop.postgres.ask(`CREATE DATABASE ${name}`);
  return { url: shop.postgres.url.replace(/\/postgres$/, `/${name}`) };
}

test('it ends when its input does', async () => {
  assert.equal(await shop.end(), 0);
});
