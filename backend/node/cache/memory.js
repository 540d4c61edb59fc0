/** The in-process cache: entries with an end, and room for so many. */
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
    if (entry.end > performance.now()) return entry.value;
    this.#map.delete(key);
    return undefined;
  }

  async set(key, value, lifeMs) {
    const gone = this.#map.set(key, { value, end: performance.now() + lifeMs });
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
    const now = performance.now();
    for (const [key, { end }] of this.#map.entries()) if (end <= now) this.#map.delete(key);
  }

  async end() {}
}
