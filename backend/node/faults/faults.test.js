/** Each fault does what it says, and its cure does not: as far as that can be seen without a shop. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs, { readFileSync, readdirSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import { test } from 'node:test';
import { mono } from '../clock.js';
import { Door } from '../http/door.js';
import { checkedOrder, FAULTS } from '../supervisor/orders.js';
import { Avalanche } from './avalanche.js';
import { BlockingCrypto } from './blocking-crypto.js';
import { Churn } from './churn.js';
import { ColdCache } from './cold-cache.js';
import { Deoptimised } from './deoptimised.js';
import { Penetration } from './penetration.js';
import { PrototypePollution } from './prototype-pollution.js';
import { FdExhausted } from './fd-exhausted.js';
import { OffloadSaturated } from './offload-saturated.js';
import { RegexBacktracking } from './regex-backtracking.js';
import { RetryStorm } from './retry-storm.js';
import { SerialQueries } from './serial-queries.js';
import { Stampede } from './stampede.js';
import { Ranking } from '../shop/ranking.js';
import { waitFor } from '../testing/shop.js';
import { StarvedPoll } from './starved-poll.js';
import { UnevenWorkers } from './uneven-workers.js';
import { WholeFile } from './whole-file.js';

/** A fault, off; and `armed` on, with the points of its truth, and when its onset was. */
function make(Kind, knobs = {}, shop = undefined) {
  const told = [];
  let onset;
  const tell = (_, what, at) => {
    told.push(what);
    if (what === 'onset') onset = at;
  };
  const [off, on] = [new Kind(() => {}), new Kind(tell)];
  on.arm({ name: Kind.kind, for_ms: 1_000, knobs }, shop);
  return { off, on, told, began: () => onset };
}

