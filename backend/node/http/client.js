/** Requests of this backend's processes to one another, on loopback, with its token. */
import http from './platform.js';

/** Whoever does not answer for so long has failed, ms. */
const PATIENCE_MS = 10_000;

/**
 * Gives the answer's text; rejects when its status is none of success.
 * @param {{ port: number, method?: string, path: string, body?: unknown, agent?: import('node:http').Agent }} what
 * @returns {Promise<string>}
 */
export function call({ port, method = 'POST', path, body, agent }) {
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = { Authorization: `Bearer ${process.env.DYNO_TOKEN}`, 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, method, path, headers, agent, timeout: PATIENCE_MS }, (response) => {
      const isWell = response.statusCode >= 200 && response.statusCode < 300;
      let said = '';
      response.setEncoding('utf8').on('data', (piece) => (said += piece));
      response.on('end', () => (isWell ? resolve(said) : reject(new Error(`status ${response.statusCode}`))));
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', reject);
    request.end(text);
  });
}
