/**
 * RabbitMQ through `amqplib`, which has no dependencies: an exchange that hands each event to the queue of every service.
 *
 * Exchange and queues are this shop's own, and vanish when nobody uses them. Publishers wait for the broker's confirmation; consumers
 * acknowledge what they have done. The URL may carry a password: it comes from the environment and goes into no message.
 */
import { connect as dial } from 'amqplib';
import { clean } from '../text.js';
import { SERVICES, TOPIC } from './topic.js';

/** A server that does not answer within this is away, ms. */
const PATIENCE_MS = 5_000;
/**
 * Messages that a consumer may hold without having acknowledged them: the one that is worked on, and the next. More would wait where the
 * queue's depth does not count them.
 */
const PREFETCH = 2;
/** A queue that nobody has used for so long is gone, ms: its shop was killed. */
const UNUSED_MS = 3_600_000;
/** What a server says is one line of a log. */
const MOST_TEXT = 200;

/** The broker's URL, if one is given; `memory` means none. Checked here, where no message repeats it. */
export function brokerUrl(url = process.env.DYNO_BROKER_URL) {
  if (!url || url === 'memory') return undefined;
  if (!url.startsWith('amqp://') || !URL.canParse(url)) throw new Error('DYNO_BROKER_URL: expected `memory` or `amqp://USER@HOST`');
  return url;
}

/** Makes exchange and queues; gives what removes them. @param {string} prefix of their names */
export async function claim(url, prefix) {
  let link;
  try {
    link = await open(url, 'createChannel', prefix, SERVICES);
  } catch (e) {
    throw new Error(`the broker of DYNO_BROKER_URL cannot be reached: ${e.message}`);
  }
  await link.close();
  return () => remove(url, prefix);
}

/** When the server does not answer, the queues go by themselves after an hour. */
async function remove(url, prefix) {
  const link = await open(url, 'createChannel', prefix, SERVICES);
  try {
    for (const service of SERVICES) await within(link.channel.deleteQueue(queueOf(prefix, service)));
    await within(link.channel.deleteExchange(prefix + TOPIC));
  } finally {
    await link.close();
  }
}

/** The publishing end of one worker. It connects when it is first used, and again after a failure. */
export class RabbitPublisher {
  #url;
  #prefix;
  #link;

  constructor(url, prefix) {
    this.#url = url;
    this.#prefix = prefix;
  }

  /** Done when the server has confirmed all of it. @param {import('./topic.js').Message[]} messages */
  async publish(messages) {
    if (!this.#link?.isOpen) this.#link = await open(this.#url, 'createConfirmChannel', this.#prefix, SERVICES);
    const link = this.#link;
    try {
      await within(sent(link.channel, this.#prefix + TOPIC, messages));
    } catch (e) {
      // A channel that still owes confirmations is not used again.
      this.#link = undefined;
      void link.close();
      throw e;
    }
  }

  async end() {
    await this.#link?.close();
  }
}

async function sent(channel, exchange, messages) {
  for (const message of messages) {
    const how = { persistent: true, contentType: 'application/json', messageId: String(message.order) };
    channel.publish(exchange, '', Buffer.from(JSON.stringify(message)), how);
  }
  await channel.waitForConfirms();
}

/**
 * Consumes the queue of `service`, one message after another: each is acknowledged when `work` is done with it.
 * @param {(body: Buffer) => Promise<void>} work
 * @returns {Promise<{ holds: () => Promise<{ messages: number, consumers: number }>, close: () => Promise<void> }>}
 */
export async function subscribe(url, prefix, service, work) {
  const link = await open(url, 'createChannel', prefix, [service]);
  const queue = queueOf(prefix, service);
  let before = Promise.resolve();
  const take = (delivery) => {
    if (!delivery) return link.fail(new Error('RabbitMQ has cancelled the consumer'));
    before = before.then(async () => {
      await work(delivery.content);
      // Where the connection was lost meanwhile, it comes again.
      if (link.isOpen) link.channel.ack(delivery);
    });
    before.catch(link.fail);
  };
  try {
    await within(link.channel.prefetch(PREFETCH));
    await within(link.channel.consume(queue, take));
  } catch (e) {
    await link.close();
    throw e;
  }
  const holds = async () => {
    if (!link.isOpen) throw link.why;
    const { messageCount, consumerCount } = await within(link.channel.checkQueue(queue));
    return { messages: messageCount, consumers: consumerCount };
  };
  return { holds, close: link.close };
}

function queueOf(prefix, service) {
  return `${prefix}${TOPIC}.${service}`;
}

/** A connection with its one channel, exchange and queues made if they are not there; when it ends, it is not open, and says why. */
async function open(url, createChannel, prefix, services) {
  const connection = await dialled(url);
  const link = { isOpen: true };
  link.fail = (e) => {
    link.isOpen = false;
    link.why ??= e;
  };
  link.close = async () => {
    link.isOpen = false;
    await within(connection.close()).catch(() => {});
  };
  connection.on('error', (e) => link.fail(said(e)));
  connection.on('close', () => link.fail(new Error('RabbitMQ has closed the connection')));
  try {
    link.channel = await within(connection[createChannel]());
    link.channel.on('error', (e) => link.fail(said(e)));
    link.channel.on('close', () => link.fail(new Error('RabbitMQ has closed the channel')));
    await declare(link.channel, prefix, services);
    return link;
  } catch (e) {
    await link.close();
    throw e;
  }
}

async function declare(channel, prefix, services) {
  const exchange = prefix + TOPIC;
  await within(channel.assertExchange(exchange, 'fanout', { durable: true, autoDelete: true }));
  for (const service of services) {
    const queue = queueOf(prefix, service);
    await within(channel.assertQueue(queue, { durable: true, expires: UNUSED_MS }));
    await within(channel.bindQueue(queue, exchange, ''));
  }
}

async function dialled(url) {
  const dialling = dial(url);
  try {
    return await within(dialling);
  } catch (e) {
    // One that comes too late is not wanted any more.
    dialling.then((late) => late.on('error', () => {}).close()).catch(() => {});
    throw e;
  }
}

/** What the server says in time, or an error that names it. */
async function within(answer) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('it does not answer')), PATIENCE_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } catch (e) {
    throw said(e);
  } finally {
    clearTimeout(timer);
  }
}

function said(e) {
  const text = clean(e.message || e.code || e, MOST_TEXT);
  return text.startsWith('RabbitMQ') ? new Error(text) : new Error(`RabbitMQ: ${text}`);
}
