/** Requests by route: how many, how long in the handler, how many now, and what they asked of the database. */
import { mono } from '../clock.js';
import { Tally } from './histogram.js';
import { around, asked } from './traffic.js';

export class Requests {
  #lanes;
  #routes = new Map();
  #inFlight = 0;

  /** @param {import('./lanes.js').Lanes} lanes */
  constructor(lanes) {
    this.#lanes = lanes;
    lanes.level('server.in-flight', 'count', () => this.#inFlight);
  }

  /**
   * Runs the work of a request in its handler. Templates come from the table of routes, so they are few.
   * @param {string} template
   * @param {() => Promise<void>} work
   */
  async during(template, work) {
    const route = this.#routes.get(template) ?? this.#add(template);
    const since = mono();
    this.#inFlight += 1;
    await around(async () => {
      try {
        await work();
      } finally {
        this.#inFlight -= 1;
        route.finished += 1;
        route.handler.record(mono() - since);
        const traffic = asked();
        if (traffic.statements > 0 || traffic.checkouts > 0) this.#asked(template, route, traffic);
      }
    });
  }

  /** Its lanes begin with the first request that asks anything. */
  #asked(template, route, traffic) {
    route.database ??= this.#addDatabase(template);
    const { database } = route;
    for (const part of ['statements', 'repeated', 'checkouts']) database[part] += traffic[part];
    database.time.record(traffic.timeNs);
    database.wall.record(traffic.wallNs);
  }

  #addDatabase(template) {
    const database = { statements: 0, repeated: 0, checkouts: 0, time: new Tally(), wall: new Tally() };
    const how = { subject: template };
    for (const part of ['statements', 'repeated', 'checkouts']) this.#lanes.rate(`server.db.${part}`, 'per-second', () => database[part], how);
    for (const part of ['time', 'wall']) this.#lanes.histogram(`server.db.${part}`, database[part], how);
    return database;
  }

  #add(template) {
    const route = { finished: 0, handler: new Tally() };
    this.#routes.set(template, route);
    this.#lanes.rate('server.requests', 'per-second', () => route.finished, { subject: template });
    this.#lanes.histogram('server.handler', route.handler, { subject: template });
    return route;
  }
}
