//! `POST /import/supplier?megabytes=N`: imports the file that a supplier has put up, of about that size.
//!
//! Owns the file, which is made as it is read: a stream of chunks, as from a socket, so that a scenario can import a gigabyte
//! without sending one. What happens to it is the import's business.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use futures_util::stream::unfold;
use serde::Deserialize;

use super::Shop;
use super::answer::{Answer, Query, Refusal};
use super::import::{self, Imported};
use super::sessions::LoggedIn;

/// Largest file, MiB.
const MOST: u64 = 1_024;
/// Bytes of a chunk: what a socket gives at once.
const CHUNK: usize = 64 * 1_024;
/// Different products in the file: later rows bring newer prices of the same ones, so the database does not grow with it.
const SKUS: u64 = 10_000;

#[derive(Deserialize)]
pub struct Wanted {
    megabytes: u64,
}

pub async fn import(
    State(shop): State<Arc<Shop>>,
    _customer: LoggedIn,
    Query(wanted): Query<Wanted>,
) -> Answer<Imported> {
    let megabytes = wanted.megabytes;
    if !(1..=MOST).contains(&megabytes) {
        return Err(Refusal::bad(format!("megabytes is {megabytes}, expected 1 to {MOST}")));
    }
    import::read(&shop, file(megabytes << 20)).await
}

/// At least `bytes` long, and less than a chunk and a row longer.
fn file(bytes: u64) -> Body {
    let chunks = unfold((0, 0), move |(row, made)| async move {
        let (chunk, next) = if made < bytes { chunk(row) } else { return None };
        let made = made + chunk.len() as u64;
        Some((Ok::<_, Infallible>(Bytes::from(chunk)), (next, made)))
    });
    Body::from_stream(chunks)
}

/// Rows from number `row` on, and the number of the next one. The header stands before row 0.
fn chunk(mut row: u64) -> (String, u64) {
    let mut text = String::with_capacity(CHUNK + 256);
    if row == 0 {
        text.push_str("sku,name,cents,quantity\n");
    }
    while text.len() < CHUNK {
        // About 200 bytes, as long as a name may be.
        let (sku, cents) = (row % SKUS, 100 + row % 9_000);
        let _ = writeln!(
            text,
            "supply-{sku:05},\"Spare part {sku}, {:.<150}\",{cents},{}",
            "fits all models ",
            row % 500
        );
        row += 1;
    }
    (text, row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_has_its_size_one_header_and_rows_that_go_on() {
        let whole = axum::body::to_bytes(file(300_000), usize::MAX).await.unwrap();
        assert!((300_000..300_000 + CHUNK + 256).contains(&whole.len()), "{}", whole.len());
        let text = std::str::from_utf8(&whole).unwrap();
        assert_eq!((text.matches("sku,name").count(), text.ends_with('\n')), (1, true));
        for (n, line) in text.lines().skip(1).enumerate() {
            assert!(line.starts_with(&format!("supply-{n:05},\"Spare part {n}, fits")), "{line}");
        }
    }
}
