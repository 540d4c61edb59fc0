//! The timer of a connection's heads: one alarm that is set anew when it rings early.
//!
//! hyper begins and drops a sleep for every head that it reads. As tokio's those would go into and out of the runtime's
//! wheel with each request; here they are deadlines that look at the connection's one alarm, which is in the wheel once and
//! rings once in a patience.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// A connection's timer. Its deadlines must never come before an earlier one, as those of one patience do not.
#[derive(Default)]
pub struct HeadTimer {
    /// None until the first head is waited for.
    alarm: Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>,
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, due: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Deadline { due, alarm: self.alarm.clone() })
    }
}

struct Deadline {
    due: Instant,
    alarm: Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>,
}

impl Sleep for Deadline {}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let due = self.due.into();
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        let alarm = alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        while alarm.as_mut().poll(context).is_ready() {
            if alarm.deadline() >= due {
                return Poll::Ready(());
            }
            // It rang for a head that has come since.
            alarm.as_mut().reset(due);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_deadline_ends_in_its_time_though_the_alarm_was_set_for_an_earlier_one() {
        let timer = HeadTimer::default();
        let begun = timer.now();
        let mut first = timer.sleep(Duration::from_millis(20));
        // Polled once, as a head is that comes at once.
        assert!(std::future::poll_fn(|c| Poll::Ready(first.as_mut().poll(c).is_pending())).await);
        drop(first);
        timer.sleep(Duration::from_millis(60)).await;
        assert!(timer.now() >= begun + Duration::from_millis(60));
        // Afterwards it is as good as new.
        let then = timer.now();
        timer.sleep(Duration::from_millis(20)).await;
        assert!(timer.now() >= then + Duration::from_millis(20));
    }
}
