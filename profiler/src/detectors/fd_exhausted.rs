//! Descriptors exhausted: open descriptors grow towards the limit, or are there.
//!
//! **Claim.** So many of so many descriptors are open, they grow this fast, and reach the limit then. **Reads** `process.descriptors`,
//! `process.descriptor-limit`, `server.{connections,websockets}`, `client.open-connections`, `pool.NAME.{in-use,idle,opened}`, `client.errors`. **Needs** descriptors and limit; the
//! trend needs 5 s of settled load after the leak began (ten samples at 2 Hz), the limit itself two samples. **Statistic.** Descriptors beside connections
//! rise in nine of ten pairs of instants over 5, 15 or 60 s, do not slow down (a pool or cache of files that fills does), and meet the limit within a
//! day at that rate. Where connections are told seldom (a page that is read each 15 s), only instants just after a reading count, and the windows end
//! at the last one: what is not known is not zero. Where the process counts no connections, what the clients open is not its leak, all of it; and a pool
//! of who is no process may be its own by another name. At the limit: nine tenths and more are taken in two samples in a row, and not by a ramp of connections alone that the
//! plan asks for; or they were when it could last be asked, having risen until then, and it has fallen silent since (it takes no connection of whoever
//! asks, either), while clients are served and get errors. **Confirmed** at the limit when clients get errors meanwhile, or when two windows agree in their slope.

use std::cell::LazyCell;
use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Series, Severity, Span, Status, Timeline, Unit};

use super::long_pause::{self, GONE};
use super::queueing::MOST_NAMED;
use super::{Answer, Claim, ONSET, cannot_tell, evidence, lasting, plural};
use crate::stats::{Trend, trend};
use crate::window;

/// Windows tried, seconds, the shortest first.
const WINDOWS_S: [f64; 3] = [5.0, 15.0, 60.0];
/// Most points of a window; a 2 Hz lane has 10 in 5 s.
const POINTS: usize = 30;
/// Fewest points: 28 pairs, of which nine tenths rise by chance once in ten thousand windows.
const LEAST_POINTS: usize = 8;
/// Share of pairs that rise.
const RISING: f64 = 0.9;
/// Descriptors gained in a window: more than a pool's connections to a neighbour that come and go (a pool that opens one for each use has
/// more of them: as many as it opens in [`LINGER_S`]).
const LEAST_GAIN: f64 = 16.0;
/// A connection that is closed keeps its descriptor until both sides have said so: so long where a loop is busy, seconds.
const LINGER_S: f64 = 0.5;
/// Growth over the window in units of the median distance from the line.
const OVER_NOISE: f64 = 6.0;
/// Slope of the second half over that of the whole, at least: what fills with time constant T comes to 0.61 for T = 3 s in
/// a window of 5 s, and to less in longer ones.
const STEADY: f64 = 0.75;
/// The limit must be met within so long at this rate: a process that lives for a day fails.
const HORIZON_S: f64 = 86_400.0;
/// The same where nobody counts the process's connections: each is a descriptor, and so few more may be just these.
const BLIND_HORIZON_S: f64 = 600.0;
/// Descriptors above the floor that are the floor still, and the same as a share of what was gained since.
const ON_FLOOR: f64 = 2.0;
const ON_FLOOR_SHARE: f64 = 0.05;
/// Share of the limit that is taken when it is (nearly) met.
const NEAR: f64 = 0.9;
/// ... and when the next request can fail.
const MET: f64 = 0.98;
/// Time to the limit from which on it is urgent.
const CRITICAL_S: f64 = 60.0;
/// How far back the floor is looked for, seconds.
const FLOOR_S: f64 = 60.0;
/// No growth, and away from the limit, for so long has ended it.
const QUIET: Duration = Duration::from_secs(6);
/// Values of levels are carried for so long.
const CARRY: Duration = Duration::from_secs(2);
/// The limit hardly ever changes, and is looked at each 5 s.
const LIMIT_CARRY: Duration = Duration::from_secs(60);
/// What was not told for so long is not told any more (pages are read each 15 s, and one reading may be late): a pool that is closed, or connections that
/// nobody counts now.
const FORSAKEN: Duration = Duration::from_secs(20);

