/*
 * Connections of the process's servers: how many are open, and what waits to be sent to those who do not read.
 *
 * Owns which servers and sockets are known: those that are there when the observers are installed, and whoever connects since. WebSockets are
 * among them, since Node.js itself knows none. What the kernel has taken is not counted. Who takes no connections, as far as is known, has no lane
 * of them: its port may be served by a worker thread, of which nothing is seen here. Of HTTP/2 connections are counted, and what waits for them is in
 * no socket: so as long as there are any, it is not told.
 *
 * One expression, a function of the observers' tools (`kit`).
 */
(kit) => {
  /** Most sockets whose queue is looked at, and readings from one look at all of them to the next; those that wait are looked at each time. */
  const MOST_SOCKETS = 20_000;
  const ALL_EVERY = 10;
  /** Requests from one whose socket is looked at to the next: those that come are known when they come, so this is for older ones. */
  const LOOK_EVERY = 8;
  /** Readings from one look whether the process has come to listen to the next, until it does. */
  const LISTENS_EVERY = 10;
  if (kit.handsOn()) return;

  const { Server } = kit.load('net');
  const cluster = kit.load('cluster');
  const known = new WeakSet();
  const servers = [];
  const sockets = new Set();
  const behind = new Set();
  function forget() {
    sockets.delete(this);
    behind.delete(this);
  }
  /** Both of its servers can be told new settings, and no other can. */
  const speaksHttp2 = (server) => typeof server.updateSettings === 'function';
  /** Is anybody connected by HTTP/2, of whose requests nothing is told? A server that speaks HTTP/1.1, too, does not say by which of them it is. */
  kit.http2 = () =>
    servers.some((one) => {
      const server = one.deref();
      return server !== undefined && speaksHttp2(server) && server._connections > 0;
    });

  let counts = false;
  const countConnections = () => {
    if (counts) return;
    counts = true;
    // Servers count for themselves. They would answer `getConnections` at a tick of their own, and none must be asked for at a reading (`calm.js`).
    kit.level('server.connections', 'count', {}, () => servers.reduce((sum, server) => sum + (server.deref()?._connections ?? 0), 0));
  };
  let measures = false;
  let looks = 0;
  let longest;
  const measureQueues = () => {
    if (measures) return;
    measures = true;
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
      if (!kit.http2()) return sum;
      return (longest = undefined);
    });
    kit.level('server.send-queue.longest', 'bytes', { combine: 'max' }, () => longest);
  };

  const knowServer = (server) => {
    if (known.has(server)) return;
    known.add(server);
    servers.push(new WeakRef(server));
    countConnections();
  };
  const know = (socket) => {
    const server = socket?.server;
    if (typeof server?._connections !== 'number' || known.has(socket)) return;
    known.add(socket);
    knowServer(server);
    if (speaksHttp2(server) || sockets.size >= MOST_SOCKETS) return;
    sockets.add(socket);
    socket.once('close', forget);
    measureQueues();
  };
  const lookForServers = () => {
    for (const handle of kit.handles()) if (handle instanceof Server) knowServer(handle);
    // A worker listens nowhere: its primary hands it connections, or none yet.
    if (cluster.worker?.state === 'listening') countConnections();
  };
  lookForServers();
  for (const handle of kit.handles()) know(handle);
  let turns = 0;
  kit.tells(() => {
    if (!counts && ++turns % LISTENS_EVERY === 0) lookForServers();
    return [];
  });
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
}
