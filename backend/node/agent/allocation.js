/**
 * What is allocated: V8 counts it nowhere, so it is what the heap has grown by from look to look, a hundred a second.
 *
 * One before which something was collected finds less than there was: that counts at the pace of the others, or by how often the young
 * generation was full, whichever is more. A few per cent from the truth where the loop turns; a turn that fills the young generation by itself
 * may count for half: the lane is *inferred*. Deno and Bun tell nothing of their collections.
 *
 * Not `v8.GCProfiler`, which tells all of it: one that was stopped goes on writing at each collection until it is collected itself, and so ten a
 * second take more and more, a third of a core after half a minute.
 */
import v8 from 'node:v8';
import { mono } from '../clock.js';

/** Milliseconds from look to look. */
const LOOK_MS = 10;
/** Part of what stands from look to look of the pace at which memory is allocated: that of the last ten looks. */
const PACE = 0.9;
/** Share of its room that the young generation has in use when it is collected, at least. */
const FULL = 0.8;

/**
 * @param {import('./lanes.js').Lanes} lanes
 * @param {import('./pauses.js').Pauses} pauses
 */
export function watchAllocation(lanes, pauses) {
  if (!pauses.seesCollections) return;
  const pace = { bytes: 0, ns: 0 };
  let allocated = 0;
  let before = lookAt(pauses);
  const look = () => {
    const now = lookAt(pauses);
    const [grown, passed, fills] = [now.used - before.used, now.at - before.at, now.minor - before.minor];
    if (now.collected === before.collected && grown >= 0) {
      pace.bytes = pace.bytes * PACE + grown;
      pace.ns = pace.ns * PACE + passed;
      allocated += grown;
    } else {
      const usual = pace.ns > 0 ? (pace.bytes / pace.ns) * passed : 0;
      allocated += Math.max(usual, grown, fills * FULL * before.room - before.young);
    }
    before = now;
  };
  setInterval(look, LOOK_MS).unref();
  const count = () => {
    look();
    return allocated;
  };
  lanes.rate('heap.allocated', 'bytes-per-second', count, { quality: 'inferred' });
}

function lookAt({ collections }) {
  const { used_heap_size, external_memory } = v8.getHeapStatistics();
  const { minor, major, incremental } = collections;
  const all = { at: mono(), used: used_heap_size + external_memory, young: 0, room: 0, minor, collected: minor + major + incremental };
  for (const { space_name, space_size, space_used_size } of v8.getHeapSpaceStatistics()) {
    if (!space_name.startsWith('new_')) continue;
    all.young += space_used_size;
    // Half of it is kept free to copy to.
    if (space_name === 'new_space') all.room = space_size / 2;
  }
  return all;
}
