//! `POST /checkout`: turns the session's cart into an order.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::Shop;
use super::answer::{Answer, Refusal};
use super::sessions::LoggedIn;
use crate::store::now_ms;

#[derive(Serialize)]
pub struct Bought {
    order: i64,
    cents: i64,
}

/// What became of a checkout.
enum Outcome {
    Bought(Bought),
    SoldOut { product: u32 },
    Changed,
}

/// A line of the cart, with today's price.
struct Line {
    product: u32,
    quantity: u32,
    cents: u32,
}

pub async fn check_out(State(shop): State<Arc<Shop>>, LoggedIn(session): LoggedIn) -> Answer<Bought> {
    let (id, customer) = (session.id.bytes(), session.customer);
    let mut db = shop.database.checkout().await?;
    let lines = db.run(move |c| cart(c, id)).await?;
    if lines.is_empty() {
        return Err(Refusal::conflict("the cart is empty"));
    }
    match db.run(move |c| buy(c, id, customer, &lines)).await? {
        Outcome::Bought(bought) => Ok(Json(bought)),
        Outcome::SoldOut { product } => Err(Refusal::conflict(format!("product {product} is sold out"))),
        Outcome::Changed => Err(Refusal::conflict("the cart was changed meanwhile")),
    }
}

fn cart(db: &mut Connection, session: [u8; 16]) -> rusqlite::Result<Vec<Line>> {
    db.prepare_cached(
        "SELECT cart.product, quantity, cents FROM cart JOIN price ON price.product = cart.product
         WHERE session = ?1 ORDER BY cart.product",
    )?
    .query_map(params![session], |r| Ok(Line { product: r.get(0)?, quantity: r.get(1)?, cents: r.get(2)? }))?
    .collect()
}

/// The whole transaction, sent in one round trip: while it runs, nobody else writes.
fn buy(db: &mut Connection, session: [u8; 16], customer: u32, lines: &[Line]) -> rusqlite::Result<Outcome> {
    let all = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Two checkouts of one cart: the second finds it gone.
    let taken = all.prepare_cached("DELETE FROM cart WHERE session = ?1")?.execute(params![session])?;
    if taken != lines.len() {
        return Ok(Outcome::Changed);
    }
    if let Some(product) = take_stock(&all, lines)? {
        return Ok(Outcome::SoldOut { product });
    }
    let cents = lines.iter().map(|l| i64::from(l.cents) * i64::from(l.quantity)).sum();
    let order = write_order(&all, customer, cents, lines)?;
    all.commit()?;
    Ok(Outcome::Bought(Bought { order, cents }))
}

/// Gives the first product of which there is not enough.
fn take_stock(all: &Transaction, lines: &[Line]) -> rusqlite::Result<Option<u32>> {
    let mut take = all
        .prepare_cached("UPDATE stock SET quantity = quantity - ?2 WHERE product = ?1 AND quantity >= ?2")?;
    for line in lines {
        if take.execute(params![line.product, line.quantity])? == 0 {
            return Ok(Some(line.product));
        }
    }
    Ok(None)
}

fn write_order(all: &Transaction, customer: u32, cents: i64, lines: &[Line]) -> rusqlite::Result<i64> {
    all.prepare_cached("INSERT INTO purchase (customer, at_ms, cents) VALUES (?1, ?2, ?3)")?
        .execute(params![customer, now_ms(), cents])?;
    let order = all.last_insert_rowid();
    let mut write = all.prepare_cached("INSERT INTO purchase_line VALUES (?1, ?2, ?3, ?4)")?;
    for line in lines {
        write.execute(params![order, line.product, line.quantity, line.cents])?;
    }
    Ok(order)
}
