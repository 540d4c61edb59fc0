/**
 * XFetch: an entry is refreshed before it expires by whoever draws the lot.
 *
 * Each request for an entry decides for itself, without a lock: it loads if `now - load * beta * ln(u) >= expiry`, with u uniform over (0, 1].
 * So the lot falls the more often the nearer the expiry, and the earlier the longer a load takes; in the mean e^(1/beta) load for each
 * expiry. (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015.)
 */

/** Does a request for an entry, `leftMs` before it expires, draw the lot? `uniform` is from 0 (excluded) to 1. */
export function drawsTheLot(leftMs, loadMs, beta, uniform) {
  return -loadMs * beta * Math.log(uniform) >= leftMs;
}
