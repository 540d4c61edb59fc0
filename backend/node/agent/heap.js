/**
 * The heap by generations, as V8 keeps it. Bun's JavaScriptCore fills V8's names with zeros, so there only the total counts.
 *
 * Space names differ from version to version, so they are matched, not listed. V8 lets a small heap grow to four times what a
 * collection has left, and nobody knows before the next one whether that is garbage: where the old generation grows for some seconds, it is hastened.
 */
import v8 from 'node:v8';

/** The old generation grows if its least in each of so many blocks, ms, is so much more than in the one before, bytes. */
const BLOCK_MS = 2_000;
const BLOCKS = 3;
const LEAST_STEP = 512 * 1_024;

/**
 * Reading the spaces takes about 20 us.
 * @param {import('./pauses.js').Pauses} pauses
 */
export function watchHeap(lanes, pauses) {
  const memory = reading();
  lanes.level('heap.used', 'bytes', () => memory.fresh().used);
  lanes.level('heap.external', 'bytes', () => memory.fresh().external);
  lanes.level('heap.resident', 'bytes', () => memory.fresh().committed);
  if (process.versions.bun) return;
  lanes.level('heap.young.used', 'bytes', () => memory.fresh().young);
  lanes.level('heap.young.capacity', 'bytes', () => memory.fresh().youngCapacity);
  if (pauses.seesCollections) {
    // Garbage that was promoted lies in the old generation until a major collection: what one left is live.
    let live = read().old;
    let growth = new Growth();
    pauses.collected = () => {
      live = read().old;
      growth = new Growth();
      hasten(false);
    };
    lanes.level('heap.live', 'bytes', () => live);
    lanes.level('heap.old.used', 'bytes', () => {
      const { old } = memory.fresh();
      if (growth.goesOn(old)) hasten(true);
      return old;
    });
  } else {
    lanes.level('heap.old.used', 'bytes', () => memory.fresh().old);
  }
  lanes.level('heap.limit', 'bytes', () => memory.fresh().limit, { combine: 'max' });
}

/** One reading serves all lanes of a tick. */
function reading() {
  let at = -1;
  let kept;
  return {
    fresh() {
      const now = Date.now();
      // Lanes of one tick are read within the same few milliseconds.
      if (now - at > 50) [at, kept] = [now, read()];
      return kept;
    },
  };
}

function read() {
  const all = v8.getHeapStatistics();
  const spaces = process.versions.bun ? [] : v8.getHeapSpaceStatistics();
  const sum = (pick, field) => spaces.filter((s) => pick.test(s.space_name)).reduce((n, s) => n + s[field], 0);
  return {
    used: all.used_heap_size + all.external_memory,
    external: all.external_memory,
    committed: all.total_physical_size,
    limit: all.heap_size_limit,
    young: sum(/^new_/, 'space_used_size'),
    youngCapacity: sum(/^new_/, 'space_size'),
    // What outlives a request for certain: objects that were promoted, and buffers outside of the heap.
    old: sum(/^(old|large_object)_/, 'space_used_size') + all.external_memory,
  };
}

/** How the old generation grows since the last major collection: what is promoted comes in steps, which a block outlasts. */
export class Growth {
  #until = 0;
  #least = Infinity;
  #blocks = [];

  /** Has it grown all the time for so long? Said once for each block. @param {number} bytes of it, now */
  goesOn(bytes, now = performance.now()) {
    if (now < this.#until) {
      this.#least = Math.min(this.#least, bytes);
      return false;
    }
    if (this.#until > 0) this.#blocks = [...this.#blocks, this.#least].slice(-BLOCKS);
    [this.#until, this.#least] = [now + BLOCK_MS, bytes];
    return this.#blocks.length === BLOCKS && this.#blocks.every((least, at) => at === 0 || least - this.#blocks[at - 1] >= LEAST_STEP);
  }
}

/**
 * Has V8 begin its next major collection with the next page that it takes, or as it sees fit again. It marks step by step then, as always, and
 * stands still for some milliseconds twice; one that is asked for at once (`gc`) stops the process for all of it, 2 ms and more for each MiB.
 */
export function hasten(now) {
  v8.setFlagsFromString(`--incremental-marking-hard-trigger=${now ? 1 : 0}`); // percent of the way to its own limit; 0 is none
}
