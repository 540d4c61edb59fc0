//! Downstream cascade: a service behind has become slow, and the routes that call it have become slow with it.
//!
//! **Claim.** Calls of a service take much longer than they did (or than the routes took before they called it), and the time that routes take
//! more is the time that they wait for it. **Reads** `downstream.NAME.{time,in-flight}`, `server.handler`. **Statistic.** Medians of the last 3 s (6 s, where calls are too few) against those from 30 s to 5 s before, of the service and of each route; a route is
//! *slowed* if its median has doubled and grown by 50 ms. **Needs** eight calls, and ten earlier requests of the route; what calls took before the
//! route slowed is asked where they were made at all. **Law.** Time is kept: what
//! the slowed routes take more, all requests together, is what calls take more, all calls together. Where both sums
//! agree it is confirmed.
//!
//! Figures are told, and its end, by the half seconds in which the route was slow: a window reaches beyond them.
//!
//! A service that always took long slows nobody anew and is not blamed. When everything slows (a short CPU, a stopped process), routes
//! that do not call the service slow as well: then only the law could tell them apart, and the finding stays silent without it.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, episodes, evidence, plural, they};
use crate::routes;
use crate::stats::{Durations, median};
use crate::window;

/// Windows of the rule, seconds; the first that has calls enough. A service that serves one after another at 3/s has eight in the
/// first, and one that is so slow that it serves but 1.4/s in the second.
const WINDOWS_S: [f64; 2] = [3.0, 6.0];
/// What it is compared with: so long ago, and not in the window. A median holds until slow requests are half of it.
const BEFORE_FROM: Duration = Duration::from_secs(30);
const BEFORE_TO: Duration = Duration::from_secs(5);
/// Calls and requests below which a median is not worth its name.
const LEAST_CALLS: u64 = 8;
const LEAST_REQUESTS: u64 = 5;
/// ... and of calls before, with which they are compared.
const LEAST_BEFORE: u64 = 10;
/// A median has to double, and to grow by what people notice at all, half of a tenth of a second.
const SLOWED: f64 = 2.0;
const SLOWED_BY_NS: f64 = 50e6;
/// Calls over requests of the route: it may call twice, or for a part of its requests, which carry its median if they are most.
const CALLS_EACH: (f64, f64) = (0.6, 3.0);
/// Part of what a route takes more that calls must explain, in medians.
const EXPLAINED: f64 = 0.5;
/// Law: factor within which both sums of time agree. Requests under way at the edges of the window are in one of them only.
const LAW_FACTOR: f64 = 1.6;
/// Slowdown of routes that do not call it from which on everything is slow.
const ALL_SLOW: f64 = 1.7;
/// ... and how many times more than those the service must have slowed for the law to be heard.
const BEYOND_ALL: f64 = 2.0;
/// A median that hurts: people notice a quarter of a second.
const CRITICAL_NS: f64 = 250e6;
/// Spans looked at for the beginning: a rate of 4/s has two in each.
const STEP: Duration = Duration::from_millis(500);
const STEPS: u32 = 40;
/// Blocks of 5 s in which what is usual is looked for.
const CALM_BLOCKS: u32 = 5;
/// Silence after which it has ended, at least; where calls are few, half as long again as it takes to have enough.
const QUIET: Duration = Duration::from_secs(5);

/// Looks at every service that is called.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let mut services = timeline.members(names::DOWNSTREAM);
    services.retain(|s| timeline.has(&lane(s, "time")));
    let mut missing = Vec::new();
    if services.is_empty() {
        missing.push("downstream.NAME.time".to_owned());
    }
    if !timeline.has(names::SERVER_HANDLER) {
        missing.push(names::SERVER_HANDLER.to_owned());
    }
    if !missing.is_empty() {
        return Answer::CannotTell(missing);
    }
    Answer::Looked(services.iter().filter_map(|s| look_at(timeline, at, s)).collect())
}

fn lane(service: &str, part: &str) -> String {
    names::of(names::DOWNSTREAM, service, part)
}

