//! `GET /search?q=WORDS`: products whose name has all the words.
//!
//! Whether the text is a list of words is for a pattern to say; which engine matches it is the choice between the fault
//! `regex-backtracking` and its cure.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Shop;
use super::answer::{Answer, Query, Refusal};
use super::catalogue::Listed;
use crate::store::values;

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
    products: Vec<Listed>,
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
    let rows = shop.database.rows(FIND, values![like(&text), SHOWN]).await?;
    Ok(Json(Hits { products: rows.iter().map(Listed::read).collect::<Result<_, _>>()? }))
}

const FIND: &str = "
    SELECT product.id, name, cents FROM product JOIN price ON price.product = product.id
    WHERE lower(name) LIKE ?1 ORDER BY product.id LIMIT ?2";

/// Words are letters and digits, so none of them has a meaning of its own in the pattern of `LIKE`.
fn like(text: &str) -> String {
    format!("%{}%", text.trim().to_lowercase().replace([' ', '-'], "%"))
}
