//! Trying again: after a pause that is drawn, and only as long as a budget allows.
//!
//! A drawn pause keeps callers that failed together from coming back together. The budget keeps retries from adding
//! more than a share to the load of a service that is failing because of its load.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use agent::DownstreamMeter;
use rand::RngExt;

use super::CallError;

/// A call may be tried so often again.
const RETRIES: u32 = 2;
/// What a call adds to the budget, in retries: so at most a tenth is added to the load.
const SHARE: f64 = 0.1;
/// Most that can be saved up: a few failures after a good time need not be told to the customer.
const SAVED: f64 = 10.0;
/// The first pause is drawn from zero to this, milliseconds; each further one from twice as much.
const FIRST_PAUSE_MS: f64 = 50.0;

/// Retries that may be made.
pub struct Budget {
    retries: Mutex<f64>,
}

impl Default for Budget {
    /// As after a good time.
    fn default() -> Self {
        Self { retries: Mutex::new(SAVED) }
    }
}

impl Budget {
    /// Calls, and again after a pause while there is something left. A service that has not answered in time is not asked
    /// again: the caller has waited long enough, and the service has enough to do.
    ///
    /// # Errors
    /// What the last try came to.
    pub async fn spaced<T, C>(&self, meter: &DownstreamMeter, call: impl Fn() -> C) -> Result<T, CallError>
    where
        C: Future<Output = Result<T, CallError>>,
    {
        self.earn();
        for retry in 0..RETRIES {
            match call().await {
                Err(CallError::Status(_) | CallError::Broken(_)) if self.spend() => {}
                done => return done,
            }
            let pause = pause(retry, rand::rng().random());
            tokio::time::sleep(pause).await;
            meter.retried();
        }
        call().await
    }

    /// A call is made.
    fn earn(&self) {
        let mut retries = self.retries.lock().unwrap_or_else(PoisonError::into_inner);
        *retries = (*retries + SHARE).min(SAVED);
    }

    /// May one be tried again?
    fn spend(&self) -> bool {
        let mut retries = self.retries.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = *retries >= 1.0;
        if enough {
            *retries -= 1.0;
        }
        enough
    }
}

/// The pause before retry number `retry`, from 0. `uniform` is from 0 to 1.
fn pause(retry: u32, uniform: f64) -> Duration {
    Duration::from_secs_f64(FIRST_PAUSE_MS * f64::from(2_u32.pow(retry)) * uniform / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_spent_and_then_a_tenth_of_the_calls() {
        let budget = Budget::default();
        let retried = |calls: u32| {
            let call = |_: &u32| {
                budget.earn();
                budget.spend()
            };
            (0..calls).filter(call).count()
        };
        assert_eq!(retried(10), 10);
        let later = retried(1_000);
        assert!((99..=102).contains(&later), "{later}");
    }

    #[test]
    fn pauses_are_drawn_from_ever_longer_spans() {
        assert_eq!(pause(0, 1.0), Duration::from_millis(50));
        assert_eq!(pause(1, 0.5), Duration::from_millis(50));
        assert_eq!(pause(1, 0.0), Duration::ZERO);
    }
}
