//! Pool leak: connections that were taken from a pool and never come back, though nobody uses them.
//!
//! **Claim.** Ever more connections of a pool are out without being held by anybody. **Reads**
//! `pool.NAME.{in-use,capacity,waiters,hold,acquired}`, `server.in-flight`. **Needs** `in-use` and
//! `server.in-flight`, told each half second at least; without `hold` it says no more than *possible*.
//! **Statistic.** Two accounts of who can hold a connection, each instance for itself, in cells of half a second: by Little's law
//! the holds that ended keep sum(holds) / time busy; and no more requests can hold one than are under way and do not
//! wait. What is out beyond *both* is held by nobody. The lowest sample of a cell counts, so a burst is none.
//! **Law.** Where each of the two accounts for itself gives about the same number, the finding is confirmed.
//!
//! **Least data.** A leak is growth: a job that keeps a connection for good is none. It takes three connections lost since
//! the account's lowest point within the last 30 s, in all instances together, the newest of them for a second. At `r` uses a second of which a share `s` is lost, that
//! is 3 / (r s) + 1 seconds after the first loss.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Series, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, evidence, plural};
use crate::window;

/// Half a second: five samples of a 10 Hz lane, of which the lowest counts.
const CELL: Duration = Duration::from_millis(500);
/// Cells looked at: 30 s.
const CELLS: u32 = 60;
/// Connections lost, all instances together. One may be a background job that has just begun, two may be two.
const LEAST_LOST: f64 = 3.0;
/// Newest cells of which the lowest counts, so that what is out stays out for a second.
const STAYS: usize = 2;
/// How far the account may fall back within a leak: somebody gave one back after all, or a sample was taken between
/// two counters.
const FALLS: f64 = 1.0;
/// The two accounts may differ by so much for the finding to be confirmed: one connection, or a quarter.
const LAW_TOLERANCE: f64 = 0.25;
/// Levels are carried for so long.
const CARRY: Duration = Duration::from_millis(350);
/// Silence after which it has ended: what was lost has come back.
const QUIET: Duration = Duration::from_secs(3);

/// Looks at every pool.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let mut pools = timeline.members(names::POOL);
    pools.retain(|p| window::told(timeline, &lane(p, "in-use")));
    if pools.is_empty() {
        return Answer::CannotTell(vec!["pool.NAME.in-use".to_owned()]);
    }
    // By holds alone every one that takes long would seem lost until it ends.
    if !window::told(timeline, names::SERVER_IN_FLIGHT) {
        return Answer::CannotTell(vec![names::SERVER_IN_FLIGHT.to_owned()]);
    }
    let claims: Vec<Claim> = pools.iter().filter_map(|p| look_at(timeline, p, at)).collect();
    let gaps = |p: &String| window::seldom(timeline, &lane(p, "in-use"), at, CELL);
    if claims.is_empty() && pools.iter().all(gaps) {
        return Answer::Unready(
            "too seldom told: an account needs the connections in use each half second".to_owned(),
        );
    }
    Answer::Looked(claims)
}

fn lane(pool: &str, part: &str) -> String {
    names::of(names::POOL, pool, part)
}

/// What is out and held by nobody, by each account; none where it cannot be drawn up.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    by_holds: Option<f64>,
    by_requests: Option<f64>,
}

impl Account {
    /// Beyond both.
    fn surely(self) -> Option<f64> {
        Some(self.by_requests?.min(self.by_holds.unwrap_or(f64::INFINITY)))
    }
}

/// One process's pool.
struct Part<'a> {
    in_use: &'a Series,
    waiters: Option<&'a Series>,
    hold: Option<&'a Series>,
    in_flight: Option<&'a Series>,
}

impl<'a> Part<'a> {
    fn of(timeline: &'a Timeline, pool: &str, instance: &str) -> Option<Self> {
        let of = |part: &str| window::of_instance(timeline, &lane(pool, part), instance);
        let in_flight = window::of_instance(timeline, names::SERVER_IN_FLIGHT, instance);
        Some(Self { in_use: of("in-use")?, waiters: of("waiters"), hold: of("hold"), in_flight })
    }

