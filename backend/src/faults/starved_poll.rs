//! Starved poll, and its cure: when the ranking's next turn comes.
//!
//! No turn is long. The fault wakes itself at once, which puts it back into the queue of tasks that can run, and the
//! loop looks for input only after 61 of those (tokio's event interval): ever the same task, and whoever came in
//! with the last look. It is the mistake that `process.nextTick` invites in Node.js, and it never rests, because
//! it begins anew as soon as it is done. The cure yields, so that the loop looks for input before every turn, and
//! rests between rebuilds.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use timeline::fault::FaultKind;
use tokio::task::yield_now;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Faults, Lever, whole};
use crate::shop::ranking::Ranking;

/// Looked at after every turn.
pub const LEVER: Lever = Lever::switch_only(FaultKind::StarvedPoll);

/// The cure's turns: a tenth of the products, some hundred microseconds.
const ROWS: usize = 50;
/// From rebuild to rebuild.
const REST: Duration = Duration::from_secs(1);

/// Rebuilds the ranking again and again. Dropping it leaves a rebuild half done, and the next one goes on there.
pub async fn keep(ranking: &Ranking, faults: &Faults) {
    let switch = &faults[FaultKind::StarvedPoll];
    let mut rest = rests();
    loop {
        rest.tick().await;
        while let Some(order) = switch.order() {
            switch.took_effect();
            ranking.turn(whole(&order, "rows"));
            ahead_of_input().await;
        }
        if !ranking.has_news() {
            continue;
        }
        while !ranking.turn(ROWS) {
            yield_now().await;
        }
    }
}

/// The cure's rests. Those that the fault left out are not made up for: rebuilds without a rest are the fault.
fn rests() -> Interval {
    let mut rests = interval(REST);
    rests.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rests
}

/// The fault: back into the queue at once.
async fn ahead_of_input() {
    let mut queued = false;
    poll_fn(|context| {
        if queued {
            return Poll::Ready(());
        }
        queued = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::io::AsyncReadExt;

    /// Turns that a task, which asks for its next one by `wait`, gets between the arrival of input and its being read.
    async fn turns_for_a_byte<F: Future<Output = ()> + Send + 'static>(wait: fn() -> F) -> f64 {
        const BYTES: u64 = 20;
        let turns = Arc::new(AtomicU64::new(0));
        let counted = turns.clone();
        let mut busy = tokio::task::JoinSet::new();
        busy.spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                wait().await;
            }
        });
        let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut near = tokio::net::UnixStream::from_std(near).unwrap();
        let mut byte = [0];
        for n in 0..BYTES {
            // Nothing is there, so tokio has to be told by the system when something is.
            assert!(near.try_read(&mut byte).is_err());
            far.write_all(&[n as u8]).unwrap();
            near.read_exact(&mut byte).await.unwrap();
        }
        busy.shutdown().await;
        turns.load(Ordering::Relaxed) as f64 / BYTES as f64
    }

    #[tokio::test]
    async fn input_waits_for_many_turns_of_the_fault_and_for_few_of_the_cure() {
        let fault = turns_for_a_byte(ahead_of_input).await;
        let cure = turns_for_a_byte(yield_now).await;
        assert!(fault > 5.0 * cure, "fault {fault}, cure {cure} turns for a byte");
    }

    #[tokio::test]
    async fn after_the_fault_the_cure_rests_before_each_rebuild() {
        let mut rests = rests();
        rests.tick().await;
        // As long as a fault that left out two of them.
        std::thread::sleep(2 * REST + REST / 10);
        let ended = tokio::time::Instant::now();
        rests.tick().await;
        assert!(rests.tick().await >= ended + REST, "no rest is made up for");
    }
}
