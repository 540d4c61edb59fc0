/*
 * Requests that the process answers, timed by what Node.js itself tells of them (`diagnostics_channel`).
 *
 * Owns the name of a route: the pattern that express leaves on a request, else the path with its parts that look like ids replaced, and
 * never a query. A request counts from when its head was read to when its answer was written; what waits before that has not come here.
 *
 * One expression, a function of the observers' tools (`kit`).
 */
(kit) => {
  /** Most routes that are told apart; the rest is `other`. */
  const MOST_ROUTES = 40;
  const MOST_TEXT = 100;
  /** Longest part of a path that may be a word. */
  const LONGEST_WORD = 24;
  // The primary of a cluster hands its connections to others; what it answers itself is its keeper's business.
  const cluster = kit.load('cluster');
  if (cluster.isPrimary && Object.keys(cluster.workers ?? {}).length > 0) return;
  const channels = kit.load('diagnostics_channel');

  const routes = new Map();
  let inFlight = 0;
  kit.level('server.in-flight', 'count', {}, () => inFlight);

  const pattern = (path) =>
    path
      .split('/')
      .slice(0, 8)
      .map((part) => (/\d/.test(part) || part.length > LONGEST_WORD || /[^\w.~-]/.test(part) ? '{}' : part))
      .join('/');
  const routeOf = (request) => {
    const known = request.route?.path;
    if (typeof known === 'string') return `${typeof request.baseUrl === 'string' ? pattern(request.baseUrl) : ''}${known}`.slice(0, MOST_TEXT);
    const url = request.originalUrl ?? request.url;
    return pattern(String(url).split(/[?#]/, 1)[0].slice(0, 400)).slice(0, MOST_TEXT) || '/';
  };
  const meterOf = (name) => {
    const subject = routes.has(name) || routes.size < MOST_ROUTES ? name : 'other';
    let route = routes.get(subject);
    if (route) return route;
    route = { finished: 0, handler: new Map() };
    routes.set(subject, route);
    kit.rate('server.requests', 'per-second', { subject }, () => route.finished);
    kit.histogram('server.handler', { subject }, route.handler);
    return route;
  };

  const began = kit.guarded(({ request, response }) => {
    if (kit.gone()) return;
    const since = kit.mono();
    inFlight += 1;
    response.once(
      'close',
      kit.guarded(() => {
        inFlight -= 1;
        // A stream of events is open for as long as somebody listens: that is no time in a handler.
        if (kit.gone() || /event-stream/.test(String(response.getHeader('content-type') ?? ''))) return;
        const route = meterOf(routeOf(request));
        route.finished += 1;
        kit.record(route.handler, kit.mono() - since);
      }),
    );
  });
  const channel = channels.channel('http.server.request.start');
  channel.subscribe(began);
  kit.undo.push(() => channel.unsubscribe(began));
}
