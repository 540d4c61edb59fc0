/** The first content of the shop: the same on every machine, and of the same make as the Rust shop's. */
import { hashSync } from '../shop/password.js';
import { places } from './places.js';

/** Products, numbered from 1. */
export const PRODUCTS = 500;
/** Customers `user-1` to `user-10000`. */
export const CUSTOMERS = 10_000;
/** The password of all customers: one hash serves all, so that seeding need not hash ten thousand times. */
export const PASSWORD = 'secret';
/** Rows of one past order: itself and its line. */
const ROWS_EACH = 2;

const SELLERS = 40;
const CATEGORIES = 20;
const REVIEWS_EACH = 8;
/** Nobody's load sells this out. */
const STOCK_EACH = 100_000_000;
/** Rows in one insert; with six columns at most, well within both databases' limits on parameters. */
const ROWS = 500;

const LOOKS = ['Plain', 'Blue', 'Folding', 'Heavy', 'Quiet', 'Striped', 'Travel', 'Garden', 'Winter', 'Brass'];
const THINGS = ['Kettle', 'Lamp', 'Chair', 'Blanket', 'Clock', 'Basket', 'Umbrella', 'Notebook', 'Teapot', 'Radio'];
const TOWNS = ['Aachen', 'Bergen', 'Cork', 'Delft', 'Evora', 'Faro', 'Ghent', 'Hull'];
const OPINIONS = [
  'Does what it should.',
  'Came a day late, but is well made.',
  'My second one; the first is still in use.',
  'Smaller than I thought.',
  'A fine present.',
  'The colour is not the one in the picture.',
];
const QUESTIONS = [
  ['Is it made of wood?', 'Mostly.'],
  ['Does it fit on a small table?', 'It does.'],
  ['Can it be repaired?', 'Every part can be ordered.'],
  ['How long is the guarantee?', 'Three years.'],
];

/**
 * Fills empty tables; a part of a transaction.
 * @param {number} historyRows rows of past orders: without their index a look-up reads them all
 */
export function* seed(historyRows) {
  const random = generator(0x5eed);
  const pick = (list) => list[random(list.length)];
  yield* put('seller', ['id', 'name', 'town'], rows(SELLERS, (id) => [id, `${TOWNS[id % 8]} Trading ${id}`, TOWNS[id % 8]]));
  yield* put('category', ['id', 'name'], rows(CATEGORIES, (id) => [id, `Aisle ${id}`]));
  yield* put('delivery', ['category', 'days', 'cents'], rows(CATEGORIES, (id) => [id, 1 + (id % 4), 290 + 50 * id]));
  // Every third category has a promotion.
  yield* put('promotion', ['category', 'percent'], rows(CATEGORIES, (id) => [id, 5 + id]).filter(([id]) => id % 3 === 0));
  yield* put('product', ['id', 'name', 'about', 'category', 'seller'], rows(PRODUCTS, (id) => product(id, pick, random)));
  yield* put('price', ['product', 'cents'], rows(PRODUCTS, (id) => [id, 199 + random(19_801)]));
  yield* put('stock', ['product', 'quantity'], rows(PRODUCTS, (id) => [id, STOCK_EACH]));
  yield* put('review', ['product', 'stars', 'text'], rows(PRODUCTS * REVIEWS_EACH, (n) => [1 + ((n - 1) % PRODUCTS), 1 + random(5), pick(OPINIONS)]));
  yield* put('question', ['product', 'text', 'answer'], rows(PRODUCTS, (id) => [id, ...pick(QUESTIONS)]));
  const salt = Buffer.from('seeded customers');
  const hash = hashSync(PASSWORD, salt);
  // What is many is made by the database itself, which takes a fraction of the time.
  yield [`INSERT INTO customer (id, name, salt, hash) ${numbers(CUSTOMERS)} SELECT i, 'user-' || i, $1, $2 FROM n`, [salt, hash]];
  yield* history(Math.floor(historyRows / ROWS_EACH));
}

function product(id, pick, random) {
  const [look, thing] = [pick(LOOKS), pick(THINGS)];
  const about = `A ${look.toLowerCase()} ${thing.toLowerCase()}, number ${id} of our catalogue.`;
  return [id, `${look} ${thing}`, about, 1 + (id % CATEGORIES), 1 + random(SELLERS)];
}

/** 7919 is prime, so customers come in no order. */
function* history(orders) {
  yield [
    `INSERT INTO purchase (customer, at_ms, cents) ${numbers(orders)} SELECT 1 + (i % ${CUSTOMERS}) * 7919 % ${CUSTOMERS}, 1700000000000, 1000 + i % 9000 FROM n WHERE i <= ${orders}`,
  ];
  yield [`INSERT INTO purchase_line SELECT id, 1 + id % ${PRODUCTS}, 1, cents FROM purchase`];
}

/** Begins a statement that counts: `n` has one row for each number from 1 to `count`, and one where that is 0. */
function numbers(count) {
  return `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})`;
}

function* put(table, columns, all) {
  for (let from = 0; from < all.length; from += ROWS) {
    const some = all.slice(from, from + ROWS);
    yield [`INSERT INTO ${table} (${columns.join(', ')}) VALUES ${places(some.length, columns.length)}`, some.flat()];
  }
}

/** One row for each number from 1 to `count`. */
function rows(count, row) {
  return Array.from({ length: count }, (_, i) => row(i + 1));
}

/** Whole numbers below a bound, in an order that the seed alone decides (mulberry32). */
export function generator(seed) {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}
