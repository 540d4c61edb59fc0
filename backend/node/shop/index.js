/**
 * The shop: what its routes share, and which routes there are.
 *
 * Owns the state of one worker. Each route's work lies in a file named after it.
 */
import { Outbox } from '../broker/outbox.js';
import { RabbitPublisher, brokerUrl } from '../broker/rabbit.js';
import { ProductCache, openEntries } from '../cache/products.js';
import { Door } from '../http/door.js';
import { Routes } from '../http/routes.js';
import { createServer, openConnections } from '../http/server.js';
import { Database } from '../store/database.js';
import { driver } from '../store/driver.js';
import { PRODUCTS } from '../store/seed.js';
import { cartRoutes } from './cart.js';
import { catalogueRoutes } from './catalogue.js';
import { dashboardRoutes } from './dashboard.js';
import { Feed } from './feed.js';
import { healthRoutes } from './health.js';
import { loginRoutes } from './login.js';
import { offerRoutes } from './offers.js';
import { orderRoutes } from './orders.js';
import { pictureRoutes } from './picture.js';
import { Plotters } from './plotters.js';
import { priceListRoutes } from './price-list.js';
import { priceRoutes } from './price.js';
import { readProduct } from './product.js';
import { Services } from './services.js';
import { Sessions } from './sessions.js';
import { Ranking, rankingRoutes } from './ranking.js';
import { recommendRoutes } from './recommend.js';
import { sheetRoutes } from './sheet.js';
import { supplierFileRoutes } from './supplier-file.js';
import { Visits, visitRoutes } from './visits.js';
import { serveWebSockets, webSocketRoutes } from './websocket.js';
import { wishRoutes } from './wishes.js';

/** From look to look at what has expired, ms. */
const TIDY_MS = 1_000;

/** Everything that the routes of one worker share. */
export class Shop {
  /** True from the moment on at which the worker ends. */
  draining = false;

  /**
   * Opens the stores.
   * @param {import('../worker/main.js').WorkerSettings} settings
   * @param {import('../agent/index.js').Agent} agent
   * @param {import('../faults/index.js').Faults} faults
   * @param {{ tell: (change: { product: number, cents: number }) => void }} neighbours the way to the other workers
   */
  static async open(settings, agent, faults, neighbours) {
    const { figures } = settings;
    const opened = await driver({ file: settings.file, roundTripMs: figures.roundTripMs });
    const database = new Database(opened, figures, agent.pool('db', figures.poolCapacity), agent.database(), faults);
    const meter = agent.cache('products');
    const watch = {
      evicted(entries) {
        meter.count('evictions', entries);
        faults.tooSmallCache.evicted();
      },
      expired: (entries) => meter.expired(entries),
      removed: (entries) => meter.count('removed', entries),
    };
    const entries = await openEntries(settings.cacheUrl, settings.cachePrefix, figures.cacheCapacity, watch);
    const products = new ProductCache(entries, figures, settings.cache, faults, meter, (id) => readProduct(database, id));
    return new Shop(settings, agent, faults, neighbours, database, products, await Plotters.open(faults.offloadSaturated));
  }

  constructor(settings, agent, faults, neighbours, database, products, plotters) {
    this.faults = faults;
    this.neighbours = neighbours;
    this.database = database;
    this.products = products;
    this.plotters = plotters;
    /** What one worker does for all falls to the first. */
    this.first = settings.index === 0;
    /** Does it share the port with others? */
    this.sharesPort = settings.workers > 1;
    this.visits = new Visits(settings.figures.sessionCapacity);
    this.sessions = new Sessions(database, faults.leak, this.visits, settings.secret, settings.figures.sessionCapacity);
    this.ranking = new Ranking(PRODUCTS);
    this.feed = new Feed(faults.slowConsumer);
    this.services = new Services(settings.services, agent, faults);
    const publisher = settings.queues ? new RabbitPublisher(brokerUrl(), settings.queues) : this.services.broker;
    this.outbox = new Outbox(database, publisher, agent);
    agent.gauge('server.websockets', 'count', () => this.feed.size);
    agent.gauge('server.send-queue', 'bytes', () => this.feed.waiting.all);
    agent.gauge('server.send-queue.longest', 'bytes', () => this.feed.waiting.longest, { combine: 'max' });
    agent.gauge('server.sessions', 'count', () => this.sessions.size);
    this.server = createServer(routes(this), (template, work) => agent.requests.during(template, work));
    // Bun's server tells of no connections.
    if (!process.versions.bun) agent.gauge('server.connections', 'count', openConnections(this.server));
    serveWebSockets(this.server, this);
    this.door = new Door(this.server, settings.listen);
  }

  /** Fills what is to be full, starts what runs beside the requests, and listens. */
  async start() {
    await this.database.openAll();
    await this.feed.start(this.database);
    // Nobody else wants a connection yet.
    await this.faults.coldCache.warm(this.products, this.database.plannedCapacity);
    void this.faults.starvedPoll.keep(this.ranking);
    this.outbox.start(this.first);
    this.endWatch = this.database.watch();
    this.tidying = setInterval(() => this.products.tidy(), TIDY_MS);
    this.tidying.unref();
    // It was told to end while it opened its stores.
    if (this.draining) return;
    await this.door.set(true);
  }

  /** Everything but the connections, which are drained before. */
  async stop() {
    clearInterval(this.tidying);
    this.faults.starvedPoll.stop();
    await this.outbox.stop();
    this.services.stop();
    this.plotters.close();
    await this.endWatch?.();
    await Promise.allSettled([this.products.end(), this.database.end()]);
  }
}

/** The routes of a shop. */
function routes(shop) {
  return new Routes([
    ...healthRoutes(shop),
    ...loginRoutes(shop),
    ...catalogueRoutes(shop),
    ...cartRoutes(shop),
    ...orderRoutes(shop),
    ...dashboardRoutes(shop),
    ...priceRoutes(shop),
    ...priceListRoutes(shop),
    ...pictureRoutes(shop),
    ...recommendRoutes(),
    ...sheetRoutes(shop),
    ...rankingRoutes(shop),
    ...visitRoutes(shop),
    ...wishRoutes(shop),
    ...offerRoutes(shop),
    ...supplierFileRoutes(shop),
    ...webSocketRoutes(),
  ]);
}
