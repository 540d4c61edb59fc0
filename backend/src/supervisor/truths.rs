//! What truly happened, as workers and supervisor told it, kept for whoever asks.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use timeline::fault::Truth;

/// Lines kept; a fault writes three in its life, so hours of injection fit. Beyond it the oldest go.
const KEPT: usize = 20_000;
/// Most lines in one answer.
const PAGE: usize = 2_000;

/// The lines in order of arrival.
#[derive(Default)]
pub struct Truths {
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    kept: VecDeque<Truth>,
    /// Number of the first one kept.
    first: u64,
}

/// An answer to `GET /v1/truth`.
#[derive(Debug, Serialize)]
pub struct Page {
    /// What to ask for next.
    pub next: u64,
    /// Lines from the number asked for.
    pub lines: Vec<Truth>,
}

impl Truths {
    /// Keeps a line.
    pub fn write(&self, truth: Truth) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.kept.len() == KEPT {
            lines.kept.pop_front();
            lines.first += 1;
        }
        lines.kept.push_back(truth);
    }

    /// Lines from number `since` on, as many as fit in a page.
    pub fn since(&self, since: u64) -> Page {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = since.saturating_sub(lines.first).min(lines.kept.len() as u64);
        let page: Vec<Truth> = lines.kept.iter().skip(skip as usize).take(PAGE).cloned().collect();
        Page { next: lines.first + skip + page.len() as u64, lines: page }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeline::MonoNs;
    use timeline::fault::{FaultKind, TruthPoint};

    #[test]
    fn pages_join_without_gaps_and_the_oldest_go_first() {
        let truths = Truths::default();
        assert_eq!(truths.since(5).next, 0);
        for n in 0..KEPT as u64 + 10 {
            let what = TruthPoint::Armed;
            truths.write(Truth { fault: FaultKind::Leak, instance: "shop-0".into(), what, at: MonoNs(n) });
        }
        let (mut next, mut seen) = (0, Vec::new());
        loop {
            let page = truths.since(next);
            if page.lines.is_empty() {
                break;
            }
            next = page.next;
            seen.extend(page.lines.iter().map(|l| l.at.0));
        }
        assert_eq!(seen, (10..KEPT as u64 + 10).collect::<Vec<_>>());
    }
}
