/**
 * The faults that a worker cannot switch on itself: `frozen` (it is stopped and continued) and `worker-crash` (it is killed). Their cure
 * is not to do so.
 *
 * Owns both spans, and their truth: the first stop or death is the onset.
 */
import { mono } from '../clock.js';

export class Frozen {
  static kind = 'frozen';
  static knobs = {
    stop_ms: { about: 'milliseconds for which a worker is stopped', default: 400, min: 100, max: 3_000 },
    period_ms: { about: 'milliseconds from stop to stop', default: 2_000, min: 500, max: 20_000 },
  };
}

export class WorkerCrash extends Frozen {
  static kind = 'worker-crash';
  static knobs = {
    period_ms: { about: 'milliseconds from kill to kill', default: 6_000, min: 2_000, max: 60_000 },
  };
}

/** One of them at work: at most one of each kind. */
export class ByHand {
  #crew;
  #truths;
  /** @type {Map<string, { timers: Set<NodeJS.Timeout>, end: () => void }>} */
  #running = new Map();

  /**
   * @param {import('./crew.js').Crew} crew
   * @param {import('./truths.js').Truths} truths
   */
  constructor(crew, truths) {
    this.#crew = crew;
    this.#truths = truths;
  }

  /** @param {import('../faults/fault.js').Order} order */
  arm(order) {
    this.#running.get(order.name)?.end();
    const name = this.#crew.first;
    const write = (what) => this.#truths.write({ fault: order.name, instance: name, what, at: mono() });
    const timers = new Set();
    const later = (ms, what) => timers.add(setTimeout(what, ms));
    const end = () => {
      timers.forEach(clearTimeout);
      this.#running.delete(order.name);
      if (order.name === Frozen.kind) this.#crew.signal(name, 'SIGCONT');
      write('ended');
    };
    this.#running.set(order.name, { timers, end });
    write('armed');
    const strike = order.name === Frozen.kind ? () => this.#freeze(order, name, later) : () => this.#crew.signal(name, 'SIGKILL');
    rounds(strike, knob(order, 'period_ms'), later, write);
    later(order.for_ms, end);
  }

  endAll() {
    for (const { end } of [...this.#running.values()]) end();
  }

  #freeze(order, name, later) {
    const stopped = this.#crew.signal(name, 'SIGSTOP');
    later(knob(order, 'stop_ms'), () => this.#crew.signal(name, 'SIGCONT'));
    return stopped;
  }
}

/** Strikes now, and again each period; the first one that hits is the onset. */
function rounds(strike, periodMs, later, write) {
  let begun = false;
  const round = () => {
    if (strike() && !begun) {
      begun = true;
      write('onset');
    }
    later(periodMs, round);
  };
  round();
}

function knob(order, name) {
  const kind = order.name === Frozen.kind ? Frozen : WorkerCrash;
  return order.knobs?.[name] ?? kind.knobs[name].default;
}
