/** What truly happened, as workers and supervisor told it, kept for whoever asks. */

/** Lines kept; a fault writes three in its life, so hours of injection fit. Beyond it the oldest go. */
const KEPT = 20_000;
/** Most lines in one answer. */
const PAGE = 2_000;

export class Truths {
  /** @type {import('../faults/fault.js').Truth[]} */
  #lines = [];
  #first = 0;

  write(truth) {
    this.#lines.push(truth);
    if (this.#lines.length <= KEPT) return;
    this.#lines.shift();
    this.#first += 1;
  }

  /** Lines from number `since` on, as many as fit in a page. */
  since(since) {
    const skip = Math.min(Math.max(0, since - this.#first), this.#lines.length);
    const lines = this.#lines.slice(skip, skip + PAGE);
    return { next: this.#first + skip + lines.length, lines };
  }
}
