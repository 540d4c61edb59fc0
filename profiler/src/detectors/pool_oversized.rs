//! Pool oversized: far more connections kept open than the load ever uses.
//!
//! **Claim.** The processes together keep open many times the connections that they need. **Reads**
//! `pool.NAME.{in-use,idle,hold}`, `db.connections`, `db.connection-limit`, `host.cores`. **Needs** `in-use` and `idle`.
//! **Statistic.** Connections open in every sample of two seconds, against the peak of those in use (98 in 100 samples of the last 30 s, and
//! every sample of a coarse grid before that), with so many more that few wait. A pool that nobody uses has no peak. **Law.** The need follows from Little's law on holds as well; where it agrees that
//! far fewer are enough, the finding is confirmed.
//!
//! A capacity is only a permission: it costs nothing until connections are open. A pool sized for a peak is not
//! oversized, so nothing is said before the load has settled, nor of a pool of which a good third is used at the peak.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Remedy, Severity, Span, Status, Timeline, Unit};

use super::queueing::staffed;
use super::{Answer, Claim, ONSET, evidence, plural};
use crate::stats::median;
use crate::window;

/// Connections of one service from which on their number can hurt a small database: half of the 100 that a PostgreSQL server takes
/// unless told otherwise (`max_connections`), so that with a second such service it turns clients away.
const LEAST_OPEN: f64 = 50.0;
/// ... and with this share of what the server takes at most, where that is known and less.
const LIMIT_SHARE: f64 = 0.5;
/// Open connections for each that is needed at the peak: a pool planned for twice the highest load is a prudent one, and
/// half as much again is room for the error of a peak.
const SURPLUS: f64 = 2.5;
/// Seconds for which they must be open.
const OPEN_S: f64 = 2.0;
/// Seconds in which the highest use counts, and the share of samples that it covers: a machine that stands still for
/// half a second lets requests pile up, which is no load.
const PEAK_S: f64 = 30.0;
const PEAK_QUANTILE: f64 = 0.98;
/// Instants at which the use before those is looked at, and for how long a level is good there: of what is older than an hour one second's
/// worth a second is kept.
const EARLIER_POINTS: u32 = 100;
const EARLIER_CARRY: Duration = Duration::from_secs(1);
/// After a change of load its peak is not yet known.
const SETTLE: Duration = Duration::from_secs(3);
/// Levels are carried for so long.
const CARRY: Duration = Duration::from_millis(350);
/// Uses from which on Little's law is tried.
const LEAST_USES: u64 = 50;
/// For each core; HikariCP's formula for connections that work at once, with one disk.
const PER_CORE: f64 = 2.0;
/// Silence after which they have been closed.
const QUIET: Duration = Duration::from_secs(3);

/// Looks at every pool.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let mut pools = timeline.members(names::POOL);
    pools.retain(|p| window::told(timeline, &lane(p, "in-use")) && window::told(timeline, &lane(p, "idle")));
    if pools.is_empty() {
        return Answer::CannotTell(vec!["pool.NAME.in-use".to_owned(), "pool.NAME.idle".to_owned()]);
    }
    if window::unsettled(timeline.plan(), at, SETTLE) {
        return Answer::too_little(SETTLE.as_secs_f64());
    }
    let claims: Vec<Claim> = pools.iter().filter_map(|p| look_at(timeline, p, at)).collect();
    if claims.is_empty() && window::after_plan(timeline.plan(), at) {
        return Answer::over();
    }
    Answer::Looked(claims)
}

fn lane(pool: &str, part: &str) -> String {
    names::of(names::POOL, pool, part)
}

/// Points (seconds of the run, connections) of the last `seconds`, all instances.
fn summed(timeline: &Timeline, pool: &str, part: &str, at: RunTime, seconds: f64) -> Vec<(f64, f64)> {
    window::summed(timeline, &lane(pool, part), window::last(at, seconds), (seconds * 10.0) as u32, CARRY)
}

