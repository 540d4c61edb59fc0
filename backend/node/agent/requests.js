/** Requests by route: how many, how long in the handler, how many now. */
import { mono } from '../clock.js';
import { Tally } from './histogram.js';

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
   * A request enters its handler. Templates come from the table of routes, so they are few.
   * @param {string} template
   * @returns {() => void} to be called once, when it is done
   */
  begin(template) {
    const route = this.#routes.get(template) ?? this.#add(template);
    const since = mono();
    this.#inFlight += 1;
    return () => {
      this.#inFlight -= 1;
      route.finished += 1;
      route.handler.record(mono() - since);
    };
  }

  #add(template) {
    const route = { finished: 0, handler: new Tally() };
    this.#routes.set(template, route);
    this.#lanes.rate('server.requests', 'per-second', () => route.finished, { subject: template });
    this.#lanes.histogram('server.handler', route.handler, { subject: template });
    return route;
  }
}
