// A service of Node.js in ESM: lru-cache comes in its build for `import`, generic-pool as the module of CommonJS that it is. `/item?N` looks N up,
// `/place` takes a place and gives it back; `/left` tells what strangers have hung on the global object. Prints its port; ends with its
// standard input.
import http from 'node:http';
import generic from 'generic-pool';
import { LRUCache } from 'lru-cache';

const items = new LRUCache({ max: 2 });
const places = generic.createPool({ create: async () => ({}), destroy: async () => {} }, { max: 3 });

const ROUTES = {
  '/item': async (key) => {
    if (items.get(key) === undefined) items.set(key, { key });
  },
  '/place': async () => places.release(await places.acquire()),
  '/left': async () => JSON.stringify(Object.getOwnPropertySymbols(globalThis).map(String).filter((s) => s.includes('dyno'))),
};

http.createServer(async (request, response) => {
  const [path, key] = request.url.split('?');
  response.end((await ROUTES[path](key)) ?? 'ok');
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.on('end', () => process.exit(0)).resume();
