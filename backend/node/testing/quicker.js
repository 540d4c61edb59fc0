/**
 * Loaded into a supervisor and its workers before everything else: the port that the supervisor gives back as the `DYNO_TEST_QUICKER`th is
 * taken at once by somebody else, and every second worker hears so only when it has been told to end because of the first.
 */
import cluster from 'node:cluster';
import net from 'node:net';

const LATE_MS = 300;

const isSupervisor = !process.send;
const { close } = net.Server.prototype;
let left = Number(process.env.DYNO_TEST_QUICKER);

net.Server.prototype.close = function (done) {
  left -= 1;
  if (!isSupervisor || left !== 0) return close.call(this, done);
  const { port } = this.address();
  return close.call(this, () => net.createServer().unref().listen(port, '127.0.0.1', done));
};

if (cluster.isWorker && cluster.worker.id % 2 === 0) {
  const { _getServer: ask } = cluster;
  cluster._getServer = (server, query, answer) => ask.call(cluster, server, query, async (...reply) => {
    await Promise.race([toldToEnd(), new Promise((resolve) => setTimeout(resolve, LATE_MS))]);
    answer(...reply);
  });
}

function toldToEnd() {
  return new Promise((resolve) => process.on('message', ({ drain }) => drain && resolve()));
}
