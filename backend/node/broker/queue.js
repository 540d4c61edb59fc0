/** The embedded broker: a bounded queue for each service, in the process of the services. What is in it when that is killed is lost. */
import { SERVICES } from './topic.js';

/** Events that wait for one service. */
const CAPACITY = 10_000;

export class Queues {
  #capacity;
  #queues = new Map(SERVICES.map((name) => [name, { waiting: [], wake: () => {} }]));

  constructor(capacity = CAPACITY) {
    this.#capacity = capacity;
  }

  /** Puts messages into every queue, or into none where one has no room. Says whether it did. @param {import('./topic.js').Message[]} messages */
  put(messages) {
    const queues = [...this.#queues.values()];
    if (queues.some(({ waiting }) => waiting.length + messages.length > this.#capacity)) return false;
    for (const queue of queues) {
      queue.waiting.push(...messages);
      queue.wake();
    }
    return true;
  }

  /** The next message for a service, which has one consumer. */
  async take(name) {
    const queue = this.#queues.get(name);
    while (queue.waiting.length === 0) await new Promise((resolve) => (queue.wake = resolve));
    return queue.waiting.shift();
  }

  /** Messages that wait, of all services. */
  get depth() {
    return [...this.#queues.values()].reduce((sum, { waiting }) => sum + waiting.length, 0);
  }
}
