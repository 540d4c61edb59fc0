//! Giving way to other sessions in the middle of work that could go on.

use std::future::Future;
use std::pin::pin;
use std::task::Context;

/// Portions of what is pushed that are worked on before other sessions have their turn: a flood of small events or messages is
/// milliseconds of work.
pub const PORTIONS_AT_ONCE: usize = 4;

/// Wakes the task again once the runtime has looked for what others wait for. (A plain wake keeps the run queue filled, and
/// tokio then looks at sockets and timers only after every 61st poll: as many long turns.)
pub fn give_way(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}
