/**
 * The platform's HTTP, `node:http`, as it is required and not as it is imported: an import reads every export, and one of them loads a client of
 * `fetch` and WebSocket, which takes each process a twentieth of a second more to start.
 */
import { createRequire } from 'node:module';

export default /** @type {typeof import('node:http')} */ (createRequire(import.meta.url)('node:http'));
