/** The processes of the shop and of its services: started, given orders, listened to, started again when they die; workers replaced one by one. */
import { fork } from 'node:child_process';
import cluster from 'node:cluster';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { mono } from '../clock.js';
import { nameOf } from '../remedies.js';
import { GRACE, RETIREMENT, SHOP } from '../settings.js';
import { Ticks } from './ticks.js';

/** A worker that was told to end is killed when its own patience is over and this, in which it leaves, ms. */
const LEAVE_MS = 1_000;
/** A process that was killed is gone after this, ms. */
const KILLED_MS = 500;
/** All workers must be there after this, ms: a second or two, and many times that where cores are scarce. */
const START_PATIENCE_MS = 45_000;
/** A worker that dies again at once is started after ever longer pauses, up to the last, ms. */
const FIRST_PAUSE_MS = 50;
const LAST_PAUSE_MS = 2_000;
/** One that has lived this long was well; its next start is not delayed. */
const LIVED_MS = 5_000;
/**
 * How long workers may take to say that faults are ended, ms: a loop that is starved comes to it late. Shorter than the patience of
 * whoever asks, who is to hear that it took too long.
 */
const ENDED_PATIENCE_MS = 10_000;
const WORKER = fileURLToPath(new URL('../worker/main.js', import.meta.url));
const SERVICES = fileURLToPath(new URL('../services/main.js', import.meta.url));

/**
 * One name, whichever process is behind it now.
 * @typedef {object} Member
 * @property {string} name
 * @property {number} index
 * @property {() => import('node:cluster').Worker} fork starts its process
 * @property {number} generation
 * @property {number} deaths how often its process has ended without being asked to
 * @property {number} pause before the next start, ms
 * @property {Life} [life] undefined while there is no process
 * @property {Life} [successor] the process that is to have the name, while it gets ready
 * @property {Set<Life>} retired those that had it, while their clients leave
 *
 * @typedef {object} Life
 * @property {import('node:cluster').Worker} worker
 * @property {Ticks} ticks
 * @property {number} began
 * @property {boolean} ready
 * @property {number} ended the last order to end faults that it answered
 * @property {Promise<void>} settled when it is ready; rejects when it cannot be
 * @property {Promise<void>} gone
 * @property {boolean} [dismissed] it was told to go, so nobody takes its place
 * @property {Set<string>} faults those that are on, as it has told
 * @property {boolean} [dead]
 */

export class Crew {
  #origin;
  #truths;
  /** The workers of the shop. */
  #workers;
  /** They, and the services. */
  #members;
  #stopping = false;
  /** Faults that are on, until when: a worker that is started again gets what is left of them. */
  #active = new Map();
  #tickets = 0;
  /** How the cache works, for workers that are started later, too. */
  #cache;
  /** What is held against faults, by its name: by workers that are started later, too. @type {Map<string, import('../remedies.js').Hold>} */
  #holds = new Map();

  /**
   * @param {object} origin what all workers have in common: `listen`, `workers`, `file`, `cacheUrl`, `cachePrefix`, `cache`, `queues`, `secret`, `services`
   * @param {import('./truths.js').Truths} truths
   */
  constructor(origin, count, truths) {
    this.#origin = origin;
    this.#truths = truths;
    this.#cache = origin.cache;
    const member = (name, index, fork) => ({ name, index, fork, generation: -1, deaths: 0, pause: FIRST_PAUSE_MS, retired: new Set() });
    this.#workers = Array.from({ length: count }, (_, index) => member(`shop-${index}`, index, forkWorker));
    this.#members = [...this.#workers, member('services-0', 0, forkServices)];
    // Deno (2.9) loses a connection that is handed on together with a message; there the workers accept for themselves.
    if ('Deno' in globalThis) cluster.schedulingPolicy = cluster.SCHED_NONE;
    cluster.setupPrimary({ exec: WORKER, args: [] });
  }