    fn account(&self, cell: Span) -> Option<Account> {
        let out = self.in_use.within(cell);
        let lowest = out.iter().map(|p| p.1).min_by(f64::total_cmp)?;
        let by_holds = self.hold.map(|hold| {
            // Holds of a cell may have begun before it; four cells even that out.
            let span = Span::new(cell.end.back(CELL * 4), cell.end);
            let held = crate::stats::Durations::of(hold.intervals_within(span));
            let busy = held.mean_ns().unwrap_or(0.0) * held.count() as f64 / span.length().as_nanos() as f64;
            lowest - busy
        });
        let by_requests = self.in_flight.and_then(|in_flight| {
            let surplus = out.iter().filter_map(|&(t, n)| {
                let waiting = self.waiters.and_then(|w| w.at(t, CARRY)).unwrap_or(0.0);
                Some(n - (in_flight.at(t, CARRY)? - waiting).max(0.0))
            });
            surplus.min_by(f64::total_cmp)
        });
        Some(Account { by_holds, by_requests })
    }

    /// The last instant of `cell` at which as few were out as never again in it: what was lost went after it.
    fn last_lowest(&self, cell: Span) -> Option<RunTime> {
        let out = self.in_use.within(cell);
        let lowest = out.iter().map(|p| p.1).min_by(f64::total_cmp)?;
        out.iter().rev().find(|p| p.1 <= lowest).map(|p| p.0)
    }

    /// The leak that lasts at `at`: what has been lost since the account was lowest, since when, and what both accounts say now.
    fn lost(&self, at: RunTime) -> Option<Lost> {
        let cell = |i: u32| {
            let end = at.back(CELL * i) + Duration::from_nanos(1);
            let span = Span::new(end.back(CELL), end);
            let account = self.account(span)?;
            Some((span, account, account.surely()?))
        };
        // Mostly nothing is lost, and then the past costs nothing.
        if cell(0)?.2 < 1.0 {
            return None;
        }
        // Back to the first gap: what was out before it cannot be known.
        let cells: Vec<(Span, Account, f64)> = (0..CELLS).map_while(cell).collect();
        let sure: Vec<f64> = cells.iter().map(|c| c.2).collect();
        if sure.len() <= STAYS {
            return None;
        }
        let now = sure[..STAYS].iter().copied().fold(f64::INFINITY, f64::min);
        // Back in time for as long as it has not been higher than it is later: that is the growth.
        let (mut ceiling, mut floor, mut since) = (now, now.max(0.0), 0);
        for (i, &value) in sure.iter().enumerate().skip(STAYS) {
            if value > ceiling + FALLS {
                break;
            }
            ceiling = ceiling.min(value.max(floor));
            if value.max(0.0) < floor {
                floor = value.max(0.0);
                since = i;
            }
        }
        let floor_of = |f: fn(&Account) -> Option<f64>| {
            let now = cells[..STAYS].iter().filter_map(|c| f(&c.1)).min_by(f64::total_cmp)?;
            let then = cells[since..].iter().take(STAYS).filter_map(|c| f(&c.1)).min_by(f64::total_cmp)?;
            Some(now - then.max(0.0))
        };
        Some(Lost {
            count: now - floor,
            since: self.last_lowest(cells[since].0)?,
            by_holds: floor_of(|a| a.by_holds),
            by_requests: floor_of(|a| a.by_requests),
        })
    }
}

/// What one process has lost.
#[derive(Debug, Clone, Copy)]
struct Lost {
    count: f64,
    since: RunTime,
    by_holds: Option<f64>,
    by_requests: Option<f64>,
}

fn look_at(timeline: &Timeline, pool: &str, at: RunTime) -> Option<Claim> {
    let parts: Vec<Part> = window::instances(timeline, &lane(pool, "in-use"))
        .iter()
        .filter_map(|i| Part::of(timeline, pool, i))
        .collect();
    let losses: Vec<Lost> =
        parts.iter().filter_map(|p| p.lost(at)).filter(|l| l.count >= 1.0 - f64::EPSILON).collect();
    let lost = losses.iter().map(|l| l.count.floor()).sum::<f64>();
    if lost < LEAST_LOST {
        return None;
    }
    let since = losses.iter().map(|l| l.since).min()?;
    let seen = Seen::read(timeline, pool, Span::new(since, at), &losses, lost);
    let short = seen.capacity.is_some_and(|c| lost >= c / 2.0) || seen.waiting;
    Some(Claim {
        kind: FindingKind::PoolLeak,
        identity: pool.to_owned(),
        subject: pool.to_owned(),
        severity: if short { Severity::Critical } else { Severity::Warning },
        status: match seen.by_holds {
            // A request may take several at once.
            None => Status::Possible,
            Some(_) if seen.agree() => Status::Confirmed,
            Some(_) => Status::Likely,
        },
        onset: since,
        last: at,
        quiet: QUIET,
        weight: lost,
        claim: seen.sentence(pool),
        evidence: seen.supporting(pool),
        contradicting: Vec::new(),
        advice: seen.advice(pool),
        missing: if seen.by_holds.is_none() { vec![lane(pool, "hold")] } else { Vec::new() },
        episodes: vec![Span::new(since, at)],
        remedies: Vec::new(),
        sort: "",
    })
}

