/**
 * Who takes events out of the broker and has the services work on them: one consumer for each queue, of either kind.
 *
 * Owns the lanes that only consumers know: depth, consumers, age.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Tally } from '../agent/histogram.js';
import { brokerUrl, subscribe } from '../broker/rabbit.js';
import { SERVICES, TOPIC } from '../broker/topic.js';
import { unixMs } from '../clock.js';
import { message } from './routes.js';

/** From look to look at a queue's depth, ms. */
const LOOK_MS = 200;
/** Until a lost connection is tried again, ms. */
const AGAIN_MS = 500;

export class Consumers {
  #desk;
  #backlog;
  #consumed = 0;
  #age = new Tally();
  /** What each queue held when it was last looked at; none of one that cannot be asked. */
  #holds = new Map();

  /**
   * @param {import('./desk.js').Desk} desk
   * @param {import('../faults/broker-backlog.js').BrokerBacklog} backlog
   * @param {import('../agent/index.js').Agent} agent
   */
  constructor(desk, backlog, agent) {
    this.#desk = desk;
    this.#backlog = backlog;
    agent.gauge(`broker.${TOPIC}.depth`, 'count', () => this.#sum('messages'));
    agent.gauge(`broker.${TOPIC}.consumers`, 'count', () => this.#sum('consumers'));
    agent.histogram(`broker.${TOPIC}.age`, this.#age);
    agent.rate(`broker.${TOPIC}.consumed`, 'per-second', () => this.#consumed);
  }

  /** Consumes from the queues of this process, until it ends. @param {import('../broker/queue.js').Queues} queues */
  startEmbedded(queues) {
    const consume = async (name) => {
      for (const pace = { doneMs: 0 }; ; ) await this.#work(name, await queues.take(name), pace);
    };
    for (const name of SERVICES) void consume(name);
    this.#sum = (part) => (part === 'messages' ? queues.depth : SERVICES.length);
  }

  /** Consumes from RabbitMQ, until this process ends. What is being worked on then is done by whoever comes next. @param {string} prefix */
  startRabbit(prefix) {
    for (const name of SERVICES) void this.#follow(name, prefix);
  }

  async #follow(name, prefix) {
    for (let wasSaid = false; ; ) {
      try {
        await this.#untilLost(name, prefix, () => (wasSaid = false));
      } catch (e) {
        if (!wasSaid) console.error(`services: ${name}: ${e.message}; it is tried again until it is there`);
        wasSaid = true;
      }
      this.#holds.delete(name);
      await pause(AGAIN_MS);
    }
  }

  async #untilLost(name, prefix, isThere) {
    const pace = { doneMs: 0 };
    const subscription = await subscribe(brokerUrl(), prefix, name, async (body) => {
      const found = read(body);
      // Nobody could ever work on what is no event.
      if (found) await this.#work(name, found, pace);
      else console.error(`services: ${name}: a message is no event`);
    });
    isThere();
    try {
      for (;;) {
        this.#holds.set(name, await subscription.holds());
        await pause(LOOK_MS);
      }
    } finally {
      void subscription.close();
    }
  }

  async #work(name, found, pace) {
    this.#consumed += 1;
    this.#age.record(Math.max(0, unixMs() - found.published_ms) * 1e6);
    try {
      await this.#backlog.consume(name, found, pace, this.#desk);
    } catch (e) {
      console.error(`services: ${name}: ${e.message}`);
    }
  }

  /** A sum over some of the queues is none. */
  #sum = (part) => {
    const all = SERVICES.map((name) => this.#holds.get(name)?.[part]);
    return all.includes(undefined) ? undefined : all.reduce((sum, n) => sum + n, 0);
  };
}

function read(body) {
  try {
    return message(JSON.parse(body.toString('utf8')));
  } catch {
    return undefined;
  }
}
