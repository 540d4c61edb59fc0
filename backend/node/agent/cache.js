/**
 * A cache's figures, and its refreshes: how many loads of one key overlapped.
 */
import { mono } from '../clock.js';
import { clean } from '../text.js';
import { Tally } from './histogram.js';

/** Refreshes told at a tick, those with the most loads first; the rest is counted. */
const MOST_EVENTS = 24;
/** Keys followed at once; loads of further keys are counted, not followed. */
const MOST_KEYS = 10_000;
/** Most characters of a key in an event. */
const MOST_TEXT = 120;
/** Longest stretch told as one refresh, ns: a stampede must be seen while it lasts. */
const LONGEST_NS = 1_000_000_000;

export class CacheMeter {
  #name;
  #lanes;
  #counts = {
    ...{ hits: 0, misses: 0, loads: 0, coalesced: 0, 'duplicate-loads': 0, evictions: 0, 'early-refreshes': 0 },
    ...{ removed: 0, 'absent-loads': 0, 'absent-hits': 0 },
  };
  #expired = 0;
  #inFlight = 0;
  #load = new Tally();
  #running = new Map();
  #refreshes = [];

  /** @param {import('./lanes.js').Lanes} lanes */
  constructor(lanes, name) {
    this.#name = name;
    this.#lanes = lanes;
    const of = (part) => `cache.${name}.${part}`;
    for (const part of Object.keys(this.#counts)) lanes.rate(of(part), 'per-second', () => this.#counts[part]);
    lanes.level(of('loads-in-flight'), 'count', () => this.#inFlight);
    lanes.histogram(of('load'), this.#load);
  }

  /**
   * A store knows how many entries of this process it has.
   * @param {() => number} entries
   */
  tellsEntries(entries) {
    this.#lanes.level(`cache.${this.#name}.entries`, 'count', entries);
  }

  /** A store in this process knows when their time is over; one elsewhere does not say. */
  tellsExpired() {
    this.#lanes.rate(`cache.${this.#name}.expired`, 'per-second', () => this.#expired);
  }

  /** The time of so many entries was over. */
  expired(entries) {
    this.#expired += entries;
  }

  /** @param {'hits' | 'misses' | 'coalesced' | 'evictions' | 'early-refreshes' | 'removed' | 'absent-loads' | 'absent-hits'} what */
  count(what, by = 1) {
    this.#counts[what] += by;
  }

  /** How many loads of `key` run. */
  running(key) {
    return this.#running.get(key)?.now ?? 0;
  }

  /**
   * A load of `key` begins.
   * @returns {() => void} to be called when it has ended, well or not
   */
  begin(key) {
    const since = mono();
    this.#counts.loads += 1;
    this.#inFlight += 1;
    const refresh = this.#running.get(key) ?? this.#follow(key, since);
    if (refresh) {
      refresh.now += 1;
      refresh.loads += 1;
      if (refresh.now > 1) this.#counts['duplicate-loads'] += 1;
    }
    return () => {
      const now = mono();
      this.#inFlight -= 1;
      this.#load.record(now - since);
      if (!refresh) return;
      refresh.now -= 1;
      if (refresh.now === 0) {
        this.#running.delete(key);
        this.#refreshes.push({ key, start: refresh.start, end: now, loads: refresh.loads });
      }
    };
  }

  /** The refreshes that ended since the last call, and those that last too long, as events. */
  takeRefreshes(now) {
    for (const [key, r] of this.#running) {
      if (now - r.start < LONGEST_NS) continue;
      this.#refreshes.push({ key, start: r.start, end: now, loads: r.loads });
      // What still runs belongs to the next stretch, too.
      Object.assign(r, { start: now, loads: r.now });
    }
    const ended = this.#refreshes.sort((a, b) => b.loads - a.loads);
    this.#refreshes = [];
    const events = ended.slice(0, MOST_EVENTS).map(({ key, start, end, loads }) => ({
      kind: 'cache.refresh',
      start,
      end,
      labels: [
        ['cache', this.#name],
        ['key', clean(key, MOST_TEXT)],
      ],
      value: loads,
    }));
    if (ended.length > events.length) events.at(-1).others = ended.length - events.length;
    return events;
  }

  #follow(key, start) {
    if (this.#running.size >= MOST_KEYS) return undefined;
    const refresh = { start, now: 0, loads: 0 };
    this.#running.set(key, refresh);
    return refresh;
  }
}
