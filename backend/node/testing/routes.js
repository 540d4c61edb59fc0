/** Every route of the shop, with good input and bad: the same on each store and each runtime. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { WebSocket } from 'ws';
import { ask, waitFor } from './shop.js';

/** @param {import('./shop.js').RunningShop} shop */
export async function checkRoutes(shop) {
  await health(shop);
  await catalogue(shop);
  const token = await login(shop);
  await cartAndCheckout(shop, token);
  await offers(shop, token);
  await prices(shop, token);
  await wishes(shop, token);
  await feed(shop, token);
  await hostile(shop);
}

function refused(reply, status, says) {
  assert.equal(reply.status, status, reply.text);
  assert.ok(reply.json.error.includes(says), `${reply.json.error} does not say ${says}`);
}

async function health(shop) {
  for (const [path, status] of [['/', 'open'], ['/healthz', 'alive'], ['/readyz', 'ready']]) {
    const reply = await shop.get(path);
    assert.deepEqual([reply.status, reply.json], [200, { status }]);
    for (const [field, value] of [['x-content-type-options', 'nosniff'], ['x-frame-options', 'DENY'], ['cache-control', 'no-store']]) {
      assert.equal(reply.headers[field], value);
    }
  }
  refused(await shop.get('/no/such'), 404, 'no such route');
  refused(await shop.send('DELETE', '/products'), 405, 'no such method');
}

async function catalogue(shop) {
  const { json: page } = await shop.get('/products?page=2');
  assert.deepEqual([page.products.length, page.products[0].id], [20, 21]);
  assert.equal((await shop.get('/products')).json.products[0].id, 1);
  assert.deepEqual((await shop.get('/products?page=26')).json.products, []);
  for (const one of ['%2B1', '000000000001']) assert.equal((await shop.get(`/products?page=${one}`)).json.page, 1, one);
  refused(await shop.get('/products?page=0'), 400, 'page is 0');
  refused(await shop.get('/products?page=x'), 400, 'page');

  const { json: product } = await shop.get('/products/7');
  assert.deepEqual([product.id, product.reviews.length], [7, 4]);
  assert.ok(product.seller.rating.stars >= 1 && product.rating.reviews === 8);
  assert.deepEqual(product, (await shop.get('/products/7')).json, 'again, from a cache or not');
  refused(await shop.get('/products/501'), 404, 'no such product');
  for (const bad of ['seven', '-1', '1e3', '99999999999', '5000000000', '%00', '%ff']) refused(await shop.get(`/products/${bad}`), 400, '');
  for (const none of ['2147483648', '3000000000', '4294967295']) refused(await shop.get(`/products/${none}`), 404, 'no such product');

  const { json: hits } = await shop.get('/search?q=kettle');
  assert.ok(hits.products.length > 0 && hits.products.every((p) => /kettle/i.test(p.name)));
  assert.deepEqual((await shop.get('/search?q=nothing')).json.products, []);
  assert.ok((await shop.get('/search?q=blue+kettle')).json.products.length > 0);
  for (const bad of ['', '?q=', '?q=%25', "?q='%20OR%201=1", `?q=${'x'.repeat(121)}`, '?q=a%00']) refused(await shop.get(`/search${bad}`), 400, 'q');

  const list = await shop.get('/price-list');
  assert.equal(list.json.length, 50_000);
  assert.deepEqual(list.json[7], { sku: 'S-000007', name: 'Spare part 7 for "model 7"', cents: 55_533, ours: 69_416, quantity: 7 });
  assert.equal((await shop.get('/price-list?rows=3')).json.length, 3);
  refused(await shop.get('/price-list?rows=0'), 400, 'rows is 0');
  assert.match((await shop.get('/products/7/sheet')).text, /^ +id \| 7\n +name \| .*\n[^]* related \| .*\n$/);
  const picture = await shop.get('/products/7/picture');
  assert.deepEqual([picture.headers['content-type'], picture.headers['content-length']], ['image/bmp', '16438']);
  assert.equal(picture.text, (await shop.get('/products/7/picture')).text);
  assert.equal((await shop.get('/products/7/recommendations')).json.products.length, 5);
  for (const what of ['picture', 'recommendations', 'sheet']) refused(await shop.get(`/products/501/${what}`), 404, 'no such product');
  assert.equal((await shop.get('/popular')).json.products.length, 10);
}

async function login(shop) {
  const tried = (body) => shop.send('POST', '/login', undefined, body);
  for (const user of ['user-1', 'nobody', "' OR 1=1 --"]) refused(await tried({ user, pass: 'wrong' }), 401, 'wrong');
  refused(await tried({ user: "' OR 1=1 --", pass: 'secret' }), 401, 'wrong');
  refused(await tried({ user: 'user-1' }), 400, 'pass');
  refused(await tried({ user: 'user-1\0', pass: 'secret' }), 400, 'NUL');
  for (const bad of ['{', '', 'null', '[]', '7']) refused(await tried(bad), 400, '');
  refused(await tried({ user: 'x'.repeat(100), pass: 'x' }), 400, 'at most');
  refused(await tried('x'.repeat(20_000)), 413, '');
  refused(await ask(`${shop.url}/login`, 'POST', {}, '{}'), 415, '');
  for (const bad of [0, -1, 3_601, 1.5, '60', null]) refused(await tried({ user: 'user-1', pass: 'secret', ttl_s: bad }), 400, 'ttl_s');
  await shortLived(shop);
  return shop.logIn();
}

