/*
 * Requests that the process makes of others, timed by what Node.js and its `fetch` tell of them (`diagnostics_channel`).
 *
 * Owns the name of who is asked: its host and port, and nothing else of an address. A call lasts from when it was sent to when its answer
 * was read, or given up. Whether it repeats an earlier one is not known.
 *
 * One expression, a function of the observers' tools (`kit`).
 */
(kit) => {
  /** Most that are told apart; the rest is `others`. */
  const MOST_ASKED = 16;
  const MOST_TEXT = 60;
  const FAILED_FROM = 500;

  const asked = new Map();
  const meterOf = (place) => {
    const plain = place.replace(/[^\w.-]+/g, '-').replace(/^-+|-+$/g, '').slice(0, MOST_TEXT) || 'others';
    const name = asked.has(plain) || asked.size < MOST_ASKED ? plain : 'others';
    let meter = asked.get(name);
    if (meter) return meter;
    meter = { calls: 0, failures: 0, inFlight: 0, time: new Map() };
    asked.set(name, meter);
    const of = (part) => `downstream.${name}.${part}`;
    kit.rate(of('calls'), 'per-second', {}, () => meter.calls);
    kit.rate(of('failures'), 'per-second', {}, () => meter.failures);
    kit.level(of('in-flight'), 'count', {}, () => meter.inFlight);
    kit.histogram(of('time'), {}, meter.time);
    return meter;
  };
  /** A call of `place` begins; the result is told its end, and how it ended. */
  const begin = (place) => {
    const meter = meterOf(place);
    const since = kit.mono();
    meter.calls += 1;
    meter.inFlight += 1;
    return (failed) => {
      meter.inFlight -= 1;
      if (failed) meter.failures += 1;
      kit.record(meter.time, kit.mono() - since);
    };
  };

  // -- by `http` and `https`
  kit.listen('http.client.request.start', ({ request }) => {
    const end = begin(String(request.getHeader('host') ?? request.host));
    request.once('close', kit.guarded(() => end(!(request.res?.statusCode < FAILED_FROM) || !request.res.complete)));
  });

  // -- by `fetch`
  const underWay = new WeakMap();
  kit.listen('undici:request:create', ({ request }) => underWay.set(request, { end: begin(String(request.origin).replace(/^\w+:\/\//, '')) }));
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
