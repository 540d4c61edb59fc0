//! `GET /products?page=N` and `GET /products/{id}`: browsing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Shop;
use super::answer::{Answer, Path, Query, Refusal};
use super::product::ProductDetail;
use super::product_cache::LoadError;
use crate::faults::query_fan_out;
use crate::store::{Row, StoreError};

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

/// A product as lists show it.
#[derive(Serialize)]
pub struct Listed {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its price.
    pub cents: u32,
}

pub async fn page(State(shop): State<Arc<Shop>>, Query(wanted): Query<Wanted>) -> Answer<Page> {
    let page = wanted.page;
    if !(1..=MAX_PAGE).contains(&page) {
        return Err(Refusal::bad(format!("page is {page}, expected 1 to {MAX_PAGE}")));
    }
    // Products are numbered without gaps, so a page is a range of the primary key and costs no offset.
    let products = query_fan_out::page(&shop.database, &shop.faults, (page - 1) * PAGE, PAGE).await?;
    Ok(Json(Page { page, products }))
}

impl Listed {
    /// From number, name and price.
    pub fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self { id: row.get(0)?, name: row.get(1)?, cents: row.get(2)? })
    }
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
