import assert from 'node:assert/strict';
import { test } from 'node:test';
import { options } from './settings.js';

test('options are read, and mistakes in them are named', () => {
  const { listen, control, workers, rows, followStdin } = options(['--listen', '[::1]:80', '--workers', '3', '--rows', '0', '--follow-stdin']);
  assert.deepEqual([listen, control, workers, rows, followStdin], [{ host: '::1', port: 80 }, { host: '127.0.0.1', port: 0 }, 3, 0, true]);
  const mistakes = {
    '0 workers asked for, expected 1 to 64': ['--workers', '0'],
    '1e1 workers asked for, expected 1 to 64': ['--workers', '1e1'],
    'undefined workers asked for, expected 1 to 64': ['--workers'],
    '10000001 rows asked for, expected 0 to 10000000': ['--rows', '10000001'],
    'the address is here, expected one like 127.0.0.1:8080': ['--listen', 'here'],
    'the address is 1.2.3.4:65536, expected one like 127.0.0.1:8080': ['--control', '1.2.3.4:65536'],
  };
  for (const [why, args] of Object.entries(mistakes)) assert.throws(() => options(args), { message: why });
  assert.throws(() => options(['--row', '1']), /^Error: unknown option --row; known: /);
});
