//! What the tests of faults share: switches that are on, and who got to run meanwhile.

use std::pin::pin;
use std::sync::Arc;

use timeline::fault::{FaultKind, FaultOrder};
use tokio::sync::mpsc;

use super::{Faults, TruthLog};
use crate::wire::Report;

/// Faults of which these are on, with these knobs; and what they told.
pub fn armed(orders: &[(FaultKind, &[(&str, f64)])]) -> (Arc<Faults>, Told) {
    let (send, told) = mpsc::channel(64);
    let faults = Arc::new(Faults::new(&TruthLog::new("shop-0", send)));
    for (name, knobs) in orders {
        let knobs = knobs.iter().map(|(knob, value)| ((*knob).to_owned(), *value)).collect();
        let order = FaultOrder { name: *name, for_ms: 1, knobs };
        order.check().unwrap();
        faults[*name].arm(&order);
    }
    (faults, Told(told))
}

/// The truth of [`armed`].
pub struct Told(mpsc::Receiver<Report>);

impl Told {
    /// What happened since the last call.
    pub fn told(mut self) -> Vec<String> {
        std::iter::from_fn(|| self.0.try_recv().ok())
            .map(|report| match report {
                Report::Truth(truth) => {
                    serde_json::to_value(truth.what).unwrap().as_str().unwrap().to_owned()
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

/// What `work` gives, and how many turns another task of the same loop got while it was under way.
pub async fn turns_during<T>(work: impl Future<Output = T>) -> (T, u64) {
    let mut work = pin!(work);
    let mut turns = 0;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return (done, turns),
            () = tokio::task::yield_now() => turns += 1,
        }
    }
}