/** A token that is good for a while, by what the customer asked for; another one's is good for longer. */
async function shortLived(shop) {
  const other = await shop.logIn();
  const { json } = await shop.send('POST', '/login', undefined, { user: 'user-1', pass: 'secret', ttl_s: 5 });
  assert.equal((await shop.get('/orders', json.token)).status, 200, 'five seconds are not over');
  await waitFor(async () => (await shop.get('/orders', json.token)).status !== 200);
  refused(await shop.get('/orders', json.token), 401, 'this token has expired');
  assert.equal((await shop.get('/orders', other)).status, 200);
}

async function cartAndCheckout(shop, token) {
  for (const path of ['/cart', '/checkout', '/import']) {
    refused(await shop.send('POST', path, undefined, {}), 401, 'log in first');
    refused(await shop.send('POST', path, '0'.repeat(32), {}), 401, 'no token');
    refused(await shop.send('POST', path, `${token}x`, {}), 401, '');
  }
  const put = (item) => shop.send('POST', '/cart', token, item);
  refused(await put({ product: 7, quantity: 0 }), 400, 'quantity is 0');
  refused(await put({ product: 7, quantity: 1.5 }), 400, 'quantity');
  refused(await put({ product: 9_999, quantity: 1 }), 404, 'no such product');
  refused(await put({ product: 5_000_000_000, quantity: 1 }), 400, 'product is 5000000000');
  refused(await put({ product: 3_000_000_000, quantity: 1 }), 404, 'no such product');
  refused(await shop.get('/orders/3000000000/invoice', token), 404, 'no such order');
  refused(await shop.get('/orders/5000000000/invoice', token), 400, 'id is 5000000000');
  refused(await put([]), 400, '');
  for (const more of ['"__proto__":{"admin":true}', '"constructor":1', '"price":0']) {
    refused(await put(`{"product":3,"quantity":1,${more}}`), 400, 'unknown field');
  }
  refused(await shop.send('POST', '/checkout', token, ''), 409, 'empty');

  assert.equal((await put({ product: 7, quantity: 2 })).json.quantity, 2);
  // Each request is a connection of its own, so both workers serve them: the cart is shared.
  assert.equal((await put({ product: 7, quantity: 1 })).json.quantity, 3);
  assert.equal((await put({ product: 9, quantity: 1 })).json.quantity, 1);
  const cents = async (id) => (await shop.get(`/products/${id}`)).json.cents;
  const [seven, nine] = [await cents(7), await cents(9)];
  const { json: bought } = await shop.send('POST', '/checkout', token, {});
  assert.equal(bought.cents, seven * 3 + nine);
  refused(await shop.send('POST', '/checkout', token, {}), 409, 'empty');

  const { json } = await shop.get('/orders', token);
  assert.equal(json.orders[0].id, bought.order);
  assert.deepEqual(json.orders[0].lines[0], { product: 7, quantity: 3, cents: seven });
  refused(await shop.get('/orders'), 401, 'log in');
  const { json: board } = await shop.get('/dashboard', token);
  assert.deepEqual([board.last_orders[0].id, board.customers, board.dearest.length, board.best_rated.length], [bought.order, 10_000, 5, 5]);
  assert.ok(board.sessions > 0 && board.scarcest[0].quantity < 100_000_000);
  await waitFor(async () => (await shop.get('/visits', token)).json.visits.some((v) => v.path === '/checkout'));
  await waitFor(async () => (await shop.get('/products/9')).json.in_stock < 100_000_000);
}

async function offers(shop, token) {
  const send = (text) => shop.send('POST', '/import', token, text);
  const rows = Array.from({ length: 3_234 }, (_, n) => `sku-${n},"Thing, ${n}",${n},5\n`).join('');
  const text = `sku,name,cents,quantity\n${rows}`;
  assert.deepEqual((await send(text)).json, { rows: 3_234, bytes: text.length });
  refused(await send(`${text}last,One,x,1\n`), 400, 'line 3236: cents is `x`');
  refused(await send('sku,name\n'), 400, 'line 1');
  refused(await send(''), 400, 'line 1: expected the header');
  const supplied = await shop.send('POST', '/import/supplier?megabytes=0', token);
  refused(supplied, 400, 'megabytes is 0');
  const exported = await shop.get('/export', token);
  const sorted = (t) => t.trimEnd().split('\n').sort();
  assert.deepEqual(sorted(exported.text), sorted(text));
  const file = (await shop.send('POST', '/import/supplier?megabytes=1', token)).json;
  assert.ok(file.bytes >= 2 ** 20 && file.rows > 5_000, JSON.stringify(file));
}

