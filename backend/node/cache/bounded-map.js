/** A map of at most `capacity` entries; the one used longest ago goes first. */
export class BoundedMap {
  #map = new Map();
  #capacity;

  constructor(capacity) {
    this.#capacity = capacity;
  }

  get size() {
    return this.#map.size;
  }

  get capacity() {
    return this.#capacity;
  }

  /** Gives how many had to go. */
  resize(capacity) {
    this.#capacity = capacity;
    return this.#makeRoom();
  }

  get(key) {
    const value = this.#map.get(key);
    if (value === undefined) return undefined;
    // A Map keeps the order of insertion, so what was used last goes to its end.
    this.#map.delete(key);
    this.#map.set(key, value);
    return value;
  }

  /** Gives how many had to go. */
  set(key, value) {
    this.#map.delete(key);
    this.#map.set(key, value);
    return this.#makeRoom();
  }

  /** Was it there? */
  delete(key) {
    return this.#map.delete(key);
  }

  clear() {
    this.#map.clear();
  }

  entries() {
    return this.#map.entries();
  }

  #makeRoom() {
    let gone = 0;
    for (const key of this.#map.keys()) {
      if (this.#map.size <= this.#capacity) break;
      this.#map.delete(key);
      gone += 1;
    }
    return gone;
  }
}
