//! A product's detail, as the database gives it: twelve statements on one connection.

use std::sync::Arc;

use rusqlite::{OptionalExtension, Params, Row, params};
use serde::Serialize;

use crate::store::{Checkout, StoreError};

/// Reviews, questions and related products shown with a product.
const SHOWN: u32 = 4;

/// Everything that the page of a product shows.
#[derive(Debug, Serialize)]
pub struct ProductDetail {
    id: u32,
    name: String,
    about: String,
    cents: u32,
    in_stock: u32,
    category: String,
    /// Percent off, where there is a promotion.
    promotion: Option<u32>,
    seller: Seller,
    delivery: Delivery,
    rating: Rating,
    reviews: Vec<Review>,
    questions: Vec<Question>,
    related: Vec<Related>,
}

#[derive(Debug, Serialize)]
struct Seller {
    name: String,
    town: String,
    /// Over all that it sells.
    rating: Rating,
}

#[derive(Debug, Serialize)]
struct Delivery {
    days: u32,
    cents: u32,
}

#[derive(Debug, Serialize)]
struct Rating {
    reviews: u32,
    /// None where nobody has judged.
    stars: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Review {
    stars: u32,
    text: String,
}

#[derive(Debug, Serialize)]
struct Question {
    text: String,
    answer: String,
}

#[derive(Debug, Serialize)]
struct Related {
    id: u32,
    name: String,
}

/// The product's own row.
struct Basics {
    name: String,
    about: String,
    category: u32,
    seller: u32,
}

/// Reads product `id`, one statement after the other; `None` when there is none.
pub async fn read(db: &mut Checkout, id: u32) -> Result<Option<Arc<ProductDetail>>, StoreError> {
    let basics = db.run(move |c| optional(c, BASICS, [id], basics)).await?;
    let Some(Basics { name, about, category, seller }) = basics else { return Ok(None) };
    let cents = db.run(move |c| one(c, PRICE, [id], number)).await?;
    let in_stock = db.run(move |c| one(c, STOCK, [id], number)).await?;
    let promotion = db.run(move |c| optional(c, PROMOTION, [category], number)).await?;
    let delivery = db.run(move |c| one(c, DELIVERY, [category], delivery)).await?;
    let category_name = db.run(move |c| one(c, CATEGORY, [category], |r| r.get(0))).await?;
    let (seller_name, town) =
        db.run(move |c| one(c, SELLER, [seller], |r| Ok((r.get(0)?, r.get(1)?)))).await?;
    let standing = db.run(move |c| one(c, SELLER_RATING, [seller], rating)).await?;
    let rating = db.run(move |c| one(c, RATING, [id], rating)).await?;
    let reviews = db.run(move |c| all(c, REVIEWS, [id, SHOWN], review)).await?;
    let questions = db.run(move |c| all(c, QUESTIONS, [id, SHOWN], question)).await?;
    let related = db.run(move |c| all(c, RELATED, params![category, id, SHOWN], related)).await?;
    Ok(Some(Arc::new(ProductDetail {
        id,
        name,
        about,
        cents,
        in_stock,
        category: category_name,
        promotion,
        seller: Seller { name: seller_name, town, rating: standing },
        delivery,
        rating,
        reviews,
        questions,
        related,
    })))
}

const BASICS: &str = "SELECT name, about, category, seller FROM product WHERE id = ?1";
const PRICE: &str = "SELECT cents FROM price WHERE product = ?1";
const STOCK: &str = "SELECT quantity FROM stock WHERE product = ?1";
const PROMOTION: &str = "SELECT percent FROM promotion WHERE category = ?1";
const DELIVERY: &str = "SELECT days, cents FROM delivery WHERE category = ?1";
const CATEGORY: &str = "SELECT name FROM category WHERE id = ?1";
const SELLER: &str = "SELECT name, town FROM seller WHERE id = ?1";
const SELLER_RATING: &str =
    "SELECT count(*), avg(stars) FROM review JOIN product ON product.id = review.product WHERE seller = ?1";
const RATING: &str = "SELECT count(*), avg(stars) FROM review WHERE product = ?1";
const REVIEWS: &str = "SELECT stars, text FROM review WHERE product = ?1 ORDER BY id DESC LIMIT ?2";
const QUESTIONS: &str = "SELECT text, answer FROM question WHERE product = ?1 ORDER BY id DESC LIMIT ?2";
const RELATED: &str = "SELECT id, name FROM product WHERE category = ?1 AND id <> ?2 ORDER BY id LIMIT ?3";

type Db = rusqlite::Connection;

fn one<T>(
    db: &Db,
    sql: &str,
    with: impl Params,
    read: impl FnOnce(&Row) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    db.prepare_cached(sql)?.query_row(with, read)
}

fn optional<T>(
    db: &Db,
    sql: &str,
    with: impl Params,
    read: impl FnOnce(&Row) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    one(db, sql, with, read).optional()
}

fn all<T>(
    db: &Db,
    sql: &str,
    with: impl Params,
    read: impl FnMut(&Row) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    db.prepare_cached(sql)?.query_map(with, read)?.collect()
}

fn basics(r: &Row) -> rusqlite::Result<Basics> {
    Ok(Basics { name: r.get(0)?, about: r.get(1)?, category: r.get(2)?, seller: r.get(3)? })
}

fn number(r: &Row) -> rusqlite::Result<u32> {
    r.get(0)
}

fn delivery(r: &Row) -> rusqlite::Result<Delivery> {
    Ok(Delivery { days: r.get(0)?, cents: r.get(1)? })
}

fn rating(r: &Row) -> rusqlite::Result<Rating> {
    Ok(Rating { reviews: r.get(0)?, stars: r.get(1)? })
}

fn review(r: &Row) -> rusqlite::Result<Review> {
    Ok(Review { stars: r.get(0)?, text: r.get(1)? })
}

fn question(r: &Row) -> rusqlite::Result<Question> {
    Ok(Question { text: r.get(0)?, answer: r.get(1)? })
}

fn related(r: &Row) -> rusqlite::Result<Related> {
    Ok(Related { id: r.get(0)?, name: r.get(1)? })
}
