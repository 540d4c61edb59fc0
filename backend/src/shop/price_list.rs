//! `GET /price-list?rows=N`: the supplier's price list with the shop's own prices, as JSON.
//!
//! Owns the list as the supplier sent it and how a row is priced. Whether it is read and written in one go or in
//! pieces is the choice between the fault `big-json` and its cure.

use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::Shop;
use super::answer::{Query, Refusal};
use crate::faults::big_json;

/// Rows of the supplier's list: about five megabytes.
pub const ROWS: usize = 50_000;

#[derive(Deserialize)]
pub struct Wanted {
    #[serde(default = "all")]
    rows: usize,
}

const fn all() -> usize {
    ROWS
}

/// The list as the supplier sent it: one JSON object after the other, and where each ends.
pub struct SupplierList {
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// A row as the supplier sent it.
#[derive(Serialize, Deserialize)]
struct Offered {
    sku: String,
    name: String,
    cents: u32,
    quantity: u32,
}

/// A row as the shop gives it on.
#[derive(Serialize)]
struct Priced<'a> {
    sku: &'a str,
    name: &'a str,
    cents: u32,
    ours: u32,
    quantity: u32,
}

impl SupplierList {
    /// Kept from its first use on, since few workers ever need it.
    pub fn get() -> Arc<Self> {
        static LIST: OnceLock<Arc<SupplierList>> = OnceLock::new();
        LIST.get_or_init(|| Arc::new(Self::make(ROWS))).clone()
    }

    /// The same list on every machine.
    pub fn make(rows: usize) -> Self {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for n in 0..rows as u32 {
            let row = Offered {
                sku: format!("S-{n:06}"),
                name: format!("Spare part {n} for \"model {}\"", n % 97),
                cents: 100 + n.wrapping_mul(7_919) % 90_000,
                quantity: n % 1_000,
            };
            serde_json::to_writer(&mut text, &row).expect("a row has string keys, and memory takes it");
            ends.push(text.len());
        }
        Self { text, ends }
    }

    /// Row `n`, as text.
    pub fn row(&self, n: usize) -> &[u8] {
        let start = if n == 0 { 0 } else { self.ends[n - 1] };
        &self.text[start..self.ends[n]]
    }
}

/// Writes a row with the shop's price: a quarter on top.
pub fn priced(row: &[u8], out: &mut Vec<u8>) -> serde_json::Result<()> {
    let Offered { sku, name, cents, quantity } = serde_json::from_slice(row)?;
    serde_json::to_writer(out, &Priced { sku: &sku, name: &name, cents, ours: ours(cents), quantity })
}

/// The shop's price.
pub fn ours(cents: u32) -> u32 {
    cents + cents / 4
}

pub async fn price_list(
    State(shop): State<Arc<Shop>>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    let rows = wanted.rows;
    if !(1..=ROWS).contains(&rows) {
        return Err(Refusal::bad(format!("rows is {rows}, expected 1 to {ROWS}")));
    }
    let list = tokio::task::spawn_blocking(SupplierList::get)
        .await
        .map_err(|e| crate::store::StoreError::Failed(e.to_string().into()))?;
    let body = match big_json::in_one_go(&shop.faults, &list, rows) {
        Some(whole) => Body::from(whole),
        None => Body::from_stream(big_json::in_pieces(list, rows)),
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
