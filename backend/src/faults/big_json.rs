//! Big JSON, and its cure: how a list of many megabytes is read and written.
//!
//! The fault reads it whole into a tree of values, changes that, and writes it whole: one stretch on the event loop,
//! and several times the list's size in memory. The cure reads and writes a few rows at a time, lets others have the
//! loop between two pieces, and goes on only when the client has taken what there is.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use timeline::MonoNs;
use timeline::fault::FaultKind;

use super::{Faults, Lever};
use crate::shop::price_list::{SupplierList, ours, priced};

/// Looked at by every list.
pub const LEVER: Lever = Lever::switch_only(FaultKind::BigJson);

/// Rows in a piece of the cure: some ten kilobytes, a few hundred microseconds.
const PIECE: usize = 100;

/// The fault: the first `rows` of the list, priced; none if the cure runs.
pub fn in_one_go(faults: &Faults, list: &SupplierList, rows: usize) -> Option<Vec<u8>> {
    let switch = &faults[FaultKind::BigJson];
    switch.meets()?;
    let began = MonoNs::now();
    let mut text = Vec::new();
    for n in 0..rows {
        text.push(if n == 0 { b'[' } else { b',' });
        text.extend(list.row(n));
    }
    text.push(b']');
    let mut tree: Value = serde_json::from_slice(&text).expect("a list of rows that are JSON");
    for row in tree.as_array_mut().into_iter().flatten() {
        let cents = row["cents"].as_u64().unwrap_or_default() as u32;
        row["ours"] = json!(ours(cents));
    }
    let written = serde_json::to_vec(&tree).expect("values have string keys");
    switch.took_effect_at(began);
    Some(written)
}

/// The cure: the same list, piece by piece.
pub fn in_pieces(list: Arc<SupplierList>, rows: usize) -> impl Stream<Item = Result<Bytes, Infallible>> {
    unfold(0, move |done| {
        let list = list.clone();
        async move {
            if done > rows {
                return None;
            }
            // Others first.
            tokio::task::yield_now().await;
            let end = (done + PIECE).min(rows);
            let mut piece = Vec::new();
            for n in done..end {
                piece.push(if n == 0 { b'[' } else { b',' });
                priced(list.row(n), &mut piece).expect("rows are JSON of one shape");
            }
            // One past the last row says that the list is closed.
            let next = if end == rows { rows + 1 } else { end };
            if end == rows {
                piece.push(b']');
            }
            Some((Ok(piece.into()), next))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::testing::{armed, turns_during};
    use futures_util::StreamExt;

    #[tokio::test]
    async fn both_write_the_same_list_and_only_the_cure_lets_others_run() {
        let list = Arc::new(SupplierList::make(2_050));
        let (on, truth) = armed(&[(FaultKind::BigJson, &[])]);
        for rows in [1, PIECE, PIECE + 1, 2_050] {
            let (whole, turns) = turns_during(async { in_one_go(&on, &list, rows).unwrap() }).await;
            assert_eq!(turns, 0);
            let pieces = in_pieces(list.clone(), rows).map(|p| p.unwrap()).collect::<Vec<_>>();
            let (pieces, turns) = turns_during(pieces).await;
            // The other task's turn takes two looks, as a piece does.
            assert!(turns >= (pieces.len() / 2) as u64, "{turns} turns for {} pieces", pieces.len());
            let value = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
            assert_eq!(value(&whole), value(&pieces.concat()));
            assert_eq!(value(&whole).as_array().map(Vec::len), Some(rows));
        }
        assert_eq!(value_of(&list, 1)["ours"], json!(8_019 + 8_019 / 4));
        assert_eq!(truth.told(), ["armed", "onset"]);
        assert!(in_one_go(&armed(&[]).0, &list, 1).is_none());
    }

    fn value_of(list: &SupplierList, row: usize) -> Value {
        let mut text = Vec::new();
        priced(list.row(row), &mut text).unwrap();
        serde_json::from_slice(&text).unwrap()
    }
}