fn durations(timeline: &Timeline, name: &str, subject: Option<&str>, span: Span) -> Durations {
    let lanes = timeline.named(name).filter(|s| subject.is_none_or(|x| s.spec.subject == x));
    window::durations_of(lanes, span)
}

/// Durations before and now, of a service or a route.
struct Times {
    before: Durations,
    now: Durations,
}

impl Times {
    fn median_now(&self) -> f64 {
        self.now.quantile_ns(0.5).unwrap_or(0.0)
    }

    /// The median before; none with too few to tell.
    fn usual(&self) -> Option<f64> {
        self.before.quantile_ns(0.5).filter(|_| self.before.count() >= LEAST_BEFORE)
    }

    fn ratio(&self) -> Option<f64> {
        Some(self.median_now() / self.usual()?.max(1.0))
    }

    /// The same of the upper quartile, which moves as soon as a quarter is slow: no route that begins to slow may pass for one that does not.
    fn upper_ratio(&self) -> Option<f64> {
        self.usual()?;
        Some(self.now.quantile_ns(0.75)? / self.before.quantile_ns(0.75)?.max(1.0))
    }

    /// What all of them took more than as many did before, ns.
    fn added(&self) -> f64 {
        let usual = self.usual().and(self.before.mean_ns()).unwrap_or(0.0);
        (self.now.mean_ns().unwrap_or(0.0) - usual) * self.now.count() as f64
    }

    fn is_slowed(&self, least: u64) -> bool {
        self.now.count() >= least
            && self
                .usual()
                .is_some_and(|u| self.median_now() >= SLOWED * u && self.median_now() - u >= SLOWED_BY_NS)
    }
}

struct Route {
    name: String,
    times: Times,
}

fn look_at(timeline: &Timeline, at: RunTime, service: &str) -> Option<Claim> {
    let time = lane(service, "time");
    let mut windows = WINDOWS_S.iter().map(|&seconds| window::last(at, seconds));
    let (now, calls) = windows.find_map(|now| {
        let calls = durations(timeline, &time, None, now);
        (calls.count() >= LEAST_CALLS).then_some((now, calls))
    })?;
    if calls.quantile_ns(0.5)? < SLOWED_BY_NS {
        return None;
    }
    // In a warm-up logins and cold caches are as slow as they like.
    let before_to = now.start.min(at.back(BEFORE_TO));
    let warm = timeline.plan().warm_from().min(before_to);
    let before = Span::new(at.back(BEFORE_FROM).max(warm), before_to);
    let spans = slow_spans(timeline, at, &routes(timeline, before, now, &calls).0.first()?.name);
    // Once it is known when the route slowed, all are compared with what was before that.
    let onset = spans.last().map_or(now.start, |s| s.start);
    let before = Span::new(onset.back(BEFORE_FROM).max(warm), onset.min(before.end));
    let read = |now: Span, calls: Durations| {
        let (callers, others) = routes(timeline, before, now, &calls);
        // Where the service was not called before, the route alone tells what was usual.
        let calls = Times { before: durations(timeline, &time, None, before), now: calls };
        Seen { span: now, calls, callers, others, spans: spans.clone() }
    };
    let seen = read(now, calls);
    let slow = seen.calls.usual().is_none() || seen.calls.is_slowed(LEAST_CALLS);
    if !slow || !seen.is_cascade() {
        return None;
    }
    // What is told leaves out what came before and after, unless too little is left.
    let within = seen.slow_part();
    let told = read(within, durations(timeline, &time, None, within));
    let enough =
        told.calls.now.count() >= LEAST_CALLS && told.is_cascade() && told.law_agrees() == seen.law_agrees();
    Some(seen.claim(timeline, at, service, if enough { &told } else { &seen }))
}