fn look_at(timeline: &Timeline, pool: &str, at: RunTime) -> Option<Claim> {
    let used = summed(timeline, pool, "in-use", at, PEAK_S);
    let idle = summed(timeline, pool, "idle", at, PEAK_S);
    let peak = peak(&used)?.max(earlier(timeline, pool, at));
    if !is_used(timeline, pool, at, peak) {
        return None;
    }
    let need = staffed(peak);
    let limit = window::typical(timeline, names::DB_CONNECTION_LIMIT, window::last(at, 5.0));
    let many = limit.map_or(LEAST_OPEN, |l| LEAST_OPEN.min(LIMIT_SHARE * l)).max(SURPLUS * need);
    let open: Vec<(f64, f64)> =
        idle.iter().filter_map(|&(t, n)| Some((t, n + used.iter().find(|u| u.0 == t)?.1))).collect();
    let since_s = open.iter().rev().take_while(|p| p.1 >= many).last()?.0;
    let since = RunTime::from_secs_f64(since_s);
    if at.since(since).as_secs_f64() < OPEN_S {
        return None;
    }
    // They may be closed just now.
    let now = median(open.iter().filter(|p| p.0 >= since_s).map(|p| p.1).collect())?;
    let seen = Seen { span: Span::new(since, at), open: now, peak, limit };
    let agrees = seen.little(timeline, pool).is_some_and(|busy| SURPLUS * staffed(busy) <= now);
    let full = limit.is_some_and(|l| now >= 0.9 * l);
    let (processes, each) = seen.need_each(timeline, pool);
    Some(Claim {
        kind: FindingKind::PoolOversized,
        identity: pool.to_owned(),
        subject: pool.to_owned(),
        severity: if full { Severity::Critical } else { Severity::Warning },
        status: if agrees { Status::Confirmed } else { Status::Likely },
        onset: since,
        last: at,
        quiet: QUIET,
        weight: window::seconds(seen.span),
        claim: format!(
            "pool {pool} keeps {} open since {ONSET}, of which more than {} are in use for 2 % of the time at most: {} are enough",
            plural(now, "connection"),
            Unit::Count.show(peak),
            Unit::Count.show(processes * each)
        ),
        evidence: seen.supporting(timeline, pool),
        contradicting: Vec::new(),
        advice: seen.advice(timeline, pool, (processes, each)),
        missing: Vec::new(),
        episodes: vec![Span::new(since, at)],
        remedies: vec![Remedy::number(lane(pool, "capacity"), each)],
        sort: "",
    })
}

/// Is the pool asked for anything? What nobody loads says nothing of the peaks that it must serve.
fn is_used(timeline: &Timeline, pool: &str, at: RunTime, peak: f64) -> bool {
    let hold = lane(pool, "hold");
    if !timeline.has(&hold) {
        return peak >= 1.0;
    }
    window::durations(timeline, &hold, window::last(at, PEAK_S)).count() >= LEAST_USES
}

/// Connections in use that only few samples exceed.
fn peak(used: &[(f64, f64)]) -> Option<f64> {
    let mut used: Vec<f64> = used.iter().map(|p| p.1).collect();
    used.sort_by(f64::total_cmp);
    used.get(((used.len() as f64 * PEAK_QUANTILE) as usize).min(used.len().checked_sub(1)?)).copied()
}

/// The highest use before that, on a coarse grid, of whoever was there: a pool must serve the peaks of a day, and processes may have been
/// replaced since.
fn earlier(timeline: &Timeline, pool: &str, at: RunTime) -> f64 {
    let span = Span::new(RunTime::ZERO, at.back(Duration::from_secs_f64(PEAK_S)));
    if span.end == RunTime::ZERO {
        return 0.0;
    }
    let points = window::summed_of_any(timeline, &lane(pool, "in-use"), span, EARLIER_POINTS, EARLIER_CARRY);
    points.iter().map(|p| p.1).fold(0.0, f64::max)
}

