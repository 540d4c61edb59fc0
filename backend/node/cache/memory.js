/** The in-process cache: entries with an end, and room for so many. */
import { unixMs } from '../clock.js';
import { BoundedMap } from './bounded-map.js';

export class MemoryCache {
  #map;
  #evicted;

  /** @param {(entries: number) => void} evicted told when entries had to make room */
  constructor(capacity, evicted) {
    this.#map = new BoundedMap(capacity);
    this.#evicted = evicted;
  }

  get size() {
    return this.#map.size;
  }

  async get(key) {
    const entry = this.#map.get(key);
    if (!entry) return undefined;
    if (entry.expiresMs > unixMs()) return entry;
    this.#map.delete(key);
    return undefined;
  }

  /** @param {import('./products.js').Entry} entry */
  async set(key, entry) {
    const gone = this.#map.set(key, entry);
    if (gone > 0) this.#evicted(gone);
  }

  async drop(key) {
    this.#map.delete(key);
  }

  async clear() {
    this.#map.clear();
  }

  resize(capacity) {
    const gone = this.#map.resize(capacity);
    if (gone > 0) this.#evicted(gone);
  }

  /** Drops what has expired; now and then, off the hot path. */
  tidy() {
    const now = unixMs();
    for (const [key, { expiresMs }] of this.#map.entries()) if (expiresMs <= now) this.#map.delete(key);
  }

  async end() {}
}
