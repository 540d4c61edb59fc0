//! `GET /search?q=WORDS`: products whose name has all the words.
//!
//! Whether the text is a list of words is for a pattern to say; which engine matches it is the choice between the fault
//! `regex-backtracking` and its cure.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::Shop;
use super::answer::{Answer, Query, Refusal};

/// Longest text, bytes.
const MAX_TEXT: usize = 120;
/// Products shown.
const SHOWN: u32 = 20;

#[derive(Deserialize)]
pub struct Wanted {
    q: String,
}

#[derive(Serialize)]
pub struct Hits {
    products: Vec<Hit>,
}

#[derive(Serialize)]
struct Hit {
    id: u32,
    name: String,
}

pub async fn search(State(shop): State<Arc<Shop>>, Query(wanted): Query<Wanted>) -> Answer<Hits> {
    let text = wanted.q;
    if text.len() > MAX_TEXT {
        return Err(Refusal::bad(format!("q has {} bytes, expected at most {MAX_TEXT}", text.len())));
    }
    if !shop.words.are_words(&text) {
        return Err(Refusal::bad(
            "q is not a list of words: expected letters and digits, single spaces or hyphens between them",
        ));
    }
    let products = shop.database.run(move |db| find(db, &text)).await?;
    Ok(Json(Hits { products }))
}

/// Words are letters and digits, so none of them has a meaning of its own in the pattern of `LIKE`.
fn find(db: &mut rusqlite::Connection, text: &str) -> rusqlite::Result<Vec<Hit>> {
    let pattern = format!("%{}%", text.trim().replace([' ', '-'], "%"));
    db.prepare_cached("SELECT id, name FROM product WHERE name LIKE ?1 ORDER BY id LIMIT ?2")?
        .query_map(params![pattern, SHOWN], |r| Ok(Hit { id: r.get(0)?, name: r.get(1)? }))?
        .collect()
}
