/** Fields of what a client sent, checked: every kind of bad input becomes a 400 that names the field. */
import { isFraction } from './json.js';
import { Refusal } from './refusal.js';

/** Own fields only: `__proto__` and its kin are never looked up. */
function own(object, field) {
  return Object.hasOwn(object, field) ? object[field] : undefined;
}

/** @returns {Record<string, unknown>} */
export function object(value) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw Refusal.bad('expected a JSON object');
  return value;
}

/**
 * An object with no other fields than these: names that every object inherits, or that nobody knows here, are no harmless surplus.
 * @returns {Record<string, unknown>}
 */
export function only(value, ...known) {
  const unknown = Object.keys(object(value)).find((name) => !known.includes(name));
  if (unknown !== undefined) throw Refusal.bad(`unknown field \`${unknown}\`, expected one of ${known.join(', ')}`);
  return value;
}

/** @returns {string} */
export function text(value, field, mostBytes) {
  const found = own(object(value), field);
  if (typeof found !== 'string') throw Refusal.bad(`${field} is missing or no text`);
  if (Buffer.byteLength(found) > mostBytes) throw Refusal.bad(`${field} has at most ${mostBytes} bytes`);
  // PostgreSQL's texts cannot hold it.
  if (found.includes('\0')) throw Refusal.bad(`${field} contains a NUL`);
  return found;
}

/** @returns {number} */
export function whole(value, field, least, most) {
  const found = own(object(value), field);
  return inRange(isFraction(value, field) ? undefined : found, field, least, most);
}

/**
 * A parameter of a query, null when it is not given. One that is given twice means nothing.
 * @param {URLSearchParams} query
 * @returns {string | null}
 */
export function param(query, field) {
  const [found = null, ...more] = query.getAll(field);
  if (more.length > 0) throw Refusal.bad(`${field} is given more than once`);
  return found;
}

/** A whole number out of a path or a query; as in the Rust shop it may have a plus, or noughts in front. */
export function wholeText(found, field, least, most) {
  if (!/^\+?\d+$/.test(found)) throw Refusal.bad(`${field} is \`${found}\`, expected a whole number`);
  return inRange(Number(found), field, least, most);
}

function inRange(found, field, least, most) {
  if (!Number.isInteger(found)) throw Refusal.bad(`${field} is missing or no whole number`);
  if (found < least || found > most) throw Refusal.bad(`${field} is ${found}, expected ${least} to ${most}`);
  return found;
}
