/**
 * The host's monotonic clock, in nanoseconds: the one on which dyno and all processes of a host agree.
 *
 * Node's `hrtime` is that clock. Deno and Bun count from their own start, so the distance is measured once, by `/proc/uptime`: good to
 * about a millisecond. Where there is none their count is used as it is, and dyno measures the distance when it reads the probe.
 */
import { readFileSync } from 'node:fs';

/** How long the uptime is read, ns: two of its ticks and a half. */
const READING_NS = 25_000_000n;

const isNode = !process.versions.bun && !process.versions.deno;
const offset = isNode ? 0 : distance();

/** @returns {number} nanoseconds; exact to one for 104 days of uptime, far closer than is needed after that */
export function mono() {
  return Number(process.hrtime.bigint()) + offset;
}

/** Where `performance.now` counts from, on `mono`'s clock. Of several looks the quickest is the truest: others may have had the core in between. */
export function performanceOrigin() {
  const looks = Array.from({ length: 5 }, () => {
    const [before, now, after] = [mono(), performance.now(), mono()];
    return { took: after - before, origin: (before + after) / 2 - now * 1e6 };
  });
  return looks.reduce((best, look) => (look.took < best.took ? look : best)).origin;
}

/** @returns {number} milliseconds since the Unix epoch */
export function unixMs() {
  return Date.now();
}

/** The uptime is cut to 10 ms, so each reading tells the distance or somewhat less: the greatest of many, over two ticks, is it. */
function distance() {
  try {
    const began = process.hrtime.bigint();
    let found = -Infinity;
    for (let now = began; now - began < READING_NS; ) {
      const seen = uptime();
      now = process.hrtime.bigint();
      found = Math.max(found, Math.round(seen * 1e9) - Number(now));
    }
    return found;
  } catch {
    return 0;
  }
}

function uptime() {
  return Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
}
