//! A walk: one visitor on a journey, one transaction at a time.
//!
//! Owns the order of transactions (sequence, weight, start and stop) and how goose is made to give up its last figure.
//! When a transaction starts, and for how long it may go on, is its driver's business.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use goose::goose::GooseUser;
use goose::prelude::{Scenario, Transaction};

use crate::{Failure, Seen, Stage};

/// Name and label of the record that pushes out the one before; no journey has a request of this name.
pub(crate) const MARK: &str = "dyno-mark";

/// One visitor on a journey.
pub struct Walk {
    stage: Arc<Stage>,
    scenario: Arc<Scenario>,
    user: GooseUser,
}

/// Which transactions a visit has, as indices into the journey's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// At its start.
    pub start: Vec<usize>,
    /// Then, with pauses between them.
    pub visit: Vec<usize>,
    /// At its end, come what may.
    pub stop: Vec<usize>,
}

impl Walk {
    pub(crate) fn new(stage: Arc<Stage>, scenario: Arc<Scenario>, user: GooseUser) -> Self {
        Self { stage, scenario, user }
    }

    /// What this visit does: goose's sequences in their order, the rest after them; each as often as its weight says,
    /// and those of the same rank shuffled. `below(n)` draws a number under n.
    pub fn visit(&self, mut below: impl FnMut(u64) -> u64) -> Visit {
        let all = &self.scenario.transactions;
        let pick = |which: &dyn Fn(&Transaction) -> bool| {
            let mut picked: Vec<usize> = (0..all.len()).filter(|&i| which(&all[i])).collect();
            picked.sort_by_key(|&i| rank(&all[i]));
            picked
        };
        let mut visit: Vec<usize> = pick(&|t| !t.on_start && !t.on_stop)
            .into_iter()
            .flat_map(|i| std::iter::repeat_n(i, all[i].weight.max(1)))
            .collect();
        for group in visit.chunk_by_mut(|&a, &b| rank(&all[a]) == rank(&all[b])) {
            for i in (1..group.len()).rev() {
                group.swap(i, below(i as u64 + 1) as usize);
            }
        }
        Visit { start: pick(&|t| t.on_start), visit, stop: pick(&|t| t.on_stop) }
    }

    /// Does one transaction; tells what goose timed inside it as it comes. Dropped, the transaction ends where it is;
    /// call [`Walk::flush`] then.
    ///
    /// # Errors
    /// What the transaction returned.
    pub async fn run(&mut self, transaction: usize, seen: &mut dyn FnMut(Seen)) -> Result<(), Failure> {
        let Some(transaction) = self.scenario.transactions.get(transaction) else {
            return Err(Failure::Other);
        };
        let result = {
            let mut going = (transaction.function)(&mut self.user);
            poll_fn(|cx| {
                let state = going.as_mut().poll(cx);
                self.stage.drain(seen);
                state
            })
            .await
        };
        self.flush(seen).await;
        result.map_err(|e| Failure::of(&e))
    }

    /// Tells what goose still holds back: it keeps a user's last record until the next one, so it gets one.
    pub async fn flush(&mut self, seen: &mut dyn FnMut(Seen)) {
        // It fails only if nobody listens, and we do.
        let _ = self.user.record_custom_request_duration(MARK, MARK, Duration::ZERO, true, None, None).await;
        self.stage.drain(seen);
    }
}

/// goose does what has a sequence first, in its order.
fn rank(transaction: &Transaction) -> usize {
    if transaction.sequence == 0 { usize::MAX } else { transaction.sequence }
}
