/** A RabbitMQ node for the tests, apart from whatever the package may have started. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PASSWORD, asUser, connects, environment, found, freePort, privateFolder, run } from './servers.js';

/** Ports are free when they are looked for; another process may be faster than a node, which takes seconds to boot. */
const TRIES = 3;

/** A node with nothing in it, and its port mapper; `stop` ends both, `ask` is rabbitmqctl. */
export async function startRabbit() {
  for (let tries = TRIES; ; tries--) {
    try {
      return await started();
    } catch (e) {
      if (tries === 1) throw e;
    }
  }
}

async function started() {
  const mapperPort = await freePort();
  const epmd = found(['/usr/bin/epmd', '/usr/local/bin/epmd'], 'rabbitmq-server');
  const mapper = await run(epmd, ['-port', mapperPort, '-address', '127.0.0.1'], privateFolder(), () => connects(mapperPort));
  try {
    const node = await startNode(mapperPort);
    const stop = async () => {
      await node.stop();
      await mapper.stop();
    };
    return { ...node, stop };
  } catch (e) {
    await mapper.stop();
    throw e;
  }
}

async function startNode(mapperPort) {
  const [folder, port, distPort] = [privateFolder(), await freePort(), await freePort()];
  writeFileSync(join(folder, 'rabbitmq.conf'), `default_user = tester\ndefault_pass = ${PASSWORD}\nloopback_users = none\n`);
  writeFileSync(join(folder, 'plugins'), '[].');
  const env = variables(folder, port, distPort, mapperPort);
  const log = join(folder, 'log.txt');
  const isUp = async () => {
    if (!existsSync(log) || !readFileSync(log, 'utf8').includes('Server startup complete')) throw new Error('it is not up yet');
  };
  const { pid, stop } = await run(script('rabbitmq-server'), [], folder, isUp, env);
  const ask = (...parts) => execFileSync(...asUser(script('rabbitmqctl'), ['-q', ...parts]), { cwd: folder, env, stdio: 'pipe' }).toString();
  return { url: `amqp://tester:${PASSWORD}@127.0.0.1:${port}/%2f`, pid, ask, stop };
}

function variables(folder, port, distPort, mapperPort) {
  return {
    ...environment(folder),
    RABBITMQ_NODENAME: 'dyno-test@localhost',
    RABBITMQ_CONF_ENV_FILE: join(folder, 'none'),
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_MNESIA_BASE: join(folder, 'data'),
    RABBITMQ_LOG_BASE: join(folder, 'logs'),
    RABBITMQ_LOGS: '-',
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'plugins'),
    RABBITMQ_PID_FILE: join(folder, 'pid'),
    RABBITMQ_GENERATED_CONFIG_DIR: join(folder, 'generated'),
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    ERL_EPMD_PORT: String(mapperPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    // It sizes its table of descriptors by it.
    ERL_MAX_PORTS: '1024',
    // Without a supervising shell in between, which would outlive its own death.
    detached: '1',
  };
}

/** The package's own scripts behind those that want to become its system user. */
function script(name) {
  return found([`/usr/lib/rabbitmq/bin/${name}`], 'rabbitmq-server');
}
