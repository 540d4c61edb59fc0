//! Whose turn it is on a connection, and for how long the client has let it pass.
//!
//! Owns the count of requests of one connection, and the limit of the time within which a head must come. hyper has such a limit, but
//! makes a timer for every request and takes it down again; here one serves a connection.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Looks in a row that find nothing under way until patience is at its end: it lasts for so long as was said, or up to a fourth longer.
const LOOKS: u32 = 4;

/// The requests of one connection.
#[derive(Clone, Default)]
pub struct Turns(Arc<Counts>);

#[derive(Default)]
struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Turns {
    /// The head of a request has come. It is under way until what is returned is dropped.
    pub fn begin(&self) -> UnderWay {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    /// Waits until nothing has been under way, and no head has come, for `patience`.
    pub async fn run_out(&self, patience: Duration) {
        let (mut seen, mut looks) = (self.begun(), 0);
        while looks < LOOKS {
            tokio::time::sleep(patience / LOOKS).await;
            let begun = self.begun();
            let idle = begun == seen && self.0.ended.load(Ordering::Relaxed) == begun;
            looks = if idle { looks + 1 } else { 0 };
            seen = begun;
        }
    }

    fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::Relaxed)
    }
}

/// A request whose answer was not given to its end yet.
pub struct UnderWay(Turns);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// The body of an answer, with which its request ends.
pub struct Answered {
    body: Body,
    _request: UnderWay,
}

impl Answered {
    pub const fn new(body: Body, request: UnderWay) -> Self {
        Self { body, _request: request }
    }
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(80);

    #[tokio::test]
    async fn patience_ends_between_requests_and_never_within_one() {
        let turns = Turns::default();
        turns.run_out(PATIENCE).await;
        let request = turns.begin();
        let within = tokio::time::timeout(PATIENCE * 4, turns.run_out(PATIENCE)).await;
        assert!(within.is_err(), "its answer is given");
        drop(request);
        turns.run_out(PATIENCE).await;
    }

    #[tokio::test]
    async fn requests_that_come_begin_it_anew() {
        let turns = Turns::default();
        let asking = async {
            for _ in 0..40 {
                tokio::time::sleep(PATIENCE / 16).await;
                drop(turns.begin());
            }
        };
        tokio::select! {
            // However late the timers are, who asks is heard before anybody looks.
            biased;
            () = asking => {}
            () = turns.run_out(PATIENCE) => panic!("requests come"),
        }
    }
}
