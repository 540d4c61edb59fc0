//! `GET /dashboard`: how the shop is doing, from independent queries.
//!
//! Each takes a connection of its own. Whether they are awaited together is the choice between the fault
//! `serial-queries` and its cure.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Shop;
use super::answer::Answer;
use super::catalogue::Listed;
use super::sessions::LoggedIn;
use crate::faults::serial_queries;
use crate::store::{Database, FromValue, Row, StoreError, values};

/// Rows in each list.
const SHOWN: u32 = 5;

#[derive(Serialize)]
pub struct Dashboard {
    customers: u32,
    sessions: u32,
    last_orders: Vec<Order>,
    dearest: Vec<Listed>,
    best_rated: Vec<Rated>,
    scarcest: Vec<InStock>,
}

#[derive(Serialize)]
struct Order {
    id: i64,
    at_ms: i64,
    cents: i64,
}

#[derive(Serialize)]
struct Rated {
    product: u32,
    stars: f64,
}

#[derive(Serialize)]
struct InStock {
    product: u32,
    quantity: u32,
}

pub async fn show(State(shop): State<Arc<Shop>>, _customer: LoggedIn) -> Answer<Dashboard> {
    let db = &shop.database;
    let questions = (
        number(db, CUSTOMERS),
        number(db, SESSIONS),
        list(db, LAST_ORDERS, |r| Ok(Order { id: r.get(0)?, at_ms: r.get(1)?, cents: r.get(2)? })),
        list(db, DEAREST, Listed::read),
        list(db, BEST_RATED, |r| Ok(Rated { product: r.get(0)?, stars: r.get(1)? })),
        list(db, SCARCEST, |r| Ok(InStock { product: r.get(0)?, quantity: r.get(1)? })),
    );
    let (customers, sessions, last_orders, dearest, best_rated, scarcest) =
        serial_queries::ask(&shop.faults, questions).await?;
    Ok(Json(Dashboard { customers, sessions, last_orders, dearest, best_rated, scarcest }))
}

const CUSTOMERS: &str = "SELECT count(*) FROM customer";
const SESSIONS: &str = "SELECT count(*) FROM session";
const LAST_ORDERS: &str = "SELECT id, at_ms, cents FROM purchase ORDER BY id DESC LIMIT ?1";
const DEAREST: &str = "
    SELECT product.id, name, cents FROM product JOIN price ON price.product = product.id
    ORDER BY cents DESC, product.id LIMIT ?1";
const BEST_RATED: &str = "
    SELECT product, CAST(avg(stars) AS DOUBLE PRECISION) FROM review GROUP BY product
    ORDER BY avg(stars) DESC, product LIMIT ?1";
const SCARCEST: &str = "SELECT product, quantity FROM stock ORDER BY quantity, product LIMIT ?1";

async fn number<T: FromValue>(db: &Database, sql: &'static str) -> Result<T, StoreError> {
    let row = db.row(sql, Vec::new()).await?;
    row.ok_or_else(|| StoreError::failed("a count gave no row"))?.get(0)
}

async fn list<T>(
    db: &Database,
    sql: &'static str,
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    db.rows(sql, values![SHOWN]).await?.iter().map(read).collect()
}
