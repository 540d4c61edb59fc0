/*
 * Requests that the process makes of others, timed by what Node.js and its `fetch` tell of them (`diagnostics_channel`).
 *
 * Owns the name of who is asked: its host and port, and the first word of the path (several services may share a port), nothing else of an
 * address. A call lasts from when it was sent to when its answer was read, or given up. It repeats an earlier one if the same request has called
 * there in vain before, which is known where something goes along with a request (`kit.companion`).
 *
 * One expression, a function of the observers' tools (`kit`).
 */
(kit) => {
  /** Most that are told apart; the rest is `others`. */
  const MOST_ASKED = 16;
  const MOST_TEXT = 60;
  const FAILED_FROM = 500;
  /** The first part of a path, if it is a short word and no number, key or token. */
  const wordOf = (path) => /^\/([a-z][a-z_-]{0,23})(?:[/?#]|$)/i.exec(String(path).slice(0, 40))?.[1] ?? '';

  const asked = new Map();
  const meterOf = (place) => {
    const plain = place.replace(/[^\w.-]+/g, '-').replace(/^-+|-+$/g, '').slice(0, MOST_TEXT) || 'others';
    const name = asked.has(plain) || asked.size < MOST_ASKED ? plain : 'others';
    let meter = asked.get(name);
    if (meter) return meter;
    meter = { calls: 0, retries: 0, failures: 0, inFlight: 0, time: new Map() };
    asked.set(name, meter);
    const of = (part) => `downstream.${name}.${part}`;
    kit.rate(of('calls'), 'per-second', {}, () => meter.calls);
    if (kit.companion) kit.rate(of('retries'), 'per-second', { quality: 'inferred' }, () => meter.retries);
    kit.rate(of('failures'), 'per-second', {}, () => meter.failures);
    kit.level(of('in-flight'), 'count', {}, () => meter.inFlight);
    kit.histogram(of('time'), {}, meter.time);
    return meter;
  };
  const atHand = () => {
    if (kit.companion) kit.companion.wanted = true;
    return kit.companion?.now();
  };
  /** A call of `place` begins, for `request`; the result is told its end, and how it ended. */
  const begin = (place, request) => {
    const meter = meterOf(place);
    const since = kit.mono();
    meter.calls += 1;
    meter.inFlight += 1;
    if (request?.inVain?.has(meter)) meter.retries += 1;
    return (failed) => {
      meter.inFlight -= 1;
      if (failed) meter.failures += 1;
      if (failed && request) (request.inVain ??= new Set()).add(meter);
      kit.record(meter.time, kit.mono() - since);
    };
  };

  // -- by `http` and `https`: a call may start when a connection is free, and then nobody's request is at hand
  const callers = new WeakMap();
  if (kit.companion) kit.listen('http.client.request.created', ({ request }) => callers.set(request, atHand()));
  kit.listen('http.client.request.start', ({ request }) => {
    const end = begin(`${request.getHeader('host') ?? request.host}/${wordOf(request.path)}`, callers.get(request));
    request.once('close', kit.guarded(() => end(!(request.res?.statusCode < FAILED_FROM) || !request.res.complete)));
  });

  // -- by `fetch`
  const underWay = new WeakMap();
  kit.listen('undici:request:create', ({ request }) => {
    // What becomes a WebSocket or a tunnel is no call: it has no answer that ends.
    if (request.upgrade || request.method === 'CONNECT') return;
    const host = String(request.origin).replace(/^\w+:\/\//, '');
    underWay.set(request, { end: begin(`${host}/${wordOf(request.path)}`, atHand()) });
  });
  kit.listen('undici:request:headers', ({ request, response }) => {
    const call = underWay.get(request);
    if (call) call.failed = response.statusCode >= FAILED_FROM;
  });
  const over = (request, failed) => {
    const call = underWay.get(request);
    underWay.delete(request);
    call?.end(failed || call.failed);
  };
  kit.listen('undici:request:trailers', ({ request }) => over(request, false));
  kit.listen('undici:request:error', ({ request }) => over(request, true));
}
