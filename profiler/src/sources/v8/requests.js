/*
 * Requests that the process answers, timed by what Node.js itself tells of them (`diagnostics_channel`).
 *
 * Owns the name of a route: the pattern that express leaves on a request, else the path with its parts that look like ids replaced, and
 * never a query. A request counts from when its head was read to when its answer was written; what waits before that has not come here. Whose
 * client has gone is under way for as long as somebody still works on its answer: it may hold what others wait for.
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
  if (kit.handsOn()) return;

  const routes = new Map();
  let inFlight = 0;
  /** Requests whose client has gone before the answer was written. @type {{ answer: WeakRef<object>, name: string, since: number }[]} */
  let abandoned = [];
  kit.level('server.in-flight', 'count', {}, () => {
    // An answer that is no longer there has been given up.
    const isOpen = ({ answer }) => answer.deref()?.writableEnded === false;
    const over = new Set(abandoned.filter((one) => !isOpen(one)));
    abandoned = abandoned.filter((one) => !over.has(one));
    for (const { name, since } of over) end(name, since);
    return inFlight;
  });

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

  /** A request is over; of no route when it was a stream of events, which is open for as long as somebody listens. */
  const end = (name, since) => {
    inFlight -= 1;
    if (kit.gone() || name === undefined) return;
    const route = meterOf(name);
    route.finished += 1;
    kit.record(route.handler, kit.mono() - since);
  };
  kit.listen('http.server.request.start', ({ request, response }) => {
    const since = kit.mono();
    inFlight += 1;
    response.once(
      'close',
      kit.guarded(() => {
        const isStream = /event-stream/.test(String(response.getHeader('content-type') ?? ''));
        const name = isStream ? undefined : routeOf(request);
        if (isStream || response.writableEnded || abandoned.length >= MOST_ABANDONED) end(name, since);
        else abandoned.push({ answer: new WeakRef(response), name, since });
      }),
    );
  });
}
