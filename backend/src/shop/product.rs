//! A product's detail, as the database gives it: twelve statements on one connection.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::store::{Checkout, Row, StoreError, Value, values};

/// Reviews, questions and related products shown with a product.
const SHOWN: u32 = 4;

/// Everything that the page of a product shows.
#[derive(Debug, Serialize, Deserialize)]
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

#[derive(Debug, Serialize, Deserialize)]
struct Seller {
    name: String,
    town: String,
    /// Over all that it sells.
    rating: Rating,
}

#[derive(Debug, Serialize, Deserialize)]
struct Delivery {
    days: u32,
    cents: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Rating {
    reviews: u32,
    /// None where nobody has judged.
    stars: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Review {
    stars: u32,
    text: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Question {
    text: String,
    answer: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Related {
    id: u32,
    name: String,
}

/// Reads product `id`, one statement after the other; `None` when there is none.
pub async fn read(db: &mut Checkout, id: u32) -> Result<Option<Arc<ProductDetail>>, StoreError> {
    let Some(basics) = db.row(BASICS, values![id]).await? else { return Ok(None) };
    let (category, seller): (u32, u32) = (basics.get(2)?, basics.get(3)?);
    let cents = one(db, PRICE, values![id]).await?.get(0)?;
    let in_stock = one(db, STOCK, values![id]).await?.get(0)?;
    let promotion = db.row(PROMOTION, values![category]).await?.map(|r| r.get(0)).transpose()?;
    let delivery = delivery(&one(db, DELIVERY, values![category]).await?)?;
    let category_name = one(db, CATEGORY, values![category]).await?.get(0)?;
    let sold_by = one(db, SELLER, values![seller]).await?;
    let standing = rating(&one(db, SELLER_RATING, values![seller]).await?)?;
    let own_rating = rating(&one(db, RATING, values![id]).await?)?;
    let reviews = all(db, REVIEWS, values![id, SHOWN], review).await?;
    let questions = all(db, QUESTIONS, values![id, SHOWN], question).await?;
    let related = all(db, RELATED, values![category, id, SHOWN], related).await?;
    Ok(Some(Arc::new(ProductDetail {
        id,
        name: basics.get(0)?,
        about: basics.get(1)?,
        cents,
        in_stock,
        category: category_name,
        promotion,
        seller: Seller { name: sold_by.get(0)?, town: sold_by.get(1)?, rating: standing },
        delivery,
        rating: own_rating,
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
const SELLER_RATING: &str = "SELECT count(*), CAST(avg(stars) AS DOUBLE PRECISION) FROM review JOIN product ON product.id = review.product WHERE seller = ?1";
const RATING: &str = "SELECT count(*), CAST(avg(stars) AS DOUBLE PRECISION) FROM review WHERE product = ?1";
const REVIEWS: &str = "SELECT stars, text FROM review WHERE product = ?1 ORDER BY id DESC LIMIT ?2";
const QUESTIONS: &str = "SELECT text, answer FROM question WHERE product = ?1 ORDER BY id DESC LIMIT ?2";
const RELATED: &str = "SELECT id, name FROM product WHERE category = ?1 AND id <> ?2 ORDER BY id LIMIT ?3";

async fn one(db: &mut Checkout, sql: &'static str, with: Vec<Value>) -> Result<Row, StoreError> {
    db.row(sql, with).await?.ok_or_else(|| StoreError::failed("a row that a product must have is missing"))
}

async fn all<T>(
    db: &mut Checkout,
    sql: &'static str,
    with: Vec<Value>,
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    db.rows(sql, with).await?.iter().map(read).collect()
}

fn delivery(r: &Row) -> Result<Delivery, StoreError> {
    Ok(Delivery { days: r.get(0)?, cents: r.get(1)? })
}

fn rating(r: &Row) -> Result<Rating, StoreError> {
    Ok(Rating { reviews: r.get(0)?, stars: r.get(1)? })
}

fn review(r: &Row) -> Result<Review, StoreError> {
    Ok(Review { stars: r.get(0)?, text: r.get(1)? })
}

fn question(r: &Row) -> Result<Question, StoreError> {
    Ok(Question { text: r.get(0)?, answer: r.get(1)? })
}

fn related(r: &Row) -> Result<Related, StoreError> {
    Ok(Related { id: r.get(0)?, name: r.get(1)? })
}
