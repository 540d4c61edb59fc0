import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Records, quoted } from './csv.js';

const HEAD = 'sku,name,cents,quantity\n';

/** The rows of `text`, cut into pieces of `size` bytes. */
function read(text, size) {
  const bytes = Buffer.from(text);
  const records = new Records();
  const rows = [];
  for (let at = 0; at < bytes.length; at += size) rows.push(...records.take(bytes.subarray(at, at + size)));
  return [...rows, ...records.end()];
}

test('the cut of the stream does not matter', () => {
  const names = ['plain', 'with, comma', 'with "quotes"', 'two\nlines', 'Žluťoučký kůň', ' spaces '];
  const expected = names.map((name, n) => [`s${n}`, name.trim(), n, 1]);
  const text = HEAD.replace('\n', '\r\n') + names.map((name, n) => `s${n},${quoted(name)},${n},1\r\n`).join('');
  for (let size = 1; size <= 40; size++) {
    assert.deepEqual(read(text, size), expected);
    assert.deepEqual(read(text.trimEnd(), size), expected, 'a last line without its end is a line');
  }
});

test('a byte order mark is no part of the header, wherever the stream is cut, and nowhere else is it one', () => {
  for (let size = 1; size <= 8; size++) {
    for (const head of [HEAD, `"sku"${HEAD.slice(3)}`]) assert.deepEqual(read(`\u{feff}${head}a,One,1,2\n`, size), [['a', 'One', 1, 2]]);
    assert.deepEqual(read(`${HEAD}a,\u{feff}One,1,2\n`, size).length, 1);
    for (const text of [`\u{feff}\u{feff}${HEAD}`, '\u{feff}', `\u{fec0}${HEAD}`]) assert.throws(() => read(text, size), /expected the header/);
  }
});

test('a wrong row is named by its line', () => {
  const said = (text) => {
    try {
      return read(text, 7);
    } catch (e) {
      return `${e.status} ${e.message}`;
    }
  };
  assert.match(said('sku,name\n'), /^400 line 1: expected the 4 fields/);
  assert.match(said('a,b,c,d\n'), /line 1: expected the header/);
  assert.match(said(''), /line 1: expected the header/);
  assert.match(said(`${HEAD}a,b,1,2\nb,c,x,2\n`), /line 3: cents is `x`/);
  assert.match(said(`${HEAD}a,"b\nb",1,2\nb,c,1,2,3\n`), /line 4: expected the 4 fields/);
  assert.match(said(`${HEAD},b,1,2`), /line 2: sku is empty/);
  assert.match(said(`${HEAD}a,b,1,-2`), /line 2: quantity is `-2`/);
  assert.match(said(`${HEAD}a,\0,1,2`), /line 2: name contains a NUL/);
  assert.match(said(HEAD + 'x'.repeat(5_000)), /line 2: a record has at most/);
  assert.match(said(`${HEAD}${'x'.repeat(41)},b,1,2`), /line 2: sku has more than 40 bytes/);
});

test('what is not UTF-8 is refused', () => {
  const records = new Records();
  assert.throws(() => records.take(Buffer.concat([Buffer.from(`${HEAD}a,`), Buffer.from([0xff]), Buffer.from(',1,2\n')])), /not UTF-8/);
});
