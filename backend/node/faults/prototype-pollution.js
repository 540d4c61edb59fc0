/**
 * Prototype pollution, and its defence: how a customer's wishes are merged into those that are kept.
 *
 * The fault merges whatever fields come, so `__proto__` reaches what all objects share, and every customer suddenly has a field that
 * one of them sent, or misses a method that one of them has overwritten; both are undone at its end. The cure refuses such names. Tests
 * switch it (`POST /v1/faults`); there is no lane in which it could be seen.
 */
import { Refusal } from '../http/refusal.js';
import { Fault } from './fault.js';

const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype']);
/** Deeper wishes are refused, so that nobody can exhaust the stack. */
const DEEPEST = 8;

export class PrototypePollution extends Fault {
  static kind = 'prototype-pollution';

  /** What all objects shared before: each member's descriptor, by its name. */
  #before;

  begin() {
    this.#before = new Map(Object.entries(Object.getOwnPropertyDescriptors(Object.prototype)));
  }

  finish() {
    // The new ones first: a field called `get` would be taken for one of every descriptor.
    for (const name of Object.getOwnPropertyNames(Object.prototype)) {
      if (!this.#before.has(name)) delete Object.prototype[name];
    }
    for (const [name, descriptor] of this.#before) Object.defineProperty(Object.prototype, name, descriptor);
  }

  /** Merges `wishes` into `kept`. */
  merge(kept, wishes) {
    if (!this.on) return mergeSafely(kept, wishes, 1);
    mergeAnything(kept, wishes, 1);
    if (this.#reachedAll()) this.tookEffect();
    return kept;
  }

  /** Have all objects a member that is new, or another one than before? */
  #reachedAll() {
    const members = Object.entries(Object.getOwnPropertyDescriptors(Object.prototype));
    return members.some(([name, { value }]) => !this.#before.has(name) || this.#before.get(name).value !== value);
  }
}

/** The cure: own fields of plain names, into objects without a prototype. */
function mergeSafely(kept, wishes, depth) {
  if (depth > DEEPEST) throw Refusal.bad(`wishes are nested deeper than ${DEEPEST}`);
  for (const [name, value] of Object.entries(wishes)) {
    if (FORBIDDEN.has(name)) throw Refusal.bad(`a wish cannot be called \`${name}\``);
    if (isObject(value)) kept[name] = mergeSafely(isObject(kept[name]) ? kept[name] : Object.create(null), value, depth + 1);
    else kept[name] = value;
  }
  return kept;
}

/** The fault: as many a hand-written `deepMerge`. */
function mergeAnything(kept, wishes, depth) {
  if (depth > DEEPEST) throw Refusal.bad(`wishes are nested deeper than ${DEEPEST}`);
  for (const name of Object.keys(wishes)) {
    if (isObject(wishes[name])) {
      if (!isObject(kept[name])) kept[name] = {};
      mergeAnything(kept[name], wishes[name], depth + 1);
    } else kept[name] = wishes[name];
  }
}

function isObject(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
