/**
 * Churn, and its cure: where a picture's canvases come from.
 *
 * The fault makes one anew for each layer and drops it with the answer, so the collector has no rest. The cure wipes two and uses them
 * again.
 */
import { CANVAS_BYTES, blend, paint } from '../shop/picture.js';
import { Fault } from './fault.js';

/** Layers of a picture while all is well. */
const LAYERS = 8;

export class Churn extends Fault {
  static kind = 'churn';
  static knobs = {
    layers: { about: 'canvases of 256 KiB made anew for each picture', default: 8, min: 1, max: 32 },
  };

  /** The two that are used again; drawing is one turn of the loop, so nobody else has them meanwhile. */
  #under = new Uint8Array(CANVAS_BYTES);
  #over = new Uint8Array(CANVAS_BYTES);

  /** The picture of product `id`, large. */
  draw(id) {
    const layers = this.ordered ? Math.round(this.knob('layers')) : LAYERS;
    const under = this.on ? new Uint8Array(CANVAS_BYTES) : this.#under.fill(0);
    for (let layer = 0; layer < layers; layer++) {
      const over = this.on ? new Uint8Array(CANVAS_BYTES) : this.#over.fill(0);
      paint(over, id, layer);
      blend(under, over);
    }
    this.tookEffect();
    return under;
  }
}
