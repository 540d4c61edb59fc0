//! `GET /products/{id}/sheet`: the product's data sheet, drawn up by a library that knows only blocking calls.
//!
//! So it runs on the offload pool, and keeps its thread while it waits for the database.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::Shop;
use super::answer::{Path, Refusal};
use super::catalogue;

/// Width of a sheet, characters.
const WIDTH: usize = 72;

pub async fn sheet(State(shop): State<Arc<Shop>>, Path(id): Path<u32>) -> Result<String, Refusal> {
    let (keeper, event_loop) = (shop.clone(), Handle::current());
    // From a thread of the pool this blocks until the loop has served it: the pool's thread waits, the loop does not.
    let drawn = move || {
        let detail = event_loop.block_on(keeper.products.read(id)).map_err(catalogue::refused)?;
        keeper.spools.pass_through(&draw(&json!(*detail))).map_err(no_file)
    };
    shop.offload.run(drawn).await?
}

fn no_file(e: std::io::Error) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, format!("no sheet can be drawn now: {e}"))
}

/// Lines of at most [`WIDTH`] characters, a rule under each field.
fn draw(detail: &Value) -> String {
    let mut sheet = String::new();
    for (name, value) in detail.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string().replace(',', ", "), str::to_owned);
        for piece in wrapped(&text) {
            let _ = writeln!(sheet, "{name:>12} | {piece}");
        }
        let _ = writeln!(sheet, "{}", "-".repeat(WIDTH));
    }
    sheet
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH - 15 {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_is_as_wide_as_its_rule() {
        let sheet = draw(&json!({"about": "word ".repeat(40), "cents": 1, "name": "Plain Kettle"}));
        assert!(sheet.lines().all(|l| l.chars().count() <= WIDTH), "{sheet}");
        assert!(sheet.contains("\n        name | Plain Kettle\n-----"), "{sheet}");
        assert_eq!(sheet.matches("word").count(), 40);
    }
}
