//! `GET /products?page=N` and `GET /products/{id}`: browsing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::Shop;
use super::answer::{Answer, Path, Query, Refusal};
use super::product::ProductDetail;
use super::product_cache::LoadError;

const PAGE: u32 = 20;
const MAX_PAGE: u32 = 100_000;

#[derive(Deserialize)]
pub struct Wanted {
    /// From 1.
    #[serde(default = "first")]
    page: u32,
}

const fn first() -> u32 {
    1
}

#[derive(Serialize)]
pub struct Page {
    page: u32,
    products: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    id: u32,
    name: String,
    cents: u32,
}

pub async fn page(State(shop): State<Arc<Shop>>, Query(wanted): Query<Wanted>) -> Answer<Page> {
    let page = wanted.page;
    if !(1..=MAX_PAGE).contains(&page) {
        return Err(Refusal::bad(format!("page is {page}, expected 1 to {MAX_PAGE}")));
    }
    let products = shop.database.run(move |db| listed(db, page)).await?;
    Ok(Json(Page { page, products }))
}

fn listed(db: &mut rusqlite::Connection, page: u32) -> rusqlite::Result<Vec<Listed>> {
    // Products are numbered without gaps, so a page is a range of the primary key and costs no offset.
    let after = (page - 1) * PAGE;
    db.prepare_cached(
        "SELECT product.id, name, cents FROM product JOIN price ON price.product = product.id
         WHERE product.id > ?1 ORDER BY product.id LIMIT ?2",
    )?
    .query_map(params![after, PAGE], |r| Ok(Listed { id: r.get(0)?, name: r.get(1)?, cents: r.get(2)? }))?
    .collect()
}

/// A detail that the cache keeps, too.
pub struct Shown(Arc<ProductDetail>);

impl Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

pub async fn detail(State(shop): State<Arc<Shop>>, Path(id): Path<u32>) -> Answer<Shown> {
    let detail = shop.products.get(id).await.map_err(refused)?;
    shop.ranking.viewed(id);
    Ok(Json(Shown(detail)))
}

/// Why there is no detail, for the client.
pub fn refused(e: LoadError) -> Refusal {
    match e {
        LoadError::NoSuchProduct => Refusal::not_found(e),
        LoadError::Store(e) => e.into(),
    }
}
