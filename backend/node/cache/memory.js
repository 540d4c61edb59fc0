/** The in-process cache: entries with an end, and room for so many. */
import { unixMs } from '../clock.js';
import { BoundedMap } from './bounded-map.js';

export class MemoryCache {
  isShared = false;
  #map;
  #watch;
  #changes = 0;
  /** By the key of what was changed: the number of its last change. As many as there are products. */
  #changed = new Map();

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

  /** The number of a load of `key` that begins now. */
  async number() {
    return this.#changes;
  }

  /** Keeps it, unless it was loaded under a lower number than that of the last change. @param {import('./products.js').Entry} entry */
  async set(key, number, entry) {
    if (number < this.#changed.get(key)) return;
    const old = this.#map.get(key);
    if (old && old.expiresMs <= unixMs()) this.#watch.expired(1);
    const gone = this.#map.set(key, entry);
    if (gone > 0) this.#watch.evicted(gone);
  }

  /** What it stands for was changed, and it is about to be replaced: what is being loaded now is not kept. */
  async outdate(key) {
    this.#changes += 1;
    this.#changed.set(key, this.#changes);
  }

  /** What it stands for was changed: it goes, and what is being loaded now is not kept. */
  async drop(key) {
    void this.outdate(key);
    if (this.#map.delete(key)) this.#watch.removed(1);
  }

  /** Gives how many entries went that were good. */
  async clear() {
    this.tidy();
    const { size } = this.#map;
    this.#watch.removed(size);
    this.#map.clear();
    return size;
  }

  resize(capacity) {
    const gone = this.#map.resize(capacity);
    if (gone > 0) this.#watch.evicted(gone);
  }

  /**
   * Gives entries another end, where `endOf` says one; gives how many those are.
   * @param {(entry: import('./products.js').Entry) => number | undefined} endOf
   */
  async move(endOf) {
    this.tidy();
    let count = 0;
    for (const [, entry] of this.#map.entries()) {
      const expiresMs = endOf(entry);
      if (expiresMs === undefined) continue;
      entry.expiresMs = expiresMs;
      count += 1;
    }
    return count;
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
