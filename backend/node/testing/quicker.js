/** Loaded into a supervisor before everything else: the port that it gives back as the `DYNO_TEST_QUICKER`th is taken at once by somebody else. */
import net from 'node:net';

const isSupervisor = !process.send;
const { close } = net.Server.prototype;
let left = Number(process.env.DYNO_TEST_QUICKER);

net.Server.prototype.close = function (done) {
  left -= 1;
  if (!isSupervisor || left !== 0) return close.call(this, done);
  const { port } = this.address();
  return close.call(this, () => net.createServer().unref().listen(port, '127.0.0.1', done));
};
