/*
 * Caches that libraries keep in the process or reach from it: ioredis as one, each lru-cache by itself.
 *
 * Owns what is concluded from look-ups and writes: a key that is missed and then written was loaded in between; one that several loaded at
 * once was duplicated; misses that see somebody else's write waited for it. So hits and misses are counted, loads are inferred. Where something
 * goes along with a request (`kit.companion`) two more things are: who misses, asks a database and writes nothing has looked for what does not
 * exist, where others of the kind do; who writes what it has loaded and then removes other keys has made room. Of a key a short text is kept in
 * which long parts that look made up (tokens, ids, addresses) are replaced by a number of four digits.
 *
 * One expression, a function of the observers' tools (`kit`); gives what takes over an object that looks like a client of Redis or an lru-cache.
 */
(kit) => {
  /** Most caches of this process that get lanes, keys that are followed at once, and loads of one key. */
  const MOST_CACHES = 6;
  const MOST_KEYS = 5_000;
  const MOST_LOADS = 256;
  /** Refreshes told at a reading, those with the most loads first. */
  const MOST_EVENTS = 24;
  /** Most kinds of keys, by what is left of them without ids. */
  const MOST_KINDS = 64;
  /** A miss that nobody has written for so long was no load, or one that found nothing, ns. */
  const FORGOTTEN_NS = 2_000_000_000;
  /** After a write, others of the same refresh come within this, or twice the first one's load, ns. */
  const AFTER_NS = 100_000_000;
  /** Longest stretch told as one refresh, ns: a stampede must be seen while it lasts. */
  const LONGEST_NS = 1_000_000_000;

  const textOf = (key) => (typeof key === 'string' || typeof key === 'number' ? String(key).slice(0, 200) : typeof key);
  const kindOf = (key) => textOf(key).replace(/[^\s:/|]*@[^\s:/|]*|[A-Za-z0-9_+=-]{16,}|\d+/g, '*');
  const shown = (key) =>
    textOf(key).replace(/[^\s:/|]*@[^\s:/|]*|[A-Za-z0-9_+=-]{16,}/g, (part) => {
      let sum = 0;
      for (let i = 0; i < part.length; i++) sum = (sum * 31 + part.charCodeAt(i)) % 10_000;
      return `*${String(sum).padStart(4, '0')}`;
    });

  // -- one cache

  let caches = 0;
  const newMeter = (name) => {
    caches += 1;
    const counts = { hits: 0, misses: 0, loads: 0, coalesced: 0, 'duplicate-loads': 0, 'absent-loads': 0, evictions: 0, removed: 0 };
    const load = new Map();
    const time = new Map();
    const open = new Map();
    let ended = [];
    const of = (part) => `cache.${name}.${part}`;
    const inferred = { quality: 'inferred' };
    for (const part of ['hits', 'misses', 'removed']) kit.rate(of(part), 'per-second', {}, () => counts[part]);
    for (const part of ['loads', 'coalesced', 'duplicate-loads']) kit.rate(of(part), 'per-second', inferred, () => counts[part]);
    kit.histogram(of('load'), inferred, load);
    if (kit.companion) {
      kit.companion.wanted = true;
      kit.rate(of('absent-loads'), 'per-second', inferred, () => counts['absent-loads']);
    }
    /** Kinds of keys that have been loaded: of others (lists of what is barred, say) none is missing. */
    const kinds = new Set();

    const close = (key, refresh) => {
      open.delete(key);
      counts.coalesced += refresh.sets > 0 ? refresh.waits.length : 0;
      if (refresh.sets > 0) ended.push({ key, start: refresh.start, end: refresh.last, loads: refresh.sets });
    };
    const askedBy = (request) => (request ? request.statements + request.checkouts : 0);
    /** Nobody has written what was missed so long ago; who has asked a database since has not found it there. */
    const forget = (key, refresh, now) => {
      const { waits } = refresh;
      while (waits.length > 0 && now - waits[0].since > FORGOTTEN_NS) {
        const { request, asked } = waits.shift();
        if (refresh.first > 0 || askedBy(request) <= asked || !kinds.has(kindOf(key))) continue;
        counts.loads += 1;
        counts['absent-loads'] += 1;
      }
      if (waits.length === 0) open.delete(key);
      else refresh.start = waits[0].since;
    };
    const sweep = (now) => {
      for (const [key, refresh] of open) {
        if (refresh.sets === 0) forget(key, refresh, now);
        else if (now - refresh.last > Math.max(AFTER_NS, 2 * refresh.first)) close(key, refresh);
        else if (now - refresh.start > LONGEST_NS) {
          ended.push({ key, start: refresh.start, end: refresh.last, loads: refresh.sets });
          Object.assign(refresh, { start: now, sets: 0 });
        }
      }
    };
    kit.tells((now) => {
      sweep(now);
      const told = ended.sort((a, b) => b.loads - a.loads);
      ended = [];
      const events = told.slice(0, MOST_EVENTS).map(({ key, start, end, loads }) => ({
        kind: 'cache.refresh',
        start: Math.round(start),
        end: Math.round(Math.max(start, end)),
        labels: [
          ['cache', name],
          ['key', shown(key)],
        ],
        value: loads,
      }));
      if (told.length > events.length) events[events.length - 1].others = told.length - events.length;
      return events;
    });
    return {
      counts,
      time,
      of,
      /** Keys that the library loads by itself now. */
      flights: new Map(),
      hit: () => (counts.hits += 1),
      missed: (key, now, request = kit.companion?.now()) => {
        counts.misses += 1;
        // A reading may come at any call, and put away what is open.
        const wait = { since: now, request, asked: askedBy(request) };
        const refresh = open.get(key);
        if (refresh) {
          if (refresh.waits.length < MOST_LOADS) refresh.waits.push(wait);
        } else if (open.size < MOST_KEYS) open.set(key, { start: now, first: 0, last: 0, sets: 0, waits: [wait] });
      },
      /** Whether that was a load. */
      written: (key, now) => {
        const refresh = open.get(key);
        if (!refresh) return false;
        if (refresh.sets === 0 && kinds.size < MOST_KINDS) kinds.add(kindOf(key));
        // At that call a reading may have put it away.
        const began = refresh.waits.shift()?.since ?? now;
        counts.loads += 1;
        refresh.sets += 1;
        refresh.last = now;
        if (refresh.sets === 1) refresh.first = now - began;
        else counts['duplicate-loads'] += 1;
        kit.record(load, now - began);
        if (refresh.waits.length === 0) close(key, refresh);
        return true;
      },
    };
  };

  // -- ioredis: all connections of the process are one cache

  const READS = new Set(['get', 'getbuffer', 'getex', 'mget']);
  const WRITES = new Set(['set', 'setex', 'psetex', 'setnx', 'getset']);
  const REMOVES = new Set(['del', 'unlink', 'expire', 'pexpire']);
  let redis;
  const newRedis = () => {
    const meter = newMeter('redis');
    kit.histogram(meter.of('time'), {}, meter.time);
    if (kit.companion) kit.rate(meter.of('evictions'), 'per-second', { quality: 'inferred' }, () => meter.counts.evictions);
    return meter;
  };
  /** What a request has loaded last: the keys that it removes then make room for it. @type {WeakMap<object, string>} */
  const loaded = new WeakMap();
  const keyOf = (key) => (typeof key === 'string' ? key : String(key));
  const watchCommand = kit.guarded((command) => {
    const name = String(command?.name).toLowerCase();
    const [reads, writes, removes] = [READS, WRITES, REMOVES].map((names) => names.has(name));
    if ((!reads && !writes && !removes) || typeof command.resolve !== 'function') return;
    redis ??= newRedis();
    const asked = kit.mono();
    // None is an answer, too: where it comes in, another one may be at hand.
    const request = kit.companion?.now() ?? null;
    const drops = name === 'del' || name === 'unlink';
    const keys = drops || name === 'mget' ? command.args.flat().map(keyOf) : [keyOf(command.args[0])];
    const answered = kit.guarded((value) => {
      if (kit.gone()) return;
      const now = kit.mono();
      kit.record(redis.time, now - asked);
      const gone = removes ? Number(value) || 0 : 0;
      redis.counts.removed += gone;
      if (drops && request && loaded.has(request) && !keys.includes(loaded.get(request))) redis.counts.evictions += gone;
      if (writes && redis.written(keys[0], now) && request) loaded.set(request, keys[0]);
      // A key is missed from when it was asked for: that is where its load begins.
      if (reads) keys.forEach((key, i) => ((name === 'mget' ? value?.[i] : value) == null ? redis.missed(key, asked, request) : redis.hit()));
    });
    // Not by the promise: who listens to it passes for somebody that handles its failure.
    const { resolve } = command;
    command.resolve = (value) => {
      answered(value);
      return resolve.call(command, value);
    };
  });
  const watched = new WeakSet();
  const watchRedis = (Redis) => {
    kit.replace(
      Redis?.prototype,
      'sendCommand',
      (original) =>
        function (command, ...rest) {
          // Sent once more after a reconnect, it is still one.
          if (!kit.gone() && typeof command === 'object' && command !== null && !watched.has(command)) {
            watched.add(command);
            watchCommand(command);
          }
          return original.call(this, command, ...rest);
        },
    );
  };

  // -- lru-cache

  const lrus = new WeakMap();
  let lruCount = 0;
  const lruOf = (cache) => {
    if (lrus.has(cache)) return lrus.get(cache);
    const fits = caches < MOST_CACHES && Number.isInteger(cache.size);
    const meter = fits ? newMeter(lruCount++ ? `lru-${lruCount}` : 'lru') : undefined;
    lrus.set(cache, meter);
    if (!meter) return undefined;
    const held = new WeakRef(cache);
    kit.level(meter.of('entries'), 'count', {}, () => held.deref()?.size);
    kit.rate(meter.of('evictions'), 'per-second', { quality: 'inferred' }, () => meter.counts.evictions);
    return meter;
  };
  const aside = kit.guarded((cache, work) => {
    const meter = kit.gone() ? undefined : lruOf(cache);
    if (meter) work(meter, kit.mono());
  });
  /** Has the key a place, if only for what has expired or is being loaded? Looking by `peek` makes no key younger. */
  const keeps = (cache, key) => Boolean(lrus.get(cache)?.flights.has(key)) || cache.peek(key, { allowStale: true }) !== undefined;
  /** The same of a key that is about to be written. Earlier versions keep what `has` alone knows of: `undefined`, and a load of before our time. */
  const had = kit.guarded((cache, key) => cache.has(key, { updateAgeOnHas: false }) || keeps(cache, key));
  /** The cache whose `fetch` or `memo` runs. Earlier versions look up and write there by methods that are watched, too, which would count twice. */
  let busy;
  const alone = (cache, call) => {
    const before = busy;
    busy = cache;
    try {
      return call();
    } finally {
      busy = before;
    }
  };
  /**
   * `fetch` or `memo` is about to look for a key. What is stale and given all the same is a hit, and its refresh is seen by nobody; who finds a
   * load under way has missed.
   */
  const begins = kit.guarded((cache, key, options) => {
    const meter = lruOf(cache);
    if (!meter) return undefined;
    const { allowStale = cache.allowStale, forceRefresh } = options ?? {};
    const hit = !forceRefresh && cache.peek(key, { allowStale }) !== undefined;
    const kept = keeps(cache, key);
    if (hit) meter.hit();
    else meter.missed(key, kit.mono());
    return { meter, hit, kept, size: cache.size };
  });
  /** A key that was not there has a place now, and nothing has grown. */
  const makesRoom = kit.guarded((cache, { meter, hit, kept, size }) => {
    if (!hit && !kept && size > 0 && cache.size <= size) meter.counts.evictions += 1;
  });
  const timeFetch = (original) =>
    function (...given) {
      const began = kit.gone() || busy === this ? undefined : begins(this, given[0], given[1]);
      if (!began) return original.apply(this, given);
      const promise = alone(this, () => original.apply(this, given));
      // Without a way to load it is a `get`.
      if (began.hit || typeof this.fetchMethod !== 'function') return promise;
      makesRoom(this, began);
      const { flights, written } = began.meter;
      // One load is for all who ask meanwhile.
      if (flights.has(given[0]) || flights.size >= MOST_KEYS) return promise;
      const flight = {};
      flights.set(given[0], flight);
      const landed = kit.guarded((error, value) => {
        if (flights.get(given[0]) !== flight) return;
        flights.delete(given[0]);
        if (!error && value !== undefined && !kit.gone()) written(given[0], kit.mono());
      });
      return typeof promise?.then === 'function' ? kit.heard(promise, landed) : promise;
    };
  const timeMemo = (original) =>
    function (...given) {
      const began = kit.gone() || busy === this ? undefined : begins(this, given[0], given[1]);
      const value = alone(this, () => original.apply(this, given));
      if (began && !began.hit && value !== undefined) {
        makesRoom(this, began);
        aside(this, (meter, now) => meter.written(given[0], now));
      }
      return value;
    };
  const watchLru = (LRUCache) => {
    const prototype = LRUCache?.prototype;
    for (const method of ['fetch', 'forceFetch']) kit.replace(prototype, method, timeFetch);
    kit.replace(prototype, 'memo', timeMemo);
    kit.replace(
      prototype,
      'get',
      (original) =>
        function (key, ...rest) {
          const value = original.call(this, key, ...rest);
          if (busy !== this) aside(this, (meter, now) => (value === undefined ? meter.missed(key, now) : meter.hit()));
          return value;
        },
    );
    kit.replace(
      prototype,
      'set',
      (original) =>
        function (key, ...rest) {
          if (busy === this) return original.call(this, key, ...rest);
          const before = kit.gone() ? 0 : this.size;
          const known = before > 0 && had(this, key);
          const result = original.call(this, key, ...rest);
          aside(this, (meter, now) => {
            meter.written(key, now);
            // Earlier versions write so what `fetch` has loaded.
            meter.flights.delete(key);
            if (!known && before > 0 && this.size <= before) meter.counts.evictions += 1;
          });
          return result;
        },
    );
    kit.replace(
      prototype,
      'delete',
      (original) =>
        function (...given) {
          const gone = original.apply(this, given);
          if (gone) aside(this, (meter) => (meter.counts.removed += 1));
          return gone;
        },
    );
  };

  kit.modules((file, exported) => {
    if (/[\\/]ioredis[\\/]built[\\/](Redis|redis[\\/]index)\.js$/.test(file)) watchRedis(exported?.default ?? exported);
    if (/[\\/]lru-cache[\\/]/.test(file)) watchLru(exported?.LRUCache ?? (exported?.name === 'LRUCache' ? exported : undefined));
  });

  /** Takes over `object` if it is a client of Redis: where it sends its commands, whatever its class is called now. */
  const adoptRedis = (object) => {
    if (typeof object.sendCommand !== 'function' || !('commandQueue' in object) || !('offlineQueue' in object)) return false;
    let owner = object;
    while (owner && !Object.hasOwn(owner, 'sendCommand')) owner = Object.getPrototypeOf(owner);
    if (owner) watchRedis({ prototype: owner });
    return owner !== undefined && owner !== null;
  };

  /** What the class of lru-cache defines from version 7 on. No map has all of it, nor has another library's cache that we know. */
  const OF_LRU = ['get', 'set', 'delete', 'has', 'peek', 'dump', 'load', 'purgeStale', 'rkeys'];
  const isLru = (prototype) => OF_LRU.every((method) => Object.hasOwn(prototype, method));
  const isCount = (n) => Number.isInteger(n) && n >= 0;
  /** Takes over the class of `object` if that is lru-cache's own: an heir's method that calls its parent's would be counted twice. */
  const adoptLru = (object) => {
    if (typeof object.purgeStale !== 'function' || typeof object.rkeys !== 'function') return false;
    let owner = Object.getPrototypeOf(object);
    while (owner && !isLru(owner)) owner = Object.getPrototypeOf(owner);
    if (!owner || !isCount(object.size) || ![object.max, object.maxSize].some(isCount)) return false;
    watchLru({ prototype: owner });
    return true;
  };

  return (object) => adoptRedis(object) || adoptLru(object);
}
