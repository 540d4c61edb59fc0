/**
 * How the shop reaches e-mail and billing, which are services of their own.
 *
 * An order's event is written with the order (the outbox), so that none is lost when a worker is killed; a queue in this process carries
 * it on at once, and what is left over is taken up by a sweep.
 */
import http from 'node:http';
import { Tally } from '../agent/histogram.js';
import { mono } from '../clock.js';
import { Refusal } from '../http/refusal.js';
import { Budget } from './retry.js';

/** Orders that wait in this process; more stay in the outbox until the sweep. */
const MOST_QUEUED = 1_000;
/** Calls at once. */
const CONSUMERS = 4;
/** From sweep to sweep, and the age from which an event counts as left over, ms. */
const SWEEP_MS = 5_000;
/** Events taken up by one sweep. */
const SWEPT = 100;
/** A service that does not answer for so long has failed, ms. */
const PATIENCE_MS = 10_000;

export class Services {
  #database;
  #ports;
  #queue = [];
  #busy = 0;
  #agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  #timer;
  #stats = {};
  #faults;
  #budget = new Budget();
  #orders = { published: 0, refused: 0, consumed: 0, age: new Tally() };

  /**
   * @param {import('../store/database.js').Database} database
   * @param {{ email: number, billing: number }} ports of the services, on loopback
   * @param {import('../agent/index.js').Agent} agent
   * @param {import('../faults/index.js').Faults} faults
   */
  constructor(database, ports, agent, faults) {
    this.#database = database;
    this.#ports = ports;
    this.#faults = faults;
    for (const name of Object.keys(ports)) this.#meter(name, agent);
    agent.gauge('broker.orders.depth', 'count', () => this.#queue.length);
    agent.gauge('broker.orders.consumers', 'count', () => CONSUMERS);
    agent.histogram('broker.orders.age', this.#orders.age);
    for (const part of ['published', 'refused', 'consumed']) agent.rate(`broker.orders.${part}`, 'per-second', () => this.#orders[part]);
  }

  /** Takes up what a worker before this one left behind; one worker does it for all. */
  startSweep() {
    this.#timer = setInterval(() => void this.#sweep().catch((e) => console.error(`shop: the outbox waits: ${e.message}`)), SWEEP_MS);
    this.#timer.unref();
  }

  stop() {
    clearInterval(this.#timer);
    this.#agent.destroy();
  }

  /** Queues an order for both services. When the queue is full, it stays in the outbox. */
  publish(order) {
    if (this.#queue.length >= MOST_QUEUED) {
      this.#orders.refused += 1;
      return;
    }
    this.#orders.published += 1;
    if (this.#busy >= CONSUMERS) this.#faults.brokerBacklog.waited();
    this.#queue.push({ order, since: mono() });
    void this.#consume();
  }

  /** The invoice of an order, which its customer waits for. */
  async invoice(order) {
    const call = (signatures) => this.#call('billing', { ...order, signatures }, '/invoice');
    try {
      return await this.#faults.retryStorm.ask(this.#budget, call, () => (this.#stats.billing.retries += 1));
    } catch (e) {
      throw new Refusal(502, `billing: ${e.message}`);
    }
  }

  /** Has a message sent, and waits until it is. */
  email(order, signatures = 1) {
    return this.#call('email', { ...order, signatures });
  }

  async #consume() {
    if (this.#busy >= CONSUMERS) return;
    this.#busy += 1;
    try {
      for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
        this.#orders.age.record(mono() - next.since);
        await this.#deliver(next.order);
      }
    } finally {
      this.#busy -= 1;
    }
  }

  /** Both services, then the event is done. What fails stays in the outbox. */
  async #deliver(order) {
    try {
      const { signatures } = this.#faults.brokerBacklog;
      await Promise.all([order.emailed || this.email(order, signatures), this.#call('billing', order)]);
      this.#orders.consumed += 1;
      await this.#database.run('DELETE FROM outbox WHERE purchase = $1', [order.order]);
    } catch (e) {
      console.error(`shop: order ${order.order} waits for its services: ${e.message}`);
    }
  }

  async #sweep() {
    const sql = `SELECT purchase AS "order", customer, cents FROM outbox JOIN purchase ON purchase.id = outbox.purchase
      WHERE outbox.at_ms < $1 ORDER BY purchase LIMIT $2`;
    const { rows } = await this.#database.run(sql, [Date.now() - SWEEP_MS, SWEPT]);
    for (const row of rows) this.publish(row);
  }

  async #call(name, body, path = '/') {
    const stats = this.#stats[name];
    const since = mono();
    stats.calls += 1;
    stats.inFlight += 1;
    try {
      return await post(this.#ports[name], path, body, this.#agent);
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

/** Gives the answer's text. */
function post(port, path, body, agent) {
  const text = JSON.stringify(body);
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, method: 'POST', path, headers, agent, timeout: PATIENCE_MS }, (response) => {
      let said = '';
      response.setEncoding('utf8').on('data', (piece) => (said += piece));
      response.on('end', () => (response.statusCode === 200 ? resolve(said) : reject(new Error(`status ${response.statusCode}`))));
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', reject);
    request.end(text);
  });
}
