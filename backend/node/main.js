/**
 * The shop on Node.js, Deno or Bun: `node main.js [--listen ADDR] [--control ADDR] [--workers N] [--rows N]
 * [--cache-protection KIND] [--follow-stdin]`.
 *
 * The token of control and probe is taken from `DYNO_TOKEN`, the stores from `DYNO_DATABASE_URL`,
 * `DYNO_CACHE_URL` and `DYNO_BROKER_URL`.
 */
import { options } from './settings.js';
import { supervise } from './supervisor/index.js';

try {
  await supervise(options(process.argv.slice(2)));
  process.exit(0);
} catch (e) {
  console.error(`shop: ${e.message}`);
  process.exit(2);
}
