/** A PostgreSQL server for tests in other languages: prints its URL as a line, and ends when standard input does. */
import { startPostgres } from './servers.js';

const { url, stop } = await startPostgres();
console.log(url);
process.stdin.on('end', () => void stop().then(() => process.exit(0))).resume();
