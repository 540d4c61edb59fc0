/*
 * Connections of the process's servers: how many are open, and what waits to be sent to those who do not read.
 *
 * Owns which servers and sockets are known: those that took or asked something since the observers stand. WebSockets are among them, since
 * Node.js itself knows none. What the kernel has taken is not counted.
 *
 * One expression, a function of the observers' tools (`kit`).
 */
(kit) => {
  /** Most sockets whose queue is looked at, and readings from one look at all of them to the next; those that wait are looked at each time. */
  const MOST_SOCKETS = 20_000;
  const ALL_EVERY = 10;
  /** Requests from one whose socket is looked at to the next: those that come are known when they come, so this is for older ones. */
  const LOOK_EVERY = 8;
  if (kit.handsOn()) return;

  const known = new WeakSet();
  const servers = [];
  const sockets = new Set();
  const behind = new Set();
  function forget() {
    sockets.delete(this);
    behind.delete(this);
  }
  const know = (socket) => {
    const server = socket?.server;
    if (typeof server?._connections !== 'number' || known.has(socket)) return;
    known.add(socket);
    if (!known.has(server)) {
      known.add(server);
      servers.push(new WeakRef(server));
    }
    if (sockets.size >= MOST_SOCKETS) return;
    sockets.add(socket);
    socket.once('close', forget);
  };
  kit.listen('net.server.socket', ({ socket }) => know(socket));
  let requests = 0;
  kit.listen('http.server.request.start', ({ request }) => {
    if (requests++ % LOOK_EVERY === 0) know(request.socket);
  });
  kit.undo.push(() => {
    for (const socket of sockets) socket.off('close', forget);
    sockets.clear();
    behind.clear();
  });

  // Servers count for themselves. They would answer `getConnections` at a tick of their own, and none must be asked for at a reading (`calm.js`).
  kit.level('server.connections', 'count', {}, () => servers.reduce((sum, server) => sum + (server.deref()?._connections ?? 0), 0));

  let looks = 0;
  let longest = 0;
  kit.level('server.send-queue', 'bytes', {}, () => {
    if (looks++ % ALL_EVERY === 0) for (const socket of sockets) if (socket.writableLength > 0) behind.add(socket);
    let sum = 0;
    longest = 0;
    for (const socket of behind) {
      const waits = socket.writableLength;
      if (waits === 0) behind.delete(socket);
      sum += waits;
      longest = Math.max(longest, waits);
    }
    return sum;
  });
  kit.level('server.send-queue.longest', 'bytes', { combine: 'max' }, () => longest);
}
