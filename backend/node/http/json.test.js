/** JSON that says two things, or a whole number as a fraction. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseJson } from './json.js';
import { whole } from './shape.js';

test('what is JSON comes out as JavaScript has it', () => {
  const texts = [
    'null', '7', '-1.5e3', '"x"', '[]', '{}', '[1,[2,{"a":1}],{"a":1}]', '{"a":{"a":1,"b":[{"a":1},{"a":2}]},"b":"a"}',
    '{"a":"b\\":\\"c,{[","\\\\":1,"":2," ":3}', ' {\n"a"\t:\r1 , "b":"\\u0061"} ', '{"__proto__":1,"constructor":2}',
    `{"long":"${'x\\n'.repeat(100_000)}"}`, `${'[{"a":'.repeat(200)}1${'}]'.repeat(200)}`,
  ];
  for (const text of texts) assert.deepEqual(parseJson(text), JSON.parse(text), text.slice(0, 80));
});

test('a field that is there twice is refused, at any depth and however it is spelt', () => {
  const texts = ['{"a":1,"a":1}', '{"a":1,"b":2,"\\u0061":3}', '[{"b":{"a":1,"a":2}}]', '{"a":{"a":1},"b":[],"a":3}', '{"":1,"":2}', '{"__proto__":1,"__proto__":2}'];
  for (const text of texts) assert.throws(() => parseJson(text), { status: 400, message: /^field `\w*` is given more than once$/ }, text);
});

test('a whole number is written as one', () => {
  const found = (text) => whole(parseJson(text), 'n', 0, 2_000);
  for (const text of ['{"n":1}', '{"m":1.0,"n":1}', '{"n":1,"m":[1.0]}', '{"m":{"n":1.0},"n":1}']) assert.equal(found(text), 1, text);
  for (const number of ['1.0', '1e0', '1E3', '-0', '-0.0', '0.5', '"1"']) {
    assert.throws(() => found(`{"m":2,"n":${number}}`), { status: 400, message: 'n is missing or no whole number' }, number);
  }
});