/// Routes that were slowed and may call the service, and the slowdowns of all others.
fn routes(timeline: &Timeline, before: Span, now: Span, calls: &Durations) -> (Vec<Route>, Vec<f64>) {
    let (mut callers, mut others) = (Vec::new(), Vec::new());
    for name in routes::all(timeline) {
        let of = |span| durations(timeline, names::SERVER_HANDLER, Some(name), span);
        let times = Times { before: of(before), now: of(now) };
        if times.is_slowed(LEAST_REQUESTS) && may_call(&times, calls) {
            callers.push(Route { name: name.to_owned(), times });
        } else if times.now.count() >= LEAST_REQUESTS {
            others.extend(times.upper_ratio());
        }
    }
    callers.sort_by(|a, b| b.times.added().total_cmp(&a.times.added()));
    (callers, others)
}

fn may_call(route: &Times, calls: &Durations) -> bool {
    let each = calls.count() as f64 / route.now.count().max(1) as f64;
    let more = route.median_now() - route.usual().unwrap_or(0.0);
    each >= CALLS_EACH.0
        && each <= CALLS_EACH.1
        && calls.quantile_ns(0.5).is_some_and(|c| c >= EXPLAINED * more)
}

struct Seen {
    span: Span,
    calls: Times,
    callers: Vec<Route>,
    /// Slowdowns of routes that are not among them.
    others: Vec<f64>,
    /// When the first of them was slow.
    spans: Vec<Span>,
}

impl Seen {
    fn others_slowed(&self) -> f64 {
        median(self.others.clone()).unwrap_or(1.0)
    }

    fn added(&self) -> f64 {
        self.callers.iter().map(|r| r.times.added()).sum()
    }

    fn law_agrees(&self) -> bool {
        let ratio = self.added() / self.calls.added().max(1.0);
        (1.0 / LAW_FACTOR..=LAW_FACTOR).contains(&ratio)
    }

    fn is_cascade(&self) -> bool {
        let slowed = self.callers.first().and_then(|r| r.times.ratio()).unwrap_or(0.0);
        let specific = !self.others.is_empty() && self.others_slowed() < ALL_SLOW;
        let beyond = slowed >= BEYOND_ALL * self.others_slowed();
        !self.callers.is_empty() && (specific || (beyond && self.law_agrees()))
    }

    /// When the first of the routes was slow last, within the span.
    fn slow_part(&self) -> Span {
        let Some(last) = self.spans.last() else { return self.span };
        Span::new(self.span.start.max(last.start), self.span.end.min(last.end))
    }

    /// With the figures of `told`.
    fn claim(&self, timeline: &Timeline, at: RunTime, service: &str, told: &Self) -> Claim {
        let route = &self.callers[0];
        let spans = self.spans.clone();
        let last = spans.last().filter(|s| s.end > self.span.start).map_or(at, |s| s.end.min(at));
        let critical = route.times.median_now() >= CRITICAL_NS;
        Claim {
            kind: FindingKind::DownstreamCascade,
            identity: service.to_owned(),
            subject: service.to_owned(),
            severity: if critical { Severity::Critical } else { Severity::Warning },
            status: if self.law_agrees() { Status::Confirmed } else { Status::Likely },
            onset: spans.last().map_or(self.span.start, |s| s.start),
            last,
            // From the look on: the window may reach beyond what was slow.
            quiet: QUIET.max(self.span.length() * 3 / 2) + at.since(last),
            weight: self.calls.median_now(),
            claim: told.sentence(service),
            evidence: told.supporting(timeline, service),
            contradicting: if told.law_agrees() { Vec::new() } else { vec![told.law_line()] },
            advice: told.advice(service),
            missing: Vec::new(),
            episodes: if spans.is_empty() { vec![self.span] } else { spans },
            remedies: Vec::new(),
            sort: "",
        }
    }