  /** Starts all of them; done when each is ready. Rejects with the `code` of the system's error that kept one from it, if it was one. */
  async start() {
    await Promise.all(this.#members.map((m) => this.#begin(m).settled));
  }

  /** Those that run now. */
  get instances() {
    const running = this.#members.filter((m) => m.life);
    return running.map(({ name, generation, deaths, life }) => ({ name, pid: life.worker.process.pid, generation, deaths }));
  }

  /** The first worker's name, which stands for one of them wherever one is to suffer. */
  get first() {
    return this.#workers[0].name;
  }

  /** Where the services answer. */
  get servicesPort() {
    return this.#origin.services;
  }

  /** The one called `name`. */
  member(name) {
    return this.#members.find((m) => m.name === name);
  }

  /** Sends a signal to the process behind `name`, if there is one. */
  signal(name, signal) {
    return this.member(name)?.life?.worker.process.kill(signal) ?? false;
  }

  get cache() {
    return this.#cache;
  }

  /** Is the cache one that all workers share? */
  get sharesCache() {
    return this.#origin.cacheUrl !== undefined;
  }

  /** How the cache of every worker works from now on. */
  set cache(how) {
    this.#cache = how;
    this.#tellAll({ cache: how });
  }

  /** Holds something against faults in every worker, from now on. @param {import('../remedies.js').Hold} hold */
  hold(hold) {
    const name = nameOf(hold);
    // Last, as for those who have the others already.
    this.#holds.delete(name);
    this.#holds.set(name, hold);
    this.#tellAll({ hold });
  }

  /** Hands a fault to everybody; each knows its own. */
  arm(order) {
    this.#active.set(order.name, { order, until: mono() + order.for_ms * 1e6 });
    this.#tellAll({ arm: order });
  }

  /**
   * Ends all faults of all workers, and waits until their truth is here.
   * @returns {Promise<string | undefined>} the name of one that did not tell it in time
   */
  async endFaults() {
    this.#active.clear();
    const ticket = ++this.#tickets;
    const told = this.#hearing();
    this.#tellAll({ endFaults: ticket });
    const deadline = Date.now() + ENDED_PATIENCE_MS;
    // A worker that dies meanwhile has no faults any more; nor has the next one, which is not told to end them.
    const isLate = ({ life }) => !life.dead && life.worker.isConnected() && life.ended < ticket;
    while (told.some(isLate) && Date.now() < deadline) await pause(5);
    return told.find(isLate)?.member.name;
  }

  /**
   * Replaces the workers one after another: the new one is ready before the old one is told to go, so nobody finds the door closed. Those
   * that go are not waited for. Rejects when one could not be replaced; those after it are left as they are.
   */
  async reload() {
    for (const member of this.#workers) await this.#relieve(member);
  }

  /** When the new process does not get ready it is ended, and everything stays as it was. */
  async #relieve(member) {
    if (this.#stopping) throw new Error('the backend ends');
    const old = member.life;
    const next = this.#launch(member);
    member.successor = next;
    try {
      await next.settled;
    } catch (e) {
      member.successor = undefined;
      await dismiss(next, { drain: true }, GRACE);
      // The old one may have died meanwhile.
      if (!this.#stopping && !member.life) this.#begin(member);
      throw e;
    }
    if (old) this.#retire(member, old);
  }

  /** Its clients leave it in their own time. @param {Member} member @param {Life} old */
  #retire(member, old) {
    member.retired.add(old);
    void dismiss(old, { retire: true }, RETIREMENT).then(() => member.retired.delete(old));
  }

  /** Tells all to end, and waits; those that do not are killed. */
  async stop() {
    this.#stopping = true;
    const leave = (members) =>
      Promise.all(members.flatMap((m) => [m.life, m.successor, ...m.retired]).map((life) => life && dismiss(life, { drain: true }, GRACE)));
    await leave(this.#workers);
    // Last, so that the workers can still hand on their events.
    await leave(this.#members);
  }

  /** Starts a process that has the name at once. @param {Member} member */
  #begin(member) {
    const life = this.#launch(member);
    takesOver(member, life);
    return life;
  }

  /** Starts a process. @param {Member} member */
  #launch(member) {
    const worker = member.fork();
    const life = { worker, ticks: new Ticks(member.name, worker.process.pid), began: Date.now(), ready: false, ended: 0, faults: new Set() };
    life.settled = this.#settled(member, life);
    life.gone = new Promise((resolve) => worker.once('exit', resolve));
    worker.on('message', (report) => this.#hear(member, life, report));
    // A write to a process that is just dying; its exit follows.
    worker.on('error', () => {});
    worker.once('exit', (code, signal) => this.#died(member, life, signal ?? `code ${code}`));
    return life;
  }

  #settled(member, life) {
    const settled = new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${member.name} said nothing for too long`)), START_PATIENCE_MS);
      const over = (done) => (...values) => {
        clearTimeout(late);
        done(...values);
      };
      life.isReady = over(resolve);
      life.isLost = over((why, code) => reject(Object.assign(new Error(`${member.name} did not start: ${why}`), { code })));
    });
    // Whoever waits hears of it; a later life's failure is told where it is started again.
    settled.catch(() => {});
    return settled;
  }

  #hear(member, life, report) {
    // Not before: a message that comes while a worker still loads its modules may be lost.
    if (report.hello) life.worker.send({ settings: { ...this.#origin, name: member.name, index: member.index, cache: this.#cache, figures: SHOP } });
    else if (report.tick) life.ticks.take(report.tick, report.lanes);
    else if (report.truth) this.#takeTruth(member, life, report.truth);
    else if (report.priceChanged) this.#tellAll(report, life);
    else if (report.ended) life.ended = report.ended;
    else if (report.failed) life.isLost(report.failed.message, report.failed.code);
    else if (report.ready) this.#isReady(member, life);
    // It has waited for this answer, before which comes everything that the cluster still had for it.
    else if (report.leaving && life.worker.isConnected()) life.worker.send({ leave: true }, () => {});
  }

  /** @param {Life} life @param {import('../faults/fault.js').Truth} truth */
  #takeTruth(member, life, truth) {
    if (truth.what === 'armed') life.faults.add(truth.fault);
    // Its death has ended it.
    else if (truth.what === 'ended' && !life.faults.delete(truth.fault)) return;
    else if (truth.what === 'onset' && life.dead && !life.faults.has(truth.fault)) return;
    this.#truths.write(truth);
    // Last words may come after the death.
    if (life.dead) this.#endFaultsOf(member, life);
  }

  /** The faults of a process end with it at the latest. What it was ordered in vain, since its cure is held, never began, and so has no end. */
  #endFaultsOf(member, life) {
    const begun = [...life.faults].filter((fault) => !this.#holds.has(nameOf({ cure: fault })));
    for (const fault of begun) this.#truths.write({ fault, instance: member.name, what: 'ended', at: mono() });
    life.faults.clear();
  }

  #isReady(member, life) {
    life.ready = true;
    if (member.successor === life) {
      // Until now the old one told how it was.
      life.ticks.forget();
      takesOver(member, life);
    }
    // They may have been changed while it opened its stores.
    life.worker.send({ cache: this.#cache });
    for (const hold of this.#holds.values()) life.worker.send({ hold });
    for (const order of this.#remaining()) life.worker.send({ arm: order });
    // Last, so that it knows which faults are on.
    if (member.generation > 0) life.worker.send({ settle: true });
    life.isReady();
  }

  async #died(member, life, how) {
    life.isLost(`it has ended with ${how}`);
    life.dead = true;
    this.#endFaultsOf(member, life);
    // It was replaced, or never had the name.
    if (member.life !== life) return;
    member.life = undefined;
    if (this.#stopping || life.dismissed || (member.generation === 0 && !life.ready)) return;
    member.deaths += 1;
    console.error(`backend: ${member.name} has ended with ${how}; it is started again`);
    member.pause = Date.now() - life.began >= LIVED_MS ? FIRST_PAUSE_MS : Math.min(member.pause * 2, LAST_PAUSE_MS);
    await pause(member.pause);
    if (!this.#stopping && !member.life && !member.successor) this.#begin(member);
  }

  /** Faults that are on, each with what is left of its span. */
  #remaining() {
    const now = mono();
    const left = [...this.#active.values()].filter(({ until }) => until > now);
    return left.map(({ order, until }) => ({ ...order, for_ms: Math.max(1, Math.floor((until - now) / 1e6)) }));
  }

  /** @param {Life} [but] who knows already */
  #tellAll(message, but) {
    for (const { life } of this.#hearing()) {
      if (life !== but && life.worker.isConnected()) life.worker.send(message, () => {});
    }
  }

  /** Those that can be told something, with their names: whoever has been relieved still answers its clients. */
  #hearing() {
    const lives = (member) => [member.life, ...member.retired].filter((life) => life?.ready).map((life) => ({ member, life }));
    return this.#members.flatMap(lives);
  }
}

/** From now on the name is this process's. */
function takesOver(member, life) {
  member.generation += 1;
  member.life = life;
  member.successor = undefined;
}

function forkWorker() {
  return cluster.fork({ UV_THREADPOOL_SIZE: String(SHOP.offloadThreads) });
}

/** A process outside of the cluster, in the form of those in it. */
function forkServices() {
  const child = fork(SERVICES);
  const [on, once] = [child.on.bind(child), child.once.bind(child)];
  return { process: child, on, once, send: (message, told) => child.send(message, told), isConnected: () => child.connected };
}

/** Told to end, waited for, and killed when it does not. @param {Life} life @param {object} order how @param {typeof GRACE} patience it has */
async function dismiss(life, order, patience) {
  life.dismissed = true;
  // It may be stopped by a fault or by hand, and must be able to hear this.
  life.worker.process.kill('SIGCONT');
  if (life.worker.isConnected()) life.worker.send(order, () => {});
  const patienceMs = patience.idleMs + patience.busyMs + LEAVE_MS;
  const timer = setTimeout(() => life.worker.process.kill('SIGKILL'), patienceMs);
  // Deno does not always tell of an exit; a process that was killed is gone all the same.
  await Promise.race([life.gone, pause(patienceMs + KILLED_MS)]);
  clearTimeout(timer);
}
