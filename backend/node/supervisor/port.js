/** The shop's port: found out before any worker listens, so that all of them, and those that come later, get the same one. */
import net from 'node:net';

/**
 * The address with the port that is to be used.
 * @param {{ host: string, port: number }} wanted port 0 takes any
 */
export async function reserve(wanted) {
  const server = net.createServer();
  await new Promise((resolve, reject) => {
    server.once('error', (e) => reject(refused(wanted, e)));
    server.listen({ ...wanted, exclusive: true }, resolve);
  });
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return { host: wanted.host, port };
}

/** As a person reads it. */
export function refused({ host, port }, error) {
  const address = show({ host, port });
  return new Error(error.code === 'EADDRINUSE' ? `${address} is taken by another process` : `cannot listen on ${address}: ${error.message}`);
}

export function show({ host, port }) {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
