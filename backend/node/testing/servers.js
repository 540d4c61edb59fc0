/**
 * PostgreSQL and Redis for the tests, and what every server needs: on free ports, in folders of their own, as a user without rights, and gone with the test, also when
 * it fails or is killed.
 */
import { execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Servers are up within a few seconds on an idle machine; this one may be busy. */
const PATIENCE_MS = 90_000;
/** Among so many from this one on is each server's port. */
const FIRST_PORT = 10_000;
const PORTS = 20_000;
/** Kept out of every message: tests look for it. */
export const PASSWORD = 'pa55-of-the-stores';
/** Who runs servers when the tests are run by root, which PostgreSQL refuses. */
const USER = 'nobody';

const isRoot = process.getuid() === 0;

/** A PostgreSQL server with an empty database; `stop` ends it. */
export async function startPostgres() {
  const folder = privateFolder();
  const data = join(folder, 'data');
  const secret = join(folder, 'secret');
  writeFileSync(secret, PASSWORD, { mode: 0o644 });
  const made = ['--auth=scram-sha-256', '--username=tester', '--no-sync', '--encoding=UTF8', '--locale=C', '--pwfile', secret, '-D', data];
  execFileSync(...asUser(postgresTool('initdb'), made), { cwd: folder, env: environment(folder), stdio: 'pipe' });
  const port = await freePort();
  const settings = ['fsync=off', 'max_connections=150', 'shared_buffers=64MB'].flatMap((s) => ['-c', s]);
  const args = ['-D', data, '-p', port, '-k', '', '-h', '127.0.0.1', ...settings];
  const { stop } = await run(postgresTool('postgres'), args, folder, () => connects(port));
  await accepted(() => psql(port, 'SELECT 1', folder));
  return { url: `postgres://tester:${PASSWORD}@127.0.0.1:${port}/postgres`, ask: (sql, at) => psql(port, sql, folder, at && new URL(at).pathname.slice(1)), stop };
}

/** A Redis server with nothing in it; `stop` ends it. */
export async function startRedis() {
  const folder = privateFolder();
  const port = await freePort();
  const args = ['--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--requirepass', PASSWORD, '--dir', folder];
  const program = found(['/usr/bin/redis-server', '/usr/local/bin/redis-server'], 'redis-server');
  const { stop } = await run(program, args, folder, () => connects(port));
  return { url: `redis://:${PASSWORD}@127.0.0.1:${port}`, port, stop };
}

function psql(port, sql, folder, database = 'postgres') {
  const args = ['-h', '127.0.0.1', '-p', port, '-U', 'tester', '-d', database, '-At', '-c', sql];
  const env = { ...environment(folder), PGPASSWORD: PASSWORD };
  return execFileSync(postgresTool('psql'), args.map(String), { env, stdio: 'pipe' }).toString().trim();
}

/** Debian keeps the tools of each version apart; the newest will do. */
function postgresTool(name) {
  const base = '/usr/lib/postgresql';
  const versions = existsSync(base) ? readdirSync(base).sort((a, b) => Number(b) - Number(a)) : [];
  return found([...versions.map((v) => join(base, v, 'bin', name)), `/usr/bin/${name}`, `/usr/local/bin/${name}`], 'postgresql');
}

export function found(paths, what) {
  const path = paths.find((p) => existsSync(p));
  if (!path) throw new Error(`this test needs the package ${what} (./test --install)`);
  return path;
}

/** A folder that the servers' user owns. */
export function privateFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'dyno-test-node-'));
  if (isRoot) chownSync(folder, ...ids());
  return folder;
}

function ids() {
  const line = readFileSync('/etc/passwd', 'utf8').split('\n').find((l) => l.startsWith(`${USER}:`));
  return line.split(':').slice(2, 4).map(Number);
}

/** The command that runs `program` as that user; the kernel kills it when we die. */
export function asUser(program, args) {
  const [user, group] = isRoot ? ids() : [];
  const become = isRoot ? [`--reuid=${user}`, `--regid=${group}`, '--clear-groups'] : [];
  return ['setpriv', ['--pdeathsig', 'KILL', ...become, '--', program, ...args.map(String)]];
}

export function environment(home) {
  return { PATH: process.env.PATH, HOME: home, LC_ALL: 'C' };
}

/**
 * Starts a server in its folder, and waits until `ready` does not throw.
 * @param {() => Promise<void>} ready
 */
export async function run(program, args, folder, ready, env = environment(folder)) {
  const log = openSync(join(folder, 'log.txt'), 'w');
  const child = spawn(...asUser(program, args), { cwd: folder, env, stdio: ['ignore', log, log] });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  try {
    await accepted(async () => {
      if (child.exitCode !== null) throw new Ended(readFileSync(join(folder, 'log.txt'), 'utf8'));
      await ready();
    });
  } catch (e) {
    child.kill('SIGKILL');
    throw e;
  }
  const stop = async () => {
    child.kill('SIGKILL');
    await gone;
    // Its children write until they notice.
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  };
  return { pid: child.pid, stop };
}

class Ended extends Error {}

/** Tries until `what` goes well. */
async function accepted(what) {
  for (const until = Date.now() + PATIENCE_MS; ; ) {
    try {
      return await what();
    } catch (e) {
      if (e instanceof Ended || Date.now() > until) throw e;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

export function connects(port) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve();
    });
    socket.on('error', reject);
  });
}

/** A port that is free at this moment, below those that the system gives to whoever asks for any: nobody else comes by it before the server. */
export function freePort() {
  const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
  return new Promise((resolve) => {
    const server = net.createServer().listen(port, '127.0.0.1', () => server.close(() => resolve(port)));
    server.once('error', () => resolve(freePort()));
  });
}
