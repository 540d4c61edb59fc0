/**
 * Churn, and its cure: on what a picture is drawn.
 *
 * The fault draws each layer on a canvas made for it and dropped with the answer, so the collector has no rest. The cure wipes one
 * canvas and uses it again.
 */
import { Fault } from './fault.js';

/** Points of a canvas: as an array of small numbers it takes 256 KiB of the heap. */
const POINTS = 32_768;
/** Layers of a picture while all is well. */
const LAYERS = 8;

export class Churn extends Fault {
  static kind = 'churn';
  static knobs = {
    layers: { about: 'canvases of 256 KiB made anew for each picture', default: 8, min: 1, max: 32 },
  };

  #canvas = canvas();

  /** The picture of product `id`: a checksum for each layer. */
  draw(id) {
    const layers = this.on ? Math.round(this.knob('layers')) : LAYERS;
    const marks = [];
    for (let layer = 0; layer < layers; layer++) marks.push(drawn(this.on ? canvas() : this.#wiped(), id, layer));
    this.tookEffect();
    return marks;
  }

  #wiped() {
    return this.#canvas.fill(0);
  }
}

function canvas() {
  return new Array(POINTS).fill(0);
}

/** Lines across the canvas, and what they add up to. */
function drawn(canvas, id, layer) {
  for (let at = layer; at < POINTS; at += 7) canvas[at] = (at * id + layer) & 255;
  let sum = 0;
  for (let at = 0; at < POINTS; at += 64) sum = (sum * 31 + canvas[at]) >>> 0;
  return sum.toString(16);
}