/// Figures of the leak, all instances.
struct Seen {
    span: Span,
    lost: f64,
    capacity: Option<f64>,
    waiting: bool,
    by_holds: Option<f64>,
    by_requests: Option<f64>,
    /// Uses of the pool meanwhile.
    uses: f64,
}

impl Seen {
    fn read(timeline: &Timeline, pool: &str, span: Span, losses: &[Lost], lost: f64) -> Self {
        let now = window::last(span.end, 1.0);
        let capacities: Vec<f64> =
            timeline.named(&lane(pool, "capacity")).filter_map(|s| s.at(span.end, QUIET)).collect();
        let waiting = window::mean(timeline, &lane(pool, "waiters"), now).is_some_and(|w| w >= 1.0);
        Self {
            span,
            lost,
            capacity: (!capacities.is_empty()).then(|| capacities.iter().sum()),
            waiting,
            by_holds: losses.iter().map(|l| l.by_holds).sum(),
            by_requests: losses.iter().map(|l| l.by_requests).sum(),
            uses: window::counted(timeline, &lane(pool, "acquired"), span).unwrap_or(0.0),
        }
    }

    fn agree(&self) -> bool {
        let (Some(a), Some(b)) = (self.by_holds, self.by_requests) else { return false };
        (a - b).abs() <= (LAW_TOLERANCE * a.max(b)).max(1.0)
    }

    /// Lost per second.
    fn rate(&self) -> f64 {
        self.lost / window::seconds(self.span).max(CELL.as_secs_f64())
    }

    fn sentence(&self, pool: &str) -> String {
        let of = self.capacity.map_or(String::new(), |c| format!(" of {}", Unit::Count.show(c)));
        let mut text = format!(
            "pool {pool} has lost {}{of} since {ONSET}: out, held by nobody, and never given back",
            plural(self.lost, "connection")
        );
        if self.uses >= self.lost && self.uses > 0.0 {
            text += &format!(", one in {} uses", Unit::Count.show((self.uses / self.lost).round()));
        }
        text
    }

    fn supporting(&self, pool: &str) -> Vec<Evidence> {
        let mut list = Vec::new();
        if let Some(n) = self.by_requests {
            let text = format!(
                "{} more out than there are requests under way that do not wait for one",
                plural(n.max(0.0).floor(), "connection")
            );
            list.push(evidence(text, lane(pool, "in-use"), self.span, n, Unit::Count));
        }
        if let Some(n) = self.by_holds {
            let text = format!(
                "Little's law: {} more out than the holds that ended keep busy",
                plural(n.max(0.0).floor(), "connection")
            );
            list.push(evidence(text, lane(pool, "hold"), self.span, n, Unit::Count));
        }
        list
    }

    fn advice(&self, pool: &str) -> Vec<String> {
        let mut list = vec![format!(
            "Give connections of pool {pool} back on every way out, errors and time-outs among them: hold each in a guard (`with`, `finally`, `Drop`) instead of a call at the end."
        )];
        let left = self.capacity.map_or(0.0, |c| c - self.lost);
        if left >= 1.0 && !self.waiting {
            list.push(format!(
                "Until then: at {:.2} a second the {} left are gone in about {}; a limit on how long one may be out (`removeAbandoned`, `leakDetectionThreshold`) names who has it.",
                self.rate(),
                Unit::Count.show(left),
                Unit::Ns.show(left / self.rate() * 1e9)
            ));
        } else {
            list.push(format!(
                "A larger pool only runs empty later: at {:.2} lost a second, ten more last for {}.",
                self.rate(),
                Unit::Ns.show(10.0 / self.rate() * 1e9)
            ));
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::told_each;
    use timeline::LaneSpec;

    #[test]
    fn what_is_told_too_seldom_for_an_account_is_not_said_to_be_whole() {
        let told = |every: u64| {
            let level = |name| LaneSpec::level(name, "metrics-8080", Unit::Count);
            let lanes = ["pool.db.in-use", names::SERVER_IN_FLIGHT].map(|name| (level(name), 0.0));
            let t = told_each(every, 30_000, lanes);
            look(&t, RunTime::from_ms(30_000))
        };
        assert_eq!(told(100), Answer::Looked(Vec::new()));
        assert!(matches!(told(1_000), Answer::Unready(why) if why.starts_with("too seldom told")));
    }
}
