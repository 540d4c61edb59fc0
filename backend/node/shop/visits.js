/** `GET /visits`: where a session has been, the last visit first; kept by each worker for the sessions that it knows. */
import { BoundedMap } from '../cache/bounded-map.js';
import { unixMs } from '../clock.js';
import { clean } from '../text.js';

/** Visits remembered of a session. */
const REMEMBERED = 24;
/** Longest path that is remembered whole, characters. */
const MAX_PATH = 60;

export class Visits {
  #kept;

  /** Of at most `capacity` sessions. */
  constructor(capacity) {
    this.#kept = new BoundedMap(capacity);
  }

  /** Session `id` visits `path` now. */
  visited(id, path) {
    const before = this.#kept.get(id) ?? [];
    this.#kept.set(id, [{ at_ms: unixMs(), path: clean(path, MAX_PATH) }, ...before.slice(0, REMEMBERED - 1)]);
  }

  of(id) {
    return this.#kept.get(id) ?? [];
  }
}

/** @param {import('./index.js').Shop} shop */
export function visitRoutes(shop) {
  const handle = async ({ request }) => ({ visits: shop.visits.of((await shop.sessions.of(request)).id) });
  return [{ method: 'GET', template: '/visits', handle }];
}
