/** Statements by fingerprint, and what one request asked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DatabaseMeter } from './database.js';
import { fingerprint } from './fingerprint.js';
import { Lanes } from './lanes.js';
import { Requests } from './requests.js';
import { visit } from './traffic.js';

test('a fingerprint keeps the statement and none of its values', () => {
  assert.equal(fingerprint("SELECT a1 FROM t2\n  WHERE x = 17 AND y = 'it''s' AND z = $3;"), 'SELECT a1 FROM t2 WHERE x = ? AND y = ? AND z = ?');
  assert.equal(fingerprint('INSERT INTO t VALUES ($1, $2), ($3, $4), ($5, $6)'), 'INSERT INTO t VALUES (?)');
  assert.equal(fingerprint('x'.repeat(900)).length, 200);
});

/** Values of the next tick by `name subject`. */
function read(lanes) {
  const tick = { elapsed: 1e9, values: [], histograms: [] };
  lanes.read(tick);
  const named = (pairs) => pairs.map(([at, value]) => [`${lanes.specs[at].name} ${lanes.specs[at].subject}`.trim(), value]);
  return Object.fromEntries([...named(tick.values), ...named(tick.histograms)]);
}

test('a request that repeats itself is told from one that asks at once', async () => {
  const lanes = new Lanes('shop-0');
  const meter = new DatabaseMeter(lanes);
  const requests = new Requests(lanes);
  const ask = async (sql) => {
    const left = visit();
    const told = meter.begin();
    await new Promise((resolve) => setTimeout(resolve, 20));
    told.gave([sql], 3);
    left();
  };
  const oneByOne = async () => {
    for (const id of [1, 2, 3]) await ask(`SELECT name FROM product WHERE id = ${id}`);
  };
  const together = () => Promise.all(['a', 'b', 'c'].map((table) => ask(`SELECT count(*) FROM ${table}`)));
  await Promise.all([requests.during('/list', oneByOne), requests.during('/board', together)]);
  // A rate begins with nothing; the tick after has what came meanwhile.
  const first = read(lanes);
  assert.equal(first['server.db.statements /list'], 0);
  const seen = { ...first, ...read(lanes) };
  assert.deepEqual([seen['server.db.statements /list'], seen['server.db.repeated /list'], seen['server.db.checkouts /list']], [3, 2, 3]);
  assert.deepEqual([seen['server.db.statements /board'], seen['server.db.repeated /board']], [3, 0]);
  assert.deepEqual([seen['db.calls SELECT name FROM product WHERE id = ?'], seen['db.rows SELECT name FROM product WHERE id = ?']], [3, 9]);
  const us = (name) => seen[name].at(-1)[0];
  assert.ok(us('server.db.wall /list') > 0.9 * us('server.db.time /list'), 'one after another');
  assert.ok(us('server.db.wall /board') < 0.7 * us('server.db.time /board'), 'together');
});