/// Figures of a pool, all instances.
struct Seen {
    span: Span,
    open: f64,
    peak: f64,
    limit: Option<f64>,
}

impl Seen {
    /// Connections that uses and holds keep busy on average.
    fn little(&self, timeline: &Timeline, pool: &str) -> Option<f64> {
        let span = window::last(self.span.end, 5.0);
        let holds = window::durations(timeline, &lane(pool, "hold"), span);
        (holds.count() >= LEAST_USES)
            .then(|| holds.mean_ns().map(|h| h / 1e9 * holds.count() as f64 / window::seconds(span)))?
    }

    fn supporting(&self, timeline: &Timeline, pool: &str) -> Vec<Evidence> {
        let text = format!(
            "{} open for {}; 98 % of the samples within 30 s have at most {} in use",
            plural(self.open, "connection"),
            Unit::Ns.show(window::seconds(self.span) * 1e9),
            Unit::Count.show(self.peak)
        );
        let mut list = vec![evidence(text, lane(pool, "idle"), self.span, self.open, Unit::Count)];
        if let Some(busy) = self.little(timeline, pool) {
            let text = format!("Little's law: uses x hold keep {busy:.1} of them busy on average");
            list.push(evidence(text, lane(pool, "hold"), self.span, busy, Unit::Count));
        }
        if let (Some(limit), Some(all)) =
            (self.limit, window::typical(timeline, names::DB_CONNECTIONS, self.span))
        {
            let text = format!(
                "the database's server has {} of the {} that it takes at most",
                plural(all, "connection"),
                Unit::Count.show(limit)
            );
            list.push(evidence(text, names::DB_CONNECTIONS, self.span, all, Unit::Count));
        }
        list
    }

    /// Processes that have the pool, and how many connections are enough in each, where they are loaded alike.
    fn need_each(&self, timeline: &Timeline, pool: &str) -> (f64, f64) {
        let name = lane(pool, "in-use");
        let processes = window::present(timeline, &name, self.span, CARRY).count().max(1) as f64;
        (processes, staffed(self.peak / processes))
    }

    fn advice(&self, timeline: &Timeline, pool: &str, (processes, each): (f64, f64)) -> Vec<String> {
        let in_each = if processes > 1.0 {
            format!(", {each} in each of {processes} processes")
        } else {
            String::new()
        };
        let mut list = vec![format!(
            "Lower the size of pool {pool} from {} to {}{in_each}: fewer than 3 in 100 wait with so many, were the peak of {} what it is always asked for (Erlang C).",
            Unit::Count.show(self.open),
            Unit::Count.show(processes * each),
            Unit::Count.show(self.peak)
        )];
        if let Some(cores) = window::typical(timeline, names::HOST_CORES, window::last(self.span.end, 10.0)) {
            list.push(format!(
                "Were the database on this machine, {} statements at once would keep its {} cores and one disk busy (cores x 2 + 1); what more comes at once waits inside it, with its memory.",
                Unit::Count.show(PER_CORE * cores + 1.0),
                Unit::Count.show(cores)
            ));
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeline::{Entry, LaneId, LaneSpec};

    #[test]
    fn a_peak_is_remembered_when_the_process_that_had_it_was_replaced() {
        let (mut t, name) = (Timeline::new(), lane("db", "in-use"));
        for (id, from, until, value) in [(0, 1, 60, 30.0), (1, 62, 200, 2.0)] {
            let lane = LaneId(id);
            t.apply(&Entry::Lane(lane, LaneSpec::level(name.clone(), format!("pid-{id}"), Unit::Count)));
            for s in from..=until {
                t.apply(&Entry::Sample { lane, at: RunTime::from_ms(s * 1_000), value });
            }
        }
        assert_eq!(earlier(&t, "db", RunTime::from_ms(200_000)), 30.0);
    }
}
