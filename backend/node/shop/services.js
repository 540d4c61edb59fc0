/**
 * How the shop calls e-mail and billing, which are services of their own, where somebody waits for them; what nobody waits for goes by
 * the outbox (`broker/outbox.js`).
 */
import { Tally } from '../agent/histogram.js';
import { SERVICES } from '../broker/topic.js';
import { mono } from '../clock.js';
import { call } from '../http/client.js';
import http from '../http/platform.js';
import { Refusal } from '../http/refusal.js';
import { Budget } from './retry.js';

/** Connections to the services; further calls wait for one. */
const MOST_SOCKETS = 64;

export class Services {
  #port;
  #faults;
  #agent = new http.Agent({ keepAlive: true, maxSockets: MOST_SOCKETS });
  #stats = {};
  #budget = new Budget();

  /**
   * @param {number} port of the services, on loopback
   * @param {import('../agent/index.js').Agent} agent
   * @param {import('../faults/index.js').Faults} faults
   */
  constructor(port, agent, faults) {
    this.#port = port;
    this.#faults = faults;
    for (const name of SERVICES) this.#meter(name, agent);
  }

  stop() {
    this.#agent.destroy();
  }

  /** The invoice of an order, which its customer waits for. */
  async invoice(order) {
    const ask = (signatures) => this.#call('billing', '/invoice', { ...order, signatures });
    try {
      return await this.#faults.retryStorm.ask(this.#budget, ask, () => (this.#stats.billing.retries += 1));
    } catch (e) {
      throw new Refusal(502, `billing: ${e.message}`);
    }
  }

  /** Has a message sent, and waits until it is. @param {import('../broker/topic.js').Placed} placed */
  async email(placed, signatures) {
    try {
      await this.#call('email', '/email', { ...placed, signatures });
    } catch (e) {
      throw new Refusal(502, `order ${placed.order} is placed, but e-mail does not know of it yet: ${e.message}`);
    }
  }

  /** Puts events into the queues of the services: the embedded broker. @type {import('../broker/topic.js').Publisher} */
  get broker() {
    return {
      publish: async (messages) => void (await call({ port: this.#port, path: '/events', body: messages, agent: this.#agent })),
      end: async () => {},
    };
  }

  async #call(name, path, body) {
    const stats = this.#stats[name];
    const since = mono();
    stats.calls += 1;
    stats.inFlight += 1;
    try {
      return await call({ port: this.#port, path, body, agent: this.#agent });
    } catch (e) {
      stats.failures += 1;
      throw e;
    } finally {
      stats.inFlight -= 1;
      stats.time.record(mono() - since);
    }
  }

  #meter(name, agent) {
    const stats = (this.#stats[name] = { calls: 0, failures: 0, retries: 0, inFlight: 0, time: new Tally() });
    for (const part of ['calls', 'failures', 'retries']) agent.rate(`downstream.${name}.${part}`, 'per-second', () => stats[part]);
    agent.gauge(`downstream.${name}.in-flight`, 'count', () => stats.inFlight);
    agent.histogram(`downstream.${name}.time`, stats.time);
  }
}
