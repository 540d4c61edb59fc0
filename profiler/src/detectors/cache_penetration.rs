//! Cache penetration: requests for things that exist nowhere reach what is behind the cache, again and again.
//!
//! **Claim.** Loads find that there is no such thing, and the cache does not remember that. **Reads**
//! `cache.NAME.{absent-loads,absent-hits,loads,hits,misses}`, for the law `entries`, `expired`, `evictions`, `removed`, and events
//! `cache.refresh`. **Statistic.** In the last 2 s two thirds of the answers "no such thing" and more came from loads and not from the cache, they are most of the
//! loads, and a part of all look-ups that matters. **Needs** a second of it. **Law.** Entries are kept: what is
//! loaded and not remembered leaves no entry, so entries that came (their growth, and what expired, was removed or evicted) are
//! loads less absent ones. Or the same keys are loaded again within seconds. Either confirms it; where entries came for the
//! absent loads too, the cache is only just learning, and it is none.

use std::collections::BTreeMap;
use std::time::Duration;

use timeline::clock::RunTime;
use timeline::event::kinds;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Remedy, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, episodes, evidence, plural, quiet};
use crate::cache_cells::{CELL, counts, lane, level, sampled, start_of};
use crate::window;

/// Window of the rule, seconds: long enough for a hundred answers at a modest rate.
const WINDOW_S: f64 = 2.0;
/// How far back its beginning is looked for, seconds.
const REACH_S: f64 = 10.0;
/// Absent loads needed in the window: a share of them is then known to 10%.
const LEAST_ABSENT: f64 = 30.0;
/// Of the answers that there is no such thing, so many must be loads. With memory of a few seconds nine of ten are hits.
const LOADED_SHARE: f64 = 0.67;
/// Of the loads, so many must be for nothing: else something else keeps the store busy.
const ABSENT_OF_LOADS: f64 = 0.5;
/// Of all look-ups. A hundredth of mistyped links is daily life, a tenth is not.
const ABSENT_OF_LOOK_UPS: f64 = 0.1;
/// Part of the absent loads that left an entry, from which on the cache does remember: it is learning.
const REMEMBERED: f64 = 0.5;
/// For so long what does not exist is advised to be remembered: as far as repetitions are looked for.
const REMEMBERED_S: f64 = REACH_S;
/// ... and below which the law agrees that it does not.
const FORGOTTEN: f64 = 0.25;
/// Keys that must be loaded twice within the reach for the other law.
const LEAST_REPEATED: usize = 5;
/// Samples with absent loads, of those in the window: it lasts, and is no single burst.
const LEAST_SAMPLES_SHARE: f64 = 0.4;
/// Absent loads per second from which on it hurts whatever is behind: a tenth of what a pool of ten at 10 ms serves.
const CRITICAL_PER_S: f64 = 100.0;
/// How long after a change of load a cache may learn what is absent.
const SETTLE: Duration = Duration::from_secs(2);
/// Silence after which it has ended, or what is told more seldom has not come for some times.
const QUIET: Duration = Duration::from_secs(5);

/// Looks at every cache.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let mut caches = timeline.members(names::CACHE);
    caches.retain(|c| timeline.has(&lane(c, "absent-loads")));
    if caches.is_empty() {
        return Answer::CannotTell(vec!["cache.NAME.absent-loads".to_owned()]);
    }
    Answer::Looked(caches.iter().filter_map(|c| look_at(timeline, at, c)).collect())
}

fn look_at(timeline: &Timeline, at: RunTime, cache: &str) -> Option<Claim> {
    if window::unsettled(timeline.plan(), at, SETTLE) {
        return None;
    }
    let seen = Seen::read(timeline, at, cache)?;
    if !seen.is_penetrated() || seen.remembered().is_some_and(|r| r >= REMEMBERED) {
        return None;
    }
    Some(claim(timeline, at, cache, &seen))
}

