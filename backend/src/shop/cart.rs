//! `POST /cart`: puts a product into the session's cart.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Shop;
use super::answer::{Answer, Body, Object, Refusal};
use super::sessions::LoggedIn;
use crate::store::values;

/// Of one product in one cart.
pub const MAX_QUANTITY: u32 = 99;

/// Nothing else: whoever sends more (`__proto__`, say) tries something.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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
    Body(Object(item)): Body<Object<Item>>,
) -> Answer<InCart> {
    let Item { product, quantity } = item;
    if !(1..=MAX_QUANTITY).contains(&quantity) {
        return Err(Refusal::bad(format!("quantity is {quantity}, expected 1 to {MAX_QUANTITY}")));
    }
    let with = values![session.id.bytes(), product, quantity, MAX_QUANTITY];
    let in_cart = shop.database.row(PUT, with).await?;
    let in_cart = in_cart.ok_or_else(|| Refusal::not_found("there is no such product"))?;
    Ok(Json(InCart { product, quantity: in_cart.get(0)? }))
}

/// Gives no row when there is no such product.
const PUT: &str = "
    INSERT INTO cart (session, product, quantity) SELECT ?1, id, ?3 FROM product WHERE id = ?2
    ON CONFLICT (session, product) DO UPDATE SET quantity =
      CASE WHEN cart.quantity + excluded.quantity > ?4 THEN ?4 ELSE cart.quantity + excluded.quantity END
    RETURNING quantity";
