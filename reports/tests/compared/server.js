'use strict';
// A request waits 20 ms and hashes for about one; the argument says how many times as much.
const http = require('node:http');
const crypto = require('node:crypto');

const times = Number(process.argv[2]);
const server = http.createServer((_request, response) => {
  setTimeout(() => crypto.pbkdf2('secret', 'salt', Math.round(2000 * times), 32, 'sha256', (_error, key) => {
    response.end(key.toString('hex'));
  }), 20 * times);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
