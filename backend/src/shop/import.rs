//! `POST /import`: offers of a supplier as CSV, read as a stream.
//!
//! Memory does not grow with the file: a chunk of the body, one record and one batch of rows are all
//! that is held. The client is slowed down by the database, since the next chunk is read only after a full batch is in.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use csv_core::{ReadRecordResult, Reader};
use futures_util::StreamExt;
use serde::Serialize;

use super::Shop;
use super::answer::{Answer, Refusal};
use super::sessions::LoggedIn;
use crate::faults::whole_file;
use crate::store::{Database, Step, values};

/// The first line must say this.
pub const HEADER: [&str; 4] = ["sku", "name", "cents", "quantity"];
/// Longest record, bytes.
const MAX_RECORD: usize = 4_096;
/// Most bytes of a file.
const MAX_FILE: u64 = 4 << 30;
/// Rows sent to the database in one round trip: writing them takes about as long as the trip itself,
/// and other writers wait no longer than that.
const BATCH: usize = 2_000;
const MAX_SKU: usize = 40;
const MAX_NAME: usize = 200;
const MAX_CENTS: u32 = 100_000_000;
const MAX_QUANTITY: u32 = 1_000_000;

#[derive(Serialize)]
pub struct Imported {
    rows: u64,
    bytes: u64,
}

/// One valid row.
struct Offer {
    sku: String,
    name: String,
    cents: u32,
    quantity: u32,
}

pub async fn import(State(shop): State<Arc<Shop>>, _customer: LoggedIn, body: Body) -> Answer<Imported> {
    read(&shop, body).await
}

/// Imports a file, wherever it comes from.
pub async fn read(shop: &Shop, body: Body) -> Answer<Imported> {
    let mut chunks = whole_file::opened(&shop.faults, body).await?.into_data_stream();
    let mut records = Records::new();
    let mut batch = Vec::with_capacity(BATCH);
    let mut done = Imported { rows: 0, bytes: 0 };
    let mut ended = false;
    while !ended {
        let chunk = match chunks.next().await {
            Some(chunk) => {
                chunk.map_err(|_| Refusal::bad(format!("line {}: the body broke off", records.line())))?
            }
            // csv-core takes an empty input for the end.
            None => Bytes::new(),
        };
        ended = chunk.is_empty();
        done.bytes += chunk.len() as u64;
        if done.bytes > MAX_FILE {
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("more than {MAX_FILE} bytes")));
        }
        let mut rest = &chunk[..];
        while let Some(record) = records.next(&mut rest)? {
            batch.extend(record);
            if batch.len() == BATCH {
                done.rows +=
                    insert(&shop.database, std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).await?;
            }
        }
    }
    if !records.headed {
        return Err(Refusal::bad(format!("line 1: expected the header {}", HEADER.join(","))));
    }
    done.rows += insert(&shop.database, batch).await?;
    Ok(Json(done))
}

/// Gives the number of rows. They go in sorted, so that imports of the same offers at once take them in one order and
/// never wait for each other in a circle; of several rows for an offer the last one stays the last.
async fn insert(database: &Database, mut batch: Vec<Offer>) -> Result<u64, Refusal> {
    let rows = batch.len() as u64;
    if rows > 0 {
        batch.sort_by(|a, b| a.sku.cmp(&b.sku));
        let put = |o: Offer| Step::new(PUT, values![o.sku, o.name, o.cents, o.quantity]);
        database.together(batch.into_iter().map(put).collect()).await?;
    }
    Ok(rows)
}

const PUT: &str = "
    INSERT INTO offer (sku, name, cents, quantity) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (sku) DO UPDATE
    SET name = excluded.name, cents = excluded.cents, quantity = excluded.quantity";

/// Takes chunks apart into valid rows.
struct Records {
    reader: Reader,
    text: Box<[u8; MAX_RECORD]>,
    text_len: usize,
    /// One more than a record has, so that a surplus field is seen.
    ends: [usize; HEADER.len() + 1],
    ends_len: usize,
    /// Line on which the record that is read now began.
    started: u64,
    headed: bool,
}

impl Records {
    fn new() -> Self {
        Self {
            reader: Reader::new(),
            text: Box::new([0; MAX_RECORD]),
            text_len: 0,
            ends: [0; HEADER.len() + 1],
            ends_len: 0,
            started: 1,
            headed: false,
        }
    }

    fn line(&self) -> u64 {
        self.started
    }

