//! `GET /search?q=TEXT`: products whose name or description holds a text.
//!
//! The text is a parameter and its wildcards are escaped, so what the customer types is looked for and nothing else.
//! The time is linear in the catalogue, whatever the text.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Shop;
use super::answer::{Answer, Query, Refusal};
use super::catalogue::Listed;
use crate::store::values;

/// Longest text, characters.
const MAX_TEXT: usize = 64;
/// Products shown.
const SHOWN: u32 = 20;

#[derive(Deserialize)]
pub struct Wanted {
    q: String,
}

#[derive(Serialize)]
pub struct Found {
    products: Vec<Listed>,
}

pub async fn search(State(shop): State<Arc<Shop>>, Query(wanted): Query<Wanted>) -> Answer<Found> {
    let text = wanted.q.trim();
    let length = text.chars().count();
    if !(1..=MAX_TEXT).contains(&length) {
        return Err(Refusal::bad(format!("q has {length} characters, expected 1 to {MAX_TEXT}")));
    }
    if text.contains('\0') {
        return Err(Refusal::bad("q holds a NUL"));
    }
    let rows = shop.database.rows(FIND, values![like(text), SHOWN]).await?;
    Ok(Json(Found { products: rows.iter().map(Listed::read).collect::<Result<_, _>>()? }))
}

const FIND: &str = "
    SELECT product.id, name, cents FROM product JOIN price ON price.product = product.id
    WHERE lower(name) LIKE ?1 ESCAPE '!' OR lower(about) LIKE ?1 ESCAPE '!' ORDER BY product.id LIMIT ?2";

/// A pattern that holds `text` as it is, in small letters.
fn like(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_looked_for_and_not_obeyed() {
        assert_eq!(like("Lamp"), "%lamp%");
        assert_eq!(like("100%_!"), "%100!%!_!!%");
    }
}
