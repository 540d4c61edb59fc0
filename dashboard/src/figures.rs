//! Figures as text: the one place where values of a snapshot become what the screen says.
//!
//! Owns the wording of missing values (`n/a`, never zero), ages, shares and quality marks; numbers with
//! their units come from [`Unit::show`].

use timeline::lane::{Quality, is_generator};
use timeline::snapshot::{LaneView, Percentiles, PoolView, RunState, Snapshot};
use timeline::{Finding, Severity, Status, Unit};

use crate::theme::Role;

/// What stands where there is no value.
pub(crate) const NONE: &str = "n/a";
/// A lane or source whose newest value is older than this is stale: its age is shown instead.
pub(crate) const STALE_NS: u64 = 3_000_000_000;

/// A value with its unit, or [`NONE`].
pub(crate) fn show(unit: Unit, value: Option<f64>) -> String {
    value.map_or_else(|| NONE.to_owned(), |v| unit.show(v))
}

/// A duration in nanoseconds.
pub(crate) fn ns(value: f64) -> String {
    Unit::Ns.show(value)
}

/// A count.
pub(crate) fn count(value: u64) -> String {
    Unit::Count.show(value as f64)
}

/// One quantile, or [`NONE`] where nothing was counted.
pub(crate) fn quantile(p: &Percentiles, pick: impl Fn(&Percentiles) -> f64) -> String {
    if p.count == 0 { NONE.to_owned() } else { ns(pick(p)) }
}

/// Failed steps over finished ones, or [`NONE`] before the first.
pub(crate) fn error_share(snapshot: &Snapshot) -> String {
    share(snapshot.load.errors, snapshot.load.requests)
}

/// `part` of `whole` in per cent, or [`NONE`].
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 { NONE.to_owned() } else { Unit::Ratio.show(part as f64 / whole as f64) }
}

/// The age of something that should be fresh: `12 s`, `3 min`.
pub(crate) fn age(ns: u64) -> String {
    let s = ns / 1_000_000_000;
    match s {
        0 => format!("{:.1} s", ns as f64 / 1e9),
        1..=119 => format!("{s} s"),
        120..=7_199 => format!("{} min", s / 60),
        _ => format!("{} h", s / 3_600),
    }
}

/// Mark of a lane's quality: estimated `~`, concluded `?`.
pub(crate) fn quality_mark(quality: Quality) -> &'static str {
    match quality {
        Quality::Exact => "",
        Quality::Sampled => "~",
        Quality::Inferred => "?",
    }
}

/// The newest value of a lane with its quality; its age when stale.
pub(crate) fn newest(lane: &LaneView) -> String {
    match lane.last {
        None => NONE.to_owned(),
        Some(_) if lane.age_ns > STALE_NS => format!("stale {}", age(lane.age_ns)),
        Some(v) => format!("{}{}", quality_mark(lane.quality), lane.unit.show(v)),
    }
}

/// A figure of the load: its age when every worker is silent, [`NONE`] where no load is applied.
pub(crate) fn of_load(snapshot: &Snapshot, figure: String) -> String {
    match silent_load(snapshot) {
        _ if snapshot.load.age_ns.is_none() => NONE.to_owned(),
        Some(age) => format!("silent {age}"),
        None => figure,
    }
}

/// For how long every worker has been silent, where they should not be.
pub(crate) fn silent_load(snapshot: &Snapshot) -> Option<String> {
    let silent = |ns: &u64| *ns > STALE_NS && snapshot.run.state != RunState::Done;
    snapshot.load.age_ns.filter(silent).map(age)
}

/// Workers of the generator that went silent while others go on: sums are without them.
pub(crate) fn silent_workers(snapshot: &Snapshot) -> Option<String> {
    let goes_on =
        snapshot.load.age_ns.is_some_and(|age| age <= STALE_NS) && snapshot.run.state != RunState::Done;
    let silent = snapshot.processes.iter().filter(|p| is_generator(&p.name) && p.age_ns > STALE_NS);
    let silent: Vec<String> = silent.map(|p| format!("{} {}", p.name, age(p.age_ns))).collect();
    (goes_on && !silent.is_empty()).then(|| silent.join(", "))
}

/// Connections in use of those there may be: `64/64`.
pub(crate) fn fill(in_use: Option<f64>, capacity: Option<f64>) -> String {
    format!("{}/{}", show(Unit::Count, in_use), show(Unit::Count, capacity))
}

/// A pool's fill, and its waiters if there are any: `64/64 w118`; the waiters alone where `room` cells are too few for both.
pub(crate) fn pool(pool: &PoolView, room: u16) -> String {
    let fill = fill(pool.in_use, pool.capacity);
    let Some(waiters) = pool.waiters.filter(|w| *w > 0.0) else { return fill };
    let waiters = format!("w{}", Unit::Count.show(waiters));
    let both = format!("{fill} {waiters}");
    // How many wait says more than how many are in use.
    if both.len() <= usize::from(room) { both } else { waiters }
}

/// How a finding of this severity is drawn.
pub(crate) fn severity_role(severity: Severity) -> Role {
    match severity {
        Severity::Info => Role::Info,
        Severity::Warning => Role::Warning,
        Severity::Critical => Role::Critical,
    }
}

/// What a finding is about: `cache stampede product:7`.
pub(crate) fn finding_title(finding: &Finding) -> String {
    if finding.subject.is_empty() {
        finding.kind.title().to_owned()
    } else {
        format!("{} {}", finding.kind.title(), finding.subject)
    }
}

/// Is it said to be there (and not only looked for)?
pub(crate) fn is_seen(finding: &Finding) -> bool {
    finding.status >= Status::Possible
}

/// Those that are, in the diagnosis's order.
pub(crate) fn seen(snapshot: &Snapshot) -> impl DoubleEndedIterator<Item = &Finding> {
    snapshot.findings.iter().filter(|f| is_seen(f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_never_zero() {
        assert_eq!(show(Unit::Count, None), "n/a");
        assert_eq!(share(0, 0), "n/a");
        assert_eq!(quantile(&Percentiles::default(), |p| p.p99), "n/a");
        assert_eq!(pool(&PoolView { in_use: Some(3.0), ..PoolView::default() }, 13), "3/n/a");
    }

    #[test]
    fn of_a_pool_the_fill_makes_room_for_its_waiters() {
        let of = |n| PoolView {
            in_use: Some(n),
            capacity: Some(n),
            waiters: Some(1_200.0),
            ..PoolView::default()
        };
        assert_eq!(pool(&of(64.0), 13), "64/64 w1.20k");
        assert_eq!(pool(&of(100.0), 13), "w1.20k", "both would take 14 cells");
    }

    #[test]
    fn ages_read_as_one_would_say_them() {
        assert_eq!(
            [age(300_000_000), age(12_000_000_000), age(600_000_000_000)],
            ["0.3 s", "12 s", "10 min"]
        );
    }
}