    fn routes(&self) -> String {
        self.callers.iter().map(|r| r.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn sentence(&self, service: &str) -> String {
        let route = &self.callers[0];
        let usual = match self.calls.usual() {
            Some(usual) => format!(" instead of {}", Unit::Ns.show(usual)),
            None => String::new(),
        };
        format!(
            "service {service} slows {} since {ONSET}: a call takes {}{usual}, and {} {} instead of {}",
            self.routes(),
            Unit::Ns.show(self.calls.median_now()),
            route.name,
            Unit::Ns.show(route.times.median_now()),
            Unit::Ns.show(route.times.usual().unwrap_or(0.0))
        )
    }

    fn supporting(&self, timeline: &Timeline, service: &str) -> Vec<Evidence> {
        let text = format!(
            "{} with a median of {} in {:.0} s",
            plural(self.calls.now.count() as f64, "call"),
            Unit::Ns.show(self.calls.median_now()),
            window::seconds(self.span)
        );
        let median_now = self.calls.median_now();
        let mut list = vec![evidence(text, lane(service, "time"), self.span, median_now, Unit::Ns)];
        for route in &self.callers {
            let text = format!(
                "{} of {}: median {}, {} before",
                plural(route.times.now.count() as f64, "request"),
                route.name,
                Unit::Ns.show(route.times.median_now()),
                Unit::Ns.show(route.times.usual().unwrap_or(0.0))
            );
            list.push(evidence(text, names::SERVER_HANDLER, self.span, route.times.median_now(), Unit::Ns));
        }
        if self.law_agrees() {
            list.push(self.law_line());
        }
        let waiting = timeline.named(&lane(service, "in-flight")).flat_map(|s| s.within(self.span));
        if let Some(most) = waiting.map(|p| p.1).reduce(f64::max) {
            let text = format!("up to {} of one process wait at once", plural(most, "call"));
            list.push(evidence(text, lane(service, "in-flight"), self.span, most, Unit::Count));
        }
        list
    }

    fn law_line(&self) -> Evidence {
        let text = format!(
            "law: requests took {} more in all and calls {}: they {}",
            Unit::Ns.show(self.added().max(0.0)),
            Unit::Ns.show(self.calls.added().max(0.0)),
            they(self.law_agrees(), true)
        );
        evidence(text, names::SERVER_HANDLER, self.span, self.added(), Unit::Ns)
    }

    fn advice(&self, service: &str) -> Vec<String> {
        let route = &self.callers[0];
        let usual = route.times.usual().unwrap_or(0.0);
        let limit = (self.calls.usual().unwrap_or(usual) * 3.0).max(50e6);
        vec![
            format!(
                "Let {} hand the work to a broker and answer at once, where nobody needs the result of {service} to go on: it takes {} again.",
                self.routes(),
                Unit::Ns.show(usual)
            ),
            format!(
                "Where the result is needed, give calls of {service} a time limit of about {} and a circuit breaker, and say what the answer is without it.",
                Unit::Ns.show(limit)
            ),
        ]
    }
}

/// Spans within the last 20 s in which the route was slow, half a second each, joined.
fn slow_spans(timeline: &Timeline, at: RunTime, route: &str) -> Vec<Span> {
    let usual = calm(timeline, at, route);
    let slow = (SLOWED * usual).max(usual + SLOWED_BY_NS);
    let spans = (0..STEPS).rev().filter_map(|i| {
        let end = at.back(STEP * i);
        let span = Span::new(end.back(STEP), end);
        let took = durations(timeline, names::SERVER_HANDLER, Some(route), span);
        (took.count() > 0 && took.longer_than(slow) * 2 >= took.count()).then(|| {
            // Told when it ended: the slow half of it began so much earlier.
            let took = Duration::from_nanos(took.quantile_ns(0.5).unwrap_or(0.0) as u64);
            Span::new(span.start.back(took), span.end)
        })
    });
    episodes(spans.collect(), STEP * 3)
}

/// The route's median in the best 5 s of those before, ns: no slow stretch, however long, makes it usual.
fn calm(timeline: &Timeline, at: RunTime, route: &str) -> f64 {
    let medians = (1..=CALM_BLOCKS).filter_map(|i| {
        let end = at.back(BEFORE_TO * i);
        let took =
            durations(timeline, names::SERVER_HANDLER, Some(route), Span::new(end.back(BEFORE_TO), end));
        took.quantile_ns(0.5).filter(|_| took.count() >= LEAST_REQUESTS)
    });
    medians.reduce(f64::min).unwrap_or(0.0)
}
