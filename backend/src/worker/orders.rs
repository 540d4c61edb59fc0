//! The worker's end of the wire: orders read from standard input, reports written to standard output.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::BackendError;
use crate::faults::Levers;
use crate::say::say;
use crate::shop::neighbours;
use crate::wire::{Order, Report, WorkerSettings, line};

/// Orders read and not yet obeyed; the reader waits when it is full.
const ORDERS: usize = 16;

/// What the supervisor wants.
pub struct Orders {
    /// The first of them.
    pub settings: WorkerSettings,
    rest: mpsc::Receiver<Order>,
}

/// Waits for the settings; a thread reads what follows. It ends with the process: nothing can wake it from
/// its read, and there is nothing in it to lose.
pub fn first() -> Result<Orders, BackendError> {
    let mut text = String::new();
    let length =
        std::io::stdin().read_line(&mut text).map_err(BackendError::system("read standard input"))?;
    if length == 0 {
        return Err(BackendError::NoSupervisor("it has ended".to_owned()));
    }
    let settings = match serde_json::from_str(&text) {
        Ok(Order::Settings(settings)) => *settings,
        Ok(_) => return Err(BackendError::NoSupervisor("another order came first".to_owned())),
        Err(e) => return Err(BackendError::NoSupervisor(e.to_string())),
    };
    let (send, rest) = mpsc::channel(ORDERS);
    let read = move || {
        for text in std::io::stdin().lines().map_while(Result::ok) {
            match serde_json::from_str(&text) {
                Ok(order) => {
                    if send.blocking_send(order).is_err() {
                        return;
                    }
                }
                Err(e) => say(format_args!("shop: an order is not understood: {e}")),
            }
        }
    };
    std::thread::Builder::new()
        .name("orders".to_owned())
        .spawn(read)
        .map_err(BackendError::system("start a thread"))?;
    Ok(Orders { settings, rest })
}

/// How a worker is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Finish what is under way.
    AtOnce,
    /// Another process has the name: let clients leave first.
    Relieved,
}

impl Orders {
    /// Obeys until it is told to end, or nobody is there to tell. Dropping it leaves faults as they are.
    pub(super) async fn obey(&mut self, levers: &Arc<Levers>, report: &mpsc::Sender<Report>) -> Ending {
        let mut timers = JoinSet::new();
        // The terminal's interrupt goes to the whole group of processes; it is the supervisor that decides.
        let _interrupts = signal(SignalKind::interrupt());
        let mut terminated = signal(SignalKind::terminate()).ok();
        loop {
            let order = tokio::select! {
                order = self.rest.recv() => order,
                Some(_) = timers.join_next() => continue,
                () = asked(&mut terminated) => None,
            };
            match order {
                Some(Order::Arm(order)) => {
                    let Some(number) = levers.arm(&order) else { continue };
                    let levers = levers.clone();
                    timers.spawn(async move {
                        tokio::time::sleep(Duration::from_millis(order.for_ms)).await;
                        levers.end(order.name, Some(number));
                    });
                }
                Some(Order::EndFaults(ticket)) => {
                    timers.abort_all();
                    levers.end_all();
                    let _ = report.send(Report::Ended(ticket)).await;
                }
                Some(Order::Hold(hold)) => levers.hold(hold),
                Some(Order::Settle) => levers.settle(),
                Some(Order::Cache(settings)) => levers.set_cache(settings),
                Some(Order::PriceChanged(change)) => {
                    if let Some(shop) = &levers.shop {
                        neighbours::hear(shop, change).await;
                    }
                }
                Some(Order::Settings(_)) => {}
                Some(Order::Retire) => return Ending::Relieved,
                Some(Order::Drain) | None => return Ending::AtOnce,
            }
        }
    }
}

/// Somebody sent the signal to end. Never, where signals cannot be had.
async fn asked(terminated: &mut Option<tokio::signal::unix::Signal>) {
    match terminated {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Writes reports, each flushed at once, until nobody reads them.
pub async fn tell(mut reports: mpsc::Receiver<Report>) {
    let mut out = tokio::io::stdout();
    while let Some(report) = reports.recv().await {
        let written = out.write_all(line(&report).as_bytes()).await;
        if written.is_err() || out.flush().await.is_err() {
            return;
        }
    }
}

/// The last words of a worker that could not start.
pub fn tell_failure(why: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(line(&Report::Failed(why.to_owned())).as_bytes());
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_without_a_supervisor_says_so() {
        let e = BackendError::NoSupervisor("it has ended".to_owned());
        insta::assert_snapshot!(e, @"a worker takes its settings from its supervisor, on standard input: it has ended");
    }
}
