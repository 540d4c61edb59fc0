/** Orders to misbehave, checked as dyno checks them: a known fault, known knobs within their ranges, a span that ends. */
import { SWITCHED } from '../faults/index.js';
import { Refusal } from '../http/refusal.js';
import { only } from '../http/shape.js';
import { didYouMean } from '../text.js';
import { Frozen, WorkerCrash } from './by-hand.js';

/** A fault lasts at most a day, ms: what is meant to last is no fault to be switched. */
const MAX_SPAN_MS = 86_400_000;

/** Those that the supervisor does itself. */
const BY_HAND = [Frozen, WorkerCrash];

/** All faults of this backend. */
export const FAULTS = [...SWITCHED, ...BY_HAND];

/** Is it one of the supervisor's? */
export function isByHand(order) {
  return BY_HAND.some((f) => f.kind === order.name);
}

/**
 * @param {unknown} said
 * @returns {import('../faults/fault.js').Order}
 */
export function checkedOrder(said) {
  if (said === null || typeof said !== 'object' || Array.isArray(said)) throw Refusal.bad('an order is a JSON object with `name` and `for_ms`');
  const { name, for_ms, knobs = {} } = only(said, 'name', 'for_ms', 'knobs');
  const fault = FAULTS.find((f) => f.kind === name);
  if (!fault) throw Refusal.bad(unknownFault(name));
  if (!Number.isInteger(for_ms) || for_ms < 1 || for_ms > MAX_SPAN_MS) throw Refusal.bad(`for_ms is ${for_ms}, expected 1 to ${MAX_SPAN_MS}`);
  if (knobs === null || typeof knobs !== 'object' || Array.isArray(knobs)) throw Refusal.bad('knobs are an object of numbers');
  for (const [knob, value] of Object.entries(knobs)) checkKnob(fault, knob, value);
  return { name, for_ms, knobs };
}

function unknownFault(name) {
  const known = FAULTS.map((f) => f.kind);
  const meant = typeof name === 'string' ? didYouMean(name, known) : undefined;
  return `unknown fault \`${name}\`${meant ? `, did you mean \`${meant}\`?` : ''}; known here: ${known.join(', ')}`;
}

function checkKnob(fault, name, value) {
  const knob = Object.hasOwn(fault.knobs, name) ? fault.knobs[name] : undefined;
  if (!knob) throw Refusal.bad(`fault ${fault.kind} has no knob \`${name}\`; it has: ${Object.keys(fault.knobs).join(', ') || 'none'}`);
  const { min, max, about } = knob;
  if (!(typeof value === 'number' && value >= min && value <= max)) {
    throw Refusal.bad(`knob \`${name}\` of fault ${fault.kind} is ${value}, expected ${min} to ${max} (${about})`);
  }
}
