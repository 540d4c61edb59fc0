// A service of Node.js on pools of the libraries that people use, with an lru-cache beside them. `/generic`, `/tarn` and `/sequelize` keep a place each
// until `/release` is asked for; `/mysql` asks a database five things and awaits no answer; `/item?N` looks N up, `/forget?N` drops it;
// `/fetch?N` has a cache that loads by itself asked for N twice at once, which fails for `none`, `/memo?N` one that works out what it lacks;
// `/renew?N` writes N unasked into one whose entries soon expire, and again once it has;
// `/left` tells what strangers have hung on the global object. The environment says how long a connection takes, how long a place is
// waited for, and where the database is. Prints its port; ends with its standard input.
'use strict';
const http = require('node:http');
const { setTimeout: passed } = require('node:timers/promises');
const { createPool } = require('generic-pool');
const { LRUCache } = require('lru-cache');
const mysql = require('mysql2');
const { Pool: SequelizePool } = require('sequelize-pool');
const { Pool: TarnPool } = require('tarn');

const { CONNECT_MS = '5', ACQUIRE_MS = '600000', DATABASE_PORT = '3306' } = process.env;
const acquireTimeoutMillis = Number(ACQUIRE_MS);

class Connection {
  close() {}
}
const create = async () => {
  await passed(Number(CONNECT_MS));
  return new Connection();
};
const destroy = async (connection) => connection.close();

const generic = createPool({ create, destroy }, { max: 2, acquireTimeoutMillis });
const tarn = new TarnPool({ create, destroy, min: 0, max: 3, acquireTimeoutMillis });
const sequelize = new SequelizePool({ create, destroy, validate: () => true, min: 0, max: 4, acquireTimeoutMillis });
const database = mysql.createPool({
  host: '127.0.0.1',
  port: Number(DATABASE_PORT),
  user: 'shop',
  connectionLimit: 2,
  connectTimeout: 600_000,
});
const items = new LRUCache({ max: 2 });
const fetchMethod = async (key) => {
  await passed(20);
  if (key === 'none') throw new Error('there is none');
  return { key };
};
const fetched = new LRUCache({ max: 2, fetchMethod });
const memos = new LRUCache({ max: 2, memoMethod: (key) => ({ key }) });
const brief = new LRUCache({ max: 2, ttl: 5 });

let release;
const released = new Promise((resolve) => (release = resolve));

const ROUTES = {
  '/generic': async () => {
    const connection = await generic.acquire();
    await released;
    await generic.release(connection);
  },
  '/tarn': async () => {
    const connection = await tarn.acquire().promise;
    await released;
    tarn.release(connection);
  },
  '/sequelize': async () => {
    const connection = await sequelize.acquire();
    await released;
    sequelize.release(connection);
  },
  '/mysql': async () => {
    for (let n = 0; n < 5; n++) database.query('SELECT 1', () => {});
  },
  '/item': async (key) => {
    if (items.get(key) === undefined) items.set(key, { key });
  },
  '/forget': async (key) => {
    items.delete(key);
  },
  '/fetch': async (key) => {
    await Promise.all([fetched.fetch(key), fetched.fetch(key)]);
  },
  '/memo': async (key) => {
    memos.memo(key);
  },
  '/renew': async (key) => {
    brief.set(key, { key });
    await passed(50);
    brief.set(key, { key });
  },
  '/release': async () => release(),
  '/left': async () => JSON.stringify(Object.getOwnPropertySymbols(globalThis).map(String).filter((s) => s.includes('dyno'))),
};

http.createServer(async (request, response) => {
  const [path, key] = request.url.split('?');
  try {
    response.end((await ROUTES[path](key)) ?? 'ok');
  } catch (error) {
    response.statusCode = 503;
    response.end(error.message);
  }
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.on('end', () => process.exit(0)).resume();
