/*
 * What dyno installs in a process that runs on V8: observers, read by `Runtime.evaluate`, and nothing that the process waits for.
 *
 * Owns the readings, in the form of dyno's probe, and their own removal. They stand under one symbol of the global object. Whatever fails in
 * them removes them; nothing is thrown into the process. Nobody reads for ten seconds: they remove themselves, and close the inspector if
 * dyno opened it. The environment of the process is not read but for the size of the offload pool. What libraries tell (requests, pools,
 * caches) is for the parts beside this file, which are handed the tools to observe with and nothing else.
 *
 * A reading may interrupt anything: what is called at one asks Node.js for no tick and no timer (`calm.js`).
 *
 * This is one expression, a function: of the name of the symbol, of whether dyno opened the inspector, of what loads a built-in module, of
 * the parts, functions of the tools, and of what tells a good moment.
 */
(name, opened, load, parts, calm) => {
  'use strict';
  const VERSION = 1;
  /** A delay or a collection that is shorter than this is normal life and is told by its lane alone, ns. */
  const NOTED_NS = 2_000_000;
  /** From here on a late turn of the loop is told as an event, ns. */
  const STALL_NS = 20_000_000;
  /** How often the loop's timer asks to run: a stall of 20 ms cannot hide between two turns. */
  const LOOP_MS = 10;
  const LOOP_NS = LOOP_MS * 1e6;
  /** Most entries by which one delay is corrected: 60 s of them. */
  const MOST_CORRECTIONS = 6_000;
  /** From task to task of the offload pool, ms; there is never more than one on its way. */
  const OFFLOAD_MS = 100;
  const OFFLOAD_NS = OFFLOAD_MS * 1e6;
  /** Part of what stands from look to look of the pace at which memory is allocated: that of the last ten looks. */
  const PACE = 0.9;
  /** Share of its room that the young generation has in use when it is collected, at least. */
  const FULL = 0.8;
  /** Threads of libuv's pool unless the environment says otherwise. */
  const OFFLOAD_THREADS = 4;
  /** Most events kept from reading to reading, and told at one: longest first, the rest is counted. */
  const MOST_KEPT = 1_000;
  const MOST_EVENTS = 24;
  /** Most events of all kinds at a reading; the probe's form takes 64. */
  const MOST_TOLD = 60;
  /** Ticks kept for a reader that lost an answer. */
  const MOST_TICKS = 20;
  /** Most kinds of active resources that get a lane, and readings from one census to the next: it lists every one of them. */
  const MOST_KINDS = 16;
  const CENSUS_EVERY = 10;
  /** The loop's timer is so late when somebody who keeps it from running is looked for, ns. */
  const LATE_NS = 12_000_000;
  /** Frames looked at for one that is no library's, and parts of a file's path that are told. */
  const MOST_FRAMES = 40;
  const PATH_PARTS = 2;
  /** Seconds without a reading after which the observers remove themselves. */
  const PATIENCE_S = 10;
  /** Longest wait from one look at who is connected to the inspector to the next. */
  const MOST_WAIT_MS = 30_000;
  /** One hour: longer durations count as this, us. */
  const MAX_US = 3_600_000_000;
  /** Cells of a histogram are 1 us wide up to here; their width doubles with each power of two beyond (three digits). */
  const EXACT_US = 2_048;

  const symbol = Symbol.for(name);
  if (globalThis[symbol]) return globalThis[symbol].about;

  const { process } = globalThis;
  const v8 = load('v8');
  const fs = load('fs');
  const timers = load('timers');
  const { isPromise } = load('util').types;
  const { PerformanceObserver, performance, constants } = load('perf_hooks');
  const runtime = ['deno', 'bun'].find((name) => process.versions[name]) ?? 'node';
  const isNode = runtime === 'node';
  const isDeno = runtime === 'deno';
  /** Its engine is not V8: what it says by V8's names is zeros, or costs it a walk over all objects. */
  const isBun = runtime === 'bun';
  const hrtime = () => Number(process.hrtime.bigint());
  /**
   * The host's clock, ns. Node.js counts `performance.now` on it from an origin of the process's own, and makes no big integer for it. Of several
   * looks the quickest is the truest: somebody else may have had the core in between.
   */
  const looks = Array.from({ length: 5 }, () => {
    const [before, now, after] = [hrtime(), performance.now(), hrtime()];
    return { took: after - before, origin: (before + after) / 2 - now * 1e6 };
  });
  const { origin } = looks.reduce((best, look) => (look.took < best.took ? look : best));
  const mono = isDeno ? hrtime : () => Math.round(origin + performance.now() * 1e6);
  const instance = `pid-${process.pid}`;
  const specs = [];
  const readers = [];
  const undo = [];
  let specsText;
  let unread = 0;
  let removed = false;

  /** Fails quietly: the process is not ours to break. */
  const guarded = (work) => (...given) => {
    try {
      return work(...given);
    } catch {
      remove();
    }
  };

  const every = (ms, work) => {
    const timer = timers.setInterval(guarded(work), ms);
    timer.unref?.();
    undo.push(() => timers.clearInterval(timer));
  };

  // -- lanes

  let lastRead = mono();
  const declare = (lane, unit, shape, how, read) => {
    specs.push({ name: lane, subject: '', instance, unit, shape, combine: 'sum', quality: 'exact', ...how });
    specsText = undefined;
    readers.push(read);
  };
  const level = (lane, unit, how, read) =>
    declare(lane, unit, 'level', how, (tick, at) => {
      const value = read();
      if (Number.isFinite(value)) tick.values.push([at, value]);
    });
  /** Things per second, of a count that only grows. */
  const rate = (lane, unit, how, count) => {
    // It counts from the reading before: whoever is seen for the first time is seen between two.
    let [before, since] = [count(), lastRead];
    declare(lane, unit, 'rate', how, (tick, at) => {
      const [now, over] = [count(), tick.at - since];
      if (over <= 0) return;
      if (Number.isFinite(now - before)) tick.values.push([at, ((now - before) * 1e9) / over]);
      [before, since] = [now, tick.at];
    });
  };
  const histogram = (lane, how, cells) =>
    declare(lane, 'ns', 'histogram', { combine: 'merge', ...how }, (tick, at) => {
      if (cells.size === 0) return;
      tick.histograms.push([at, [...cells].sort((a, b) => a[0] - b[0])]);
      cells.clear();
    });

  const record = (cells, ns) => {
    const us = Math.min(MAX_US, Math.max(1, Math.floor(ns / 1_000)));
    const width = us < EXACT_US ? 1 : 2 ** (Math.floor(Math.log2(us)) - 10);
    const cell = Math.min(MAX_US, Math.floor(us / width) * width + width - 1);
    cells.set(cell, (cells.get(cell) ?? 0) + 1);
  };

  // -- pauses

  /** What began before this is not told. */
  let begun = 0;
  let longest = 0;
  let events = [];
  let unkept = 0;
  const note = (kind, start, end, value = 0, labels = []) => {
    longest = Math.max(longest, end - start);
    if (end - start < NOTED_NS) return;
    if (events.length < MOST_KEPT) events.push({ kind, start: Math.round(start), end: Math.round(end), value, labels });
    else unkept += 1;
  };
  const takeEvents = () => {
    const told = events.sort((a, b) => b.end - b.start - (a.end - a.start)).slice(0, MOST_EVENTS);
    const others = events.length - told.length + unkept;
    if (others > 0) told[told.length - 1].others = others;
    events = [];
    unkept = 0;
    return told;
  };
  // Of collections and of turns that come late; steps of marking are told by nobody, so it is at least that.
  const watchLongest = () =>
    level('pause.longest', 'ns', { combine: 'max', quality: 'sampled' }, () => {
      const was = longest;
      longest = 0;
      return was;
    });

  // -- collections, where the runtime tells of them: Deno has the observer and never calls it, Bun knows no such entries

  const collections = isNode && PerformanceObserver.supportedEntryTypes.includes('gc');
  let collected = () => {};
  /** Time in collections so far, s, and how many there were: all of them, also those that are too short to be told as events. */
  let collecting = 0;
  const byKind = { minor: 0, major: 0, incremental: 0 };
  const watchCollections = () => {
    if (!collections) return;
    // Their numbers differ from version to version. What is none of them is the young generation's other collector, minor mark-sweep, which
    // goes by no name before Node.js 24.
    const KINDS = new Map([
      [constants.NODE_PERFORMANCE_GC_MAJOR, 'major'],
      // V8 begins to mark step by step; it calls back for what it has found dead.
      [constants.NODE_PERFORMANCE_GC_INCREMENTAL, 'incremental'],
      [constants.NODE_PERFORMANCE_GC_WEAKCB, 'incremental'],
    ]);
    const observer = new PerformanceObserver(
      guarded((list) => {
        // All entries of the batch: exporters that take the first one only miss three in four.
        for (const entry of list.getEntries()) {
          const kind = KINDS.get(entry.detail?.kind ?? entry.kind) ?? 'minor';
          const start = origin + entry.startTime * 1e6;
          if (kind === 'major') collected();
          if (start < begun) continue;
          collecting += entry.duration / 1e3;
          byKind[kind] += 1;
          note(`pause.${kind}`, start, start + entry.duration * 1e6);
        }
      }),
    );
    undo.push(() => observer.disconnect());
    observer.observe({ entryTypes: ['gc'] });
    // V8 tells that it begins to mark step by step, and of none of the steps: so it is at least that.
    rate('pause.collecting', 'ratio', { combine: 'max', quality: 'sampled' }, () => collecting);
    for (const subject of ['minor', 'major']) rate('pause.collections', 'per-second', { subject }, () => byKind[subject]);
  };

  // -- the heap; names of spaces differ from version to version, so they are matched

  const readHeap = () => {
    if (isBun) {
      // Buffers are among what is used.
      const { heapUsed, external } = process.memoryUsage();
      return { used: heapUsed, external };
    }
    const all = v8.getHeapStatistics();
    const spaces = v8.getHeapSpaceStatistics();
    const sum = (pick, field) => spaces.filter((s) => pick.test(s.space_name)).reduce((n, s) => n + s[field], 0);
    const external = all.external_memory ?? 0;
    return {
      used: all.used_heap_size + external,
      external,
      committed: all.total_physical_size,
      limit: all.heap_size_limit,
      young: sum(/^new_/, 'space_used_size'),
      youngCapacity: sum(/^new_/, 'space_size'),
      large: sum(/^large_object_/, 'space_used_size'),
      // What outlives a request for certain: objects that were promoted, and buffers outside of the heap.
      old: sum(/^(old|large_object)_/, 'space_used_size') + external,
    };
  };
  let heap = readHeap();
  const watchHeap = () => {
    level('heap.used', 'bytes', {}, () => heap.used);
    level('heap.external', 'bytes', {}, () => heap.external);
    if (isBun) return;
    level('heap.resident', 'bytes', {}, () => heap.committed);
    level('heap.young.used', 'bytes', {}, () => heap.young);
    level('heap.young.capacity', 'bytes', {}, () => heap.youngCapacity);
    level('heap.old.used', 'bytes', {}, () => heap.old);
    level('heap.large.used', 'bytes', {}, () => heap.large);
    level('heap.limit', 'bytes', { combine: 'max' }, () => heap.limit);
    if (!collections) return;
    // Garbage that was promoted lies in the old generation until a major collection: what one left is live.
    let live = heap.old;
    collected = () => (live = readHeap().old);
    level('heap.live', 'bytes', {}, () => live);
  };

  /**
   * What is allocated: V8 counts it nowhere, so it is what the heap has grown by from look to look. One before which something was collected
   * finds less than there was: that counts at the pace of the others, or by how often the young generation was full, whichever is more. A
   * few per cent from the truth where the loop turns; a turn that fills the young generation by itself may count for half.
   *
   * Not `v8.GCProfiler`, which tells all of it: one that was stopped goes on writing at each collection until it is collected itself, and so
   * ten a second take more and more, a third of a core after half a minute.
   */
  const watchAllocation = () => {
    if (!collections) return;
    const lookAt = () => {
      const { used_heap_size, external_memory } = v8.getHeapStatistics();
      const { minor, major, incremental } = byKind;
      const all = { at: mono(), used: used_heap_size + external_memory, young: 0, room: 0, minor, collected: minor + major + incremental };
      for (const { space_name, space_size, space_used_size } of v8.getHeapSpaceStatistics()) {
        if (!space_name.startsWith('new_')) continue;
        all.young += space_used_size;
        // Half of it is kept free to copy to.
        if (space_name === 'new_space') all.room = space_size / 2;
      }
      return all;
    };
    const pace = { bytes: 0, ns: 0 };
    let allocated = 0;
    let before = lookAt();
    const look = () => {
      const now = lookAt();
      const [grown, passed, fills] = [now.used - before.used, now.at - before.at, now.minor - before.minor];
      if (now.collected === before.collected && grown >= 0) {
        pace.bytes = pace.bytes * PACE + grown;
        pace.ns = pace.ns * PACE + passed;
        allocated += grown;
      } else {
        const usual = pace.ns > 0 ? (pace.bytes / pace.ns) * passed : 0;
        allocated += Math.max(usual, grown, fills * FULL * before.room - before.young);
      }
      before = now;
    };
    every(LOOP_MS, look);
    rate('heap.allocated', 'bytes-per-second', { quality: 'inferred' }, () => {
      look();
      return allocated;
    });
  };

  // -- the loop

  /** CPU time of all threads together, ns; no number where that is not known. */
  const processCpu = () => {
    const { user, system } = process.cpuUsage?.() ?? {};
    return (user + system) * 1e3;
  };
  /** Whose CPU time tells work from a standstill: that of the main `thread`, of the whole `process`, or `unknown`. */
  let timesOf = 'unknown';
  const threadTimes = () => {
    // Deno would ask its user for leave to read; Linux alone tells.
    if (isDeno || process.platform !== 'linux') return undefined;
    let file;
    try {
      file = fs.openSync('/proc/self/schedstat', 'r');
    } catch {
      return undefined;
    }
    undo.push(() => fs.closeSync(file));
    const buffer = load('buffer').Buffer.alloc(64);
    const times = () => {
      const length = fs.readSync(file, buffer, 0, buffer.length, 0);
      const [cpu, waited] = buffer.latin1Slice(0, length).split(' ').map(Number);
      return { cpu, waited, others: processCpu() - cpu };
    };
    // A kernel that was built without these figures prints zeros.
    return times().cpu > 0 ? times : undefined;
  };
  /** The same of all threads together, which tells nothing of waiting. */
  const processTimes = () => {
    const times = () => ({ cpu: processCpu(), waited: 0, others: 0 });
    try {
      return times().cpu > 0 ? times : undefined;
    } catch {
      return undefined;
    }
  };
  const knownTimes = () => {
    const ofThread = threadTimes();
    const times = ofThread ?? processTimes();
    if (times) timesOf = ofThread ? 'thread' : 'process';
    return times ?? (() => undefined);
  };
  /**
   * Who keeps the loop from turning, at this moment: a reading interrupts what runs, even a regular expression, and finds it below itself on
   * the stack. The innermost function of the process's own code is told, or else of a library: `name (folder/file.js:17)`.
   */
  const whoRuns = () => {
    const { stackTraceLimit } = Error;
    let text;
    try {
      Error.stackTraceLimit = MOST_FRAMES;
      text = new Error('').stack;
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
    const frames = [];
    for (const line of String(text).split('\n')) {
      const [, called = '', file, at] = /^\s*at (?:(.*) \()?(?:file:\/\/)?([^()]*):(\d+):\d+\)?$/.exec(line) ?? [];
      // What lies behind an `await` is not on the stack.
      if (called.startsWith('async ')) break;
      if (file && !/^(node:|<anonymous>|evalmachine|internal\/)/.test(file)) frames.push({ called, file, at });
    }
    const frame = frames.find((f) => !/[\\/]node_modules[\\/]/.test(f.file)) ?? frames[0];
    if (!frame) return undefined;
    const path = frame.file.split(/[\\/]/).slice(-PATH_PARTS).join('/');
    const called = frame.called.replace(/^new | \[as [^\]]*\]/g, '').replace(/^(Object|Array|Module|process|Timeout|Immediate)\./, '');
    return `${called || 'anonymous'} (${path}:${frame.at})`;
  };
  let turned = mono();
  let turnedBefore = turned;
  let caught;
  const catchWhoRuns = () => {
    // A reading waits for its turn of the loop there, and finds nobody below itself.
    if (isBun || caught !== undefined || mono() - turned < LOOP_NS + LATE_NS) return;
    try {
      caught = whoRuns();
    } catch {
      // A process may have its own ideas of what a stack is.
    }
  };
  const watchLoop = () => {
    const delays = new Map();
    const times = knownTimes();
    let used = times();
    every(LOOP_MS, () => {
      const due = turned + LOOP_NS;
      turnedBefore = turned;
      const last = (turned = mono());
      const by = caught;
      caught = undefined;
      const late = Math.max(0, last - due);
      record(delays, late);
      // Further turns would have seen the rest of a long delay, had it not kept them from running.
      for (let n = 1; n <= Math.min(Math.floor(late / LOOP_NS), MOST_CORRECTIONS); n++) record(delays, late - n * LOOP_NS);
      const before = used;
      used = times();
      if (late < STALL_NS) return;
      // A turn that does not come back uses the CPU; a process that was stopped, or got no core, does not. Who shares its core with others
      // stands still for longer than it works, and works for too long in one go all the same. Where no times are known it is not said to work.
      const stood = last - due;
      const queued = used ? Math.min(stood, used.waited - before.waited) : 0;
      const stalled = used !== undefined && used.cpu - before.cpu >= Math.min(stood / 2, STALL_NS);
      const labels = stalled && by ? [['function', by]] : [];
      const helped = used ? Math.min(queued, used.others - before.others) : 0;
      if (helped >= NOTED_NS) labels.push(['helped', String(Math.round(helped))]);
      note(stalled ? 'pause.worker-stall' : 'pause.hiccup', due, last, queued, labels);
    });
    histogram('loop.delay', {}, delays);
  };
  const watchUtilisation = () => {
    // Deno and Bun answer 0 whatever happens, which is no data.
    if (!isNode || !performance.eventLoopUtilization) return;
    let before = performance.eventLoopUtilization();
    level('loop.utilisation', 'ratio', { combine: 'max' }, () => {
      const now = performance.eventLoopUtilization();
      const share = performance.eventLoopUtilization(now, before).utilization;
      before = now;
      return share;
    });
  };

  // -- the offload pool: libuv tells nothing, so a small task is sent there, which waits as everybody's does

  const watchOffload = () => {
    if (!isNode) return;
    const waits = new Map();
    let since;
    const ask = () => {
      since = mono();
      fs.stat('/', answered);
    };
    const answered = guarded(() => {
      const [sent, wait] = [since, mono() - since];
      since = undefined;
      if (removed || sent < begun) return;
      record(waits, wait);
      // Further tasks would have seen the rest of a long wait, had it not kept them from being sent.
      for (let n = 1; n <= Math.min(Math.floor(wait / OFFLOAD_NS), MOST_CORRECTIONS); n++) record(waits, wait - n * OFFLOAD_NS);
      // Where one had to wait, the next one is looked for at once: a queue has no gaps.
      if (wait >= LATE_NS) ask();
    });
    every(OFFLOAD_MS, () => since === undefined && ask());
    histogram('offload.wait', { quality: 'sampled' }, waits);
    const threads = Number(process.env.UV_THREADPOOL_SIZE) || OFFLOAD_THREADS;
    level('offload.capacity', 'count', { quality: 'inferred' }, () => threads);
    // Ours at least waits, and so no thread is free, if the loop has looked for its answer in vain: between two turns it did.
    level('offload.queued', 'count', { quality: 'inferred' }, () => (since !== undefined && since < turnedBefore ? 1 : 0));
  };

  // -- what keeps the loop alive: sockets, timers, requests of files

  const counts = new Map();
  const countsResources = isNode && typeof process.getActiveResourcesInfo === 'function';
  let counted = false;
  const census = () => {
    for (const kind of counts.keys()) counts.set(kind, 0);
    for (const kind of process.getActiveResourcesInfo()) {
      if (counts.has(kind)) counts.set(kind, counts.get(kind) + 1);
      else if (counts.size < MOST_KINDS) {
        counts.set(kind, 1);
        level('loop.resources', 'count', { subject: kind }, () => (counted ? counts.get(kind) : undefined));
      }
    }
  };

  // -- tools for the parts

  /** What keeps the main thread's loop alive, as far as it has an object; those of worker threads are not among them. */
  const handles = () => process._getActiveHandles?.() ?? [];
  /** Has `object` do `method` by way of `make(method)` until the end: once, by however many heirs it is reached. */
  const replaced = new WeakMap();
  const replace = (object, method, make) => {
    let owner = object;
    while (owner && !Object.hasOwn(owner, method)) owner = Object.getPrototypeOf(owner);
    const own = owner && Object.getOwnPropertyDescriptor(owner, method);
    if (typeof own?.value !== 'function' || !own.configurable) return;
    const methods = replaced.get(owner) ?? new Set();
    if (methods.has(method)) return;
    replaced.set(owner, methods.add(method));
    const value = make(own.value);
    Object.defineProperty(owner, method, { ...own, value });
    // Who has replaced it since keeps ours below, which only passes on from then on.
    undo.push(() => owner[method] === value && Object.defineProperty(owner, method, own));
  };
  /**
   * Has `told` how `promise` ends; what its caller gets in its place. Who only listened to the promise itself would pass for somebody that handles
   * its failure, and one that nobody handles would be told to nobody.
   */
  const heard = (promise, told) => {
    const after = promise.then(
      (value) => {
        told(undefined, value);
        return value;
      },
      (error) => {
        told(error ?? true);
        throw error;
      },
    );
    if (typeof after?.then !== 'function') return promise;
    // A library may have hung something on it.
    return isPromise(promise) ? Object.assign(after, promise) : after;
  };
  /** Has `hear` what is told on a channel of `diagnostics_channel`, until the end. */
  const listen = (name, hear) => {
    const channel = load('diagnostics_channel').channel(name);
    // Once for every request: without the list of arguments that `guarded` makes.
    const guardedHear = (message) => {
      try {
        hear(message);
      } catch {
        remove();
      }
    };
    channel.subscribe(guardedHear);
    undo.push(() => channel.unsubscribe(guardedHear));
  };
  /**
   * What goes along with a request through all that it awaits: where the runtime does so by itself. Before Node.js 24 every promise would have
   * to be hooked for it. `wanted`: by those who have something to add.
   */
  const companion = () => {
    const [major] = process.versions.node.split('.').map(Number);
    if (major < 24 || process.execArgv.includes('--no-async-context-frame')) return undefined;
    const storage = new (load('async_hooks').AsyncLocalStorage)();
    undo.push(() => storage.disable());
    return { wanted: false, begin: (what) => storage.enterWith(what), now: () => storage.getStore() };
  };
  /** The primary of a cluster hands its connections to others; what it answers itself is its keeper's business. */
  const handsOn = () => {
    const cluster = load('cluster');
    return cluster.isPrimary && Object.keys(cluster.workers ?? {}).length > 0;
  };
  /** Where the main thread itself listens; not told where others take what comes there, and where that is not known. */
  const ports = () => {
    if (!isNode || !process._getActiveHandles || handsOn()) return undefined;
    const { Server } = load('net');
    try {
      const servers = handles().filter((handle) => handle instanceof Server);
      return servers.map((server) => server.address()?.port).filter(Number.isInteger);
    } catch {
      return undefined;
    }
  };
  /** Shows `visit` each module that is loaded, with what it exports; those that are loaded later, too. */
  const visitors = [];
  const visited = new Set();
  const visitModules = () => {
    const loaded = load('module')._cache ?? {};
    for (const file of Object.keys(loaded)) {
      if (visited.has(file) || !loaded[file]?.loaded) continue;
      visited.add(file);
      for (const visit of visitors) visit(file, loaded[file].exports);
    }
  };
  const tellers = [];
  const adopters = [];
  const watchParts = () => {
    if (!isNode) return;
    const kit = {
      ...{ load, mono, guarded, record, level, rate, histogram, replace, heard, listen, handles, handsOn, undo },
      companion: companion(),
      gone: () => removed,
      modules: (visit) => visitors.push(visit),
      tells: (tell) => tellers.push(tell),
    };
    for (const part of parts) {
      const adopts = part(kit);
      if (adopts) adopters.push(adopts);
    }
    visitModules();
  };
  /** Takes over what of `objects` the parts know by its shape; how many. */
  const adopt = (objects) => {
    const { isProxy } = load('util').types;
    let found = 0;
    for (const object of objects) {
      try {
        // A proxy would tell its maker that somebody looks.
        if (!isProxy(object) && adopters.some((adopts) => adopts(object))) found += 1;
      } catch {
        // It answers for itself in its own way.
      }
    }
    return String(found);
  };

  // -- reading, and the end

  /**
   * `what` as text. Half a character (a key that was cut, say), of which no text can be made, would spoil the whole reading: it is told as one that
   * is not known. `JSON.stringify` writes it as an escape, and no whole one.
   */
  const textOf = (what) => {
    const text = JSON.stringify(what);
    if (!text.includes('\\ud')) return text;
    return text.replace(/\\(?:ud[89a-f][\da-f]{2}|[^])/g, (escape) => (escape.length > 2 ? '\ufffd' : escape));
  };

  let seq = 0;
  let modulesDue = false;
  let ticks = [];
  let lost = 0;

  /** All that is known after tick `since`, as text. */
  const read = (since) => {
    unread = 0;
    catchWhoRuns();
    counted = countsResources && seq % CENSUS_EVERY === 0;
    if (counted) census();
    modulesDue ||= parts.length > 0 && seq % CENSUS_EVERY === 5;
    // A module may warn whoever looks at what it exports, which is a tick.
    if (modulesDue && calm()) {
      modulesDue = false;
      visitModules();
    }
    heap = readHeap();
    const now = mono();
    const tick = { seq: ++seq, at: now, values: [], histograms: [], events: takeEvents() };
    for (const tell of tellers) tick.events.push(...tell(now));
    const untold = tick.events.splice(MOST_TOLD).length;
    if (untold > 0) tick.events[MOST_TOLD - 1].others = (tick.events[MOST_TOLD - 1].others ?? 0) + untold;
    // Who is declared while they read counts from this reading on.
    lastRead = now;
    readers.forEach((one, at) => one(tick, at));
    ticks = ticks.filter((t) => t.seq > since);
    ticks.push({ seq, text: textOf(tick) });
    const unsent = Math.max(0, ticks.length - MOST_TICKS);
    ticks = ticks.slice(unsent);
    lost += unsent;
    const told = lost;
    lost = 0;
    const texts = ticks.map((t) => t.text).join(',');
    specsText ??= textOf(specs);
    return `{"version":${VERSION},"instance":"${instance}","pid":${process.pid},"now":${mono()},"lanes":${specsText},"ticks":[${texts}],"lost":${told}}`;
  };

  /** Measuring begins now: what was before, our own search of the heap above all, is told by no reading. */
  const begin = () => {
    read(Infinity);
    ticks = [];
    caught = undefined;
    begun = turned = mono();
  };

  /** Takes everything back; the inspector too, if dyno opened it. */
  const remove = () => {
    if (removed) return;
    removed = true;
    delete globalThis[symbol];
    for (const one of undo.splice(0).reverse()) {
      try {
        one();
      } catch {
        // The others must go all the same.
      }
    }
    if (opened) whenUnused((inspector) => inspector.close());
  };

  /**
   * Makes way on the inspector's port for the next process: goes to `port`, or to one that is free if that is taken. Until the instant `until`,
   * afterwards it stays where it is: whoever reads it has to know.
   */
  const move = (port, until) =>
    whenUnused((inspector) => {
      if (removed) return;
      const usual = process.debugPort;
      undo.push(() => {
        process.debugPort = usual;
      });
      inspector.close();
      inspector.open(port, '127.0.0.1');
      if (inspector.url() === undefined) inspector.open(0, '127.0.0.1');
    }, until);

  /**
   * Closing waits for whoever is connected, and stops the process meanwhile: so it is done when nobody is. A dyno that died is not; one that
   * was stopped still is.
   */
  const whenUnused = (act, until = Infinity) => {
    const inspector = load('inspector');
    let wait = 20;
    const attempt = () => {
      try {
        const url = inspector.url();
        if (url === undefined || mono() > until) return;
        if (!connected(Number(new URL(url).port))) {
          act(inspector);
          return;
        }
        wait = Math.min(wait * 2, MOST_WAIT_MS);
        timers.setTimeout(attempt, wait).unref?.();
      } catch {
        // Left as it is.
      }
    };
    timers.setTimeout(attempt, wait).unref?.();
  };

  /** Is anybody connected to this port of ours? */
  const connected = (port) => {
    const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
    return ['/proc/self/net/tcp', '/proc/self/net/tcp6'].some((table) => {
      let text = '';
      try {
        text = fs.readFileSync(table, 'latin1');
      } catch {
        return false;
      }
      // `sl local:port remote:port state`; 01 is an open connection.
      return text.split('\n').some((line) => {
        const [, local, , state] = line.trim().split(/\s+/);
        return state === '01' && local.endsWith(end);
      });
    });
  };

  try {
    watchLongest();
    watchCollections();
    watchHeap();
    watchAllocation();
    watchLoop();
    watchUtilisation();
    watchOffload();
    watchParts();
    // Counted in turns, not by the clock: a process that was itself stopped has not been left alone.
    every(1_000, () => {
      unread += 1;
      if (unread >= PATIENCE_S) remove();
    });
  } catch (failure) {
    remove();
    throw failure;
  }

  const about = JSON.stringify({
    pid: process.pid,
    // In a container others may have its id, too: when it began tells them apart.
    born: String(globalThis.performance?.timeOrigin ?? performance.timeOrigin),
    runtime,
    version: String(process.versions[runtime]),
    collections,
    times: timesOf,
    ports: ports(),
  });
  Object.defineProperty(globalThis, symbol, {
    value: { about, begin, read, adopt, remove, move },
    enumerable: false,
    configurable: true,
  });
  return about;
}
