/** The token that control, probe and services want. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { Refusal } from './refusal.js';

/**
 * Routes that answer to those alone who bear `token`.
 * @param {Record<string, (call: import('./routes.js').Call) => Promise<unknown>>} routes what to do, by `METHOD TEMPLATE`
 * @param {string} token
 * @returns {import('./routes.js').Route[]}
 */
export function guarded(routes, token) {
  return Object.entries(routes).map(([route, work]) => {
    const [method, template] = route.split(' ');
    const handle = (call) => {
      const [, given = ''] = /^Bearer (.*)$/.exec(call.request.headers.authorization ?? '') ?? [];
      if (!same(given, token)) throw Refusal.unauthorized('this endpoint wants `Authorization: Bearer TOKEN`');
      return work(call);
    };
    return { method, template, handle };
  });
}

/** Takes as long for a wrong token as for the right one; hashes have one length. */
function same(a, b) {
  const digest = (text) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