/// Looks at every process, and tells the worst of each cluster, beside which others may be near their limit.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if let Some(cannot) =
        cannot_tell(timeline, &[names::PROCESS_DESCRIPTORS, names::PROCESS_DESCRIPTOR_LIMIT])
    {
        return cannot;
    }
    if window::after_plan(timeline.plan(), at) {
        return Answer::over();
    }
    let clusters = window::clusters(timeline, names::PROCESS_DESCRIPTORS);
    let silences = LazyCell::new(|| long_pause::silences(timeline, at));
    let silence = |w: &str| silences.iter().find(|s| s.0 == w).map(|s| s.1);
    let read = |w: &&str| Seen::read(timeline, at, w).or_else(|| Seen::unasked(timeline, at, w, &silence));
    let claims = clusters.iter().filter_map(|(stem, workers)| {
        let seen = workers.iter().filter_map(read);
        let worst = seen.max_by(|a, b| a.taken().total_cmp(&b.taken()))?;
        let others = workers.iter().filter(|w| **w != worst.instance);
        let others: Vec<Other<'_>> =
            others.filter_map(|w| Some((*w, near(timeline, w, at, CARRY)?))).collect();
        Some(worst.claim(timeline, at, stem, &others))
    });
    let enough = clusters.values().flatten().any(|w| enough(timeline, at, w));
    Answer::of(claims, enough, WINDOWS_S[0])
}

/// A worker beside the worst one, its open descriptors and its limit.
type Other<'a> = (&'a str, (f64, f64));

/// Open descriptors of that process, as last told in `carry`, and its limit, where it is (nearly) met.
pub(super) fn near(timeline: &Timeline, instance: &str, at: RunTime, carry: Duration) -> Option<(f64, f64)> {
    let value = |name, carry| window::of_instance(timeline, name, instance)?.at(at, carry);
    let open = value(names::PROCESS_DESCRIPTORS, carry)?;
    let limit = value(names::PROCESS_DESCRIPTOR_LIMIT, carry.max(LIMIT_CARRY))?;
    (limit > 0.0 && open >= NEAR * limit).then_some((open, limit))
}

/// Is there a window in which a trend of that process could be seen, and its limit?
fn enough(timeline: &Timeline, at: RunTime, instance: &str) -> bool {
    let limit = window::of_instance(timeline, names::PROCESS_DESCRIPTOR_LIMIT, instance);
    let until = told_until(timeline, instance, at);
    limit.is_some_and(|l| l.at(at, LIMIT_CARRY).is_some())
        && settled_windows(timeline, at, until).any(|w| beside(timeline, instance, w).len() >= LEAST_POINTS)
}

/// Windows up to `until` at the load of `at`, once that had settled.
fn settled_windows(timeline: &Timeline, at: RunTime, until: RunTime) -> impl Iterator<Item = Span> {
    let settled = settled(timeline, at);
    WINDOWS_S
        .into_iter()
        .filter(move |&s| until.as_secs_f64() >= s)
        .map(move |s| window::last(until, s))
        .filter(move |w| w.start >= settled)
}

fn settled(timeline: &Timeline, at: RunTime) -> RunTime {
    window::same_load_since(timeline.plan(), at).max(timeline.plan().warm_from())
}

/// A process whose descriptors run out.
struct Seen {
    instance: String,
    open: f64,
    limit: f64,
    /// Over the longest window that agrees; none where only the limit is met.
    growth: Option<(Span, Trend, f64)>,
    /// How many windows agree.
    windows: usize,
    /// Connections and WebSockets among them, where they are counted.
    connections: Option<f64>,
    errors: f64,
    onset: RunTime,
    /// In which it could not be asked.
    silent: Option<Span>,
}

