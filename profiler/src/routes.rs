//! Routes: what the target's requests, by route, have to do with what one of its processes shows.
//!
//! Owns reading `server.handler` (time in handler, by route) against the ticks of another lane of the same process.
//! Which lane, over which window and what follows is each detector's business. All of it is bounded by the window.

use std::collections::BTreeMap;

use timeline::clock::RunTime;
use timeline::lane::names;
use timeline::{Series, Span, Timeline};

use crate::stats::Durations;
use crate::window;

/// Least correlation of a lane with a route's requests for the lane to follow them: with the 30 ticks of 3 s a correlation
/// of unrelated series exceeds 0.5 once in 400 times.
const FOLLOWS: f64 = 0.5;
/// One of so many ticks, those in which most requests ended, may be a burst: the lane must follow the others', too.
const BURST: usize = 15;
/// Least ticks for a correlation to be worth its name.
const LEAST_TICKS: usize = 15;

/// The lanes of time in handler of one process, one for each route.
pub fn handlers<'a>(timeline: &'a Timeline, instance: &'a str) -> impl Iterator<Item = &'a Series> + 'a {
    timeline.named(names::SERVER_HANDLER).filter(move |s| s.spec.instance == instance)
}

/// Requests of all routes that ended in `span`, of one process.
pub fn ended(timeline: &Timeline, instance: &str, span: Span) -> f64 {
    handlers(timeline, instance).flat_map(|s| s.intervals_within(span)).map(|i| i.1.count() as f64).sum()
}

/// Of the routes of a process whose requests last `at_most` so long in the median, ns, the one whose last longest, with that median.
pub fn longest<'a>(
    timeline: &'a Timeline,
    instance: &'a str,
    span: Span,
    at_most: f64,
) -> Option<(&'a str, f64)> {
    handlers(timeline, instance)
        .filter_map(|s| {
            Some((s.spec.subject.as_str(), Durations::of(s.intervals_within(span)).quantile_ns(0.5)?))
        })
        .filter(|route| route.1 <= at_most)
        .max_by(|a, b| a.1.total_cmp(&b.1))
}

/// A route whose requests a rate follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Mover {
    /// Its name.
    pub route: String,
    /// Its requests that ended in the window, of all processes looked at.
    pub requests: f64,
    /// What the rate counts for each of them.
    pub each: f64,
    /// Share of all that the rate counted in the window.
    pub share: f64,
}

/// The route whose requests explain most of what the rate lane `name` counts within `span`; none if no route's ends
/// go with it tick by tick.
pub fn mover(timeline: &Timeline, name: &str, instances: &[&str], span: Span) -> Option<Mover> {
    let mut ticks: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for instance in instances {
        let Some(lane) = window::of_instance(timeline, name, instance) else { continue };
        let counted: Vec<(RunTime, RunTime, f64)> = window::steps(lane, span).collect();
        for route in handlers(timeline, instance) {
            let pairs = ticks.entry(route.spec.subject.as_str()).or_default();
            pairs.extend(counted.iter().map(|&(since, at, rate)| {
                let tick = Span::new(since, at);
                let ends = route.intervals_within(tick).iter().map(|i| i.1.count() as f64).sum();
                (ends, rate * window::seconds(tick))
            }));
        }
    }
    ticks
        .into_iter()
        .filter_map(|(route, pairs)| follows(route, &pairs))
        .max_by(|a, b| a.share.total_cmp(&b.share))
}

/// The line through what was counted over the ends of a route, by least squares.
fn follows(route: &str, pairs: &[(f64, f64)]) -> Option<Mover> {
    let (requests, all) = pairs.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
    let each = slope(pairs)?;
    // Once everybody who waited ends at once: all routes end then, and all that is counted goes with each of them.
    let mut usual = pairs.to_vec();
    usual.sort_by(|a, b| b.0.total_cmp(&a.0));
    slope(&usual[pairs.len() / BURST..])?;
    Some(Mover { route: route.to_owned(), requests, each, share: each * requests / all })
}

/// What is counted for each request, where it follows them.
fn slope(pairs: &[(f64, f64)]) -> Option<f64> {
    correlated(pairs).filter(|line| line.0 >= FOLLOWS).map(|line| line.1)
}

/// Correlation of the second of each pair, one a tick, with the first, and the slope by least squares; none of too few ticks. Not a number where one of
/// them never changes.
pub fn correlated(pairs: &[(f64, f64)]) -> Option<(f64, f64)> {
    if pairs.len() < LEAST_TICKS {
        return None;
    }
    let n = pairs.len() as f64;
    let (sx, sy) = pairs.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
    let (mx, my) = (sx / n, sy / n);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        xx += (x - mx) * (x - mx);
        xy += (x - mx) * (y - my);
        yy += (y - my) * (y - my);
    }
    Some((xy / (xx * yy).sqrt(), xy / xx))
}

/// Time in handler of one route in `span`, over all processes.
pub fn handled(timeline: &Timeline, route: &str, span: Span) -> Durations {
    window::durations_about(timeline, names::SERVER_HANDLER, route, span)
}

/// All routes, sorted.
pub fn all(timeline: &Timeline) -> Vec<&str> {
    window::subjects(timeline, names::SERVER_HANDLER)
}
