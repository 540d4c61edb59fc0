/**
 * What stopped the process: collections, turns of the loop that did not come back, and standing still.
 *
 * Owns the events, the lane of the longest one and that of the time in collections. Collections come from the runtime's own observer where it has one
 * (Node.js); Deno and Bun show none, and then there are none here.
 */
import { PerformanceObserver, constants } from 'node:perf_hooks';
import { performanceOrigin } from '../clock.js';

/** Most events told at a tick, longest first; the rest is counted. */
const MOST_EVENTS = 24;
/** Shorter collections are normal life, and are not told one by one, ns. */
const NOTED_NS = 2_000_000;

export class Pauses {
  #events = [];
  #longest = 0;
  #observer;
  /** Does this runtime tell of its collections? */
  seesCollections = !process.versions.bun && !process.versions.deno;
  /** Called after each major collection. */
  collected = () => {};
  /** Collections so far by kind, and how long they took together, ns. */
  collections = { minor: 0, major: 0, incremental: 0 };
  collecting = 0;

  /** @param {import('./lanes.js').Lanes} lanes */
  constructor(lanes) {
    lanes.level('pause.longest', 'ns', () => this.#takeLongest(), { combine: 'max' });
    if (!this.seesCollections) return;
    this.#observeCollections();
    lanes.rate('pause.collecting', 'ratio', () => this.collecting / 1e9, { combine: 'max' });
    for (const subject of ['minor', 'major']) lanes.rate('pause.collections', 'per-second', () => this.collections[subject], { subject });
  }

  /**
   * Something lasted from `start` to `end`.
   * @param {string} kind
   * @param {number} start
   * @param {number} end
   * @param {number} [value] of a hiccup or a stall: for how much of it the thread was ready and got no core, ns
   * @param {number} [helped] and for how much of that others of the process had one, ns
   */
  note(kind, start, end, value = 0, helped = 0) {
    this.#longest = Math.max(this.#longest, end - start);
    if (end - start < NOTED_NS) return;
    const labels = helped >= NOTED_NS ? [['helped', String(Math.round(helped))]] : [];
    this.#events.push({ kind, start: Math.round(start), end: Math.round(end), labels, value });
  }

  /** The events since the last call, longest first. */
  take() {
    const events = this.#events.sort((a, b) => b.end - b.start - (a.end - a.start));
    this.#events = [];
    const kept = events.slice(0, MOST_EVENTS);
    if (events.length > kept.length) kept.at(-1).others = events.length - kept.length;
    return kept;
  }

  stop() {
    this.#observer?.disconnect();
  }

  #takeLongest() {
    const longest = this.#longest;
    this.#longest = 0;
    return longest;
  }

  #observeCollections() {
    // What is none of them is of the young generation: its scavenger's, or its mark-sweep's.
    const kinds = new Map([
      [constants.NODE_PERFORMANCE_GC_MAJOR, 'major'],
      // V8 begins to mark step by step; it calls back for what it has found dead.
      [constants.NODE_PERFORMANCE_GC_INCREMENTAL, 'incremental'],
      [constants.NODE_PERFORMANCE_GC_WEAKCB, 'incremental'],
    ]);
    const origin = performanceOrigin();
    this.#observer = new PerformanceObserver((list) => {
      // All entries of the batch: exporters that take the first one only miss three in four.
      for (const entry of list.getEntries()) {
        const start = origin + entry.startTime * 1e6;
        const kind = kinds.get(entry.detail?.kind) ?? 'minor';
        this.collections[kind] += 1;
        this.collecting += entry.duration * 1e6;
        this.note(`pause.${kind}`, start, start + entry.duration * 1e6);
        if (kind === 'major') this.collected();
      }
    });
    this.#observer.observe({ entryTypes: ['gc'] });
  }
}
