/*
 * Requests that the process answers, timed by what Node.js itself tells of them (`diagnostics_channel`).
 *
 * Owns the name of a route: the pattern that express leaves on a request, else the path with its parts that look like ids replaced, and
 * never a query. A request counts from when its head was read to when its answer was written; what waits before that has not come here. Whose
 * client has gone is under way for as long as somebody still works on its answer: it may hold what others wait for. None is said to be under way
 * before the first one came, nor while clients are connected by HTTP/2, whose requests are told to nobody: no data is not zero. Nothing is hung on a
 * request: of every one, when it began is kept until it ends, and those without a client are looked for at each reading. What a request asks
 * of others goes along with it (`kit.companion`); who adds to that is the business of `pools.js` and `downstream.js`.
 *
 * One expression, a function of the observers' tools (`kit`).
 */
(kit) => {
  /** Most routes that are told apart; the rest is `other`. */
  const MOST_ROUTES = 40;
  const MOST_TEXT = 100;
  /** Longest part of a path that may be a word. */
  const LONGEST_WORD = 24;
  /** Most answers without a client that are looked at until they end; more of them end at once. */
  const MOST_ABANDONED = 1_000;
  /** Most requests under way that are known: an answer that never ends, and never closes, is kept here. Of further ones is counted that they were answered. */
  const MOST_UNDER_WAY = 20_000;
  /** Most addresses whose route is remembered, and most of one that is looked at. */
  const MOST_PATHS = 1_000;
  const MOST_URL = 400;
  if (kit.handsOn()) return;

  const routes = new Map();
  /** When each began, whether its answer has, and what it asks of others, by its answer. @type {Map<object, { since: number, begun: boolean, asks?: object }>} */
  const underWay = new Map();
  /** Answers for which there was no room there. */
  const untimed = new WeakSet();
  /** Requests whose client has gone before the answer was written. @type {{ answer: WeakRef<object>, route: object, since: number }[]} */
  let abandoned = [];
  kit.undo.push(() => underWay.clear());
  let counts = false;
  const inFlight = () => {
    for (const [answer, one] of underWay) {
      const { since } = one;
      // A stream of events is open for as long as somebody listens, and no request of any route.
      const begins = answer.headersSent && !one.begun;
      if (begins) one.begun = true;
      if (begins && isStream(answer)) {
        underWay.delete(answer);
        continue;
      }
      if (!answer.destroyed) continue;
      underWay.delete(answer);
      if (isStream(answer)) continue;
      const route = routeOf(answer.req);
      if (answer.writableEnded || abandoned.length >= MOST_ABANDONED) finished(route, since);
      else abandoned.push({ answer: new WeakRef(answer), route, since });
    }
    // An answer that is no longer there has been given up.
    const isOpen = ({ answer }) => answer.deref()?.writableEnded === false;
    const over = abandoned.filter((one) => !isOpen(one));
    if (over.length > 0) abandoned = abandoned.filter(isOpen);
    for (const { route, since } of over) finished(route, since);
    return kit.http2?.() ? undefined : underWay.size + abandoned.length;
  };
  const countInFlight = () => {
    if (counts) return;
    counts = true;
    kit.level('server.in-flight', 'count', {}, inFlight);
  };

  const pattern = (path) =>
    path
      .split('/')
      .slice(0, 8)
      .map((part) => (/\d/.test(part) || part.length > LONGEST_WORD || /[^\w.~-]/.test(part) ? '{}' : part))
      .join('/');
  const meterOf = (name) => {
    const subject = routes.has(name) || routes.size < MOST_ROUTES ? name : 'other';
    let route = routes.get(subject);
    if (route) return route;
    route = { subject, finished: 0, handler: new Map(), asked: undefined };
    routes.set(subject, route);
    kit.rate('server.requests', 'per-second', { subject }, () => route.finished);
    kit.histogram('server.handler', { subject }, route.handler);
    return route;
  };
  const paths = new Map();
  const routeOf = (request) => {
    const known = request.route?.path;
    if (typeof known === 'string') {
      const base = request.baseUrl && typeof request.baseUrl === 'string' ? pattern(request.baseUrl) : '';
      return meterOf(`${base}${known}`.slice(0, MOST_TEXT));
    }
    const url = String(request.originalUrl ?? request.url).slice(0, MOST_URL);
    let route = paths.get(url);
    if (!route) {
      route = meterOf(pattern(url.split(/[?#]/, 1)[0]).slice(0, MOST_TEXT) || '/');
      if (paths.size >= MOST_PATHS) paths.clear();
      paths.set(url, route);
    }
    return route;
  };

  /** What `writeHead` alone is given stands in the text of the head, and nowhere else. */
  const isStream = (answer) => {
    // On a connection that is kept, an answer without chunks has said how long it is, which no stream does: most are told from one by that.
    if (answer.chunkedEncoding === false && answer.shouldKeepAlive) return false;
    const type = answer.getHeader('content-type');
    return type === undefined ? /^content-type:.*event-stream/im.test(answer._header ?? '') : String(type).includes('event-stream');
  };
  const finished = (route, since) => {
    route.finished += 1;
    kit.record(route.handler, kit.mono() - since);
  };

  const COUNTED = ['statements', 'repeated', 'checkouts'];
  /** Of a database; and whom it has called in vain. */
  const asksNothing = () => ({
    statements: 0,
    repeated: 0,
    checkouts: 0,
    timeNs: 0,
    wallNs: 0,
    shapes: new Set(),
    underWay: 0,
    since: 0,
    inVain: undefined,
  });
  const tellAsked = (route, asks) => {
    if (asks.statements + asks.checkouts === 0) return;
    if (!route.asked) {
      const asked = (route.asked = { statements: 0, repeated: 0, checkouts: 0, time: new Map(), wall: new Map() });
      const { subject } = route;
      for (const part of COUNTED) kit.rate(`server.db.${part}`, 'per-second', { subject }, () => asked[part]);
      for (const part of ['time', 'wall']) kit.histogram(`server.db.${part}`, { subject }, asked[part]);
    }
    for (const part of COUNTED) route.asked[part] += asks[part];
    kit.record(route.asked.time, asks.timeNs);
    kit.record(route.asked.wall, asks.wallNs);
  };

  kit.listen('http.server.request.start', ({ response }) => {
    countInFlight();
    if (underWay.size >= MOST_UNDER_WAY) {
      untimed.add(response);
      return;
    }
    const one = { since: kit.mono(), begun: false, asks: undefined };
    underWay.set(response, one);
    if (kit.companion?.wanted) kit.companion.begin((one.asks = asksNothing()));
  });
  kit.listen('http.server.response.finish', ({ request, response }) => {
    const one = underWay.get(response);
    if (!one && !untimed.has(response)) return;
    underWay.delete(response);
    if (isStream(response)) return;
    const route = routeOf(request);
    if (!one) {
      route.finished += 1;
      return;
    }
    finished(route, one.since);
    if (one.asks) tellAsked(route, one.asks);
  });
}