struct Seen {
    span: Span,
    absent_loads: f64,
    absent_hits: f64,
    loads: f64,
    look_ups: f64,
    /// Share of samples with absent loads, of the process that has most.
    sampled: f64,
    /// Entries that came in the window; none where nobody tells entries.
    came: Option<f64>,
    /// Keys loaded within the reach, and those of them loaded more than once.
    keys: Keys,
}

struct Keys {
    known: usize,
    repeated: usize,
    /// Loads of the repeated ones, a second.
    per_s: f64,
}

impl Seen {
    fn read(timeline: &Timeline, at: RunTime, cache: &str) -> Option<Self> {
        let span = window::last(at, WINDOW_S);
        let of = |part: &str| window::counted(timeline, &lane(cache, part), span);
        let absent_loads = of("absent-loads")?;
        if absent_loads < LEAST_ABSENT {
            return None;
        }
        Some(Self {
            span,
            absent_loads,
            absent_hits: of("absent-hits").unwrap_or(0.0),
            loads: of("loads").unwrap_or(absent_loads).max(absent_loads),
            look_ups: of("hits").unwrap_or(0.0) + of("misses").unwrap_or(absent_loads),
            sampled: sampled(timeline, &lane(cache, "absent-loads"), span),
            came: came(timeline, cache, span),
            keys: keys(timeline, cache, window::last(at, REACH_S)),
        })
    }

    fn is_penetrated(&self) -> bool {
        self.absent_loads >= LOADED_SHARE * (self.absent_loads + self.absent_hits)
            && self.absent_loads >= ABSENT_OF_LOADS * self.loads
            && self.absent_loads >= ABSENT_OF_LOOK_UPS * self.look_ups
            && self.sampled >= LEAST_SAMPLES_SHARE
    }

    /// Part of the absent loads that left an entry.
    fn remembered(&self) -> Option<f64> {
        let beyond = self.came? - (self.loads - self.absent_loads);
        Some((beyond / self.absent_loads).clamp(0.0, 1.0))
    }

    fn per_s(&self) -> f64 {
        self.absent_loads / WINDOW_S
    }

    fn law_agrees(&self) -> bool {
        self.remembered().is_some_and(|r| r <= FORGOTTEN) || self.asks_again()
    }

    /// Are keys loaded again and again that exist nowhere? What exists, and has expired, is loaded again, too, but not more often than anything that
    /// exists.
    fn asks_again(&self) -> bool {
        let present = (self.loads - self.absent_loads) / WINDOW_S;
        self.keys.repeated >= LEAST_REPEATED && self.keys.per_s > present
    }
}

fn came(timeline: &Timeline, cache: &str, span: Span) -> Option<f64> {
    let name = lane(cache, "entries");
    let growth = level(timeline, &name, span.end)? - level(timeline, &name, span.start)?;
    let gone = |part: &str| window::counted(timeline, &lane(cache, part), span).unwrap_or(0.0);
    Some((growth + gone("expired") + gone("evictions") + gone("removed")).max(0.0))
}

fn keys(timeline: &Timeline, cache: &str, span: Span) -> Keys {
    let mut loads: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for e in timeline.events(kinds::CACHE_REFRESH, span).filter(|e| e.label("cache") == Some(cache)) {
        *loads.entry((e.instance.as_str(), e.label("key").unwrap_or(""))).or_default() += 1;
    }
    let repeated: Vec<f64> = loads.values().filter(|&&n| n > 1).map(|&n| f64::from(n)).collect();
    let per_s = repeated.iter().sum::<f64>() / window::seconds(span);
    Keys { known: loads.len(), repeated: repeated.len(), per_s }
}

