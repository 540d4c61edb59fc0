//! What one request asks of the database while it is in its handler.
//!
//! Owns the figures that travel with a request's task ([`around`]) and who adds to them. What is asked on other tasks
//! belongs to no request and is not seen here. Lanes are [`crate::server`]'s.

use std::cell::RefCell;

use timeline::clock::MonoNs;

tokio::task_local! {
    static TRAFFIC: RefCell<Traffic>;
}

/// More different statements than this in one request are not told apart: repeats of later ones are not seen.
const MOST_SEEN: usize = 64;

/// Of one request.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Statements sent and waited for; a batch is one.
    pub(crate) statements: u64,
    /// Those that the request had waited for before.
    pub(crate) repeated: u64,
    /// Connections taken.
    pub(crate) checkouts: u64,
    /// From asking for each connection to giving it back, added up.
    pub(crate) time_ns: u64,
    /// The time in which at least one was asked for or held.
    pub(crate) wall_ns: u64,
    /// Statements waited for so far, by the number of their shape.
    seen: Vec<u32>,
    under_way: u32,
    /// When the first of those under way began.
    since_ns: u64,
}

/// Runs `work` as the work of one request.
pub(crate) async fn around<T>(work: impl Future<Output = T>) -> T {
    TRAFFIC.scope(RefCell::default(), work).await
}

/// What the request of this task has asked so far, which begins anew; none on tasks without a request.
pub(crate) fn take() -> Option<Traffic> {
    TRAFFIC.try_with(RefCell::take).ok()
}

/// A statement whose shape has this number was sent; a batch has no number.
pub(crate) fn sent(shape: Option<u32>) {
    let _ = TRAFFIC.try_with(|traffic| {
        let mut traffic = traffic.borrow_mut();
        traffic.statements += 1;
        let Some(shape) = shape else { return };
        if traffic.seen.contains(&shape) {
            traffic.repeated += 1;
        } else if traffic.seen.len() < MOST_SEEN {
            traffic.seen.push(shape);
        }
    });
}

/// The request of this task asks for a connection; dropped: it has given it back.
#[derive(Debug)]
pub struct Visit {
    since: MonoNs,
}

impl Visit {
    pub(crate) fn begin() -> Self {
        let since = MonoNs::now();
        let _ = TRAFFIC.try_with(|traffic| {
            let mut traffic = traffic.borrow_mut();
            traffic.checkouts += 1;
            if traffic.under_way == 0 {
                traffic.since_ns = since.0;
            }
            traffic.under_way += 1;
        });
        Self { since }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let now = MonoNs::now().0;
        let _ = TRAFFIC.try_with(|traffic| {
            let mut traffic = traffic.borrow_mut();
            // One that was begun on another task ends here all the same.
            let Some(left) = traffic.under_way.checked_sub(1) else { return };
            traffic.under_way = left;
            traffic.time_ns += now.saturating_sub(self.since.0);
            if left == 0 {
                traffic.wall_ns += now.saturating_sub(traffic.since_ns);
            }
        });
    }
}
