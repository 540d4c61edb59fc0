//! A product's detail, as the database gives it: eight statements on one connection.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};
use serde::Serialize;

use crate::store::{Checkout, StoreError};

/// Reviews and related products shown with a product.
const SHOWN: u32 = 4;

/// Everything that the page of a product shows.
#[derive(Debug, Serialize)]
pub struct ProductDetail {
    id: u32,
    name: String,
    about: String,
    cents: u32,
    in_stock: u32,
    seller: Seller,
    delivery: Delivery,
    rating: Rating,
    reviews: Vec<Review>,
    related: Vec<Related>,
}

#[derive(Debug, Serialize)]
struct Seller {
    name: String,
    town: String,
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

/// Reads product `id`, statement by statement as an unhurried service does; `None` when there is none.
pub async fn read(db: &mut Checkout, id: u32) -> Result<Option<Arc<ProductDetail>>, StoreError> {
    let Some(basics) = db.run(move |c| basics(c, id)).await? else { return Ok(None) };
    let (category, seller) = (basics.category, basics.seller);
    let cents = db.run(move |c| number(c, "SELECT cents FROM price WHERE product = ?1", id)).await?;
    let in_stock = db.run(move |c| number(c, "SELECT quantity FROM stock WHERE product = ?1", id)).await?;
    let seller = db.run(move |c| read_seller(c, seller)).await?;
    let delivery = db.run(move |c| delivery(c, category)).await?;
    let rating = db.run(move |c| rating(c, id)).await?;
    let reviews = db.run(move |c| reviews(c, id)).await?;
    let related = db.run(move |c| related(c, category, id)).await?;
    let Basics { name, about, .. } = basics;
    Ok(Some(Arc::new(ProductDetail {
        id,
        name,
        about,
        cents,
        in_stock,
        seller,
        delivery,
        rating,
        reviews,
        related,
    })))
}

type Db = rusqlite::Connection;

fn basics(db: &mut Db, id: u32) -> rusqlite::Result<Option<Basics>> {
    db.prepare_cached("SELECT name, about, category, seller FROM product WHERE id = ?1")?
        .query_row(params![id], |r| {
            Ok(Basics { name: r.get(0)?, about: r.get(1)?, category: r.get(2)?, seller: r.get(3)? })
        })
        .optional()
}

fn number(db: &mut Db, sql: &'static str, id: u32) -> rusqlite::Result<u32> {
    db.prepare_cached(sql)?.query_row(params![id], |r| r.get(0))
}

fn read_seller(db: &mut Db, id: u32) -> rusqlite::Result<Seller> {
    db.prepare_cached("SELECT name, town FROM seller WHERE id = ?1")?
        .query_row(params![id], |r| Ok(Seller { name: r.get(0)?, town: r.get(1)? }))
}

fn delivery(db: &mut Db, category: u32) -> rusqlite::Result<Delivery> {
    db.prepare_cached("SELECT days, cents FROM delivery WHERE category = ?1")?
        .query_row(params![category], |r| Ok(Delivery { days: r.get(0)?, cents: r.get(1)? }))
}

fn rating(db: &mut Db, id: u32) -> rusqlite::Result<Rating> {
    db.prepare_cached("SELECT count(*), avg(stars) FROM review WHERE product = ?1")?
        .query_row(params![id], |r| Ok(Rating { reviews: r.get(0)?, stars: r.get(1)? }))
}

fn reviews(db: &mut Db, id: u32) -> rusqlite::Result<Vec<Review>> {
    db.prepare_cached("SELECT stars, text FROM review WHERE product = ?1 ORDER BY id DESC LIMIT ?2")?
        .query_map(params![id, SHOWN], |r| Ok(Review { stars: r.get(0)?, text: r.get(1)? }))?
        .collect()
}

fn related(db: &mut Db, category: u32, not: u32) -> rusqlite::Result<Vec<Related>> {
    db.prepare_cached("SELECT id, name FROM product WHERE category = ?1 AND id <> ?2 ORDER BY id LIMIT ?3")?
        .query_map(params![category, not, SHOWN], |r| Ok(Related { id: r.get(0)?, name: r.get(1)? }))?
        .collect()
}
