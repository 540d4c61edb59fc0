/**
 * JSON as clients send it.
 *
 * Owns what JavaScript's own parser lets pass though nobody can tell what was meant: a field that is there twice, and a whole number that is
 * written as a fraction (`1.0`). Parsers that know types refuse both, the Rust shop's among them.
 */
import { Refusal } from './refusal.js';

/** What a text that is JSON consists of: strings, signs, and the rest. */
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
/** A number that no type of whole numbers takes, whatever its value. */
const FRACTION = /^-0$|^-?\d+[.eE]/;

/** By the object that was parsed: which of its fields are written as fractions. @type {WeakMap<object, Set<string>>} */
const fractions = new WeakMap();

/** @param {string} text */
export function parseJson(text) {
  const value = parsed(text);
  const found = fractionsIn(text);
  if (found.size > 0 && value !== null && typeof value === 'object') fractions.set(value, found);
  return value;
}

/** Was the number of that field written as a fraction? Known of objects that lie in no other. */
export function isFraction(value, field) {
  return fractions.get(value)?.has(field) ?? false;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (e) {
    throw Refusal.bad(`not JSON: ${e.message}`);
  }
}

/** The outermost fields that are written as fractions. Refuses a field that is there twice, at any depth. */
function fractionsIn(text) {
  /** The names in each object that is open; nothing for a list. */
  const open = [];
  const found = new Set();
  let isName = false;
  let name;
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === '{' || token === '[') open.push(token === '{' ? new Set() : undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (isName) open.at(-1).add((name = once(open.at(-1), JSON.parse(token))));
    else if (open.length === 1 && FRACTION.test(token)) found.add(name);
    isName = token === '{' || (token === ',' && open.at(-1) !== undefined);
  }
  return found;
}

function once(names, name) {
  if (names.has(name)) throw Refusal.bad(`field \`${name}\` is given more than once`);
  return name;
}
