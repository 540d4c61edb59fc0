/** The topic of placed orders, in names; and an event on its way. */

/** In the names of queues and lanes. */
export const TOPIC = 'orders';

/** The services, each with a queue of its own: in the names of queues, lanes and routes. */
export const SERVICES = ['email', 'billing'];

/**
 * An order was placed. It may come twice; its number tells.
 * @typedef {{ order: number, customer: number, cents: number, at_ms: number }} Placed
 *
 * The same, and when it was published, milliseconds since the Unix epoch.
 * @typedef {Placed & { published_ms: number }} Message
 *
 * Where events go. When `publish` returns well, the broker answers for all of them.
 * @typedef {{ publish: (messages: Message[]) => Promise<void>, end: () => Promise<void> }} Publisher
 */
