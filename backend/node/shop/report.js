/** `GET /report`: all that is known of the whole catalogue, in one long answer. */

const ALL = `SELECT product.id, product.name, about, cents, quantity AS in_stock, seller.name AS seller, town
  FROM product JOIN price ON price.product = product.id JOIN stock ON stock.product = product.id
  JOIN seller ON seller.id = product.seller ORDER BY product.id`;

/** @param {import('./index.js').Shop} shop */
export function reportRoutes(shop) {
  return [
    {
      method: 'GET',
      template: '/report',
      handle: async ({ response }) => {
        const { rows } = await shop.database.run(ALL);
        await shop.faults.bigJson.write(response, rows);
      },
    },
  ];
}
