//! From which part of its range each knob is drawn.
//!
//! A knob's whole range (`timeline::fault`) goes to where its fault does nothing that anybody could see in a case: a leak of a
//! kilobyte for each of eight log-ins a second is 100 KB when the case ends. Drawing such values would score the draw. What
//! stands here was worked out from the loads of the catalogue and from a case's length, before any case was drawn, and
//! is not to be changed after a look at a score; knobs that are not here are drawn from their whole range.
//!
//! A case's load differs from its scenario's, and a fault that is a matter of demand and supply goes with it: two connections in each
//! worker are too few for all of the load, and enough for three fifths of it. Such limits are worked out for the load that was drawn.

use timeline::fault::{FaultKind, Knob};

/// A limit of what is drawn, for a load as a multiple of the scenario's.
#[derive(Clone, Copy)]
enum Limit {
    /// Whatever the load.
    Always(f64),
    /// So much at the scenario's load, and more of it for more load: a supply that must stay below the demand.
    With(f64),
    /// So much at the scenario's load, and less of it for more load: what each of many requests has to do.
    Against(f64),
    /// Worked out.
    For(fn(f64) -> f64),
}

impl Limit {
    fn at(self, load: f64) -> f64 {
        match self {
            Self::Always(value) => value,
            Self::With(value) => value * load,
            Self::Against(value) => value / load,
            Self::For(limit) => limit(load),
        }
    }
}

use Limit::{Against, Always, For, With};

/// The least and the greatest value drawn for a fault's knob.
type Row = (FaultKind, &'static str, Limit, Limit);

const ROWS: &[Row] = &[
    // 450 queries a second of 10 ms keep 4.5 connections busy; two workers with 2.1 each have less.
    (FaultKind::PoolTooSmall, "capacity", Always(1.0), With(2.1)),
    // Eight log-ins a second for 14 s: 28 MB and more.
    (FaultKind::Leak, "bytes", Against(262_144.0), Always(1_048_576.0)),
    // Turns of 25 ms and more (70 make 20 on a fast core, from where on a stall is told), at least two a second.
    (FaultKind::BlockingCrypto, "cost", Always(100.0), Always(200.0)),
    (FaultKind::BlockingCrypto, "share", Against(0.3), Always(1.0)),
    // Turns of 25 ms and more, here too: a million make 17 on a fast core.
    (FaultKind::RegexBacktracking, "steps", Always(2_000_000.0), Always(20_000_000.0)),
    (FaultKind::StarvedPoll, "rows", Always(50.0), Always(500.0)),
    // Three lists a second, of which one at least is made in one go.
    (FaultKind::BigJson, "share", Against(0.4), Always(1.0)),
    // Sheets keep 10 threads busy; two workers with 3.5 each have 7.
    (FaultKind::OffloadSaturated, "threads", Always(1.0), With(3.5)),
    // 50 pictures a second: 100 MB a second and more.
    (FaultKind::Churn, "layers", Against(8.0), Always(32.0)),
    // The scenario's files have 64 MB: smaller limits refuse them, larger ones are all alike.
    (FaultKind::WholeFile, "megabytes", Always(64.0), Always(4_096.0)),
    (FaultKind::StopTheWorld, "sessions", Always(200_000.0), Always(1_000_000.0)),
    (FaultKind::StopTheWorld, "period_ms", Always(1_000.0), Always(3_000.0)),
    (FaultKind::Fragmentation, "candidates", Always(10_000.0), Always(50_000.0)),
    // Periods: at least three within the 9 s for which a fault lasts.
    (FaultKind::Avalanche, "period_ms", Always(1_500.0), Always(3_000.0)),
    (FaultKind::ColdCache, "period_ms", Always(400.0), Always(3_000.0)),
    (FaultKind::Frozen, "stop_ms", Always(200.0), Always(1_200.0)),
    (FaultKind::Frozen, "period_ms", Always(1_500.0), Always(3_000.0)),
    (FaultKind::WorkerCrash, "period_ms", Always(3_000.0), Always(6_000.0)),
    // 300 products are wanted.
    (FaultKind::TooSmallCache, "capacity", Always(5.0), Always(100.0)),
    // A signature takes 0.3 to 1 ms, so a message a tenth of a second and more; ten come in a second.
    (FaultKind::SlowDownstream, "signatures", Always(250.0), Always(1_000.0)),
    // The consumer takes one after the other: with 0.15 s and more for each it is half a time too slow.
    (FaultKind::BrokerBacklog, "signatures", Against(500.0), Always(1_500.0)),
    (FaultKind::RetryStorm, "tries", Always(4.0), Always(16.0)),
    // 80 invoices a second, of which each keeps one of the service's threads busy for 18 ms and more.
    (FaultKind::RetryStorm, "signatures", Against(60.0), Always(300.0)),
    // Of 100 checkouts a second in each worker, so that within 14 s half of its twelve connections are lost.
    (FaultKind::PoolLeak, "share", Against(0.005), Always(0.05)),
    (FaultKind::PoolTooLarge, "capacity", Always(80.0), Always(300.0)),
    // 260 clients a second come and fewer than 200 are accepted, so that the queues of both workers are full within half of the 9 s for
    // which the fault lasts.
    (FaultKind::AcceptOverflow, "queue", Always(16.0), For(|load| (260.0 * load - 200.0) * 4.5 / 2.0)),
    // Twenty files a second are left open in each worker for 14 s: two thirds of them.
    (FaultKind::FdExhausted, "room", Always(60.0), With(180.0)),
];

/// The span of values drawn for a knob in a case with `load` times its scenario's.
pub fn reach(fault: FaultKind, knob: &Knob, load: f64) -> (f64, f64) {
    let row = ROWS.iter().find(|r| r.0 == fault && r.1 == knob.name);
    row.map_or((knob.min, knob.max), |r| {
        let within = |limit: Limit| limit.at(load).clamp(knob.min, knob.max);
        (within(r.2), within(r.3))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::draw::{LOAD, LOAD_HALF, TWIN_SHARE};

    #[test]
    fn every_row_is_a_part_of_a_range_at_every_load() {
        for (fault, name, ..) in ROWS {
            let knob = fault.knobs().iter().find(|k| k.name == *name).unwrap();
            for load in [LOAD_HALF.0 * TWIN_SHARE, LOAD_HALF.0, LOAD_HALF.1, LOAD.0, 1.0, LOAD.1] {
                // It is drawn with one other fault, or with none.
                if *fault == FaultKind::AcceptOverflow && load < LOAD.0 {
                    continue;
                }
                let (low, high) = reach(*fault, knob, load);
                let name = format!("{name} of {} at {load}", fault.name());
                assert!(knob.min <= low && low <= high && high <= knob.max, "{name}: {low} to {high}");
            }
        }
    }

    #[test]
    fn less_load_is_met_with_less_supply_and_more_work() {
        let at = |fault: FaultKind, load| reach(fault, &fault.knobs()[0], load);
        assert_eq!(at(FaultKind::PoolTooSmall, 1.0).1.floor(), 2.0);
        assert_eq!(at(FaultKind::PoolTooSmall, 0.6).1.floor(), 1.0, "4 connections serve 2.7");
        assert!(
            at(FaultKind::BrokerBacklog, 0.6).0 > 800.0,
            "six messages a second of 0.15 s are no backlog"
        );
    }
}