    /// The next whole record: a row, or nothing if it was the header. `None` when `input` is used up.
    /// An empty `input` means that the file has ended.
    fn next(&mut self, input: &mut &[u8]) -> Result<Option<Option<Offer>>, Refusal> {
        let at_end = input.is_empty();
        loop {
            let (result, read, text, ends) = self.reader.read_record(
                input,
                &mut self.text[self.text_len..],
                &mut self.ends[self.ends_len..],
            );
            *input = &input[read..];
            self.text_len += text;
            self.ends_len += ends;
            match result {
                ReadRecordResult::OutputFull => {
                    return Err(self.wrong(format!("a record has at most {MAX_RECORD} bytes")));
                }
                ReadRecordResult::OutputEndsFull => return Err(self.wrong(fields_expected())),
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::InputEmpty if !at_end => return Ok(None),
                // At the end of the file csv-core closes the last record and then says so.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record => {
                    let row = self.row()?;
                    (self.text_len, self.ends_len) = (0, 0);
                    self.started = self.reader.line();
                    return Ok(Some(row));
                }
            }
        }
    }

    fn row(&mut self) -> Result<Option<Offer>, Refusal> {
        if self.ends_len != HEADER.len() {
            return Err(self.wrong(fields_expected()));
        }
        let mut fields = [""; HEADER.len()];
        let mut start = 0;
        for (field, end) in fields.iter_mut().zip(self.ends) {
            *field =
                std::str::from_utf8(&self.text[start..end]).map_err(|_| self.wrong("it is not UTF-8"))?;
            start = end;
        }
        if !self.headed {
            if fields != HEADER {
                return Err(self.wrong(format!("expected the header {}", HEADER.join(","))));
            }
            self.headed = true;
            return Ok(None);
        }
        let [sku, name, cents, quantity] = fields;
        Ok(Some(Offer {
            sku: self.text_field("sku", sku, MAX_SKU)?,
            name: self.text_field("name", name, MAX_NAME)?,
            cents: self.number_field("cents", cents, MAX_CENTS)?,
            quantity: self.number_field("quantity", quantity, MAX_QUANTITY)?,
        }))
    }

    fn text_field(&self, what: &str, text: &str, max: usize) -> Result<String, Refusal> {
        match text.trim() {
            "" => Err(self.wrong(format!("{what} is empty"))),
            t if t.contains('\0') => Err(self.wrong(format!("{what} holds a NUL"))),
            t if t.len() > max => Err(self.wrong(format!("{what} has more than {max} bytes"))),
            t => Ok(t.to_owned()),
        }
    }

    fn number_field(&self, what: &str, text: &str, max: u32) -> Result<u32, Refusal> {
        let number = text.trim().parse().ok().filter(|n| *n <= max);
        number
            .ok_or_else(|| self.wrong(format!("{what} is `{text}`, expected a whole number from 0 to {max}")))
    }

    fn wrong(&self, why: impl std::fmt::Display) -> Refusal {
        Refusal::bad(format!("line {}: {why}", self.started))
    }
}

fn fields_expected() -> String {
    format!("expected the {} fields {}", HEADER.len(), HEADER.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Rows as `sku/name/cents/quantity`, or the error; the text cut into pieces of `size`.
    fn read(text: &[u8], size: usize) -> Result<Vec<String>, String> {
        let mut records = Records::new();
        let mut rows = Vec::new();
        for mut piece in text.chunks(size).chain([&[][..]]) {
            while let Some(row) = records.next(&mut piece).map_err(|e| format!("{e:?}"))? {
                rows.extend(row.map(|o| format!("{}/{}/{}/{}", o.sku, o.name, o.cents, o.quantity)));
            }
        }
        Ok(rows)
    }

    #[test]
    fn a_wrong_row_is_named_by_its_line() {
        let said = |text: &str| read(text.as_bytes(), 7).unwrap_err();
        assert!(said("sku,name\n").contains("line 1: expected the 4 fields"));
        assert!(said("a,b,c,d\n").contains("line 1: expected the header"));
        let head = "sku,name,cents,quantity\n";
        assert!(said(&format!("{head}a,b,1,2\nb,c,x,2\n")).contains("line 3: cents is `x`"));
        assert!(
            said(&format!("{head}a,\"b\nb\",1,2\nb,c,1,2,3\n")).contains("line 4: expected the 4 fields")
        );
        assert!(said(&format!("{head},b,1,2")).contains("line 2: sku is empty"));
        assert!(said(&format!("{head}{}", "x".repeat(5_000))).contains("line 2: a record has at most"));
    }

    proptest! {
        #[test]
        fn the_cut_of_the_stream_does_not_matter(rows in prop::collection::vec((0..1000u32, "[a-z ,\"]{1,9}"), 0..30), size in 1..60usize) {
            let mut text = String::from("sku,name,cents,quantity\r\n");
            let mut expected = Vec::new();
            for (n, name) in rows.iter().filter(|r| !r.1.trim().is_empty()) {
                text += &format!("s{n},\"{}\",{n},1\r\n", name.replace('"', "\"\""));
                expected.push(format!("s{n}/{}/{n}/1", name.trim()));
            }
            prop_assert_eq!(read(text.as_bytes(), size).unwrap(), expected.clone());
            // A last line without its end is a line.
            prop_assert_eq!(read(text.trim_end().as_bytes(), size).unwrap(), expected);
        }
    }
}
