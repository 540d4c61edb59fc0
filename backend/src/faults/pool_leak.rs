//! Pool leak, and its cure: whether a connection comes back.
//!
//! The fault keeps a share of those that were taken out of the pool, as code does that leaves early and forgets what it
//! holds; when the pool is empty, everybody waits in vain. The cure gives all of them back, whichever way their users
//! leave. The fault's end gives back what it kept; another size of the pool does not.

use std::sync::{Mutex, MutexGuard, PoisonError};

use agent::Held;
use timeline::fault::FaultKind;

use super::{Faults, Lever};
use crate::store::Taken;

/// Looked at when a connection goes back.
pub const LEVER: Lever = Lever::new(FaultKind::PoolLeak, |_, _| {}, |shop| shop.database.remember());

/// Connections that nobody uses and the pool does not have.
#[derive(Default)]
pub struct Forgotten {
    /// As many as the pool has, and at an exchange of the pool a few more: of those that were in use then.
    kept: Mutex<Vec<(Taken, Held)>>,
}

impl Forgotten {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Nobody forgets anything any more.
    pub fn give_back_all(&self) {
        let kept = std::mem::take(&mut *self.lock());
        kept.into_iter().for_each(back);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Taken, Held)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever had it leaves.
pub fn give_back(faults: &Faults, forgotten: &Forgotten, taken: Taken, held: Held) {
    let switch = &faults[FaultKind::PoolLeak];
    if !matches!(taken, Taken::Pooled(_)) || switch.meets().is_none() {
        return back((taken, held));
    }
    let mut kept = forgotten.lock();
    // Under the lock: what is kept after the fault's end would be kept for ever.
    if !switch.is_on() {
        drop(kept);
        return back((taken, held));
    }
    kept.push((taken, held));
    switch.took_effect();
}

/// The cure. The hold ends when the connection is back.
fn back((taken, held): (Taken, Held)) {
    drop(taken);
    drop(held);
}