impl Seen {
    fn read(timeline: &Timeline, at: RunTime, instance: &str) -> Option<Self> {
        let lane = window::of_instance(timeline, names::PROCESS_DESCRIPTORS, instance)?;
        let limits = window::of_instance(timeline, names::PROCESS_DESCRIPTOR_LIMIT, instance)?;
        let (open, limit) = (lane.at(at, CARRY)?, limits.at(at, LIMIT_CARRY).filter(|&l| l > 0.0)?);
        let until = told_until(timeline, instance, at);
        let grown: Vec<(Span, Trend, f64)> = settled_windows(timeline, at, until)
            .filter(|w| !pools_grow(timeline, instance, *w))
            .filter_map(|w| growth(timeline, instance, w, limit - open))
            .filter(|(w, _, gain)| *gain >= LEAST_GAIN + lingering(timeline, instance, *w))
            .collect();
        let newest = &lane.points[lane.points.len().saturating_sub(2)..];
        let near = newest.len() == 2 && newest.iter().all(|p| p.1 >= NEAR * limit);
        let connections = window::connections(timeline, instance, at, CARRY);
        // A client's connection is a descriptor, and a ramp asks for many: that is load, and the limit too low for it.
        let met = near && (open >= MET * limit || !grown.is_empty());
        if grown.is_empty() && !met {
            return None;
        }
        let windows = grown.len();
        Some(Self {
            instance: instance.to_owned(),
            open,
            limit,
            onset: onset(timeline, at, instance, settled(timeline, at)),
            growth: grown.into_iter().next_back(),
            windows,
            connections,
            errors: errors(timeline, window::last(at, WINDOWS_S[0])),
            silent: None,
        })
    }

    /// One that was near its limit when it could last be asked.
    fn unasked(
        timeline: &Timeline,
        at: RunTime,
        instance: &str,
        silence: &dyn Fn(&str) -> Option<Span>,
    ) -> Option<Self> {
        // Silences take a look at every lane of the target, and hardly anybody is ever near.
        near(timeline, instance, at, GONE)?;
        let silent = silence(instance)?;
        let (open, limit) = long_pause::unasked(timeline, instance, silent)?;
        let errors = errors(timeline, silent);
        let onset = onset(timeline, at, instance, settled(timeline, at));
        let rose = Span::new(onset.min(silent.start), silent.start);
        let points = beside(timeline, instance, rose);
        let (first, last) = (points.first()?, points.last()?);
        let rising = trend(&points)?.rising >= RISING && last.1 - first.1 >= LEAST_GAIN;
        (rising && errors >= 1.0 && !pools_grow(timeline, instance, rose)).then(|| Self {
            instance: instance.to_owned(),
            open,
            limit,
            growth: None,
            windows: 0,
            connections: window::connections(timeline, instance, silent.start, CARRY),
            errors,
            onset,
            silent: Some(silent),
        })
    }

    fn taken(&self) -> f64 {
        self.open / self.limit
    }

    fn left_s(&self) -> Option<f64> {
        self.growth.as_ref().map(|g| ((self.limit - self.open) / g.1.slope).max(0.0))
    }

    fn met(&self) -> bool {
        self.taken() >= MET
    }