fn claim(timeline: &Timeline, at: RunTime, cache: &str, seen: &Seen) -> Claim {
    let spans = let_through(timeline, cache, window::last(at, REACH_S));
    let onset = spans.last().map_or(seen.span.start, |s| s.start);
    let last = spans.last().map_or(at, |s| s.end);
    let critical = seen.per_s() >= CRITICAL_PER_S;
    Claim {
        kind: FindingKind::CachePenetration,
        identity: cache.to_owned(),
        subject: cache.to_owned(),
        severity: if critical { Severity::Critical } else { Severity::Warning },
        status: if seen.law_agrees() { Status::Confirmed } else { Status::Likely },
        onset,
        last,
        quiet: quiet(window::pace(timeline, &lane(cache, "absent-loads"), at), QUIET, QUIET),
        weight: seen.absent_loads,
        claim: format!(
            "cache {cache} lets requests for what does not exist through since {ONSET}: {} find nothing, {} of all loads, and {} of such answers come from the cache",
            loads_per_s(seen.per_s()),
            Unit::Ratio.show(seen.absent_loads / seen.loads),
            Unit::Ratio.show(seen.absent_hits / (seen.absent_hits + seen.absent_loads))
        ),
        evidence: supporting(cache, seen),
        contradicting: Vec::new(),
        advice: advice(seen),
        missing: if seen.came.is_none() { vec![lane(cache, "entries")] } else { Vec::new() },
        episodes: spans,
        remedies: vec![Remedy::number(lane(cache, "negative-ms"), REMEMBERED_S * 1e3)],
        sort: "",
    }
}

/// When most answers that there is no such thing were loads, and not only one or two.
fn let_through(timeline: &Timeline, cache: &str, span: Span) -> Vec<Span> {
    let loads = counts(timeline, &lane(cache, "absent-loads"), span);
    let hits = counts(timeline, &lane(cache, "absent-hits"), span);
    let spans = (2..loads.len()).filter_map(|i| {
        let over = |cells: &[f64]| cells[i - 2..=i].iter().sum::<f64>();
        let (loads, hits) = (over(&loads), over(&hits));
        (loads >= 3.0 && loads >= hits).then(|| Span::new(start_of(span, i - 1), start_of(span, i + 1)))
    });
    episodes(spans.collect(), CELL * 10)
}

fn loads_per_s(rate: f64) -> String {
    format!("{} loads/s", Unit::Count.show(rate.round()))
}

fn supporting(cache: &str, seen: &Seen) -> Vec<Evidence> {
    let text = format!(
        "{} found nothing in {WINDOW_S} s, of {} in all; {} were answered by the cache",
        plural(seen.absent_loads, "load"),
        Unit::Count.show(seen.loads.round()),
        Unit::Count.show(seen.absent_hits.round())
    );
    let mut list =
        vec![evidence(text, lane(cache, "absent-loads"), seen.span, seen.absent_loads, Unit::Count)];
    if let Some((came, remembered)) = seen.came.zip(seen.remembered()) {
        let text = format!(
            "{} came where {} found something: {} of the absent ones are remembered",
            plural(came, "entry"),
            plural(seen.loads - seen.absent_loads, "load"),
            Unit::Ratio.show(remembered)
        );
        list.push(evidence(text, lane(cache, "entries"), seen.span, came, Unit::Count));
    }
    if seen.keys.repeated > 0 {
        let text = format!(
            "{} of {} loaded were loaded again within {REACH_S} s",
            Unit::Count.show(seen.keys.repeated as f64),
            plural(seen.keys.known as f64, "key")
        );
        list.push(evidence(text, kinds::CACHE_REFRESH, seen.span, seen.keys.repeated as f64, Unit::Count));
    }
    list
}

fn advice(seen: &Seen) -> Vec<String> {
    let mut list = vec![if seen.asks_again() {
        format!(
            "Remember for {REMEMBERED_S} s that there is no such thing (negative caching): the {} that were loaded again within {REACH_S} s then cost {} instead of {}.",
            plural(seen.keys.repeated as f64, "key"),
            loads_per_s((seen.keys.repeated as f64 / REMEMBERED_S).ceil()),
            Unit::Count.show(seen.keys.per_s.min(seen.per_s()).round())
        )
    } else {
        format!(
            "Remember for a while that there is no such thing (negative caching): {} become one per key and time to live.",
            loads_per_s(seen.per_s())
        )
    }];
    list.push(
        "Where ever other keys are asked for, keep a filter of those that exist (Bloom) before the store, and limit who asks for what is not there."
            .to_owned(),
    );
    list
}
