/*
 * Workers of a cluster that ended without being asked to, counted by the process that keeps them.
 *
 * Owns what an end without being asked is: one by a signal or with a status that is not 0, of a worker that the cluster did not disconnect. So
 * a reload, which lets workers leave, is none.
 *
 * One expression, a function of the observers' tools (`kit`).
 */
(kit) => {
  const cluster = kit.load('cluster');
  if (!cluster.isPrimary || typeof cluster.on !== 'function') return;

  let deaths = 0;
  const ended = kit.guarded((worker, status, signal) => {
    if (!worker.exitedAfterDisconnect && (signal || status !== 0)) deaths += 1;
  });
  cluster.on('exit', ended);
  kit.undo.push(() => cluster.off('exit', ended));
  // A process is known to keep others only once it does.
  kit.level('process.deaths', 'count', { subject: 'a worker' }, () => (kit.handsOn() || deaths > 0 ? deaths : undefined));
}
