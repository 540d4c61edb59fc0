//! `GET /export`: all offers as CSV, in the form that `POST /import` reads, written as a stream.
//!
//! Memory does not grow with the table: one page of rows is held at a time, and the next one is read when the client has
//! taken it. Each page begins behind the last key, so it costs the same wherever it is.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::Shop;
use super::import::HEADER;
use super::sessions::LoggedIn;
use crate::store::{Row, StoreError, values};

/// Rows read in one statement: reading them takes about as long as the round trip.
const PAGE: u32 = 2_000;

/// How far an export has come.
enum Progress {
    Header,
    After(String),
    Done,
}

pub async fn export(State(shop): State<Arc<Shop>>, _customer: LoggedIn) -> Response {
    let pieces = stream::try_unfold((shop, Progress::Header), |(shop, progress)| async move {
        let after = match progress {
            Progress::Header => {
                let head = Bytes::from(format!("{}\n", HEADER.join(",")));
                return Ok(Some((head, (shop, Progress::After(String::new())))));
            }
            Progress::After(sku) => sku,
            Progress::Done => return Ok(None),
        };
        let rows = shop.database.rows(NEXT, values![after, PAGE]).await?;
        let text = rows.iter().map(line).collect::<Result<String, _>>()?;
        let next = match rows.last() {
            Some(last) if rows.len() == PAGE as usize => Progress::After(last.get(0)?),
            _ => Progress::Done,
        };
        // A database that fails breaks the answer off, so that nobody takes a part for the whole.
        Ok::<_, StoreError>(Some((Bytes::from(text), (shop, next))))
    });
    ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], Body::from_stream(pieces)).into_response()
}

const NEXT: &str = "SELECT sku, name, cents, quantity FROM offer WHERE sku > ?1 ORDER BY sku LIMIT ?2";

fn line(row: &Row) -> Result<String, StoreError> {
    let text = |column| row.get::<String>(column).map(|t| quoted(&t));
    Ok(format!("{},{},{},{}\n", text(0)?, text(1)?, row.get::<u32>(2)?, row.get::<u32>(3)?))
}

/// A field as RFC 4180 has it.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_where_it_must_be() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
