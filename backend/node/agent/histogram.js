/** Durations of one interval, in the sparse form of the probe: cells of three significant digits, in microseconds. */

/** One hour: longer ones count as this. */
const MAX_US = 3_600_000_000;
/** Cells up to here are one microsecond wide; beyond it their width doubles with each power of two (HdrHistogram's layout for three digits). */
const EXACT = 2_048;
/** Most entries by which one duration is corrected. */
const MOST_CORRECTIONS = 6_000;

export class Tally {
  #cells = new Map();

  /** @param {number} ns */
  record(ns) {
    const us = Math.min(MAX_US, Math.max(1, Math.floor(ns / 1_000)));
    const cell = roundUp(us);
    this.#cells.set(cell, (this.#cells.get(cell) ?? 0) + 1);
  }

  /** The cells, ascending, and empties them. @returns {[number, number][]} */
  take() {
    if (this.#cells.size === 0) return [];
    const cells = [...this.#cells].sort((a, b) => a[0] - b[0]);
    this.#cells.clear();
    return cells;
  }
}

/** Records how late something was, and what those would have seen that were to follow each `interval` and could not for that reason, ns. */
export function recordCorrected(tally, late, interval) {
  tally.record(late);
  for (let n = 1; n <= Math.min(Math.floor(late / interval), MOST_CORRECTIONS); n++) tally.record(late - n * interval);
}

/** The greatest value that shares a cell with `us`. */
function roundUp(us) {
  if (us < EXACT) return us;
  const width = 2 ** (Math.floor(Math.log2(us)) - 10);
  return Math.min(MAX_US, Math.floor(us / width) * width + width - 1);
}
