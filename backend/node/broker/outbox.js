/**
 * The outbox: an event is written with its order, in one transaction, and crossed out when the broker has it.
 *
 * So a worker that is killed between commit and publishing loses nothing: the first worker finds what has lain too long. An event may then
 * come twice, and services know by its order. A checkout never waits for the broker.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { unixMs } from '../clock.js';
import { TOPIC } from './topic.js';

/** Events on their way to the broker; when there are more, they wait in the table. */
const MOST_QUEUED = 1_024;
/** Published and crossed out together. */
const BATCH = 64;
/** After each batch, so that the next one is not one event long, ms. */
const GATHER_MS = 50;
/** From look to look at what was forgotten, ms. */
const LOOK_MS = 1_000;
/** What has lain for so long was forgotten, ms: many times what publishing takes. */
const FORGOTTEN_MS = 3_000;

const FORGOTTEN = `SELECT purchase AS "order", customer, cents, outbox.at_ms FROM outbox JOIN purchase ON purchase.id = outbox.purchase
  WHERE outbox.at_ms < $1 ORDER BY purchase LIMIT $2`;

export class Outbox {
  #database;
  #publisher;
  #queue = [];
  #counts = { published: 0, refused: 0 };
  /** Ends the wait for something to do. */
  #wake = () => {};
  #ending = false;
  #relay;

  /**
   * @param {import('../store/database.js').Database} database
   * @param {import('./topic.js').Publisher} publisher
   * @param {import('../agent/index.js').Agent} agent
   */
  constructor(database, publisher, agent) {
    this.#database = database;
    this.#publisher = publisher;
    for (const part of ['published', 'refused']) agent.rate(`broker.${TOPIC}.${part}`, 'per-second', () => this.#counts[part]);
  }

  /**
   * Begins to carry events on: before any request, to none of which its statements belong.
   * @param {boolean} looks does it look for what others left behind? One worker does so for all
   */
  start(looks) {
    this.#relay = this.#run(looks);
  }

  /** Sends on what was written. When the queue is full, it stays where it is until somebody looks. @param {import('./topic.js').Placed} placed */
  send(placed) {
    if (this.#queue.length < MOST_QUEUED) this.#queue.push(placed);
    this.#wake();
  }

  /** Carries on what is there, and ends; what that fails for is found by another worker. */
  async stop() {
    this.#ending = true;
    this.#wake();
    await this.#relay;
    await this.#publisher.end();
  }

  async #run(looks) {
    let lookAt = Date.now() + LOOK_MS;
    while (!this.#ending || this.#queue.length > 0) {
      try {
        // First, since the queue may never be empty while orders come.
        if (looks && !this.#ending && Date.now() >= lookAt) {
          lookAt = Date.now() + LOOK_MS;
          await this.#deliver(await this.#forgotten());
        } else if (this.#queue.length > 0) {
          await this.#deliver(this.#queue.splice(0, BATCH));
        } else {
          await this.#somethingToDo(looks ? lookAt - Date.now() : LOOK_MS);
        }
      } catch (e) {
        console.error(`shop: events stay in the outbox: ${e.message}`);
        if (this.#ending) return;
        // Nothing is lost, so there is no hurry; and workers need not come back together.
        await pause(LOOK_MS * (0.5 + Math.random()));
      }
      await pause(this.#ending ? 0 : GATHER_MS);
    }
  }

  async #deliver(placed) {
    if (placed.length === 0) return;
    const published_ms = unixMs();
    try {
      await this.#publisher.publish(placed.map((p) => ({ ...p, published_ms })));
    } catch (e) {
      this.#counts.refused += placed.length;
      throw e;
    }
    this.#counts.published += placed.length;
    // When this fails they come once more.
    await this.#database.transact('crossOut', { orders: placed.map((p) => p.order) });
  }

  async #forgotten() {
    const { rows } = await this.#database.run(FORGOTTEN, [unixMs() - FORGOTTEN_MS, BATCH]);
    return rows;
  }

  #somethingToDo(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, ms));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
