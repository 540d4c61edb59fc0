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
    let mut rest = tokio::time::interval(REST);
    loop {
        rest.tick().await;
        while let Some(order) = switch.order() {
            switch.took_effect();
            ranking.turn(whole(&order, "rows"));
            ahead_of_input().await;
        }
        while !ranking.turn(ROWS) {
            yield_now().await;
        }
    }
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
    use std::io::{Read, Write};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Turns of a task that asks for its next one by `wait`, for each answer of an echo over the network.
    async fn turns_per_answer<F: Future<Output = ()> + Send + 'static>(wait: fn() -> F) -> f64 {
        const ANSWERS: u64 = 20;
        let turns = Arc::new(AtomicU64::new(0));
        let counted = turns.clone();
        let mut busy = tokio::task::JoinSet::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let echo = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() {
                stream.write_all(&byte).unwrap();
            }
        });
        let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
        busy.spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                wait().await;
            }
        });
        let mut byte = [7];
        let before = turns.load(Ordering::Relaxed);
        for _ in 0..ANSWERS {
            stream.write_all(&byte).await.unwrap();
            // Long after the echo has come, so that only the loop's next look at the network is waited for.
            let come = MonoNs::now();
            while MonoNs::now().since(come) < Duration::from_millis(5) {
                std::hint::spin_loop();
            }
            stream.read_exact(&mut byte).await.unwrap();
        }
        let taken = turns.load(Ordering::Relaxed) - before;
        busy.shutdown().await;
        drop(stream);
        echo.join().unwrap();
        taken as f64 / ANSWERS as f64
    }

    use timeline::MonoNs;

    #[tokio::test]
    async fn input_waits_for_many_turns_of_the_fault_and_for_few_of_the_cure() {
        let fault = turns_per_answer(ahead_of_input).await;
        let cure = turns_per_answer(yield_now).await;
        assert!(fault > 5.0 * cure, "fault {fault}, cure {cure} turns for an answer");
    }
}
