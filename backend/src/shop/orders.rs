//! `GET /orders`: the customer's last orders, with their lines, in one statement.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Shop;
use super::answer::Answer;
use super::sessions::LoggedIn;
use crate::store::{Row, StoreError, values};

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
    let rows = shop.database.rows(LAST, values![session.customer, SHOWN]).await?;
    Ok(Json(Orders { orders: read(&rows)? }))
}

const LAST: &str = "
    SELECT id, at_ms, p.cents, product, quantity, line.cents
    FROM (SELECT * FROM purchase WHERE customer = ?1 ORDER BY id DESC LIMIT ?2) AS p
    JOIN purchase_line AS line ON line.purchase = p.id ORDER BY id DESC, product";

fn read(rows: &[Row]) -> Result<Vec<Order>, StoreError> {
    let mut orders: Vec<Order> = Vec::new();
    for r in rows {
        let id = r.get(0)?;
        let line = Line { product: r.get(3)?, quantity: r.get(4)?, cents: r.get(5)? };
        match orders.last_mut() {
            Some(order) if order.id == id => order.lines.push(line),
            _ => orders.push(Order { id, at_ms: r.get(1)?, cents: r.get(2)?, lines: vec![line] }),
        }
    }
    Ok(orders)
}
