/**
 * Which products are in demand at the same times: worked out on the event loop, a few rows at a turn. `GET /popular` shows the outcome.
 *
 * Owns the history of views and the work of one turn. When the next turn comes is the choice between the fault `starved-poll` and its
 * cure.
 */

/** Looks back so many rebuilds; a multiple of four. */
const HISTORY = 64;
/** Products shown. */
const SHOWN = 10;

export class Ranking {
  #views;
  #history;
  #oldest = 0;
  #row = 0;
  #companions;

  /** Of products numbered from 1 to `products`. */
  constructor(products) {
    this.#views = new Float64Array(products);
    this.#history = new Float64Array(products * HISTORY);
    this.#companions = Array.from({ length: products }, (_, n) => n + 1);
  }

  /** Somebody looked at product `id`. */
  viewed(id) {
    if (id >= 1 && id <= this.#views.length) this.#views[id - 1] += 1;
  }

  /** Works on the next `rows` products; true when the rebuild is done with them. */
  turn(rows) {
    if (this.#row === 0) this.#takeViews();
    const end = Math.min(this.#row + rows, this.#views.length);
    for (let row = this.#row; row < end; row++) this.#companions[row] = this.#companion(row);
    this.#row = end === this.#views.length ? 0 : end;
    return this.#row === 0;
  }

  /** The most viewed of the last rebuilds, each with its companion. */
  popular() {
    const viewed = (n) => this.#history.subarray(n * HISTORY, (n + 1) * HISTORY).reduce((a, b) => a + b, 0);
    const all = this.#companions.map((companion, n) => ({ id: n + 1, views: viewed(n), with: companion }));
    return all.sort((a, b) => b.views - a.views || a.id - b.id).slice(0, SHOWN);
  }

  #takeViews() {
    this.#views.forEach((views, n) => (this.#history[n * HISTORY + this.#oldest] = views));
    this.#views.fill(0);
    this.#oldest = (this.#oldest + 1) % HISTORY;
  }

  /** The product, other than that of `row`, whose views went most as its own did. */
  #companion(row) {
    const history = this.#history;
    const own = row * HISTORY;
    let [best, found] = [-Infinity, row];
    for (let other = 0; other < this.#views.length; other++) {
      const past = other * HISTORY;
      // Four sums that do not wait for each other.
      let [a, b, c, d] = [0, 0, 0, 0];
      for (let at = 0; at < HISTORY; at += 4) {
        a += history[own + at] * history[past + at];
        b += history[own + at + 1] * history[past + at + 1];
        c += history[own + at + 2] * history[past + at + 2];
        d += history[own + at + 3] * history[past + at + 3];
      }
      const product = a + b + c + d;
      if (other !== row && product > best) [best, found] = [product, other];
    }
    return found + 1;
  }
}

/** @param {import('./index.js').Shop} shop */
export function rankingRoutes(shop) {
  return [{ method: 'GET', template: '/popular', handle: async () => ({ products: shop.ranking.popular() }) }];
}
