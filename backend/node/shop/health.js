/** `GET /`, `GET /healthz`, `GET /readyz`: is somebody there, and can work be sent here? */
import { Refusal } from '../http/refusal.js';

/** @param {import('./index.js').Shop} shop */
export function healthRoutes(shop) {
  return [
    { method: 'GET', template: '/', handle: async () => ({ status: 'open' }) },
    { method: 'GET', template: '/healthz', handle: async () => ({ status: 'alive' }) },
    { method: 'GET', template: '/readyz', handle: () => ready(shop) },
  ];
}

/** The process does not end just now, and its database answers. */
async function ready(shop) {
  if (shop.draining) throw new Refusal(503, 'this worker is about to end');
  await shop.database.run('SELECT 1');
  return { status: 'ready' };
}
