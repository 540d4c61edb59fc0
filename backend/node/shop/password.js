/** Passwords: scrypt, at a stated cost. */
import { scrypt, scryptSync, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

/** Length of a salt. */
export const SALT_BYTES = 16;
/** Length of a hash. */
export const HASH_BYTES = 32;
/**
 * An eighth of a MiB and a third of a millisecond, as long as the Rust shop's Argon2 takes: far below what a shop should spend, so that
 * some hundreds of sessions can log in per second on one core.
 */
const COST = { N: 128, r: 8, p: 1 };

const scrypted = promisify(scrypt);

/** The hash, on the offload threads. */
export function hash(password, salt) {
  return scrypted(password, salt, HASH_BYTES, COST);
}

/** The hash, here and now: never on the event loop of a worker. */
export function hashSync(password, salt) {
  return scryptSync(password, salt, HASH_BYTES, COST);
}

/** Are they the same? Takes as long when they are not. */
export function same(a, b) {
  return a.length === b.length && timingSafeEqual(a, b);
}
