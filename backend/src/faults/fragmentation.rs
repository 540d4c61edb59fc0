//! Fragmentation, and its cure: where short-lived data of a request lies, and what outlives it.
//!
//! The fault allocates every combination by itself in the heap and keeps one in 32 as it lies. A page of the heap can
//! be given back only when nothing on it is wanted, so the few that are kept hold nearly all pages; and since combinations
//! of other products have other sizes, they cannot use the holes. The cure puts the combinations of a request into
//! an arena, copies what outlives the request out of it, and drops the arena as a whole.

use bumpalo::Bump;
use timeline::fault::FaultKind;

use super::Lever;
use crate::shop::recommend::{Best, KEPT_OF, combine, length};

/// Looked at by every recommendation; at its end what was kept is forgotten.
pub const LEVER: Lever =
    Lever::new(FaultKind::Fragmentation, |_, _| {}, |shop| shop.recommendations.forget());

/// The fault.
pub fn judge_in_the_heap(product: u32, candidates: usize) -> Best {
    let mut all = Vec::with_capacity(candidates);
    for n in 0..candidates as u32 {
        let mut text = vec![0; length(product)].into_boxed_slice();
        let worth = combine(product, n, &mut text);
        all.push((worth, text));
    }
    // The best of each handful: spread over all pages, as good ones are.
    let mut best = Vec::with_capacity(candidates / KEPT_OF + 1);
    let mut handful = Vec::with_capacity(KEPT_OF);
    for candidate in all {
        handful.push(candidate);
        if handful.len() == KEPT_OF {
            best.extend(handful.drain(..).max_by_key(|(worth, _)| *worth));
        }
    }
    best.extend(handful.into_iter().max_by_key(|(worth, _)| *worth));
    best.sort_by_key(|(worth, _)| std::cmp::Reverse(*worth));
    best
}

/// The cure.
pub fn judge_in_an_arena(product: u32, candidates: usize) -> Best {
    let arena = Bump::new();
    let mut all = bumpalo::collections::Vec::with_capacity_in(candidates, &arena);
    for n in 0..candidates as u32 {
        let text = arena.alloc_slice_fill_copy(length(product), 0);
        let worth = combine(product, n, text);
        all.push((worth, &*text));
    }
    let handfuls = all.chunks(KEPT_OF);
    let mut best: Best = handfuls
        .filter_map(|handful| handful.iter().max_by_key(|(worth, _)| *worth))
        .map(|(worth, text)| (*worth, (*text).into()))
        .collect();
    best.sort_by_key(|(worth, _)| std::cmp::Reverse(*worth));
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_come_to_the_same_result() {
        for product in 1..30 {
            let (heap, arena) = (judge_in_the_heap(product, 1_000), judge_in_an_arena(product, 1_000));
            assert_eq!(heap.len(), 1_000 / KEPT_OF + 1);
            assert_eq!(heap, arena);
            assert!(
                heap.is_sorted_by(|a, b| a.0 >= b.0) && heap.iter().all(|(_, t)| t.len() == length(product))
            );
        }
    }

    #[test]
    fn products_differ_in_size_within_bounds() {
        let mut lengths: Vec<_> = (0..16).map(length).collect();
        lengths.sort_unstable();
        lengths.dedup();
        assert_eq!(lengths.len(), 16, "{lengths:?}");
        assert!((1..=500).all(|p| (48..=672).contains(&length(p))));
    }
}
