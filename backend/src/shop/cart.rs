//! `POST /cart`: puts a product into the session's cart.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::Shop;
use super::answer::{Answer, Body, Refusal};
use super::sessions::LoggedIn;

/// Of one product in one cart.
const MAX_QUANTITY: u32 = 99;

#[derive(Deserialize)]
pub struct Item {
    product: u32,
    quantity: u32,
}

#[derive(Serialize)]
pub struct InCart {
    product: u32,
    quantity: u32,
}

pub async fn add(
    State(shop): State<Arc<Shop>>,
    LoggedIn(session): LoggedIn,
    Body(item): Body<Item>,
) -> Answer<InCart> {
    let Item { product, quantity } = item;
    if !(1..=MAX_QUANTITY).contains(&quantity) {
        return Err(Refusal::bad(format!("quantity is {quantity}, expected 1 to {MAX_QUANTITY}")));
    }
    let session = session.id.bytes();
    let in_cart = shop.database.run(move |db| put(db, session, product, quantity)).await?;
    let quantity = in_cart.ok_or_else(|| Refusal::not_found("there is no such product"))?;
    Ok(Json(InCart { product, quantity }))
}

/// One statement; none when there is no such product.
fn put(
    db: &mut rusqlite::Connection,
    session: [u8; 16],
    product: u32,
    quantity: u32,
) -> rusqlite::Result<Option<u32>> {
    db.prepare_cached(
        "INSERT INTO cart (session, product, quantity) SELECT ?1, id, ?3 FROM product WHERE id = ?2
         ON CONFLICT DO UPDATE SET quantity = min(?4, quantity + excluded.quantity) RETURNING quantity",
    )?
    .query_row(params![session, product, quantity, MAX_QUANTITY], |r| r.get(0))
    .optional()
}
