//! Which products are in demand at the same times: worked out on the event loop, a few rows at a turn.
//!
//! Owns the history of views and the work of one turn. When the next turn comes is the choice between the fault
//! `starved-poll` and its cure. `GET /popular` shows the outcome.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Shop;

/// Looks back so many rebuilds.
const HISTORY: usize = 64;
/// Products shown.
const SHOWN: usize = 10;

/// Views, and what follows from them.
pub struct Ranking {
    /// Since the last rebuild, by product.
    views: Box<[AtomicU32]>,
    /// Were there any?
    news: AtomicBool,
    work: Mutex<Work>,
}

struct Work {
    /// Views of each product in the last rebuilds, in no order that matters: all products' are in the same one.
    history: Vec<[f32; HISTORY]>,
    oldest: usize,
    /// The row at which the next turn goes on; 0 begins a rebuild.
    row: usize,
    /// Of each product the one that is viewed at the same times, by number.
    companions: Vec<u32>,
}

impl Ranking {
    /// Of products numbered from 1 to `products`.
    pub fn new(products: u32) -> Self {
        let count = products as usize;
        let work = Work {
            history: vec![[0.0; HISTORY]; count],
            oldest: 0,
            row: 0,
            companions: (1..=products).collect(),
        };
        let views = (0..count).map(|_| AtomicU32::new(0)).collect();
        Self { views, news: AtomicBool::new(false), work: Mutex::new(work) }
    }

    /// Somebody looked at product `id`.
    pub fn viewed(&self, id: u32) {
        if let Some(views) = (id as usize).checked_sub(1).and_then(|n| self.views.get(n)) {
            views.fetch_add(1, Ordering::Relaxed);
            self.news.store(true, Ordering::Relaxed);
        }
    }

    /// Has anybody looked at a product since this was last asked? If not, a rebuild would come to what is known.
    pub fn has_news(&self) -> bool {
        self.news.swap(false, Ordering::Relaxed)
    }

    /// Works on the next `rows` products; true when the rebuild is done with them.
    pub fn turn(&self, rows: usize) -> bool {
        let mut work = self.lock();
        if work.row == 0 {
            let at = work.oldest;
            for (past, views) in work.history.iter_mut().zip(&self.views) {
                past[at] = views.swap(0, Ordering::Relaxed) as f32;
            }
            work.oldest = (at + 1) % HISTORY;
        }
        let end = (work.row + rows).min(self.views.len());
        for row in work.row..end {
            work.companions[row] = work.companion(row);
        }
        work.row = if end == self.views.len() { 0 } else { end };
        work.row == 0
    }

    /// The most viewed of the last rebuilds, each with its companion.
    fn popular(&self) -> Vec<Popular> {
        let work = self.lock();
        let mut all: Vec<_> =
            (1..).zip(&work.history).map(|(id, past)| (past.iter().sum::<f32>(), id)).collect();
        all.sort_by(|a: &(f32, u32), b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let shown = all.into_iter().take(SHOWN);
        shown
            .map(|(views, id)| Popular { id, views: views as u64, with: work.companions[id as usize - 1] })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    /// The product, other than that of `row`, whose views went most as its own did.
    fn companion(&self, row: usize) -> u32 {
        let own = &self.history[row];
        let mut best = (f32::MIN, row);
        for (other, past) in self.history.iter().enumerate() {
            let product: f32 = own.iter().zip(past).map(|(a, b)| a * b).sum();
            if other != row && product > best.0 {
                best = (product, other);
            }
        }
        best.1 as u32 + 1
    }
}

#[derive(Serialize)]
pub struct Popular {
    id: u32,
    views: u64,
    /// In demand at the same times.
    with: u32,
}

#[derive(Serialize)]
pub struct Shown {
    products: Vec<Popular>,
}

pub async fn popular(State(shop): State<Arc<Shop>>) -> Json<Shown> {
    Json(Shown { products: shop.ranking.popular() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_viewed_together_is_found_together_however_the_work_is_cut() {
        for rows in [1, 3, 100] {
            let ranking = Ranking::new(6);
            for round in 0..4 {
                for id in if round % 2 == 0 { [2, 5] } else { [1, 3] } {
                    ranking.viewed(id);
                }
                ranking.viewed(5);
                ranking.viewed(0);
                ranking.viewed(7);
                while !ranking.turn(rows) {}
            }
            let popular = ranking.popular();
            assert_eq!((popular[0].id, popular[0].views), (5, 6));
            let with = |id| popular.iter().find(|p| p.id == id).unwrap().with;
            assert_eq!((with(2), with(1), with(3)), (5, 3, 1), "{rows} rows at a turn");
        }
    }
}
