/**
 * The heap by generations, as V8 keeps it. Bun's JavaScriptCore fills V8's names with zeros, so there only the total counts.
 *
 * Space names differ from version to version, so they are matched, not listed.
 */
import v8 from 'node:v8';

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
  lanes.level('heap.old.used', 'bytes', () => memory.fresh().old);
  lanes.level('heap.young.capacity', 'bytes', () => memory.fresh().youngCapacity);
  if (pauses.seesCollections) {
    // Garbage that was promoted lies in the old generation until a major collection: what one left is live.
    let live = read().old;
    pauses.collected = () => (live = read().old);
    lanes.level('heap.live', 'bytes', () => live);
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
