/**
 * The fingerprint of a statement: its text without what changes from call to call, as dyno's agent for Rust makes it.
 *
 * Texts of this shop are constants with `$1` in them, but for the number of rows of one insert; so numbers, quoted texts and parameters
 * become `?`, and lists of them are as long as one.
 */

/** Most characters, as of any label. */
const MOST_TEXT = 200;
/** Numbers that are no part of a name, quoted texts, parameters. */
const VALUES = /'(?:[^']|'')*'|\$\d+|(?<![\w."])\d+(?:\.\d+)?\b/g;

/** @param {string} sql */
export function fingerprint(sql) {
  const text = sql.replace(VALUES, '?').replace(/\s+/g, ' ').replace(/;\s*$/, '').trim();
  const short = text.replace(/\?(?:, ?\?)+/g, '?').replace(/\(\?\)(?:, ?\(\?\))+/g, '(?)');
  return short.length > MOST_TEXT ? `${short.slice(0, MOST_TEXT - 1)}…` : short;
}
