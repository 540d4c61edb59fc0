// A service of Node.js with prom-client's default metrics, which allocates and answers. Prints its port; ends with its standard input.
'use strict';
const http = require('node:http');
const client = require('prom-client');

client.collectDefaultMetrics();
const requests = new client.Histogram({ name: 'http_request_duration_seconds', help: 'Requests', labelNames: ['route'] });

let kept = [];
setInterval(() => {
  kept.push(new Array(20_000).fill({}));
  if (kept.length > 50) kept = [];
  requests.labels('/products').observe(0.02);
}, 5);

http.createServer(async (_, answer) => {
  answer.setHeader('content-type', client.register.contentType);
  answer.end(await client.register.metrics());
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.on('end', () => process.exit(0)).resume();
