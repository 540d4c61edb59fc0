/**
 * Remedies: settings that an operator holds against whatever faults do.
 *
 * Owns what this shop can hold, and how it is put in place. Which advice comes to what is read in one table, `backend/src/remedies.rs`, for
 * both shops: what comes here has been worked out, in the form of its `Hold`, as `{"pool-capacity":14}`. *Values* are set beside the fault,
 * which stays in force: it still asks for its own, and what is held counts more. *Cures* are the other side of a fault's own switch
 * (`faults/fault.js`): the cure runs although the fault is ordered.
 */
import { checkedCache } from './cache/settings.js';
import { SWITCHED } from './faults/index.js';
import { Refusal } from './http/refusal.js';
import { only, text, whole } from './http/shape.js';
import { operatorsIndex } from './store/schema.js';

/** More connections than these in each worker are a mistake and no advice, as in the Rust shop. */
const MOST = 1_000;
/** More entries than these are more than the shop has. */
const MOST_ENTRIES = 10_000_000;
/** Longest name of a fault, a table or a column, bytes. */
const MOST_NAME = 64;

/** @typedef {Record<string, number | string | { table: string, column: string }>} Hold one name, and what is held */

/** What is held, by its name: the value out of what was said, checked; and how a shop is brought to it. A cure is its fault's to hold. */
const HOLDS = {
  'pool-capacity': {
    checked: (said) => whole(said, 'pool-capacity', 1, MOST),
    put: (capacity, { database }) => database.hold(capacity),
  },
  'offload-threads': {
    checked() {
      throw Refusal.bad('offload-threads cannot be held: the runtime makes the threads of its offload pool once, and no more later');
    },
  },
  'cache-capacity': {
    checked: (said) => whole(said, 'cache-capacity', 1, MOST_ENTRIES),
    put: (entries, { products }) => products.holdCapacity(entries),
  },
  'early-refreshes': {
    checked: (said) => checkedCache({ beta: said['early-refreshes'] }, false).beta,
    put: (beta, { products }) => products.hold('early-refreshes', (how) => ({ ...how, protection: 'xfetch', beta })),
  },
  index: { checked: ({ index }) => checkedIndex(index), put: addIndex },
  cure: { checked: checkedCure },
};

/**
 * What is to be held, if this shop can.
 * @param {unknown} said
 * @returns {Hold}
 */
export function checkedHold(said) {
  const [what, ...more] = Object.keys(only(said, ...Object.keys(HOLDS)));
  if (what === undefined || more.length > 0) throw Refusal.bad(`expected one of ${Object.keys(HOLDS).join(', ')}, and what it is to be`);
  return { [what]: HOLDS[what].checked(said) };
}

/** What is held under the same name is the same thing, of which the newest counts. @param {Hold} hold */
export function nameOf(hold) {
  const [[what, value]] = Object.entries(hold);
  return typeof value === 'number' ? what : JSON.stringify(hold);
}

/**
 * Puts it in place, from now on.
 * @param {Hold} hold
 * @param {import('./faults/index.js').Faults} faults of this process
 * @param {import('./shop/index.js').Shop} [shop] the process of the services has none
 */
export function putInPlace(hold, faults, shop) {
  const [[what, value]] = Object.entries(hold);
  if (what === 'cure') faults.cure(value, shop);
  else if (shop) HOLDS[what].put(value, shop);
}

function checkedCure(said) {
  const kind = text(said, 'cure', MOST_NAME);
  const known = SWITCHED.map((f) => f.kind);
  if (!known.includes(kind)) throw Refusal.bad(`fault \`${kind}\` has no cure that could be held; those of: ${known.join(', ')}`);
  return kind;
}

function checkedIndex(said) {
  only(said, 'table', 'column');
  const [table, column] = [text(said, 'table', MOST_NAME), text(said, 'column', MOST_NAME)];
  if (!operatorsIndex(table, column)) throw Refusal.bad(`the shop looks for no rows of ${table} by ${column}`);
  return { table, column };
}

/** One worker adds it, as an operator of the database would; one that ends leaves it to its successor. */
function addIndex({ table, column }, { first, draining, database }) {
  if (!first || draining) return;
  const statement = operatorsIndex(table, column);
  void database.operate(statement).catch((e) => console.error(`shop: not done: ${statement}: ${e.message}`));
}
