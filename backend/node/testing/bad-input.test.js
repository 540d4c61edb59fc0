/** Bad input to every route of the shop and of the control endpoint: refused with a reason, and nothing is done or lost. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { RunningShop, TOKEN, ask, waitFor } from './shop.js';

/** What each refusal bears: its kind, and what keeps browsers from guessing, framing, leaking and storing it. */
const SAFE = {
  'content-type': 'application/json',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'content-security-policy': "default-src 'none'",
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
};
/** Routes that are for everybody; all others want somebody who is logged in. */
const OPEN = [
  '/', '/healthz', '/readyz', '/login', '/products', '/products/{id}', '/products/{id}/picture', '/products/{id}/recommendations',
  '/products/{id}/sheet', '/popular', '/price-list', '/search', '/ws',
];
/** What stands for a number in a path and is none. */
const NO_NUMBERS = ['seven', '-1', '1.5', '1e3', '0x7', '%00', '7%00', '%ff', '%zz', '7%2F8', '7%20OR%201=1', '7;8', '__proto__', '4294967296', '9'.repeat(3_000)];
/** No JSON object at all. */
const NO_OBJECTS = ['', '{', 'null', 'true', '7', '"x"', '[]', '[{}]', '{]', "{'a':1}", '<a/>', '['.repeat(10_000), Buffer.from('{"\xff":1}', 'latin1')];

let shop;

before(async () => {
  shop = await RunningShop.onPostgres();
});

after(() => shop.kill());

/** Method and template of every route, as the source has them. */
function routesIn(folder, files, form) {
  const texts = files.map((file) => readFileSync(new URL(`../${folder}/${file}`, import.meta.url), 'utf8'));
  return texts.flatMap((text) => [...text.matchAll(form)].map(([, method, template]) => ({ method, template })));
}

const shopFiles = readdirSync(new URL('../shop/', import.meta.url)).filter((f) => f.endsWith('.js') && !f.endsWith('.test.js'));
const SHOP = routesIn('shop', shopFiles, /method: '(\w+)',\s*template: '([^']+)'/g);
const CONTROL = routesIn('supervisor', ['control.js'], /'([A-Z]+) (\/v1\/[^']+)':/g);

const address = (template) => template.replace('{id}', '7').replace('{name}', 'shop-0').replace('{what...}', 'profile');
const bearer = (token) => ({ Authorization: `Bearer ${token}` });
const JSON_TYPE = { 'Content-Type': 'application/json' };
const own = bearer(TOKEN);

/** Asks, and is refused. */
async function refuse(url, method, path, headers, body, status) {
  const reply = await ask(url + path, method, headers, body);
  const what = `${method} ${path.slice(0, 80)} ${String(body).slice(0, 80)}`;
  assert.equal(reply.status, status, `${what}: ${reply.text}`);
  assert.ok(reply.json.error, what);
  for (const [field, value] of Object.entries(SAFE)) assert.equal(reply.headers[field], value, `${what}: ${field}`);
  return reply;
}

/** The answer to bytes as they are, after which nothing more comes. */
function raw(url, text) {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    let answer = '';
    const socket = net.connect(Number(port), hostname, () => socket.end(text));
    socket.on('data', (d) => (answer += d)).on('error', () => {}).on('close', () => resolve(answer));
  });
}

async function refuseRaw(url, text, status) {
  const answer = await raw(url, text);
  assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), `${text.slice(0, 80)}: ${answer}`);
  assert.match(answer, /X-Content-Type-Options: nosniff\r\n[^]*\r\n\r\n\{"error":"./, text.slice(0, 80));
}

async function wrongMethodsAndPaths(url, routes, headers) {
  for (const template of new Set(routes.map((r) => r.template))) {
    const known = routes.filter((r) => r.template === template).map((r) => r.method);
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      if (known.includes(method)) continue;
      const { allow } = (await refuse(url, method, address(template), headers, undefined, 405)).headers;
      assert.deepEqual(allow.split(', ').filter((m) => m !== 'HEAD').sort(), [...known].sort(), `${method} ${template}`);
      assert.equal(allow.includes('HEAD'), known.includes('GET'));
    }
  }
  for (const path of ['/no-such', '/v1', '/%ff', '/%00', '/__proto__']) await refuse(url, 'GET', path, headers, undefined, 404);
  await refuse(url, 'GET', `/${'x'.repeat(5_000)}`, headers, undefined, 414);
}

