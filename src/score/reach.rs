//! From which part of its range each knob is drawn.
//!
//! A knob's whole range (`timeline::fault`) goes to where its fault does nothing that anybody could see in a case: a leak of a
//! kilobyte for each of eight log-ins a second is 100 KB when the case ends. Drawing such values would score the draw. What
//! stands here was worked out from the loads of the catalogue and from a case's length, before any case was drawn, and
//! is not to be changed after a look at a score; knobs that are not here are drawn from their whole range.

use timeline::fault::{FaultKind, Knob};

/// The least and the greatest value drawn for a fault's knob.
type Row = (FaultKind, &'static str, f64, f64);

const ROWS: &[Row] = &[
    // 450 queries a second of 10 ms keep 4.5 connections busy; two workers with two each have 4.
    (FaultKind::PoolTooSmall, "capacity", 1.0, 2.0),
    // Eight log-ins a second for 14 s: 28 MB and more.
    (FaultKind::Leak, "bytes", 262_144.0, 1_048_576.0),
    // Turns of 20 ms and more, at least two a second.
    (FaultKind::BlockingCrypto, "cost", 60.0, 200.0),
    (FaultKind::BlockingCrypto, "share", 0.3, 1.0),
    (FaultKind::RegexBacktracking, "steps", 1_000_000.0, 20_000_000.0),
    (FaultKind::StarvedPoll, "rows", 50.0, 500.0),
    // Three lists a second, of which one at least is made in one go.
    (FaultKind::BigJson, "share", 0.4, 1.0),
    // Sheets keep 10 threads busy; two workers with four each have 8.
    (FaultKind::OffloadSaturated, "threads", 1.0, 3.0),
    // 50 pictures a second: 100 MB a second and more.
    (FaultKind::Churn, "layers", 8.0, 32.0),
    // The scenario's files have 64 MB: smaller limits refuse them, larger ones are all alike.
    (FaultKind::WholeFile, "megabytes", 64.0, 4_096.0),
    (FaultKind::StopTheWorld, "sessions", 200_000.0, 1_000_000.0),
    (FaultKind::StopTheWorld, "period_ms", 1_000.0, 3_000.0),
    (FaultKind::Fragmentation, "candidates", 10_000.0, 50_000.0),
    // Periods: at least three within the 9 s for which a fault lasts.
    (FaultKind::Avalanche, "period_ms", 1_500.0, 3_000.0),
    (FaultKind::ColdCache, "period_ms", 400.0, 3_000.0),
    (FaultKind::Frozen, "stop_ms", 200.0, 1_200.0),
    (FaultKind::Frozen, "period_ms", 1_500.0, 3_000.0),
    (FaultKind::WorkerCrash, "period_ms", 3_000.0, 6_000.0),
    // 300 products are wanted.
    (FaultKind::TooSmallCache, "capacity", 5.0, 100.0),
    // A signature takes 0.3 to 1 ms, so a message a tenth of a second and more; ten come in a second.
    (FaultKind::SlowDownstream, "signatures", 250.0, 1_000.0),
    (FaultKind::BrokerBacklog, "signatures", 500.0, 1_500.0),
    (FaultKind::RetryStorm, "tries", 4.0, 16.0),
    (FaultKind::RetryStorm, "signatures", 60.0, 300.0),
    // Of 100 checkouts a second in each worker, so that within 14 s half of its twelve connections are lost.
    (FaultKind::PoolLeak, "share", 0.005, 0.05),
    (FaultKind::PoolTooLarge, "capacity", 80.0, 300.0),
    // Some twenty clients a second more than are accepted.
    (FaultKind::AcceptOverflow, "queue", 16.0, 96.0),
    // Twenty files a second are left open in each worker for 14 s.
    (FaultKind::FdExhausted, "room", 60.0, 180.0),
];

/// The span of values drawn for a knob.
pub fn reach(fault: FaultKind, knob: &Knob) -> (f64, f64) {
    ROWS.iter().find(|r| r.0 == fault && r.1 == knob.name).map_or((knob.min, knob.max), |r| (r.2, r.3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_part_of_a_range() {
        for (fault, name, low, high) in ROWS {
            let knob = fault.knobs().iter().find(|k| k.name == *name).unwrap();
            assert!(knob.min <= *low && low < high && *high <= knob.max, "{name} of {}", fault.name());
        }
    }
}
