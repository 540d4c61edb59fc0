/**
 * A database's figures: which statements go there, for how long, and what comes back; and what its server says of itself.
 *
 * Statements are told apart by their fingerprint. Connections are the pool's business, and what one request asks is `traffic.js`'s.
 */
import { mono } from '../clock.js';
import { clean } from '../text.js';
import { fingerprint } from './fingerprint.js';
import { Tally } from './histogram.js';
import { sent } from './traffic.js';

/** Longest text of a label. */
const MOST_TEXT = 120;
/** Most plans told at a tick, so that there is room for all other events; the rest at the next. */
const MOST_EVENTS = 16;
/** Most fingerprints that are told apart, and what the rest is called. */
const MOST_SHAPES = 64;
const OTHER = 'other';

export class DatabaseMeter {
  #lanes;
  #shapes = new Map();
  #texts = new Map();
  #tables = new Map();
  #server;
  /** By text, since two that look alike may be run differently; and what has been planned since the last tick. */
  #planned = new Map();
  #plans = [];

  /** @param {import('./lanes.js').Lanes} lanes */
  constructor(lanes) {
    this.#lanes = lanes;
  }

  /**
   * A statement, or several in one go, leaves for the database. One of the results is called when it ended, with the texts that were run.
   * @returns {{ gave: (texts: string[], rows?: number) => void, failed: (texts: string[]) => void }}
   */
  begin() {
    const since = mono();
    const ended = (texts, rows, failed) => {
      const took = mono() - since;
      const shapes = texts.map((text) => this.#shape(text));
      sent(shapes.length === 1 ? shapes[0].name : undefined);
      for (const shape of shapes) {
        shape.calls += 1;
        if (failed) shape.failures += 1;
      }
      for (const shape of new Set(shapes)) shape.time.record(took);
      if (shapes.length === 1) shapes[0].rows += rows;
    };
    return { gave: (texts, rows = 0) => ended(texts, rows, false), failed: (texts) => ended(texts, 0, true) };
  }

  /**
   * What the server says of itself now; undefined while it does not answer.
   * @param {{ connections: number, limit: number, active: number, waiting: number } | undefined} figures
   */
  set server(figures) {
    if (figures && !this.#server) {
      const names = { connections: 'db.connections', limit: 'db.connection-limit', active: 'db.active', waiting: 'db.waiting' };
      for (const [part, name] of Object.entries(names)) this.#lanes.level(name, 'count', () => this.#server[part], { combine: 'max' });
    }
    this.#server = figures ?? {};
  }

  /**
   * What the server has read of a table in all.
   * @param {string} table
   * @param {{ scans: number, scanned: number, fetched: number }} reads scans of it begun, rows read in them, and rows fetched by way of an index
   */
  tableRead(table, reads) {
    const known = this.#tables.get(table);
    if (known) return Object.assign(known, reads);
    const counts = { ...reads };
    this.#tables.set(table, counts);
    const how = { subject: table, combine: 'max' };
    this.#lanes.rate('db.table-scans', 'per-second', () => counts.scans, how);
    this.#lanes.rate('db.table-scanned', 'per-second', () => counts.scanned, how);
    this.#lanes.rate('db.table-fetched', 'per-second', () => counts.fetched, how);
  }

  /** Texts of the statements that were sent so far. */
  get texts() {
    return [...this.#texts.keys()];
  }

  /**
   * The database would run a statement in this way from now on.
   * @param {string} text
   * @param {{ plan: string, table: string }} told steps from the top down to the scan that reads the most, and its table
   */
  planned(text, { plan, table }) {
    const { name } = this.#shape(text);
    const before = this.#planned.get(text) ?? '';
    if (name === OTHER || plan === '' || plan === before) return;
    this.#planned.set(text, plan);
    const at = mono();
    const labels = Object.entries({ statement: name, plan: lastSteps(plan), before: lastSteps(before), table: clean(table, MOST_TEXT) });
    // SQLite tells of no cost.
    this.#plans.push({ kind: 'db.plan', start: at, end: at, labels, value: 0 });
  }

  /** What was planned since the last tick. */
  takePlans() {
    return this.#plans.splice(0, MOST_EVENTS);
  }

  #shape(text) {
    let shape = this.#texts.get(text);
    if (shape) return shape;
    const name = fingerprint(text);
    shape = this.#shapes.get(name) ?? this.#shapes.get(OTHER) ?? this.#add(this.#shapes.size < MOST_SHAPES ? name : OTHER);
    this.#texts.set(text, shape);
    return shape;
  }

  #add(name) {
    const shape = { name, calls: 0, failures: 0, rows: 0, time: new Tally() };
    this.#shapes.set(name, shape);
    const how = { subject: name };
    this.#lanes.rate('db.calls', 'per-second', () => shape.calls, how);
    this.#lanes.histogram('db.time', shape.time, how);
    this.#lanes.rate('db.failures', 'per-second', () => shape.failures, how);
    this.#lanes.rate('db.rows', 'per-second', () => shape.rows, how);
    return shape;
  }
}

/** Of a long way the end, which is what matters. */
function lastSteps(way) {
  const steps = way.split(' > ');
  const tail = (from) => `${from > 0 ? '… > ' : ''}${steps.slice(from).join(' > ')}`;
  const from = steps.findIndex((_, at) => tail(at).length <= MOST_TEXT);
  return clean(from < 0 ? steps.at(-1) : tail(from), MOST_TEXT);
}