/** Bytes that are no whole request. */
async function brokenRequests(url, path, token) {
  await refuseRaw(url, 'nonsense\r\n\r\n', 400);
  await refuseRaw(url, 'GET / HTTP/1.1\r\nno field\r\n\r\n', 400);
  await refuseRaw(url, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505);
  await refuseRaw(url, 'GET / HTTP/1.1\r\nHos', 400);
  assert.equal(await raw(url, ''), '');
  await refuseRaw(url, `GET / HTTP/1.1\r\nHost: x\r\nCookie: ${'x'.repeat(20_000)}\r\n\r\n`, 431);
  await refuseRaw(url, 'CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n', 405);
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\n`;
  await refuseRaw(url, `${head}Content-Length: 9999\r\n\r\n{"name"`, 400);
  await refuseRaw(url, `${head}Transfer-Encoding: chunked\r\n\r\n7\r\n{"name"\r\nnonsense\r\n`, 400);
}

/** All that bad input could have changed. */
async function data(token) {
  const replies = ['/products', '/products/7', '/products/9', '/search?q=lamp'].map((path) => shop.get(path));
  const mine = ['/dashboard', '/orders', '/export', '/wishes'].map((path) => shop.get(path, token));
  const control = ['/v1/cache', '/v1/truth', '/v1/services', '/v1/instances'].map((path) => shop.order('GET', path));
  return (await Promise.all([...replies, ...mine, ...control])).map((reply) => reply.text);
}

/** The same once what others have bought before is seen by all workers: entries of the cache live for a second. */
async function settled(token) {
  let now = await data(token);
  await waitFor(async () => {
    const before = now;
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    now = await data(token);
    return isDeepStrictEqual(before, now);
  });
  return now;
}

async function unharmed() {
  for (const path of ['/', '/healthz', '/readyz', '/products/7']) assert.equal((await shop.get(path)).status, 200);
  assert.doesNotMatch(shop.said, /^shop: /m);
}

/** By its method and path: a body that is taken, and such as are not. */
const BODIES = {
  'POST /login': ['{"user":"user-1","pass":"secret"}', ['["user-1","secret"]', '{}', '{"user":"user-1"}', '{"user":1,"pass":"secret"}', '{"user":"user-1","pass":null}', '{"user":"user-1\\u0000","pass":"secret"}', `{"user":"${'x'.repeat(65)}","pass":"secret"}`, `{"user":"user-1","pass":"${'x'.repeat(129)}"}`, '{"user":"user-1","pass":"secret","more":1}']],
  'POST /cart': ['{"product":9,"quantity":1}', ['[9,1]', '{}', '{"product":9}', '{"product":-9,"quantity":1}', '{"product":4294967296,"quantity":1}', '{"product":9,"product":9,"quantity":1}', '{"product":9.0,"quantity":1}', '{"product":"9","quantity":1}', '{"product":9,"quantity":0}', '{"product":9,"quantity":100}', '{"product":9,"quantity":1.5}', '{"product":9,"quantity":null}', '{"product":9,"quantity":1,"__proto__":{"admin":true}}']],
  'PUT /products/9/price': ['{"cents":5}', ['[5]', '{}', '{"cents":0}', '{"cents":-1}', '{"cents":100000001}', '{"cents":1.5}', '{"cents":"5"}', '{"cents":5,"more":1}']],
  'PUT /wishes': ['{"colour":"blue"}', ['{"__proto__":{"a":1}}', '{"a":{"constructor":{"b":1}}}', `${'{"a":'.repeat(9)}1${'}'.repeat(9)}`, `{"a":${'['.repeat(7_000)}${']'.repeat(7_000)}}`]],
};

/** By the path and what stands before a value: values that are none. */
const QUERIES = {
  'GET /products?page=': ['', '0', '-1', '1.5', 'x', '%00', '100001', '4294967296', '1&page=2'],
  'GET /price-list?rows=': ['', '0', '-1', 'x', '50001', '1&rows=2'],
  'GET /search?q=': ['', '%25', '_', '%00', '%ff', '%27%20OR%201=1', 'lamp&q=lamp'],
  'GET /search': [''],
  'POST /import/supplier?megabytes=': ['', '0', '-1', 'x', '1025', '1&megabytes=1'],
  'POST /import/supplier': [''],
};

const HEADER = 'sku,name,cents,quantity\n';
const FILES = [
  '', '\n', '{}', 'sku,name\n',
  ...['b-1,One,1', 'b-1,One,1,2,3', ',One,1,2', 'b-1,,1,2', 'b-1,One,x,2', 'b-1,One,-1,2', 'b-1,One,1,1000001', `b-1,${'x'.repeat(5_000)},1,2`, 'b\0,One,1,2'].map((row) => `${HEADER}${row}\n`),
  Buffer.from(`${HEADER}b-\xff,One,1,2\n`, 'latin1'),
];

test('the shop refuses bad input to every route, with a reason', async () => {
  const token = await shop.logIn();
  const other = await shop.logIn('user-2');
  assert.equal((await shop.send('POST', '/cart', token, { product: 9, quantity: 2 })).status, 200);
  assert.equal((await shop.send('POST', '/import', token, `${HEADER}a-1,"One, or two",5,6\n`)).status, 200);
  const was = await data(token);
  const mine = { ...bearer(token), ...JSON_TYPE };
  assert.ok(SHOP.length >= 25, 'the source is read');

  await wrongMethodsAndPaths(shop.url, SHOP, mine);
  const [head, claims] = token.split('.');
  const forged = [`${head}.${claims}.${'A'.repeat(43)}`, `eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.${claims}.`, '0'.repeat(32), 'x'.repeat(3_000)];
  const strangers = [{}, ...['', 'Bearer', 'Basic dXNlci0xOnNlY3JldA==', token, ...forged.map((t) => `Bearer ${t}`)].map((given) => ({ Authorization: given }))];
  for (const { method, template } of SHOP.filter((r) => !OPEN.includes(r.template))) {
    const body = method === 'GET' ? undefined : '{"cents":5}';
    for (const headers of strangers) await refuse(shop.url, method, address(template), { ...headers, ...JSON_TYPE }, body, 401);
  }
  for (const { method, template } of SHOP.filter((r) => r.template.includes('{id}'))) {
    const at = (id) => template.replace('{id}', id);
    const body = method === 'GET' ? undefined : '{"cents":5}';
    for (const id of NO_NUMBERS) await refuse(shop.url, method, at(id), mine, body, 400);
    for (const id of ['0', '2147483647', '2147483648', '4294967295']) await refuse(shop.url, method, at(id), mine, body, 404);
  }
  for (const [asked, values] of Object.entries(QUERIES)) {
    const [method, path] = asked.split(' ');
    const body = method === 'GET' ? undefined : '';
    for (const value of values) await refuse(shop.url, method, path + value, mine, body, 400);
  }
  for (const [asked, [good, bad]] of Object.entries(BODIES)) {
    const [method, path] = asked.split(' ');
    for (const body of [...NO_OBJECTS, ...bad, `${good}x`]) await refuse(shop.url, method, path, mine, body, 400);
    await refuse(shop.url, method, path, mine, 'x'.repeat(20_000), 413);
    await refuse(shop.url, method, path, bearer(token), good, 415);
    for (const type of ['', 'text/plain', 'json', 'application/xml']) await refuse(shop.url, method, path, { ...mine, 'Content-Type': type }, good, 415);
  }
  for (const product of [0, 501, 2_147_483_647, 2_147_483_648, 4_294_967_295]) await refuse(shop.url, 'POST', '/cart', mine, JSON.stringify({ product, quantity: 1 }), 404);
  for (const file of FILES) await refuse(shop.url, 'POST', '/import', mine, file, 400);
  await refuse(shop.url, 'POST', '/checkout', bearer(other), '', 409);
  await refuse(shop.url, 'PUT', '/products/7/price', { ...bearer(other), ...JSON_TYPE }, '{"cents":5}', 403);

  await refuse(shop.url, 'GET', '/ws', {}, undefined, 400);
  const head405 = await ask(`${shop.url}/ws`, 'HEAD');
  assert.deepEqual([head405.status, head405.headers.allow], [405, 'GET']);
  const upgrade = (path, key) => `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n${key}\r\n`;
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
  await refuseRaw(shop.url, upgrade('/ws?token=false', key), 401);
  await refuseRaw(shop.url, upgrade('/ws?token=a&token=b', key), 400);
  await refuseRaw(shop.url, upgrade('/ws', ''), 400);
  for (const path of ['/login', '/cart', '/import']) await brokenRequests(shop.url, path, token);

  assert.deepEqual(await data(token), was);
  const { cents } = (await shop.get('/products/9')).json;
  assert.equal((await shop.send('POST', '/checkout', token, '')).json.cents, 2 * cents, 'the cart is as it was');
  await waitFor(async () => {
    const { email, billing } = (await shop.order('GET', '/v1/services')).json;
    return email === 1 && billing === 1;
  });
  await unharmed();
});

const ORDERS = {
  'POST /v1/faults': ['{}', '["leak",1000,{}]', '{"name":"leak"}', '{"for_ms":1000}', '{"name":"meteor","for_ms":1000}', '{"name":7,"for_ms":1000}', '{"name":"leak","for_ms":0}', '{"name":"leak","for_ms":1.5}', '{"name":"leak","for_ms":"1000"}', '{"name":"leak","for_ms":86400001}', '{"name":"leak","for_ms":1000,"more":1}', '{"name":"leak","for_ms":1000,"knobs":null}', '{"name":"leak","for_ms":1000,"knobs":{"speed":1}}', '{"name":"leak","for_ms":1000,"knobs":{"bytes":1e999}}'],
  'PUT /v1/cache': ['[5]', '{"ttl-ms":0}', '{"ttl-ms":"5"}', '{"ttl":5}', '{"mode":"aside"}', '{"protection":"lock"}', '{"jitter":1.5}', '{"beta":null}'],
  'POST /v1/remedies': ['{}', '["pool-capacity",3]', '{"pool.db.capacity":3}', '{"pool-capacity":0}', '{"pool-capacity":3.5}', '{"pool-capacity":"3"}', '{"pool-capacity":1001}', '{"pool-capacity":3,"cure":"leak"}', '{"offload-threads":8}', '{"cache-capacity":null}', '{"early-refreshes":99}', '{"early-refreshes":{}}', '{"index":null}', '{"index":"purchase(customer)"}', '{"index":{"table":"purchase"}}', '{"index":{"table":"purchase; DROP TABLE price","column":"customer"}}', '{"index":{"table":{"toString":1},"column":[]}}', '{"index":{"table":"purchase","column":"customer","more":1}}', '{"cure":7}', '{"cure":"meteor"}', '{"cure":"frozen"}', '{"cure":"__proto__"}'],
};

const INSTANCES = {
  'shop-9/samples': 404,
  'shop-0/no-such': 404,
  'shop-0/': 404,
  '': 404,
  '%ff/samples': 400,
  'shop-0/samples?since=x': 400,
  'shop-0/samples?since=-1': 400,
  'shop-0/samples?since=1&since=2': 400,
  [`shop-0/samples?since=${'9'.repeat(5_000)}`]: 414,
};

test('the control endpoint refuses bad input to every route, with a reason', async () => {
  const token = await shop.logIn();
  const was = await settled(token);
  assert.ok(CONTROL.length >= 10, 'the source is read');

  await wrongMethodsAndPaths(shop.probe, CONTROL, own);
  const strangers = [{}, ...['', 'Bearer', 'Basic x', TOKEN, `Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(1)}`, `Bearer ${token}`].map((given) => ({ Authorization: given }))];
  for (const { method, template } of CONTROL) {
    for (const headers of strangers) await refuse(shop.probe, method, address(template), headers, undefined, 401);
  }
  for (const [asked, bad] of Object.entries(ORDERS)) {
    const [method, path] = asked.split(' ');
    for (const body of [...NO_OBJECTS, ...bad]) await refuse(shop.probe, method, path, own, body, 400);
    await refuse(shop.probe, method, path, own, 'x'.repeat(20_000), 413);
  }
  for (const since of ['', 'x', '-1', '1.5', '%00', '%ff', '99999999999', '1&since=2', '9'.repeat(3_000)]) {
    await refuse(shop.probe, 'GET', `/v1/truth?since=${since}`, own, undefined, 400);
  }
  for (const [what, status] of Object.entries(INSTANCES)) await refuse(shop.probe, 'GET', `/v1/instances/${what}`, own, undefined, status);
  await brokenRequests(shop.probe, '/v1/faults', TOKEN);

  assert.deepEqual(await data(token), was);
  assert.deepEqual(await shop.truth(), []);
  await unharmed();
  const reloads = await Promise.all([shop.order('POST', '/v1/reload'), shop.order('POST', '/v1/reload')]);
  const [done, refused] = reloads.sort((a, b) => a.status - b.status);
  assert.deepEqual([done.status, refused.status, refused.json.error], [200, 409, 'a reload is under way']);
  assert.equal((await shop.get('/products/7')).status, 200);
});
