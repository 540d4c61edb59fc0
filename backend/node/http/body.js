/** Bodies: read within their limit, as JSON or as they come. */
import { isUtf8 } from 'node:buffer';
import { parseJson } from './json.js';
import { Refusal } from './refusal.js';

/** The longest body of a route that reads it whole, bytes. */
export const MAX_BODY = 16 * 1024;

/**
 * The body as JSON.
 * @param {import('node:http').IncomingMessage} request
 */
export async function readJson(request, most = MAX_BODY) {
  const type = request.headers['content-type']?.split(';')[0].trim().toLowerCase() ?? '';
  if (type !== 'application/json' && !type.endsWith('+json')) {
    throw new Refusal(415, 'Expected request with `Content-Type: application/json`');
  }
  return parseJson(await readText(request, most));
}

/** The body as text. */
export async function readText(request, most = MAX_BODY) {
  const pieces = [];
  let length = 0;
  for await (const piece of chunks(request)) {
    length += piece.length;
    if (length > most) throw Refusal.tooLarge(`a body of this route has at most ${most} bytes`);
    pieces.push(piece);
  }
  const whole = Buffer.concat(pieces);
  // It would be kept as something that nobody has sent.
  if (!isUtf8(whole)) throw Refusal.bad('the body is not UTF-8');
  return whole.toString('utf8');
}

/** The body piece by piece; when it breaks off, the request is refused, not the shop broken. */
export async function* chunks(request) {
  try {
    yield* request;
  } catch {
    throw Refusal.bad('the body broke off');
  }
}
