/**
 * What is allocated: V8 counts it nowhere, so it is what the heap has grown by up to each collection, and since the last one.
 *
 * Buffers are swept after the collection that lets them go, while new ones come, so up to a third of theirs is missed: the lane is
 * *inferred*, and never too high. A tenth of a millisecond a tick. Deno and Bun tell nothing of their collections.
 */
import v8 from 'node:v8';

/** @param {import('./lanes.js').Lanes} lanes */
export function watchAllocation(lanes) {
  if (process.versions.bun || process.versions.deno || !v8.GCProfiler) return;
  let profiler = begun();
  let after = used();
  let allocated = 0;
  const grownTo = (now) => (allocated += Math.max(0, now - after));
  const count = () => {
    const { statistics } = profiler.stop();
    profiler = begun();
    for (const { beforeGC, afterGC } of statistics) {
      grownTo(sum(beforeGC.heapStatistics));
      after = sum(afterGC.heapStatistics);
    }
    const now = used();
    grownTo(now);
    after = now;
    return allocated;
  };
  lanes.rate('heap.allocated', 'bytes-per-second', count, { quality: 'inferred' });
}

function begun() {
  const profiler = new v8.GCProfiler();
  profiler.start();
  return profiler;
}

function sum({ usedHeapSize, externalMemory }) {
  return usedHeapSize + externalMemory;
}

function used() {
  const { used_heap_size, external_memory } = v8.getHeapStatistics();
  return used_heap_size + external_memory;
}
