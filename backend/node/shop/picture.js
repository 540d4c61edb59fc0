/**
 * `GET /products/{id}/picture`: a small picture of the product, drawn large and scaled down.
 *
 * Owns the drawing and the form of the file (BMP, 64 by 64). Where the canvases come from is the choice between the fault `churn` and its
 * cure.
 */
import { send } from '../http/answer.js';
import { productId } from './catalogue.js';

/** Width and height of a canvas, pixels. */
const LARGE = 256;
/** Width and height of a picture, pixels. */
const SMALL = 64;
const STEP = LARGE / SMALL;
/** Bytes of a canvas: 32 bits a pixel. */
export const CANVAS_BYTES = LARGE * LARGE * 4;
/** Bytes of the two headers before a picture's pixels. */
const HEADERS = 14 + 40;

/** @param {import('./index.js').Shop} shop */
export function pictureRoutes(shop) {
  const handle = async ({ path, response }) => send(response, 200, 'image/bmp', small(shop.faults.churn.draw(productId(path))));
  return [{ method: 'GET', template: '/products/{id}/picture', handle }];
}

/** Paints layer `layer` of product `id` over what is on the canvas: rings around a place of its own. */
export function paint(canvas, id, layer) {
  const seed = Math.imul(id, 2_654_435_761) >>> 0;
  const turned = ((seed << layer) | (seed >>> (32 - layer))) >>> 0;
  const [x0, y0, colour] = [turned & 255, (turned >>> 8) & 255, ((turned >>> 16) & 255) | 0x40];
  const pixels = whole(canvas);
  const fixed = (255 << 24) | (((colour << 3) | (colour >> 5)) & 255) << 16 | colour;
  for (let y = 0; y < LARGE; y++) {
    const dy = y - y0;
    for (let x = 0; x < LARGE; x++) {
      const ring = ((x - x0) * (x - x0) + dy * dy) >> 9;
      if ((ring & 1) === 0) pixels[y * LARGE + x] = fixed | (((colour + ring) & 255) << 8);
    }
  }
}

/** Its pixels, each as one number. */
function whole(canvas) {
  return new Uint32Array(canvas.buffer, canvas.byteOffset, canvas.length / 4);
}

/** Lays `over` on `under`, half and half: four parts at once, since the mean of two is half of what they differ in and what they share. */
export function blend(under, over) {
  const [below, above] = [whole(under), whole(over)];
  for (let at = 0; at < below.length; at++) {
    const a = below[at];
    const b = above[at];
    below[at] = (a & b) + (((a ^ b) & 0xfefefefe) >>> 1);
  }
}

/** The canvas, scaled down, as a file. */
function small(canvas) {
  const file = Buffer.alloc(HEADERS + SMALL * SMALL * 4);
  file.write('BM');
  const words = [file.length, 0, HEADERS, 40, SMALL, SMALL, 1 | (32 << 16)];
  words.forEach((word, n) => file.writeUInt32LE(word, 2 + n * 4));
  file.writeUInt32LE(SMALL * SMALL * 4, 34);
  let to = HEADERS;
  for (let y = SMALL - 1; y >= 0; y--) {
    for (let x = 0; x < SMALL; x++) for (let part = 0; part < 4; part++) file[to++] = mean(canvas, x, y, part);
  }
  return file;
}

function mean(canvas, x, y, part) {
  let sum = 0;
  for (let n = 0; n < STEP * STEP; n++) {
    sum += canvas[((y * STEP + ((n / STEP) | 0)) * LARGE + x * STEP + (n % STEP)) * 4 + part];
  }
  return sum / (STEP * STEP);
}
