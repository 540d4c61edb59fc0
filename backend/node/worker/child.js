/**
 * A process that a supervisor has started: it listens to it, reports to it, and ends with it.
 *
 * Supervisor and child are always of the same release, so what they tell each other may change freely: `{ settings }` first, then
 * `{ arm }`, `{ settle }`, `{ cache }`, `{ hold }`, `{ priceChanged }`, `{ endFaults }`, `{ retire }`, `{ drain }`; back come `{ hello }`, `{ ready }`, `{ failed }`, `{ truth }`, `{ ended }`,
 * `{ priceChanged }`, `{ tick }` and `{ leaving }`, which is answered with `{ leave }`.
 */

/** From look to look at whose child this process is, ms. */
const ADOPTED_MS = 500;

/** A supervisor that is gone needs no reports; `disconnect` follows. */
export function tell(what) {
  if (process.connected) process.send(what, () => {});
}

/** Tells why it cannot start, and ends. @param {Error & { code?: string }} why */
export function giveUp(why) {
  tell({ failed: { message: why.message, code: why.code } });
  setTimeout(() => process.exit(2), 100);
}

/** Tells what the agent sees, from now on. @param {import('../agent/index.js').Agent} agent */
export function report(agent) {
  let told = 0;
  agent.start((tick, specs) => {
    // Lanes are told when there are more of them than before.
    tell(specs.length > told ? { tick, lanes: specs } : { tick });
    told = specs.length;
  });
}

/** Tells the truth of the faults of `instance`. */
export function truthsOf(instance) {
  return (fault, what, at) => tell({ truth: { fault, instance, what, at } });
}

/**
 * Does as it is told, from now on.
 * @param {Record<string, (value: any) => unknown>} orders what to do, by the name of the order; `drain` is done for SIGTERM, too
 */
export function obey(orders) {
  process.on('message', (message) => {
    const [[name, value]] = Object.entries(message);
    void orders[name]?.(value);
  });
  // The terminal's interrupt goes to the whole group of processes; it is the supervisor that decides.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => void orders.drain());
  process.on('disconnect', () => process.exit(0));
  // Deno does not always tell of it: a process that another one has adopted has been left behind.
  const supervisor = process.ppid;
  const isAdopted = () => process.ppid !== supervisor;
  setInterval(() => {
    if (isAdopted()) process.exit(0);
  }, ADOPTED_MS).unref();
  // Node.js waits for the offload threads at its end, and one that is blocked may never come back. With a supervisor it is that which kills;
  // without, nobody else would. At the exit, because cluster's own listener of `disconnect` comes first.
  process.on('exit', () => {
    if (!process.connected || isAdopted()) process.kill(process.pid, 'SIGKILL');
  });
  tell({ hello: true });
}
