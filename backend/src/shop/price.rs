//! `PUT /products/{id}/price`: changes what a product costs, in the database, in the cache and for those who watch.
//!
//! Only the shop's keeper may: the customer of number 1. The cache follows by its [mode](crate::settings::CacheMode), and
//! other workers [hear of it](super::neighbours).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Shop;
use super::answer::{Answer, Body, Path, Refusal};
use super::neighbours::PriceChange;
use super::product_cache::LoadError;
use super::sessions::LoggedIn;
use crate::store::values;

/// Who keeps the shop.
const KEEPER: u32 = 1;
/// A million, in cents.
const MAX_CENTS: u32 = 100_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    cents: u32,
}

#[derive(Serialize)]
pub struct Changed {
    product: u32,
    cents: u32,
}

pub async fn change(
    State(shop): State<Arc<Shop>>,
    LoggedIn(session): LoggedIn,
    Path(product): Path<u32>,
    Body(wanted): Body<Wanted>,
) -> Answer<Changed> {
    if session.customer != KEEPER {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "only the shop's keeper changes prices"));
    }
    let cents = wanted.cents;
    if !(1..=MAX_CENTS).contains(&cents) {
        return Err(Refusal::bad(format!("cents is {cents}, expected 1 to {MAX_CENTS}")));
    }
    let changed = shop.database.row(CHANGE, values![product, cents]).await?;
    changed.ok_or_else(|| Refusal::not_found("there is no such product"))?;
    shop.products.changed(product).await.map_err(|e| match e {
        LoadError::NoSuchProduct => Refusal::not_found(e),
        LoadError::Store(e) => e.into(),
    })?;
    shop.feed.announce(product, cents);
    shop.neighbours.tell(PriceChange { product, cents });
    Ok(Json(Changed { product, cents }))
}

const CHANGE: &str = "UPDATE price SET cents = ?2 WHERE product = ?1 RETURNING cents";
