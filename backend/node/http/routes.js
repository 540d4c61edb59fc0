/**
 * A table of routes, and finding the one for a request.
 *
 * Templates are paths whose parts may be `{name}`. Owns 404 and 405; what a route does lies with it.
 */
import { Refusal } from './refusal.js';

/**
 * @typedef {object} Route
 * @property {string} method
 * @property {string} template
 * @property {(call: Call) => Promise<unknown>} handle answers with what it returns; undefined: it has answered itself
 *
 * @typedef {object} Call
 * @property {import('node:http').IncomingMessage} request
 * @property {import('node:http').ServerResponse} response
 * @property {URLSearchParams} query
 * @property {Record<string, string>} path the template's parts
 */

/** Longest address that is looked at, bytes; node:http itself limits the whole head to 16 KiB. */
const MAX_ADDRESS = 4_096;

export class Routes {
  #fixed = new Map();
  #open = [];

  /** @param {Route[]} routes */
  constructor(routes) {
    for (const route of routes) {
      const parts = route.template.split('/');
      const known = this.#fixed.get(route.template) ?? this.#open.find((o) => o.template === route.template)?.methods;
      const methods = known ?? new Map();
      methods.set(route.method, route);
      if (known) continue;
      if (route.template.includes('{')) this.#open.push({ template: route.template, parts, methods });
      else this.#fixed.set(route.template, methods);
    }
  }

  /**
   * The route for a request.
   * @returns {{ route: Route, path: Record<string, string>, query: URLSearchParams }}
   */
  find(method, address) {
    if (address.length > MAX_ADDRESS) throw new Refusal(414, `an address has at most ${MAX_ADDRESS} bytes`);
    const cut = address.indexOf('?');
    const plain = cut < 0 ? address : address.slice(0, cut);
    const { methods, path } = this.#match(plain);
    const route = methods.get(method === 'HEAD' ? 'GET' : method);
    if (!route) throw Refusal.noMethod(...[...methods.keys()].flatMap((known) => (known === 'GET' ? ['GET', 'HEAD'] : [known])));
    return { route, path, query: new URLSearchParams(cut < 0 ? '' : address.slice(cut + 1)) };
  }

  #match(plain) {
    const methods = this.#fixed.get(plain);
    if (methods) return { methods, path: {} };
    const given = plain.split('/');
    for (const { parts, methods } of this.#open) {
      const path = fits(parts, given);
      if (path) return { methods, path };
    }
    throw Refusal.notFound('there is no such route');
  }
}

/** The values of the template's names, if `given` is of its form; `{name...}` takes all that follows. */
function fits(parts, given) {
  const path = Object.create(null);
  for (const [i, part] of parts.entries()) {
    if (part.endsWith('...}')) {
      path[part.slice(1, -4)] = given.slice(i).join('/');
      return given.length > i ? path : undefined;
    }
    if (part.startsWith('{')) {
      if (!given[i]) return undefined;
      path[part.slice(1, -1)] = decoded(given[i]);
    } else if (part !== given[i]) return undefined;
  }
  return given.length === parts.length ? path : undefined;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    throw Refusal.bad('the path is not well encoded');
  }
}
