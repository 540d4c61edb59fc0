//! `GET /orders/{id}/invoice`: the invoice of one of the customer's orders, which billing makes while the customer waits.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};

use super::Shop;
use super::answer::{Path, Refusal};
use super::sessions::LoggedIn;
use crate::broker::{Bought, Content, Placed};
use crate::store::{Row, StoreError, values};

/// Invoices are tables.
const CSV: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/csv; charset=utf-8")];

pub async fn invoice(
    State(shop): State<Arc<Shop>>,
    LoggedIn(session): LoggedIn,
    Path(order): Path<i64>,
) -> Result<([(HeaderName, &'static str); 1], Bytes), Refusal> {
    let rows = shop.database.rows(LINES, values![order, session.customer]).await?;
    let first = rows.first().ok_or_else(|| Refusal::not_found("there is no such order of yours"))?;
    let content = Content {
        customer: session.customer,
        at_ms: first.get(0)?,
        cents: first.get(1)?,
        lines: rows.iter().map(line).collect::<Result<_, StoreError>>()?,
    };
    let made = shop.services.invoice(&Placed { order, content }).await;
    let text = made.map_err(|why| Refusal::new(StatusCode::BAD_GATEWAY, format!("billing: {why}")))?;
    Ok((CSV, text))
}

const LINES: &str = "
    SELECT at_ms, p.cents, product, quantity, line.cents
    FROM purchase AS p JOIN purchase_line AS line ON line.purchase = p.id
    WHERE p.id = ?1 AND p.customer = ?2 ORDER BY product";

fn line(row: &Row) -> Result<Bought, StoreError> {
    Ok(Bought { product: row.get(2)?, quantity: row.get(3)?, cents: row.get(4)? })
}
