/** The in-process cache: entries with an end, and room for so many. */
import { unixMs } from '../clock.js';
import { BoundedMap } from './bounded-map.js';

export class MemoryCache {
  isShared = false;
  #map;
  #watch;

  /** @param {import('./products.js').Watch} watch */
  constructor(capacity, watch) {
    this.#map = new BoundedMap(capacity);
    this.#watch = watch;
  }

  get size() {
    return this.#map.size;
  }

  async get(key) {
    const entry = this.#map.get(key);
    if (!entry) return undefined;
    if (entry.expiresMs > unixMs()) return entry;
    this.#expire(key);
    return undefined;
  }

  /** @param {import('./products.js').Entry} entry */
  async set(key, entry) {
    const old = this.#map.get(key);
    if (old && old.expiresMs <= unixMs()) this.#watch.expired(1);
    const gone = this.#map.set(key, entry);
    if (gone > 0) this.#watch.evicted(gone);
  }

  async drop(key) {
    if (this.#map.delete(key)) this.#watch.removed(1);
  }

  async clear() {
    this.#watch.removed(this.#map.size);
    this.#map.clear();
  }

  resize(capacity) {
    const gone = this.#map.resize(capacity);
    if (gone > 0) this.#watch.evicted(gone);
  }

  /** All entries that are there expire at this time; gives how many those are. */
  async expireAt(expiresMs) {
    this.tidy();
    for (const [, entry] of this.#map.entries()) entry.expiresMs = expiresMs;
    return this.#map.size;
  }

  /** Drops what has expired; now and then, off the hot path. */
  tidy() {
    const now = unixMs();
    for (const [key, { expiresMs }] of this.#map.entries()) if (expiresMs <= now) this.#expire(key);
  }

  #expire(key) {
    this.#map.delete(key);
    this.#watch.expired(1);
  }

  async end() {}
}
