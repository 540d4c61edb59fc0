/** A running shop for the tests, and a client that says what comes back. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { OF_SHOP } from '../faults/index.js';
import { startPostgres } from './servers.js';

export const TOKEN = 'a-token-of-the-tests';
/**
 * An answer that does not come within this is none, ms. A connection that the cluster hands to a worker which has just been killed is never
 * answered: the cluster waits for a receipt.
 */
const PATIENCE_MS = 15_000;
/** A reload takes as long as the workers take to start. */
const CONTROL_PATIENCE_MS = 90_000;
const MAIN = fileURLToPath(new URL('../main.js', import.meta.url));

/** @typedef {{ status: number, headers: object, text: string, json: any }} Reply */

export class RunningShop {
  /**
   * @param {{ workers?: number, more?: string[], env?: object, runtime?: string[] }} [how]
   */
  static async start({ workers = 2, more = [], env = {}, runtime = [process.execPath] } = {}) {
    const args = [...runtime.slice(1), MAIN, '--listen', '127.0.0.1:0', '--workers', String(workers), '--follow-stdin', ...more];
    const child = spawn(runtime[0], args, { env: { ...process.env, DYNO_TOKEN: TOKEN, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    const shop = new RunningShop(child);
    child.stderr.on('data', (d) => (shop.said += d));
    const [line] = await Promise.race([
      once(createInterface({ input: child.stdout }), 'line'),
      // Not `exit`, which may come before its last words.
      once(child, 'close').then(([code]) => {
        throw new Error(`the shop ended with ${code}: ${shop.said}`);
      }),
    ]);
    Object.assign(shop, JSON.parse(line).ready);
    return shop;
  }

  /** One over a PostgreSQL of its own, `postgres`; `kill` ends both. */
  static async onPostgres() {
    const postgres = await startPostgres();
    const shop = await RunningShop.start({ env: { DYNO_DATABASE_URL: postgres.url } });
    return Object.assign(shop, { postgres });
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.postgres.stop();
  }

  said = '';

  constructor(child) {
    this.child = child;
    this.gone = once(child, 'exit');
  }

  /** Ends it as its caller's death would; gives its exit code. */
  async end() {
    this.child.stdin.end();
    const [code] = await this.gone;
    return code;
  }

  get(path, token) {
    return ask(this.url + path, 'GET', bearer(token));
  }

  send(method, path, token, body) {
    const headers = { ...bearer(token), 'Content-Type': 'application/json' };
    return ask(this.url + path, method, headers, typeof body === 'string' ? body : JSON.stringify(body));
  }

  async logIn(user = 'user-1') {
    const { json } = await this.send('POST', '/login', undefined, { user, pass: 'secret' });
    return json.token;
  }

  /** To control and probe, with their token. */
  order(method, path, body) {
    const text = body === undefined ? undefined : JSON.stringify(body);
    return ask(this.probe + path, method, bearer(TOKEN), text, CONTROL_PATIENCE_MS);
  }

  /** `fault instance what` of each line of the truth. */
  async truth() {
    const { json } = await this.order('GET', '/v1/truth');
    return json.lines.map((l) => `${l.fault} ${l.instance} ${l.what}`);
  }

  /**
   * Switches a fault on for ten minutes, does `what` when all whom it concerns have it, and ends it; gives what was true of it, of any worker,
   * in order and once each.
   */
  async during(name, knobs, what) {
    const before = (await this.truth()).length;
    const armed = await this.order('POST', '/v1/faults', { name, for_ms: 600_000, knobs });
    if (armed.status !== 202) throw new Error(armed.text);
    const isOfShop = Object.values(OF_SHOP).some(({ kind }) => kind === name);
    const concerned = isOfShop ? this.workers.filter(({ name }) => name.startsWith('shop-')).length : 1;
    try {
      await waitFor(async () => (await this.truth()).slice(before).filter((l) => l.startsWith(`${name} `) && l.endsWith(' armed')).length >= concerned);
      await what();
    } finally {
      await this.order('DELETE', '/v1/faults');
    }
    const mine = async () => (await this.truth()).slice(before).filter((l) => l.startsWith(`${name} `));
    // A worker that is starved tells it late.
    await waitFor(async () => (await mine()).some((l) => l.endsWith(' ended')));
    const lines = await mine();
    return [...new Set(lines.map((l) => l.split(' ')).map(([, , point]) => point))];
  }
}

function bearer(token) {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** @returns {Promise<Reply>} over a connection of its own, so that any worker may answer */
export function ask(url, method = 'GET', headers = {}, body = undefined, patienceMs = PATIENCE_MS) {
  return new Promise((resolve, reject) => {
    const options = { method, headers: { ...headers, Connection: 'close' }, agent: false, timeout: patienceMs };
    const request = http.request(url, options, async (response) => {
      try {
        const pieces = [];
        for await (const piece of response) pieces.push(piece);
        const text = Buffer.concat(pieces).toString();
        const isJson = response.headers['content-type']?.startsWith('application/json');
        resolve({ status: response.statusCode, headers: response.headers, text, json: isJson && text ? JSON.parse(text) : undefined });
      } catch (e) {
        reject(e);
      }
    });
    request.on('timeout', () => request.destroy(new Error(`no answer: ${method} ${url}`)));
    request.on('error', reject);
    request.end(body);
  });
}

/** Tries until `what` is true; a test that waits in vain fails. */
export async function waitFor(what, patienceMs = 60_000) {
  for (const until = Date.now() + patienceMs; ; ) {
    // Looked at before: whoever stood still for as long as that tries once more.
    const isOver = Date.now() >= until;
    if (await what()) return;
    if (isOver) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}
