/** Texts that come from outside, made fit to be shown. */

/**
 * Without control characters, and no longer than `most` characters.
 * @param {unknown} text
 * @param {number} most
 */
export function clean(text, most) {
  const plain = String(text).replaceAll(/[\p{Cc}\p{Cf}]/gu, ' ');
  return plain.length > most ? `${plain.slice(0, most - 1)}…` : plain;
}

/**
 * The known name that was probably meant.
 * @param {string} name
 * @param {string[]} known
 */
export function didYouMean(name, known) {
  const far = Math.max(1, Math.floor(name.length / 3));
  const [best] = known.map((k) => ({ k, far: distance(name, k) })).sort((a, b) => a.far - b.far);
  return best && best.far <= far ? best.k : undefined;
}

/** Levenshtein's distance. */
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
