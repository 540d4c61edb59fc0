//! Connection churn: connections are opened for single uses and closed again.
//!
//! **Claim.** A large share of the uses of a pool opens a connection of its own. **Reads**
//! `pool.NAME.{opened,acquired,in-use,idle,wait,hold}`. **Needs** the first two, in each quarter. **Statistic.** Connections opened, less those by which the
//! number of open ones grew (a pool that fills is none), for each use, in each quarter of the last two seconds. **Law.**
//! Who is given an open connection waits only while none is free. Where the typical use waits although some lay idle in all samples,
//! the finding is confirmed: it waits for the opening.
//!
//! Filling after a start, after a change of size or after lost connections makes more open ones, or is over within a quarter.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::database::CRITICAL_NS;
use super::queueing::staffed;
use super::{Answer, Claim, ONSET, evidence, plural};
use crate::window;

/// Window, and its quarters, of which each must show it.
const WINDOW_S: f64 = 2.0;
const QUARTERS: u32 = 4;
/// Openings for each use. A connection exists to be used again and again; where one serves fewer than five uses,
/// its opening (a round trip at least, with TLS and log-in four or five) is a large part of each.
const LEAST_SHARE: f64 = 0.2;
/// Openings in a quarter, and in the window: never one sample.
const LEAST_IN_QUARTER: f64 = 2.0;
const LEAST_OPENED: f64 = 12.0;
/// A wait for a connection that lies idle takes microseconds; from a millisecond on it is something else.
const LONG_WAIT_NS: f64 = 1e6;
/// How far back the onset is searched, in cells of two intervals of a 10 Hz lane.
const BACK_CELLS: u32 = 50;
const CELL: Duration = Duration::from_millis(200);
/// Levels are carried for so long.
const CARRY: Duration = Duration::from_millis(350);
/// Silence after which it has ended.
const QUIET: Duration = Duration::from_secs(3);

/// Looks at every pool.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let mut pools = timeline.members(names::POOL);
    pools.retain(|p| timeline.has(&lane(p, "opened")) && timeline.has(&lane(p, "acquired")));
    if pools.is_empty() {
        return Answer::CannotTell(vec!["pool.NAME.opened".to_owned(), "pool.NAME.acquired".to_owned()]);
    }
    let claims: Vec<Claim> = pools.iter().filter_map(|p| look_at(timeline, p, at)).collect();
    let quarter = Duration::from_secs_f64(WINDOW_S) / QUARTERS;
    let gaps = |p: &String| window::seldom(timeline, &lane(p, "opened"), at, quarter);
    if claims.is_empty() && pools.iter().all(gaps) {
        return Answer::Unready("too seldom told: openings are needed in each half second".to_owned());
    }
    Answer::Looked(claims)
}

fn lane(pool: &str, part: &str) -> String {
    names::of(names::POOL, pool, part)
}

/// Openings and uses of all instances in a span.
struct Counts {
    /// Connections opened in the place of others.
    replaced: f64,
    uses: f64,
}

impl Counts {
    fn within(timeline: &Timeline, pool: &str, span: Span) -> Self {
        let mut replaced = 0.0;
        for instance in window::instances(timeline, &lane(pool, "opened")) {
            let of = |part| window::of_instance(timeline, &lane(pool, part), instance);
            let opened = window::counted_of(of("opened"), span).unwrap_or(0.0);
            let open = |t| Some(of("in-use")?.at(t, CARRY)? + of("idle")?.at(t, CARRY)?);
            // Without an earlier figure (a process that has just begun) all that is open has been opened now.
            let grown = open(span.end).unwrap_or(0.0) - open(span.start).unwrap_or(0.0);
            replaced += (opened - grown.max(0.0)).max(0.0);
        }
        Self { replaced, uses: window::counted(timeline, &lane(pool, "acquired"), span).unwrap_or(0.0) }
    }

    fn share(&self) -> f64 {
        self.replaced / self.uses.max(1.0)
    }

    fn bad(&self) -> bool {
        self.replaced >= LEAST_IN_QUARTER && self.share() >= LEAST_SHARE
    }
}

fn look_at(timeline: &Timeline, pool: &str, at: RunTime) -> Option<Claim> {
    let span = window::last(at, WINDOW_S);
    let all = Counts::within(timeline, pool, span);
    if all.replaced < LEAST_OPENED || all.share() < LEAST_SHARE {
        return None;
    }
    let quarter = span.length() / QUARTERS;
    let lasts = (0..QUARTERS).all(|i| {
        let start = span.start + quarter * i;
        Counts::within(timeline, pool, Span::new(start, start + quarter)).bad()
    });
    if !lasts {
        return None;
    }
    let since = onset(timeline, pool, at)?;
    let seen = Seen::read(timeline, pool, Span::new(since, at), span, all);
    let wait = seen.wait.unwrap_or(0.0);
    Some(Claim {
        kind: FindingKind::ConnectionChurn,
        identity: pool.to_owned(),
        subject: pool.to_owned(),
        severity: if wait >= CRITICAL_NS { Severity::Critical } else { Severity::Warning },
        status: if seen.waits_for_the_opening() { Status::Confirmed } else { Status::Likely },
        onset: since,
        last: at,
        quiet: QUIET,
        // The more uses, the truer the figures.
        weight: seen.counts.uses,
        claim: seen.sentence(pool),
        evidence: seen.supporting(pool),
        contradicting: Vec::new(),
        advice: seen.advice(pool),
        missing: if seen.wait.is_none() { vec![lane(pool, "wait")] } else { Vec::new() },
        episodes: vec![Span::new(since, at)],
        remedies: Vec::new(),
        sort: "",
    })
}

