/**
 * The lanes that this process declares, and their values at each tick.
 *
 * Owns the form in which a lane is declared (dyno's `LaneSpec`); names are the canonical ones of the project.
 * A signal that the runtime lacks has no lane: no data is not zero.
 */

export class Lanes {
  #instance;
  #specs = [];
  #readers = [];

  /** @param {string} instance name of the process */
  constructor(instance) {
    this.#instance = instance;
  }

  /** All that was declared. */
  get specs() {
    return this.#specs;
  }

  /**
   * A state at the instant of the tick.
   * @param {string} name
   * @param {string} unit
   * @param {() => number | undefined} read
   * @param {{ combine?: string, quality?: string }} [how]
   */
  level(name, unit, read, how = {}) {
    this.#declare(name, unit, 'level', how, (tick, at) => tick.values.push([at, read()]));
  }

  /**
   * Things per second, from a count that only grows.
   * @param {string} name
   * @param {string} unit
   * @param {() => number} count
   * @param {{ subject?: string, combine?: string, quality?: string }} [how]
   */
  rate(name, unit, count, how = {}) {
    let before = count();
    let isNew = true;
    this.#declare(name, unit, 'rate', how, (tick, at) => {
      // Whoever reads takes a rate for what was since the value before. Another process may have told that one, long ago: so the first says
      // that there was nothing, and the second has what came meanwhile.
      if (isNew) {
        isNew = false;
        return tick.values.push([at, 0]);
      }
      const now = count();
      tick.values.push([at, ((now - before) * 1e9) / tick.elapsed]);
      before = now;
    });
  }

  /**
   * Durations since the last tick.
   * @param {string} name
   * @param {import('./histogram.js').Tally} tally
   * @param {{ subject?: string }} [how]
   */
  histogram(name, tally, how = {}) {
    this.#declare(name, 'ns', 'histogram', { combine: 'merge', ...how }, (tick, at) => {
      const cells = tally.take();
      if (cells.length > 0) tick.histograms.push([at, cells]);
    });
  }

  /** Fills in the values of a tick. */
  read(tick) {
    this.#readers.forEach((read, at) => read(tick, at));
    tick.values = tick.values.filter(([, value]) => Number.isFinite(value));
  }

  #declare(name, unit, shape, { subject = '', combine = 'sum', quality = 'exact' }, read) {
    this.#specs.push({ name, subject, instance: this.#instance, unit, shape, combine, quality });
    this.#readers.push(read);
  }
}