async function prices(shop, token) {
  const change = (who, id, body) => shop.send('PUT', `/products/${id}/price`, who, body);
  refused(await change(undefined, 11, { cents: 5 }), 401, 'log in');
  refused(await change(await shop.logIn('user-2'), 11, { cents: 5 }), 403, 'keeper');
  refused(await change(token, 11, { cents: 0 }), 400, 'cents is 0');
  refused(await change(token, 501, { cents: 5 }), 404, 'no such product');
  refused(await change(token, 5_000_000_000, { cents: 5 }), 400, 'id is 5000000000');
  refused(await change(token, 3_000_000_000, { cents: 5 }), 404, 'no such product');
  assert.deepEqual((await change(token, 11, { cents: 4_321 })).json, { product: 11, cents: 4_321 });
  await waitFor(async () => (await shop.get('/products/11')).json.cents === 4_321);
}

async function wishes(shop, token) {
  const put = (wishes) => shop.send('PUT', '/wishes', token, wishes);
  assert.deepEqual((await put({ colour: { wall: 'blue' } })).json, { colour: { wall: 'blue' } });
  assert.deepEqual((await put({ colour: { door: 'red' } })).json, { colour: { wall: 'blue', door: 'red' } });
  for (const hostile of ['{"__proto__":{"a":1}}', '{"a":{"constructor":{"prototype":{"b":1}}}}']) refused(await put(hostile), 400, 'cannot be called');
  assert.deepEqual((await shop.get('/wishes', token)).json, { colour: { wall: 'blue', door: 'red' } });
}

/** A WebSocket, and what comes over it, one by one. */
function open(shop, path) {
  const socket = new WebSocket(shop.url.replace('http', 'ws') + path);
  const [come, wanted] = [[], []];
  const take = (news) => (wanted.length > 0 ? wanted.shift()(news) : come.push(news));
  socket.on('message', (data) => take(JSON.parse(data)));
  socket.on('close', (code) => take({ closed: code }));
  socket.on('error', (error) => take({ error: error.message }));
  socket.on('unexpected-response', (_, response) => take({ status: response.statusCode }));
  return {
    socket,
    opened: new Promise((resolve) => socket.on('open', resolve)),
    next: () => (come.length > 0 ? come.shift() : new Promise((resolve) => wanted.push(resolve))),
  };
}

async function feed(shop, token) {
  const one = open(shop, `/ws?token=${token}`);
  await one.opened;
  one.socket.send('{"op":"say","id":"a-1","text":"hello"}');
  const { at, ...said } = await one.next();
  assert.deepEqual(said, { op: 'said', id: 'a-1', text: 'hello' });
  assert.ok(Math.abs(at - Date.now()) < 60_000);
  // Before anything is watched, since prices come between answers.
  for (const bad of ['{', 'null', '{"op":"shout"}', '{"op":["follow"]}', '{"op":"watch","product":0}', '{"op":"say","id":[],"text":""}', Buffer.from('x')]) {
    one.socket.send(bad);
    assert.equal(typeof (await one.next()).error, 'string');
  }
  one.socket.send('{"op":"watch","product":7}');
  assert.deepEqual(await one.next(), { op: 'watching', product: 7 });
  const follower = open(shop, '/ws');
  await follower.opened;
  follower.socket.send('{"op":"follow"}');
  assert.deepEqual(await follower.next(), { op: 'following' });
  const board = await follower.next();
  assert.deepEqual([board.op, board.prices.length, Object.keys(board.prices[6])], ['board', 500, ['product', 'name', 'about', 'cents']]);
  follower.socket.terminate();
  const anonymous = open(shop, '/ws');
  await anonymous.opened;
  anonymous.socket.send('x'.repeat(100_000));
  assert.ok([1009, 1006].includes((await anonymous.next()).closed), 'too large a message ends it');
  const stranger = open(shop, '/ws?token=false');
  assert.ok(/401/.test(JSON.stringify(await stranger.next())));
  refused(await shop.get('/ws'), 400, '');
  const price = await one.next();
  assert.deepEqual([price.op, price.product], ['price', 7], 'within ten seconds');
  one.socket.terminate();
}

async function hostile(shop) {
  const { hostname, port } = new URL(shop.url);
  const raw = (text) =>
    new Promise((resolve) => {
      let answer = '';
      const socket = net.connect(Number(port), hostname, () => socket.end(text));
      socket.on('data', (d) => (answer += d)).on('error', () => {}).on('close', () => resolve(answer));
    });
  assert.match(await raw('nonsense\r\n\r\n'), /^HTTP\/1.1 400|^$/);
  assert.match(await raw(`GET /${'x'.repeat(500_000)} HTTP/1.1\r\n\r\n`), /^HTTP\/1.1 4|^$/);
  assert.match(await raw('POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"user"'), /^(HTTP\/1.1 4|$)/);
  assert.equal((await shop.get('/healthz')).status, 200);
}
