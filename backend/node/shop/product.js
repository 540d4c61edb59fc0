/** A product's detail, as the database gives it: twelve statements on one connection. */

/** Reviews, questions and related products shown with a product. */
const SHOWN = 4;

const BASICS = 'SELECT name, about, category, seller FROM product WHERE id = $1';
const PRICE = 'SELECT cents FROM price WHERE product = $1';
const STOCK = 'SELECT quantity FROM stock WHERE product = $1';
const PROMOTION = 'SELECT percent FROM promotion WHERE category = $1';
const DELIVERY = 'SELECT days, cents FROM delivery WHERE category = $1';
const CATEGORY = 'SELECT name FROM category WHERE id = $1';
const SELLER = 'SELECT name, town FROM seller WHERE id = $1';
const SELLER_RATING = 'SELECT count(*) AS reviews, avg(stars) AS stars FROM review JOIN product ON product.id = review.product WHERE seller = $1';
const RATING = 'SELECT count(*) AS reviews, avg(stars) AS stars FROM review WHERE product = $1';
const REVIEWS = 'SELECT stars, text FROM review WHERE product = $1 ORDER BY id DESC LIMIT $2';
const QUESTIONS = 'SELECT text, answer FROM question WHERE product = $1 ORDER BY id DESC LIMIT $2';
const RELATED = 'SELECT id, name FROM product WHERE category = $1 AND id <> $2 ORDER BY id LIMIT $3';

/**
 * Reads product `id`, one statement after the other; undefined when there is none.
 * @param {import('../store/database.js').Database} database
 * @param {number} id
 */
export function readProduct(database, id) {
  return database.with(async (connection) => {
    const all = async (sql, ...values) => (await connection.run(sql, values)).rows;
    const one = async (sql, ...values) => (await all(sql, ...values))[0];
    const basics = await one(BASICS, id);
    if (!basics) return undefined;
    const { name, about, category, seller } = basics;
    const price = await one(PRICE, id);
    const stock = await one(STOCK, id);
    const promotion = await one(PROMOTION, category);
    const delivery = await one(DELIVERY, category);
    const aisle = await one(CATEGORY, category);
    const sold = await one(SELLER, seller);
    const standing = await one(SELLER_RATING, seller);
    return {
      id,
      name,
      about,
      cents: price.cents,
      in_stock: stock.quantity,
      category: aisle.name,
      promotion: promotion?.percent ?? null,
      seller: { ...sold, rating: standing },
      delivery,
      rating: await one(RATING, id),
      reviews: await all(REVIEWS, id, SHOWN),
      questions: await all(QUESTIONS, id, SHOWN),
      related: await all(RELATED, category, id, SHOWN),
    };
  });
}
