//! `GET /orders`: the customer's last orders, with their lines, in one statement.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use rusqlite::params;
use serde::Serialize;

use super::Shop;
use super::answer::Answer;
use super::sessions::LoggedIn;

/// Orders shown.
const SHOWN: u32 = 20;

#[derive(Serialize)]
pub struct Orders {
    orders: Vec<Order>,
}

#[derive(Serialize)]
struct Order {
    id: i64,
    at_ms: i64,
    cents: i64,
    lines: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    product: u32,
    quantity: u32,
    cents: u32,
}

pub async fn list(State(shop): State<Arc<Shop>>, LoggedIn(session): LoggedIn) -> Answer<Orders> {
    let customer = session.customer;
    let orders = shop.database.run(move |db| read(db, customer)).await?;
    Ok(Json(Orders { orders }))
}

fn read(db: &mut rusqlite::Connection, customer: u32) -> rusqlite::Result<Vec<Order>> {
    let mut statement = db.prepare_cached(
        "SELECT id, at_ms, p.cents, product, quantity, line.cents
         FROM (SELECT * FROM purchase WHERE customer = ?1 ORDER BY id DESC LIMIT ?2) AS p
         JOIN purchase_line AS line ON line.purchase = p.id ORDER BY id DESC, product",
    )?;
    let mut rows = statement.query(params![customer, SHOWN])?;
    let mut orders: Vec<Order> = Vec::new();
    while let Some(r) = rows.next()? {
        let id = r.get(0)?;
        let line = Line { product: r.get(3)?, quantity: r.get(4)?, cents: r.get(5)? };
        match orders.last_mut() {
            Some(order) if order.id == id => order.lines.push(line),
            _ => orders.push(Order { id, at_ms: r.get(1)?, cents: r.get(2)?, lines: vec![line] }),
        }
    }
    Ok(orders)
}
