/**
 * `($1,$2),($3,$4)`: places in a statement for `rows` rows of `width` values.
 * @param {number} rows
 * @param {number} width
 */
export function places(rows, width) {
  const place = (row) => `(${Array.from({ length: width }, (_, column) => `$${row * width + column + 1}`).join(',')})`;
  return Array.from({ length: rows }, (_, row) => place(row)).join(',');
}
