/**
 * How the shop reaches e-mail and billing, which are services of their own.
 *
 * An order's event is written with the order (the outbox), so that none is lost when a worker is killed; a queue in this process carries
 * it on at once, and what is left over is taken up by a sweep.
 */
import http from 'node:http';
import { Tally } from '../agent/histogram.js';
import { mono } from '../clock.js';

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

  /**
   * @param {import('../store/database.js').Database} database
   * @param {{ email: number, billing: number }} ports of the services, on loopback
   * @param {import('../agent/index.js').Agent} agent
   */
  constructor(database, ports, agent) {
    this.#database = database;
    this.#ports = ports;
    for (const name of Object.keys(ports)) this.#meter(name, agent);
    agent.gauge('broker.orders.depth', 'count', () => this.#queue.length);
    agent.gauge('broker.orders.consumers', 'count', () => CONSUMERS);
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
    if (this.#queue.length >= MOST_QUEUED) return;
    this.#queue.push(order);
    void this.#consume();
  }

  /** Has a message sent, and waits until it is. */
  email(order, signatures = 1) {
    return this.#call('email', { ...order, signatures });
  }

  async #consume() {
    if (this.#busy >= CONSUMERS) return;
    this.#busy += 1;
    try {
      for (let order = this.#queue.shift(); order; order = this.#queue.shift()) await this.#deliver(order);
    } finally {
      this.#busy -= 1;
    }
  }

  /** Both services, then the event is done. What fails stays in the outbox. */
  async #deliver(order) {
    try {
      await Promise.all([order.emailed || this.email(order), this.#call('billing', order)]);
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

  async #call(name, body) {
    const stats = this.#stats[name];
    const since = mono();
    stats.calls += 1;
    try {
      await post(this.#ports[name], body, this.#agent);
    } catch (e) {
      stats.failures += 1;
      throw e;
    } finally {
      stats.time.record(mono() - since);
    }
  }

  #meter(name, agent) {
    const stats = (this.#stats[name] = { calls: 0, failures: 0, time: new Tally() });
    agent.rate(`downstream.${name}.calls`, 'per-second', () => stats.calls);
    agent.rate(`downstream.${name}.failures`, 'per-second', () => stats.failures);
    agent.histogram(`downstream.${name}.time`, stats.time);
  }
}

function post(port, body, agent) {
  const text = JSON.stringify(body);
  const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, method: 'POST', path: '/', headers, agent, timeout: PATIENCE_MS }, (response) => {
      response.resume();
      response.on('end', () => (response.statusCode === 200 ? resolve() : reject(new Error(`status ${response.statusCode}`))));
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', reject);
    request.end(text);
  });
}