/** How often others got a turn while `work` ran. */
async function turnsDuring(work) {
  let turns = 0;
  let running = true;
  const turn = () => {
    turns += 1;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  const value = await work();
  running = false;
  return { value, turns };
}

test('every row of the catalogue is sound, and orders are checked by it', () => {
  const names = FAULTS.map((f) => f.kind);
  assert.equal(new Set(names).size, names.length);
  for (const { kind, knobs } of FAULTS) {
    for (const [name, { about, min, max, default: usual }] of Object.entries(knobs)) {
      const order = (value) => ({ name: kind, for_ms: 1, knobs: { [name]: value } });
      assert.ok(about && min < max, `${kind} ${name}`);
      assert.deepEqual(checkedOrder(order(usual)), order(usual));
      for (const bad of [max * 2, min - 1e9, NaN, '1', null]) assert.throws(() => checkedOrder(order(bad)), /expected/);
    }
  }
});

test('knobs have the ranges and defaults of the catalogue of faults, as the Rust shop has them', () => {
  const catalogue = readFileSync(new URL('../../../timeline/src/fault.rs', import.meta.url), 'utf8');
  const rows = new Map();
  let row;
  for (const line of catalogue.split('\n')) {
    const [, kind] = /^ {4}\w+ = "([a-z-]+)" => /.exec(line) ?? [];
    if (kind) rows.set(kind, (row = {}));
    const [, name, ...numbers] = /^ {8}(\w+): ([\d_.]+) in ([\d_.]+)\.\.=([\d_.]+), "/.exec(line) ?? [];
    if (name) row[name] = numbers.map((n) => Number(n.replaceAll('_', '')));
  }
  const ours = FAULTS.filter(({ kind }) => kind !== PrototypePollution.kind);
  for (const { kind, knobs } of ours) {
    const found = Object.entries(knobs).map(([name, { default: usual, min, max }]) => [name, [usual, min, max]]);
    assert.deepEqual(Object.fromEntries(found), rows.get(kind), kind);
  }
  assert.ok(ours.length >= 30);
});

test('mistakes in an order are named', () => {
  const said = (order) => {
    try {
      return checkedOrder(order);
    } catch (e) {
      return e.message;
    }
  };
  assert.match(said({ name: 'stampde', for_ms: 1 }), /^unknown fault `stampde`, did you mean `stampede`\?; known here: /);
  assert.match(said({ name: 'leak', for_ms: 0 }), /^for_ms is 0, expected 1 to 86400000$/);
  assert.match(said({ name: 'leak', for_ms: 1, knobs: { byte: 1 } }), /^fault leak has no knob `byte`; it has: bytes$/);
  assert.match(said({ name: 'stampede', for_ms: 1, knobs: { __proto__x: 1 } }), /has no knob `__proto__x`; it has: none$/);
  assert.match(said({ name: 'leak', for_ms: 1, knob: { bytes: 2_000 } }), /^unknown field `knob`, expected one of name, for_ms, knobs$/);
  assert.match(said(JSON.parse('{"name":"leak","for_ms":1,"__proto__":{}}')), /^unknown field `__proto__`/);
  assert.match(said({ name: 'leak', for_ms: 1, knobs: { bytes: 1 } }), /^knob `bytes` of fault leak is 1, expected 1024 to 1048576 \(/);
  for (const bad of [null, [], 'x', 7, {}, { name: {} }, { name: 'leak' }, { name: 'leak', for_ms: 1, knobs: [] }]) assert.equal(typeof said(bad), 'string');
});

test('a fault whose cure is held stays off, whatever is ordered, and that it was armed is all there is to tell', () => {
  const { on, told } = make(Churn);
  on.draw(7);
  on.holdCure();
  assert.deepEqual([on.on, told], [false, ['armed', 'onset', 'ended']]);
  on.end();
  const again = on.arm({ name: 'churn', for_ms: 1, knobs: {} });
  on.draw(7);
  assert.ok(!on.on && on.ordered);
  on.end(again);
  on.end();
  assert.ok(!on.ordered);
  assert.deepEqual(told, ['armed', 'onset', 'ended', 'armed']);
});

test('retry-storm: with its cure held the service is as slow, and it is the shop that asks otherwise', async () => {
  const { off, on, told } = make(RetryStorm, { tries: 8, signatures: 20 });
  const asked = [];
  const refused = async (signatures) => {
    asked.push(signatures);
    throw new Error('busy');
  };
  const ask = (fault) => assert.rejects(fault.ask({ spaced: (call) => call() }, refused, () => {}), /busy/);
  await ask(off);
  await ask(on);
  assert.deepEqual(asked.splice(0), [1, ...Array(8).fill(20)]);
  on.holdCure();
  await ask(on);
  on.end();
  await ask(on);
  assert.deepEqual([asked, told], [[20, 1], ['armed', 'onset', 'ended']]);
});

test('blocking-crypto: the loop turns while the cure hashes, and stands still while the fault does', async () => {
  const { off, on, told, began } = make(BlockingCrypto, { cost: 200 });
  const salt = Buffer.alloc(16, 7);
  // One hash may take the core from the loop until it is done, on a busy machine many in a row; a thousand do not.
  let cure;
  for (let times = 0; times < 1_000 && !(cure?.turns > 0); times += 1) cure = await turnsDuring(() => off.hash('secret', salt));
  const before = mono();
  const fault = await turnsDuring(async () => on.hash('secret', salt));
  assert.ok(began() - before < mono() - began(), 'its onset is when it begins');
  assert.ok(cure.turns > 0 && fault.turns === 0, `${cure.turns} and ${fault.turns} turns`);
  assert.deepEqual(cure.value, fault.value);
  assert.deepEqual(told, ['armed', 'onset']);
});

test('regex-backtracking: both know the same words, and only the fault takes ever longer for what is none', () => {
  const { off, on, told } = make(RegexBacktracking, { steps: 2_000_000 });
  for (const text of ['kettle', 'blue kettle', 'folding-chair 7 ', 'a b c']) assert.ok(off.fits(text) && on.fits(text), text);
  assert.deepEqual(told, ['armed']);
  for (const text of ['', '!', ' a', 'a  b', 'a%', "' OR 1=1 --"]) assert.ok(!off.fits(text) && !on.fits(text), text);
  assert.deepEqual(told, ['armed'], 'what is refused at once is no effect');
  const took = (fault, text) => {
    const began = process.hrtime.bigint();
    fault.fits(text);
    return Number(process.hrtime.bigint() - began);
  };
  const hostile = `${'a'.repeat(40)}!`;
  // The shortest of three: in others the machine itself may have been slow.
  const [cure, fault] = [Math.min(...[off, off, off].map((quick) => took(quick, hostile))), took(on, hostile)];
  assert.ok(fault > 20 * cure, `${fault} ns against ${cure} ns`);
  assert.deepEqual(told, ['armed', 'onset']);
});

/** The fault's row of turns, without the look for input at its end. */
async function turnsAhead(fault) {
  await Promise.race([fault.aheadOfInput(new Ranking(500)), new Promise((resolve) => setImmediate(resolve))]);
}

test('starved-poll: others get their turns with the cure, and none before the fault is done', async () => {
  const { off, on, told } = make(StarvedPoll, { rows: 20 });
  const [cure, fault] = [await turnsDuring(() => off.rebuild(new Ranking(500))), await turnsDuring(() => turnsAhead(on))];
  assert.ok(cure.turns >= 90 && fault.turns <= 1, `${cure.turns} and ${fault.turns} turns`);
  assert.deepEqual(told, ['armed', 'onset']);
});

test('churn: the pictures are the same', () => {
  const { off, on, told } = make(Churn);
  assert.deepEqual(on.draw(7), off.draw(7));
  assert.deepEqual(off.draw(7), off.draw(7), 'a canvas that was used is wiped');
  assert.deepEqual(told, ['armed', 'onset']);
});

test('deoptimised: the sum is the same, of as many objects, and takes the fault far longer', () => {
  const { off, on, told } = make(Deoptimised);
  const rows = Array.from({ length: 20 }, (_, id) => ({ id, name: 'x', cents: 100 + id }));
  const took = (fault) => {
    const began = process.hrtime.bigint();
    for (let page = 0; page < 50; page++) fault.total(rows);
    return Number(process.hrtime.bigint() - began);
  };
  took(off);
  // The shortest of three: in others the machine itself may have been slow.
  const [cure, fault] = [Math.min(...[off, off, off].map(took)), took(on)];
  assert.equal(on.total(rows), off.total(rows));
  assert.deepEqual([on.total([]), off.total([])], [0, 0]);
  assert.ok(fault > 5 * cure, `${fault} ns against ${cure} ns`);
  assert.deepEqual(told, ['armed', 'onset']);
});

test('whole-file: the fault hands on nothing before it has everything', async () => {
  const { off, on, told } = make(WholeFile);
  const pieces = async (fault) => {
    const sizes = [];
    const chunks = (async function* () {
      for (let n = 0; n < 5; n++) yield Buffer.from(`line ${n}\n`);
    })();
    for await (const piece of fault.pieces(chunks)) sizes.push(piece.length);
    return sizes;
  };
  assert.deepEqual([await pieces(off), await pieces(on)], [[7, 7, 7, 7, 7], [35]]);
  assert.deepEqual(told, ['armed'], 'so little is no effect');
  const large = (async function* () {
    yield Buffer.alloc(2 ** 20 - 1, '.');
    assert.deepEqual(told, ['armed']);
    yield Buffer.from('.');
    // It is felt while the file is still read.
    assert.deepEqual(told, ['armed', 'onset']);
  })();
  let bytes = 0;
  for await (const piece of on.pieces(large)) bytes += piece.length;
  assert.equal(bytes, 2 ** 20);
});

test('whole-file: a file that is longer than any text, in whatever it is written, comes out as it came', async () => {
  const { on } = make(WholeFile);
  // As UTF-8 the last byte of a chunk and the first of the next one are one letter; as a whole it is none.
  const chunk = Buffer.concat([Buffer.from([0xbc]), Buffer.alloc(2 ** 20 - 3, 'x'), Buffer.from([0x0a, 0xc3])]);
  const CHUNKS = 515;
  const chunks = (async function* () {
    for (let n = 0; n < CHUNKS; n++) yield chunk;
  })();
  let [bytes, lines] = [0, 0];
  for await (const piece of on.pieces(chunks)) {
    for (let at = 0; at < piece.length; ) {
      const from = bytes % chunk.length;
      const some = Math.min(chunk.length - from, piece.length - at);
      assert.ok(piece.subarray(at, at + some).equals(chunk.subarray(from, from + some)), `byte ${bytes}`);
      [at, bytes] = [at + some, bytes + some];
      if (from + some >= chunk.length - 1) lines += 1;
    }
  }
  assert.deepEqual([bytes, lines >= CHUNKS], [CHUNKS * chunk.length, true]);
});

test('serial-queries: as many at once as there are, or one', async () => {
  const most = async (fault) => {
    let [now, seen] = [0, 0];
    const question = (n) => async () => {
      seen = Math.max(seen, ++now);
      await new Promise((resolve) => setTimeout(resolve, 5));
      now -= 1;
      return n;
    };
    assert.deepEqual(await fault.ask([1, 2, 3].map(question)), [1, 2, 3]);
    return seen;
  };
  const { off, on } = make(SerialQueries);
  assert.deepEqual([await most(off), await most(on)], [3, 1]);
});

test('stampede: one load with the cure, and one for everybody with the fault', async () => {
  const loads = async (fault) => {
    const running = new Map();
    const meter = { count() {}, running: (key) => running.get(key) ?? 0 };
    let count = 0;
    const load = async () => {
      count += 1;
      running.set('k', (running.get('k') ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, 5));
      return count;
    };
    await Promise.all(Array.from({ length: 10 }, () => (fault.on ? fault.unprotected : fault.singleFlight).call(fault, 'k', load, meter)));
    return count;
  };
  const { off, on, told } = make(Stampede);
  assert.deepEqual([await loads(off), await loads(on)], [1, 10]);
  assert.deepEqual(told, ['armed', 'onset']);
  const failing = () => Promise.reject(new Error('no'));
  const meter = { count() {}, running: () => 0 };
  await assert.rejects(off.singleFlight('k', failing, meter), /no/);
  assert.equal(await off.singleFlight('k', async () => 'again', meter), 'again', 'a flight that failed is over');
});

test('avalanche: lives end at one instant, or apart', () => {
  const { off, on } = make(Avalanche, { period_ms: 60_000 }, { products: { expireAt: async () => 0, spread: async () => {} } });
  const ends = (fault) => new Set(Array.from({ length: 50 }, () => Math.round((Date.now() + fault.life(1_000, 0.2)) / 10)));
  assert.ok(ends(off).size > 10);
  assert.ok(ends(on).size <= 2);
});

test('cold-cache: an empty cache that is emptied is no effect, and what is wanted most is there afterwards', async () => {
  let entries = 0;
  const loaded = new Set();
  let clears = 0;
  const products = {
    async clear() {
      clears += 1;
      return entries;
    },
    get: async (id) => loaded.add(id),
  };
  const { on, told } = make(ColdCache, { period_ms: 200 }, { products });
  await waitFor(() => clears === 2);
  assert.deepEqual([told, loaded.size], [['armed'], 0]);
  entries = 3;
  await waitFor(() => told.length > 1);
  on.end(undefined, { products });
  await waitFor(() => loaded.size === 24);
  assert.deepEqual(told, ['armed', 'onset', 'ended']);
});

test('offload-saturated: the first sheet that finds no thread free is the onset', async (t) => {
  const [within, beyond] = [make(OffloadSaturated, { threads: 8 }), make(OffloadSaturated, { threads: 8 })];
  t.after(() => [within, beyond].forEach(({ on }) => on.end()));
  const done = [];
  const sheet = ({ on }) => on.task(() => new Promise((resolve) => done.push(resolve)));
  const sheets = Array.from({ length: 8 }, () => [sheet(within), sheet(beyond)]).flat();
  // Until its threads are held.
  await waitFor(() => {
    sheets.push(sheet(beyond));
    done.pop()();
    return beyond.told.length > 1;
  });
  assert.deepEqual([within.told, beyond.told], [['armed'], ['armed', 'onset']]);
  done.forEach((resolve) => resolve());
  await Promise.all(sheets);
});

test('penetration: absence is kept by the cure alone', () => {
  const { off, on } = make(Penetration);
  assert.deepEqual([off.keepsAbsence(), on.keepsAbsence()], [true, false]);
});

test('prototype-pollution: the cure refuses what reaches all objects, the fault is undone at its end', () => {
  const { off, on, told } = make(PrototypePollution);
  const hostile = () => JSON.parse('{"a":{"__proto__":{"admin":true}}}');
  assert.throws(() => off.merge({}, hostile()), /cannot be called `__proto__`/);
  assert.throws(() => off.merge({}, JSON.parse('{"constructor":{"prototype":{"admin":true}}}')), /cannot be called/);
  assert.equal({}.admin, undefined);
  assert.deepEqual({ ...off.merge({ a: 1 }, { b: { c: 2 } }) }, { a: 1, b: Object.assign(Object.create(null), { c: 2 }) });
  assert.throws(() => off.merge({}, JSON.parse('{"a":'.repeat(50) + '1' + '}'.repeat(50))), /nested deeper/);
  on.merge({}, hostile());
  assert.equal({}.admin, true);
  on.end();
  assert.equal({}.admin, undefined);
  assert.deepEqual(told, ['armed', 'onset', 'ended']);
});

test('prototype-pollution: what is overwritten has an onset, too, and is put back', () => {
  const members = () => Object.getOwnPropertyDescriptors(Object.prototype);
  const before = members();
  const { on, told } = make(PrototypePollution);
  on.merge({}, { mild: true });
  assert.deepEqual(told, ['armed'], 'nothing has reached all objects yet');
  // `get` is what a descriptor is asked for, too.
  on.merge({}, JSON.parse('{"__proto__":{"toString":"x","hasOwnProperty":1,"get":2}}'));
  const spoiled = {}.toString;
  on.end();
  assert.deepEqual([spoiled, told], ['x', ['armed', 'onset', 'ended']]);
  assert.deepEqual(members(), before);
  assert.equal(`${{}}`, '[object Object]');
});

/** Soft and hard limit of this process's descriptors. */
function limits() {
  return /^Max open files +(\d+) +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')).slice(1).map(Number);
}

test('fd-exhausted: ordered again while it is on, the limit is low; at its end it is as high as it may be', async () => {
  const [, hard] = limits();
  const { on } = make(FdExhausted, { room: 400 });
  await waitFor(() => limits()[0] < hard);
  const [low] = limits();
  for (let n = 0; n < 30; n++) assert.equal(await on.passThrough('a sheet'), 'a sheet');
  on.arm({ name: 'fd-exhausted', for_ms: 1_000, knobs: { room: 300 } });
  await waitFor(() => limits()[0] < low);
  await new Promise((resolve) => setTimeout(resolve, 200));
  // What had been left open was closed before the descriptors were counted.
  assert.ok(limits()[0] <= low - 90, `${limits()} after ${low}`);
  on.end();
  await waitFor(() => limits()[0] === hard);
});

test('fd-exhausted: where descriptors cannot be counted the limit stays, and what was left open is closed all the same', async (t) => {
  const { mock } = t.mock.method(console, 'error', () => {});
  const count = () => readdirSync('/proc/self/fd').length;
  const before = count();
  const unreadable = t.mock.method(fs, 'readdirSync', () => {
    throw new Error('no such folder');
  });
  syncBuiltinESMExports();
  const { on } = make(FdExhausted);
  await waitFor(() => mock.callCount() === 1);
  unreadable.mock.restore();
  syncBuiltinESMExports();
  assert.match(mock.calls[0].arguments[0], /the limit of descriptors stays: no such folder$/);
  for (let n = 0; n < 30; n++) await on.passThrough('a sheet');
  assert.ok(count() >= before + 20);
  on.end();
  await waitFor(() => count() < before + 20);
});

test('uneven-workers: its onset is the first connection that one takes for all, and one that ends does not listen again', async (t) => {
  const made = () => net.createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  const [taker, other, ending, alone] = [made(), made(), made(), made()];
  t.after(() => [taker, other, ending, alone].forEach((s) => s.close()));
  await Promise.all([taker, other, ending, alone].map((s) => once(s, 'listening')));
  const shop = (server, first, sharesPort = true) => ({ server, first, sharesPort, draining: false, door: new Door(server, { host: '127.0.0.1', port: 0 }) });
  const call = (s) => once(net.connect(s.address().port, '127.0.0.1'), 'close');
  const shops = [shop(taker, true), shop(other, false), shop(ending, false), shop(alone, true, false)];
  const faults = shops.map((s) => make(UnevenWorkers, {}, s));
  await Promise.all(shops.map((s) => s.door.settled()));
  assert.deepEqual([taker.listening, other.listening, ending.listening], [true, false, false]);
  await Promise.all([call(taker), call(alone)]);
  assert.deepEqual(faults.map((f) => f.told), [['armed', 'onset'], ['armed'], ['armed'], ['armed']]);
  shops[2].draining = true;
  faults.forEach(({ on }, n) => on.end(undefined, shops[n]));
  await Promise.all(shops.map((s) => s.door.settled()));
  assert.deepEqual([taker.listening, other.listening, ending.listening], [true, true, false]);
  assert.equal(taker.listenerCount('connection'), 1);
});

test('uneven-workers: ended and armed again before anything of it is done, a worker listens or not as the last order says', async (t) => {
  const server = net.createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  let began = 0;
  server.on('listening', () => (began += 1));
  const shop = { server, first: false, sharesPort: true, draining: false, door: new Door(server, { host: '127.0.0.1', port: 0 }) };
  const { on } = make(UnevenWorkers, {}, shop);
  const armAgain = () => on.arm({ name: UnevenWorkers.kind, for_ms: 1_000, knobs: {} }, shop);
  await shop.door.settled();
  armAgain(); // which ends it first
  armAgain();
  await shop.door.settled();
  assert.deepEqual([server.listening, began], [false, 0]);
  armAgain();
  on.end(undefined, shop);
  await shop.door.settled();
  assert.deepEqual([server.listening, began], [true, 1]);
});