/// Since when cells have shown it; cells without a use are passed over.
fn onset(timeline: &Timeline, pool: &str, at: RunTime) -> Option<RunTime> {
    let mut since = None;
    for i in 0..BACK_CELLS {
        let end = at.back(CELL * i);
        let counts = Counts::within(timeline, pool, Span::new(end.back(CELL), end));
        if counts.replaced >= 1.0 && counts.share() >= LEAST_SHARE {
            since = Some(end.back(CELL));
        } else if counts.uses >= 1.0 {
            // A cell's figure of open ones may be off by those on their way; two good cells end it.
            let before = Span::new(end.back(CELL * 2), end.back(CELL));
            if since.is_some() && !Counts::within(timeline, pool, before).bad() {
                break;
            }
        }
    }
    since
}

/// Figures of the window.
struct Seen {
    span: Span,
    counts: Counts,
    seconds: f64,
    /// Median wait for a connection now, and before.
    wait: Option<f64>,
    usual: Option<f64>,
    hold: Option<f64>,
    /// Least number of idle connections in any sample.
    idle: Option<f64>,
    busy: f64,
}

impl Seen {
    fn read(timeline: &Timeline, pool: &str, since: Span, span: Span, counts: Counts) -> Self {
        let durations = |part, within| window::durations(timeline, &lane(pool, part), within);
        let before = Span::new(since.start.back(Duration::from_secs(10)), since.start);
        let idle = window::summed(timeline, &lane(pool, "idle"), span, 20, CARRY);
        let hold = durations("hold", span);
        Self {
            span,
            counts,
            seconds: window::seconds(span),
            wait: durations("wait", span).quantile_ns(0.5),
            usual: durations("wait", before).quantile_ns(0.5),
            hold: hold.quantile_ns(0.5),
            idle: idle.iter().map(|p| p.1).min_by(f64::total_cmp),
            busy: hold.mean_ns().unwrap_or(0.0) / 1e9 * hold.count() as f64 / window::seconds(span),
        }
    }

    fn waits_for_the_opening(&self) -> bool {
        self.wait.is_some_and(|w| w >= LONG_WAIT_NS) && self.idle.is_some_and(|n| n >= 1.0)
    }

    fn sentence(&self, pool: &str) -> String {
        let mut text = format!(
            "pool {pool} opens a connection for {} of its uses since {ONSET}: {} for {}",
            Unit::Ratio.show(self.counts.share().min(1.0)),
            Unit::PerSecond.show((self.counts.replaced / self.seconds).round()),
            Unit::PerSecond.show((self.counts.uses / self.seconds).round()),
        );
        if let (Some(wait), Some(hold)) = (self.wait.filter(|&w| w >= LONG_WAIT_NS), self.hold) {
            text += &format!(
                "; each waits {} for it and uses it for {}",
                Unit::Ns.show(wait),
                Unit::Ns.show(hold)
            );
        }
        text
    }

    fn supporting(&self, pool: &str) -> Vec<Evidence> {
        let counts = &self.counts;
        let text = format!(
            "{} opened in the place of others for {}",
            plural(counts.replaced, "connection"),
            plural(counts.uses, "use")
        );
        let mut list = vec![evidence(text, lane(pool, "opened"), self.span, counts.share(), Unit::Ratio)];
        if let (Some(wait), Some(idle)) = (self.wait, self.idle.filter(|&n| n >= 1.0)) {
            let before = self.usual.map_or(String::new(), |u| format!(", {} before", Unit::Ns.show(u)));
            let text = format!(
                "a median wait of {}{before}, while at least {} lay idle: it is the opening that is waited for",
                Unit::Ns.show(wait),
                Unit::Count.show(idle)
            );
            if self.waits_for_the_opening() {
                list.push(evidence(text, lane(pool, "wait"), self.span, wait, Unit::Ns));
            }
        }
        list
    }

    fn advice(&self, pool: &str) -> Vec<String> {
        let enough = staffed(self.busy);
        let saved = self.wait.filter(|&w| w >= LONG_WAIT_NS);
        let saved = saved.map_or(String::new(), |w| format!(" That saves {} a use.", Unit::Ns.show(w)));
        vec![
            format!(
                "Take connections from pool {pool} and give them back instead of opening one for each use: {:.1} are busy on average, {} are enough so that fewer than 3 in 100 wait.{saved}",
                self.busy,
                Unit::Count.show(enough)
            ),
            "Where the pool itself closes them: raise its idle minimum and how long a connection may live or lie idle, and look whether a check at give-back fails.".to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::told_each;
    use timeline::LaneSpec;

    #[test]
    fn openings_that_are_told_too_seldom_are_not_said_to_be_none() {
        let told = |every: u64| {
            let rate = |part| LaneSpec::rate(lane("db", part), "metrics-8080", Unit::PerSecond);
            let t = told_each(every, 30_000, ["opened", "acquired"].map(|part| (rate(part), 0.0)));
            look(&t, RunTime::from_ms(30_000))
        };
        assert_eq!(told(100), Answer::Looked(Vec::new()));
        assert!(matches!(told(2_000), Answer::Unready(why) if why.starts_with("too seldom told")));
    }
}
