/*
 * Pools of connections that libraries keep in the process: found by the class in the cache of loaded modules, or handed over by shape.
 *
 * Owns what is known of each library: where its class is, how its pool counts, by which methods places are taken and given back. While the
 * observers stand, those methods are passed through and timed; a pool is known from its first use on. Where something goes along with a request
 * (`kit.companion`), that is told what it asks for. Nothing of options, addresses or statements is kept but how many connections there may be,
 * and statements without their values.
 *
 * One expression, a function of the observers' tools (`kit`); gives what takes over an object that looks like a pool.
 */
(kit) => {
  /** Most pools that get lanes. */
  const MOST_POOLS = 8;
  /** Most statements that are told apart, and most characters of one; as in the shop's own agent. */
  const MOST_SHAPES = 64;
  const MOST_TEXT = 120;
  /** Most characters of a statement that are looked at: what tells statements apart comes early. */
  const MOST_READ = 2_000;
  /** Most texts whose fingerprint is remembered, and characters of all of them; beyond, remembering begins anew. */
  const MOST_TEXTS = 2_000;
  const MOST_REMEMBERED = 2_000_000;
  /** Most connections beside any pool that are known at once. */
  const MOST_CLIENTS = 20_000;
  const isCount = (n) => Number.isInteger(n) && n >= 0;
  /** How many of mysql2's connections, in a queue of its own, have come so far that they can be used. */
  const made = (connections) => (connections?.toArray?.() ?? connections)?.filter(({ authorized }) => authorized !== false).length;

  /**
   * `file`: of the module that exports the class. `counts`: all open (one that is only being made is in nobody's use and not among them),
   * those idle, who waits, how many there may be; numbers where the object is a pool of this kind. `closed`: flags of one that is. `take` and `give`: methods; the place is what the first one gives, and the first argument of the others.
   * `gaveUp`: what the error says to those who have waited for a place for too long, or are not let wait; one that is called `TimeoutError` says it by its name.
   */
  const KINDS = [
    {
      name: 'pg',
      file: /[\\/]pg-pool[\\/]index\.js$/,
      take: 'connect',
      give: ['_release'],
      closed: ['ending'],
      gaveUp: /^timeout exceeded when trying to connect/,
      counts: (p) => [p.totalCount - (p._clients?.filter((c) => c._connected === false).length ?? 0), p.idleCount, p.waitingCount, p.options?.max],
    },
    {
      name: 'mysql',
      file: /[\\/]mysql2[\\/]lib[\\/](base[\\/])?pool\.js$/,
      take: 'getConnection',
      give: ['releaseConnection'],
      closed: ['_closed'],
      gaveUp: /^(?:Queue limit reached|No connections available)\./,
      counts: (p) => [made(p._allConnections), p._freeConnections?.length, p._connectionQueue?.length, p.config?.connectionLimit],
    },
    {
      name: 'generic',
      file: /[\\/]generic-pool[\\/]lib[\\/]Pool\.js$/,
      take: 'acquire',
      give: ['release', 'destroy'],
      closed: ['_draining'],
      gaveUp: /^(?:ResourceRequest timed out|max waitingClients count exceeded)/,
      counts: (p) => [p.size - (p._factoryCreateOperations?.size ?? 0), p.available, p.pending, p.max],
      also: (p) => isCount(p.borrowed),
    },
    {
      name: 'tarn',
      file: /[\\/]tarn[\\/]dist[\\/]Pool\.js$/,
      take: 'acquire',
      give: ['release'],
      closed: ['destroyed'],
      gaveUp: /^operation timed out/i,
      counts: (p) => [p.numUsed() + p.numFree(), p.numFree(), p.numPendingAcquires(), p.max],
    },
    {
      name: 'sequelize',
      file: /[\\/]sequelize-pool[\\/]lib[\\/]Pool\.js$/,
      take: 'acquire',
      give: ['release', 'destroy'],
      closed: ['_draining'],
      gaveUp: /^ResourceRequest timed out/,
      counts: (p) => [p.using + p.available, p.available, p.waiting, p.maxSize],
      also: (p) => isCount(p.size),
    },
  ];

  const counted = (kind, pool) => {
    try {
      const counts = kind.counts(pool);
      return counts.every(isCount) && (kind.also?.(pool) ?? true) ? counts : undefined;
    } catch {
      return undefined;
    }
  };

  // -- one pool

  const meters = new WeakMap();
  /** What has lanes: a pool that takes the place of one that is closed goes on in them. */
  const known = [];
  const named = new Map();
  const nameOf = (kind) => {
    const n = (named.get(kind) ?? 0) + 1;
    named.set(kind, n);
    return n === 1 ? kind : `${kind}-${n}`;
  };

  const meterOf = (kind, pool) => {
    if (meters.has(pool)) return meters.get(pool);
    const vacant = ({ of, held }) => of === kind && (!held.deref() || kind.closed.some((flag) => held.deref()[flag] === true));
    let meter;
    if (counted(kind, pool)) {
      meter = known.find(vacant) ?? (known.length < MOST_POOLS ? newMeter(kind, pool) : undefined);
      if (meter) meter.held = new WeakRef(pool);
    }
    meters.set(pool, meter);
    return meter;
  };

  const newMeter = (kind, pool) => {
    const read = () => {
      const there = meter.held.deref();
      return there ? counted(kind, there) : undefined;
    };
    const of = (part) => `pool.${name}.${part}`;
    const name = nameOf(kind.name);
    const meter = { of: kind, held: new WeakRef(pool), wait: new Map(), hold: new Map(), acquired: 0, timeouts: 0, opened: 0 };
    known.push(meter);
    kit.level(of('capacity'), 'count', {}, () => read()?.[3]);
    kit.level(of('in-use'), 'count', {}, () => {
      const counts = read();
      return counts && counts[0] - counts[1];
    });
    kit.level(of('idle'), 'count', {}, () => read()?.[1]);
    kit.level(of('waiters'), 'count', {}, () => read()?.[2]);
    kit.histogram(of('wait'), {}, meter.wait);
    kit.histogram(of('hold'), {}, meter.hold);
    kit.rate(of('acquired'), 'per-second', {}, () => meter.acquired);
    kit.rate(of('timeouts'), 'per-second', {}, () => meter.timeouts);
    // pg's connections are counted as they are made; those of the others by what is open from reading to reading.
    let open = read()?.[0] ?? 0;
    kit.rate(of('opened'), 'per-second', { quality: kind.name === 'pg' ? 'exact' : 'inferred' }, () => {
      const now = read()?.[0] ?? open;
      if (kind.name !== 'pg') meter.opened += Math.max(0, now - open);
      open = now;
      return meter.opened;
    });
    return meter;
  };

  // -- taking and giving back

  const since = new WeakMap();
  const isObject = (x) => (typeof x === 'object' && x !== null) || typeof x === 'function';
  /** The request at hand asks for a place; the result is called when it has given it back. */
  const visit = (asked) => {
    const request = kit.companion?.now();
    if (!request) return () => {};
    request.checkouts += 1;
    if (request.underWay === 0) request.since = asked;
    request.underWay += 1;
    return (now) => {
      request.underWay -= 1;
      request.timeNs += now - asked;
      if (request.underWay === 0) request.wallNs += now - request.since;
    };
  };
  /** Did it wait in vain for a place? A server that cannot be reached, or a pool that was closed, is another matter. */
  const gaveUp = (kind, error) =>
    error.name === 'TimeoutError' || error.constructor?.name === 'TimeoutError' || kind.gaveUp.test(String(error.message));
  const began = (meter) => {
    const asked = kit.mono();
    const left = visit(asked);
    return kit.guarded((error, place) => {
      const now = kit.mono();
      kit.record(meter.wait, now - asked);
      if (error) {
        if (gaveUp(meter.of, error)) meter.timeouts += 1;
        left(now);
        return;
      }
      meter.acquired += 1;
      if (isObject(place)) since.set(place, { taken: now, left });
    });
  };

  const timeTaking = (kind, original) =>
    function (...given) {
      const meter = kit.gone() ? undefined : meterOf(kind, this);
      if (!meter) return original.apply(this, given);
      const told = began(meter);
      const last = given.length - 1;
      if (typeof given[last] === 'function') {
        const answer = given[last];
        given[last] = function (...given) {
          told(given[0], given[1]);
          return answer.apply(this, given);
        };
        return original.apply(this, given);
      }
      const result = original.apply(this, given);
      if (typeof result?.then === 'function') return kit.heard(result, told);
      // Of tarn, which has the promise beside other things that its caller may want.
      const own = isObject(result) ? Object.getOwnPropertyDescriptor(result, 'promise') : undefined;
      if (own?.writable && typeof own.value?.then === 'function') result.promise = kit.heard(own.value, told);
      return result;
    };

  const timeGiving = (kind, original) =>
    function (...given) {
      const meter = kit.gone() ? undefined : meters.get(this);
      const held = meter && isObject(given[0]) ? since.get(given[0]) : undefined;
      if (held) {
        const now = kit.mono();
        since.delete(given[0]);
        kit.record(meter.hold, now - held.taken);
        held.left(now);
      }
      return original.apply(this, given);
    };

  const classes = new WeakSet();
  const watchClass = (kind, prototype) => {
    if (!prototype || classes.has(prototype)) return;
    classes.add(prototype);
    if (kit.companion) kit.companion.wanted = true;
    kit.replace(prototype, kind.take, (original) => timeTaking(kind, original));
    for (const method of kind.give) kit.replace(prototype, method, (original) => timeGiving(kind, original));
  };

  // -- connections and statements of pg

  const OTHER = 'other';
  const shapes = new Map();
  const texts = new Map();
  let room = MOST_REMEMBERED;
  /** Of a name: PostgreSQL takes all that is not ASCII for one. */
  const W = String.raw`\w\x80-\uffff`;
  /**
   * What does not belong into a fingerprint, as dyno's own has it: comments (1), literals and parameters. Names in quotes (2) do, whatever
   * stands in them. What begins and never ends, since it was cut, goes to the end: so nothing is looked at twice.
   */
  const PIECES = [
    String.raw`(--[^\n]*|/\*[^]*?(?:\*/|$))`,
    String.raw`("[^"]*(?:""[^"]*)*(?:"|$))`,
    String.raw`(?<![${W}$])[eE]'[^'\\]*(?:(?:\\[^]?|'')[^'\\]*)*(?:'|$)`,
    String.raw`(?:(?<![${W}$])[xXbBnN])?'[^']*(?:''[^']*)*(?:'|$)`,
    String.raw`(?<![${W}$])\$([${W}]*)\$[^]*?(?:\$\3\$|$)`,
    String.raw`(?<![${W}$])(?:\$[${W}]+|\d(?:[eE][+-]|[${W}.])*)`,
    String.raw`\.\d(?:[eE][+-]|[${W}.])*`,
    String.raw`(?<!:):(?!:)[${W}]+|@[${W}]+|\?[${W}]*`,
  ];
  const STATEMENT = new RegExp(PIECES.join('|'), 'g');
  const fingerprint = (sql) => {
    const masked = sql
      .slice(0, MOST_READ)
      .replace(STATEMENT, (_, comment, name) => name ?? (comment === undefined ? '?' : ' '))
      .replace(/\s+/g, ' ')
      .replace(/([(,=<>+*/%] ?)-\?/g, '$1?')
      .replace(/\?(?: ?, ?\?)+/g, '?')
      .replace(/(\( ?\? ?\))(?: ?, ?\( ?\? ?\))+/g, '$1')
      .replace(/ ?;[ ;]*$/, '')
      .trim();
    const text = sql.length > MOST_READ ? `${masked}…` : masked;
    if (text.length <= MOST_TEXT) return text;
    const characters = Array.from(text);
    if (characters.length > MOST_TEXT) characters.splice(MOST_TEXT - 1, Infinity, '…');
    return characters.join('');
  };
  const shapeOf = (sql) => {
    let shape = texts.get(sql);
    if (shape) return shape;
    let text = fingerprint(sql);
    if (!shapes.has(text) && shapes.size >= MOST_SHAPES) text = OTHER;
    shape = shapes.get(text) ?? addShape(text);
    if (sql.length > MOST_REMEMBERED) return shape;
    // Values that are written into statements use it up, and would leave no room for what is asked again and again.
    if (texts.size >= MOST_TEXTS || sql.length > room) {
      texts.clear();
      room = MOST_REMEMBERED;
    }
    texts.set(sql, shape);
    room -= sql.length;
    return shape;
  };
  const addShape = (subject) => {
    const shape = { calls: 0, failures: 0, rows: 0, time: new Map() };
    shapes.set(subject, shape);
    kit.rate('db.calls', 'per-second', { subject }, () => shape.calls);
    kit.rate('db.failures', 'per-second', { subject }, () => shape.failures);
    kit.rate('db.rows', 'per-second', { subject }, () => shape.rows);
    kit.histogram('db.time', { subject }, shape.time);
    return shape;
  };

  /** A statement is sent; the request at hand may have sent its like before. */
  const sent = kit.guarded((sql) => {
    const shape = shapeOf(sql);
    const request = kit.companion?.now();
    if (request) {
      request.statements += 1;
      if (request.shapes.has(shape)) request.repeated += 1;
      // What is told apart no more may be anything.
      else if (shape !== shapes.get(OTHER)) request.shapes.add(shape);
    }
    return shape;
  });
  const timeStatement = (original) =>
    function (...given) {
      const [what] = given;
      const sql = typeof what === 'string' ? what : what?.text;
      const last = given.length - 1;
      // What is handed a callback by other means (a stream, a cursor) is not timed.
      const calls = typeof given[last] === 'function';
      if (kit.gone() || typeof sql !== 'string' || (!calls && typeof what?.submit === 'function')) return original.apply(this, given);
      const asked = kit.mono();
      const shape = sent(sql);
      const told = kit.guarded((error, result) => {
        if (!shape) return;
        shape.calls += 1;
        if (error) shape.failures += 1;
        else shape.rows += result?.rowCount ?? 0;
        kit.record(shape.time, kit.mono() - asked);
      });
      if (calls) {
        const answer = given[last];
        given[last] = function (...given) {
          told(given[0], given[1]);
          return answer.apply(this, given);
        };
        return original.apply(this, given);
      }
      const promise = original.apply(this, given);
      return typeof promise?.then === 'function' ? kit.heard(promise, told) : promise;
    };

  /** Connections beside any pool: asked for, used and closed. */
  let beside;
  /** What listens to each of them until it ends. @type {Map<object, { connected: Function, ended: Function }>} */
  const clients = new Map();
  kit.undo.push(() => {
    for (const [client, { connected, ended }] of clients) {
      client.off('connect', connected);
      client.off('end', ended);
    }
    clients.clear();
  });
  const newBeside = () => {
    const meter = { wait: new Map(), hold: new Map(), acquired: 0, open: 0 };
    const of = (part) => `pool.pg-clients.${part}`;
    kit.level(of('in-use'), 'count', {}, () => meter.open);
    kit.level(of('idle'), 'count', {}, () => 0);
    kit.histogram(of('wait'), {}, meter.wait);
    kit.histogram(of('hold'), {}, meter.hold);
    kit.rate(of('acquired'), 'per-second', {}, () => meter.acquired);
    kit.rate(of('opened'), 'per-second', {}, () => meter.acquired);
    return meter;
  };
  const noteClient = kit.guarded((client) => {
    for (const meter of known) {
      if (!meter.held.deref()?._clients?.includes?.(client)) continue;
      meter.opened += 1;
      return;
    }
    // Perhaps of a pool for which there was no room.
    if (known.length >= MOST_POOLS || clients.size >= MOST_CLIENTS || clients.has(client)) return;
    beside ??= newBeside();
    const asked = kit.mono();
    let since;
    const connected = kit.guarded(() => {
      since = kit.mono();
      kit.record(beside.wait, since - asked);
      beside.acquired += 1;
      beside.open += 1;
    });
    const ended = kit.guarded(() => {
      clients.delete(client);
      client.off('connect', connected);
      // Who could not connect held nothing.
      if (since === undefined) return;
      beside.open -= 1;
      kit.record(beside.hold, kit.mono() - since);
    });
    clients.set(client, { connected, ended });
    client.once('connect', connected);
    client.once('end', ended);
  });
  const watchClients = (Client) => {
    const prototype = Client?.prototype;
    if (!prototype || classes.has(prototype)) return;
    classes.add(prototype);
    if (kit.companion) kit.companion.wanted = true;
    kit.replace(prototype, 'query', timeStatement);
    kit.replace(
      prototype,
      'connect',
      (original) =>
        function (...given) {
          if (!kit.gone()) noteClient(this);
          return original.apply(this, given);
        },
    );
  };

  // -- finding them

  kit.modules((file, exported) => {
    for (const kind of KINDS) {
      if (kind.file.test(file)) watchClass(kind, (exported?.Pool ?? exported)?.prototype);
    }
    if (/[\\/]pg[\\/]lib[\\/]client\.js$/.test(file)) watchClients(exported);
  });

  /** Takes over `object` if it looks like a pool, or where it sends its statements if it looks like a client of pg. */
  return (object) => {
    if ('connectionParameters' in object && typeof object.query === 'function' && typeof object.connect === 'function') {
      let owner = object;
      while (owner && !Object.hasOwn(owner, 'query')) owner = Object.getPrototypeOf(owner);
      watchClients({ prototype: owner });
      return true;
    }
    const kind = KINDS.find((kind) => typeof object[kind.take] === 'function' && counted(kind, object));
    if (!kind) return false;
    // Where the method is defined, whatever its class is called now.
    let owner = object;
    while (owner && !Object.hasOwn(owner, kind.take)) owner = Object.getPrototypeOf(owner);
    watchClass(kind, owner);
    return meterOf(kind, object) !== undefined;
  };
}
