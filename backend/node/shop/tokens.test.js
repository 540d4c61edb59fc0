import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { Tokens } from './tokens.js';

const KEY = 'a secret of the tests';
const session = { id: '0'.repeat(31) + '7', customer: 1 };
const tokens = new Tokens(KEY);

function part(value) {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** A token with this head and these claims, signed as it should be. */
function signed(head, claims) {
  const text = `${part(head)}.${part(claims)}`;
  return `${text}.${createHmac('sha256', KEY).update(text).digest('base64url')}`;
}

function claims(changed) {
  return { aud: 'dyno-shop', sub: '1', jti: session.id, iat: 0, exp: Date.now() / 1_000 + 60, ...changed };
}

function refused(token, says) {
  assert.throws(() => tokens.check(token), (e) => e.status === 401 && says.test(e.message), token.slice(0, 80));
}

test('a token that is right is of its session', () => {
  assert.equal(tokens.check(tokens.make(session, 60_000)), session.id);
  assert.equal(tokens.check(signed({ alg: 'HS256' }, claims())), session.id);
});

test('a token is good for no less than it was made for, however short that is', () => {
  const { exp } = JSON.parse(Buffer.from(tokens.make(session, 500).split('.')[1], 'base64url').toString());
  assert.ok(Number.isInteger(exp) && exp * 1_000 > Date.now(), String(exp));
  assert.equal(tokens.check(tokens.make(session, 500)), session.id);
});

test('signature, algorithm, time and audience are checked', () => {
  const good = tokens.make(session, 60_000);
  const [head, body, signature] = good.split('.');
  refused(new Tokens('another secret').make(session, 60_000), /signature is wrong/);
  refused(`${head}.${part(claims({ sub: '2' }))}.${signature}`, /signature is wrong/);
  refused(`${head}.${body}.`, /signature is wrong/);
  for (const alg of ['none', 'None', 'HS512', 'RS256', undefined, ['HS256']]) {
    refused(`${part({ alg })}.${body}.${signature}`, /not signed with HS256/);
    refused(signed({ alg }, claims()), /not signed with HS256/);
  }
  refused(tokens.make(session, -60_000), /has expired/);
  refused(signed({ alg: 'HS256' }, claims({ aud: 'bank' })), /somebody else/);
  refused(signed({ alg: 'HS256' }, claims({ exp: undefined })), /no token/);
  refused(signed({ alg: 'HS256' }, claims({ exp: '9999999999' })), /no token/);
  refused(signed({ alg: 'HS256' }, claims({ jti: '../../x' })), /no token/);
});

test('nonsense is no token', () => {
  for (const token of ['', '.', '..', 'a.b.c', '....', 'x'.repeat(10_000), `${part(null)}.${part(null)}.`, `${part([])}.x.y`]) {
    refused(token, /no token|not signed/);
  }
});