    fn claim(&self, timeline: &Timeline, at: RunTime, stem: &str, others: &[Other<'_>]) -> Claim {
        let urgent = self.met() || self.silent.is_some() || self.left_s().is_some_and(|s| s <= CRITICAL_S);
        let confirmed = (self.met() && self.errors >= 1.0) || self.windows >= 2;
        Claim {
            kind: FindingKind::FdExhausted,
            identity: stem.to_owned(),
            subject: self.instance.clone(),
            severity: if urgent { Severity::Critical } else { Severity::Warning },
            status: if confirmed { Status::Confirmed } else { Status::Likely },
            onset: self.onset,
            last: at,
            quiet: QUIET,
            weight: self.taken(),
            claim: self.sentence() + &also_near(others),
            evidence: self.supporting(at, others),
            contradicting: Vec::new(),
            advice: self.advice(timeline, at),
            missing: Vec::new(),
            episodes: vec![Span::new(self.onset, at)],
            remedies: Vec::new(),
            sort: "",
        }
    }

    fn sentence(&self) -> String {
        let of = format!("{:.0} of {:.0} descriptors", self.open, self.limit);
        if let Some(silent) = self.silent {
            return format!(
                "{} cannot be asked any more, as if no descriptor were left: {of} were open {} ago, after growth since {ONSET}; {} at the clients since",
                self.instance,
                lasting(window::seconds(silent)),
                plural(self.errors, "error")
            );
        }
        match (&self.growth, self.met()) {
            (_, true) => format!(
                "{} has no descriptors left: {of} are open, after growth since {ONSET}{}",
                self.instance,
                if self.errors >= 1.0 {
                    format!("; {} at the clients in 5 s", plural(self.errors, "error"))
                } else {
                    String::new()
                }
            ),
            (Some(g), false) => format!(
                "{} opens {:.1} descriptors a second that it does not close since {ONSET}: {of} are open, and the limit is reached in {}",
                self.instance,
                g.1.slope,
                lasting(self.left_s().unwrap_or(0.0))
            ),
            (None, false) => format!("{} is near its limit since {ONSET}: {of} are open", self.instance),
        }
    }

    fn supporting(&self, at: RunTime, others: &[Other<'_>]) -> Vec<Evidence> {
        let near = self.silent.unwrap_or(window::last(at, WINDOWS_S[0]));
        let mut list = Vec::new();
        if let Some((span, t, gain)) = &self.growth {
            let text = format!(
                "{gain:.0} more in {:.0} s beside connections, rising in {:.0} % of all pairs of instants",
                window::seconds(*span),
                t.rising * 100.0
            );
            list.push(evidence(text, names::PROCESS_DESCRIPTORS, *span, t.slope, Unit::PerSecond));
        }
        let text = format!("{} of the limit of {:.0} taken", Unit::Ratio.show(self.taken()), self.limit);
        list.push(evidence(text, names::PROCESS_DESCRIPTOR_LIMIT, near, self.taken(), Unit::Ratio));
        for (other, (open, limit)) in others.iter().take(MOST_NAMED) {
            let text = format!("{other} has {open:.0} of its {limit:.0} descriptors open");
            list.push(evidence(text, names::PROCESS_DESCRIPTORS, near, open / limit, Unit::Ratio));
        }
        if let Some(n) = self.connections {
            let text = format!("{} of them are connections of clients", Unit::Count.show(n));
            list.push(evidence(text, names::SERVER_CONNECTIONS, near, n, Unit::Count));
        }
        if self.errors >= 1.0 {
            let text = format!(
                "{} at the clients in the last {:.0} s",
                plural(self.errors, "error"),
                window::seconds(near)
            );
            list.push(evidence(text, names::ERRORS, near, self.errors, Unit::Count));
        }
        list
    }

    fn advice(&self, timeline: &Timeline, at: RunTime) -> Vec<String> {
        let mut list = vec![format!(
            "Find what is opened and not closed: ls -l /proc/PID/fd of {} twice, some seconds apart, shows the kind (file, socket, pipe) that grows.",
            self.instance
        )];
        if let Some(g) = &self.growth {
            let span = window::last(at, WINDOWS_S[0]);
            let requests = window::counted_by(timeline, names::SERVER_REQUESTS, &self.instance, span)
                .unwrap_or(0.0)
                / WINDOWS_S[0];
            if requests > 0.0 {
                list.push(format!(
                    "One is left open for each {:.1} requests: look for the route that is asked for as often.",
                    (requests / g.1.slope).max(1.0)
                ));
            }
            list.push(format!(
                "A higher limit only buys time: each 1000 more last {} at this rate.",
                lasting(1000.0 / g.1.slope)
            ));
        } else {
            list.push(format!(
                "If all of them are needed, raise the limit (LimitNOFILE, ulimit -n): {:.0} now.",
                self.limit
            ));
        }
        list
    }
}

/// Who else is near the limit, behind the sentence of the worst.
fn also_near(others: &[Other<'_>]) -> String {
    let names: Vec<&str> = others.iter().map(|o| o.0).take(MOST_NAMED).collect();
    match others.len() {
        0 => String::new(),
        1 => format!("; {} is near its limit, too", names[0]),
        n if n > MOST_NAMED => format!("; {n} others are near their limits, too"),
        _ => format!("; {} are near their limits, too", names.join(", ")),
    }
}

/// Lanes whose values are descriptors that need no explanation: connections of clients, and calls of other services that
/// wait for their answers.
fn explaining<'a>(timeline: &'a Timeline, instance: &str) -> Vec<&'a Series> {
    let calls = timeline.members(names::DOWNSTREAM);
    let calls = calls.iter().map(|service| names::of(names::DOWNSTREAM, service, "in-flight"));
    [names::SERVER_CONNECTIONS.to_owned(), names::SERVER_WEBSOCKETS.to_owned()]
        .into_iter()
        .chain(calls)
        .filter_map(|lane| window::of_instance(timeline, &lane, instance))
        .collect()
}

/// Until when all that explains descriptors is known: `at`, or when the last readings of its lanes have grown old.
fn told_until(timeline: &Timeline, instance: &str, at: RunTime) -> RunTime {
    let pools = timeline.members(names::POOL);
    let pools =
        pools.iter().flat_map(|pool| ["in-use", "idle"].map(|part| names::of(names::POOL, pool, part)));
    let pools = pools.flat_map(|lane| of_owners(timeline, &lane, instance));
    let lanes = explaining(timeline, instance).into_iter().chain(pools);
    let known = lanes.filter_map(|l| Some(l.points.last()?.0)).filter(|&last| at.since(last) <= FORSAKEN);
    known.map(|last| last + CARRY).fold(at, RunTime::min)
}

/// What the lane says at `t`. A service that was not called yet has no calls; what else is not told is not known, unless it never was.
fn explained(lane: &Series, t: RunTime) -> Option<f64> {
    let untold = lane.points.first().is_none_or(|p| t < p.0);
    let calls = lane.spec.name.starts_with(names::DOWNSTREAM) && !lane.points.is_empty();
    let never = lane.points.is_empty() && t.since(RunTime::ZERO) > FORSAKEN;
    if untold && (calls || never) { Some(0.0) } else { lane.at(t, CARRY) }
}

/// Descriptors beside those, at most [`POINTS`], at instants at which those are known.
fn beside(timeline: &Timeline, instance: &str, span: Span) -> Vec<(f64, f64)> {
    let Some(lane) = window::of_instance(timeline, names::PROCESS_DESCRIPTORS, instance) else {
        return Vec::new();
    };
    let explaining = explaining(timeline, instance);
    let known = |t| explaining.iter().map(|l| explained(l, t)).sum::<Option<f64>>();
    let points: Vec<(f64, f64)> =
        lane.within(span).iter().filter_map(|&(t, n)| Some((t.as_secs_f64(), n - known(t)?))).collect();
    let stride = points.len().div_ceil(POINTS).max(1);
    let mut thin: Vec<(f64, f64)> = points.into_iter().rev().step_by(stride).collect();
    thin.reverse();
    thin
}

fn growth(timeline: &Timeline, instance: &str, span: Span, left: f64) -> Option<(Span, Trend, f64)> {
    let counted = [names::SERVER_CONNECTIONS, names::SERVER_WEBSOCKETS]
        .iter()
        .any(|n| window::of_instance(timeline, n, instance).is_some_and(|l| !l.points.is_empty()));
    let points = beside(timeline, instance, span);
    if counted {
        return grows(&points, span, left, HORIZON_S);
    }
    // Clients that go away explain nothing: it must grow with their connections and without.
    let without = beside_clients(timeline, &points);
    let both = [grows(&points, span, left, BLIND_HORIZON_S)?, grows(&without, span, left, BLIND_HORIZON_S)?];
    both.into_iter().min_by(|a, b| a.1.slope.total_cmp(&b.1.slope))
}

/// The same points without the connections that clients have open then.
fn beside_clients(timeline: &Timeline, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let open =
        |t: RunTime| -> f64 { timeline.named(names::OPEN_CONNECTIONS).filter_map(|l| l.at(t, CARRY)).sum() };
    points.iter().map(|&(s, n)| (s, n - open(RunTime::from_secs_f64(s)))).collect()
}

fn grows(points: &[(f64, f64)], span: Span, left: f64, horizon_s: f64) -> Option<(Span, Trend, f64)> {
    if points.len() < LEAST_POINTS {
        return None;
    }
    let t = trend(points)?;
    let gain = t.slope * window::seconds(span);
    let later = trend(&points[points.len() / 2..])?;
    let grows = t.rising >= RISING
        && gain >= LEAST_GAIN
        && gain >= OVER_NOISE * t.noise
        && later.slope >= STEADY * t.slope
        && left <= t.slope * horizon_s;
    grows.then_some((span, t, gain))
}

/// Does a pool of that process open connections in the window? Each is a descriptor, and it stops by itself.
fn pools_grow(timeline: &Timeline, instance: &str, span: Span) -> bool {
    timeline.members(names::POOL).iter().any(|pool| {
        let open = |t: RunTime| -> f64 {
            let lanes = ["in-use", "idle"].map(|part| names::of(names::POOL, pool, part));
            let lanes = lanes.iter().flat_map(|lane| of_owners(timeline, lane, instance));
            lanes.filter_map(|l| l.at(t, FORSAKEN)).sum()
        };
        open(span.end) - open(span.start) >= LEAST_GAIN / 2.0
    })
}

/// Descriptors of connections that a pool of that process has closed and that are not gone yet: where it opens one for each use, more or
/// fewer of them from one instant to the next, and no growth.
fn lingering(timeline: &Timeline, instance: &str, span: Span) -> f64 {
    let pools = timeline.members(names::POOL);
    let opened = pools.iter().filter_map(|pool| {
        let lane = names::of(names::POOL, pool, "opened");
        window::counted_of(of_owners(timeline, &lane, instance), span)
    });
    let seconds = window::seconds(span);
    // However long one looks, it is a step and no more: where it rises for a minute less need be set aside.
    opened.sum::<f64>() / seconds * LINGER_S * (WINDOWS_S[1] / seconds).min(1.0)
}

/// A pool's lane as that process tells it, and as those do who are no process: a page goes by another name than the process that serves it.
fn of_owners<'a>(timeline: &'a Timeline, lane: &str, instance: &str) -> Vec<&'a Series> {
    let is_process =
        |s: &Series| window::of_instance(timeline, names::PROCESS_DESCRIPTORS, &s.spec.instance).is_some();
    timeline.named(lane).filter(|s| s.spec.instance == instance || !is_process(s)).collect()
}

fn errors(timeline: &Timeline, span: Span) -> f64 {
    window::counted(timeline, names::ERRORS, span).unwrap_or(0.0)
}

/// The last instant on the floor that the growth left, not before the load was settled.
fn onset(timeline: &Timeline, at: RunTime, instance: &str, settled: RunTime) -> RunTime {
    let wide = window::last(at, FLOOR_S);
    let points = beside(timeline, instance, Span::new(wide.start.max(settled).min(at), wide.end));
    let lowest = points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let gained = points.last().map_or(0.0, |p| p.1 - lowest);
    let floor = lowest + ON_FLOOR.max(ON_FLOOR_SHARE * gained);
    points.iter().rfind(|p| p.1 <= floor).map_or(at, |p| RunTime::from_secs_f64(p.0))
}
