//! Cache stampede: a hot key expires, and every request that misses it loads it.
//!
//! **Claim.** One key of a cache is loaded many times over at each expiry. **Reads** events `cache.refresh`
//! (one per refresh of a key and process; value: loads that ran in it), lanes `cache.NAME.{misses,loads,hits,coalesced,load}`;
//! where there are no such events, `cache.NAME.duplicate-loads`. **Statistic.** Refreshes of one key that overlap in time are
//! one expiry; its duplicates are loads minus processes. A single flight gives none and a lock in a
//! shared store fewer than none. **Needs** the events or that lane, and one clear expiry. **Law.** Without protection every miss loads,
//! so loads = misses, and loads = 1 + rate x load time, with the rate of that key at most that of the
//! whole cache. Two expiries that agree confirm it.
//!
//! Early refreshing at random (XFetch) also loads more than once, 1 + a geometric number of mean
//! e^(1/beta) - 1 (Vattani, Chierichetti, Lowenstein 2015), but nobody misses; hence the look at misses. A cold
//! start loads many keys once each and is no stampede.

use std::collections::BTreeMap;
use std::time::Duration;

use timeline::clock::RunTime;
use timeline::event::kinds;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{Event, FindingKind, Remedy, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, episodes, evidence, plural};
use crate::cache_cells::{lane, recurring_quiet};
use crate::stats::{Durations, median};
use crate::window;

/// How far back refreshes are looked at: five expiries of a cache that keeps things for 6 s.
const WINDOW_S: f64 = 30.0;
/// Duplicate loads per process that make an expiry bad when its requests missed. A single flight
/// gives 0; a lock whose lease is too short gives one or two.
const BAD_DUPLICATES: f64 = 5.0;
/// The same where misses cannot be seen: XFetch with beta 1 gives so many once in a million
/// refreshes ((1 - 1/e)^30 = 1e-6).
const BAD_DUPLICATES_BLIND: f64 = 30.0;
/// Least share of an expiry's loads that must have been misses. Unprotected: 1. XFetch: near 0.
const LEAST_MISS_SHARE: f64 = 0.5;
/// Factor within which two figures of the law agree: the lanes tick at 10 Hz, refreshes take a few ticks.
const LAW_FACTOR: f64 = 2.0;
/// Expiries that must agree with the law.
const LAW_EXPIRIES: usize = 2;
/// Loads per expiry and process from which on e^(1/beta) gives a beta worth telling (4.5).
const XFETCH_LEAST: f64 = 1.25;
/// The beta that is advised where it is less: about 2.7 load for each expiry, as many as a lock that is too short lets through.
const XFETCH_BETA: f64 = 1.0;
/// From so many loads per process on it is critical: a tenth of them would do harm to a small pool.
const CRITICAL_DUPLICATES: f64 = 20.0;
/// Lane-only rule: duplicates in its window, and in how many of its samples.
const LANE_WINDOW_S: f64 = 5.0;
const LANE_DUPLICATES: f64 = 30.0;
const LANE_SAMPLES: usize = 5;
/// A tick of the source: lanes speak of an expiry up to so much later.
const TICK: Duration = Duration::from_millis(150);
/// Other keys that the evidence names.
const OTHER_KEYS: usize = 3;

/// Looks at every cache.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let span = window::last(at, WINDOW_S);
    let caches = refreshes(timeline, span);
    let mut members = timeline.members(names::CACHE);
    // A store's server and a page know hits, misses and loads, and not whether two loads were of one key.
    members.retain(|m| window::told(timeline, &lane(m, "duplicate-loads")));
    if caches.is_empty() && members.is_empty() {
        return Answer::CannotTell(vec![
            kinds::CACHE_REFRESH.to_owned(),
            "cache.NAME.duplicate-loads".to_owned(),
        ]);
    }
    let by_event = caches.iter().filter_map(|(cache, keys)| by_events(timeline, cache, keys));
    let by_lane =
        members.iter().filter(|m| !caches.contains_key(m.as_str())).filter_map(|m| by_lane(timeline, at, m));
    Answer::Looked(by_event.chain(by_lane).collect())
}

/// All refreshes of one key that overlap, over all processes.
#[derive(Debug)]
struct Expiry {
    span: Span,
    loads: f64,
    processes: Vec<String>,
}

impl Expiry {
    fn duplicates(&self) -> f64 {
        (self.loads - self.processes.len() as f64).max(0.0)
    }

    fn duplicates_each(&self) -> f64 {
        self.duplicates() / self.processes.len().max(1) as f64
    }
}

type Keys<'a> = BTreeMap<&'a str, Vec<Expiry>>;

/// Caches that tell of refreshes, each with the expiries of those keys that can be bad: where no process made so many loads in one
/// refresh, its processes have not made as many on average. That leaves a key or none of the hundreds that are loaded in a second.
fn refreshes(timeline: &Timeline, span: Span) -> BTreeMap<&str, Keys<'_>> {
    let mut caches: BTreeMap<&str, Keys<'_>> = BTreeMap::new();
    let mut newest: Option<&str> = None;
    for event in timeline.events(kinds::CACHE_REFRESH, span) {
        let cache = event.label("cache").unwrap_or("");
        let many = event.value >= BAD_DUPLICATES + 1.0;
        if many || newest != Some(cache) {
            newest = Some(cache);
            let keys = caches.entry(cache).or_default();
            if many {
                keys.entry(event.label("key").unwrap_or("")).or_default();
            }
        }
    }
    if caches.values().any(|keys| !keys.is_empty()) {
        for event in timeline.events(kinds::CACHE_REFRESH, span) {
            let keys = caches.get_mut(event.label("cache").unwrap_or("")).filter(|keys| !keys.is_empty());
            if let Some(expiries) = keys.and_then(|k| k.get_mut(event.label("key").unwrap_or(""))) {
                add(expiries, event);
            }
        }
    }
    caches
}

/// Events come in order of their start, so only the newest expiry can overlap. It holds one refresh of each
/// process: a source tells a long refresh in pieces, and loads that last from one into the next are in both.
fn add(expiries: &mut Vec<Expiry>, event: &Event) {
    let loads = if event.value.is_finite() { event.value.clamp(0.0, 1e9) } else { 0.0 };
    match expiries.last_mut() {
        Some(open) if event.start < open.span.end && !open.processes.contains(&event.instance) => {
            open.span.end = open.span.end.max(event.end);
            open.loads += loads;
            open.processes.push(event.instance.clone());
        }
        _ => expiries.push(Expiry { span: event.span(), loads, processes: vec![event.instance.clone()] }),
    }
}

fn by_events(timeline: &Timeline, cache: &str, keys: &Keys<'_>) -> Option<Claim> {
    let mut bad: Vec<(&str, Vec<&Expiry>)> = keys
        .iter()
        .map(|(key, all)| (*key, all.iter().filter(|e| is_bad(timeline, cache, e)).collect::<Vec<_>>()))
        .filter(|(_, list)| !list.is_empty())
        .collect();
    let total = |list: &[&Expiry]| list.iter().map(|e| e.duplicates()).sum::<f64>();
    bad.sort_by(|a, b| total(&b.1).total_cmp(&total(&a.1)).then(a.0.cmp(b.0)));
    let (key, worst) = bad.first()?;
    let figures = Figures::read(timeline, cache, worst);
    let everything: Vec<Span> = bad.iter().flat_map(|(_, list)| list.iter().map(|e| e.span)).collect();
    let onset = everything.iter().map(|s| s.start).min()?;
    let last = everything.iter().map(|s| s.end).max()?;
    let critical = figures.duplicates_each >= CRITICAL_DUPLICATES;
    let quiet = recurring_quiet(figures.period);
    let subject = if key.is_empty() { cache } else { key };
    Some(Claim {
        kind: FindingKind::CacheStampede,
        identity: cache.to_owned(),
        subject: subject.to_owned(),
        severity: if critical { Severity::Critical } else { Severity::Warning },
        status: if figures.law_agrees() { Status::Confirmed } else { Status::Likely },
        onset,
        last,
        quiet,
        weight: total(worst),
        claim: sentence(cache, key, &figures),
        evidence: supporting(cache, key, &figures, &bad),
        contradicting: law_line(cache, &figures).filter(|_| figures.law_disagrees()).into_iter().collect(),
        advice: advice(&figures),
        missing: if figures.misses.is_none() { vec![lane(cache, "misses")] } else { Vec::new() },
        episodes: episodes(everything, TICK),
        remedies: remedies(cache, &figures),
        sort: "",
    })
}

fn is_bad(timeline: &Timeline, cache: &str, expiry: &Expiry) -> bool {
    let each = expiry.duplicates_each();
    if each < BAD_DUPLICATES {
        return false;
    }
    let missed = window::counted(timeline, &lane(cache, "misses"), with_tick(expiry.span));
    match missed {
        Some(misses) => misses >= LEAST_MISS_SHARE * expiry.loads || each >= BAD_DUPLICATES_BLIND,
        None => each >= BAD_DUPLICATES_BLIND,
    }
}

fn with_tick(span: Span) -> Span {
    Span::new(span.start, span.end + TICK)
}

/// Figures of the bad expiries of one key.
struct Figures {
    expiries: usize,
    span: Span,
    /// Loads of the typical expiry.
    loads: f64,
    processes: f64,
    duplicates_each: f64,
    period: Option<Duration>,
    load_p50: Option<f64>,
    misses: Option<f64>,
    coalesced: f64,
    total_loads: f64,
    /// Loads per expiry that the law allows at most: 1 + rate of the cache x load time, per process.
    law: Option<f64>,
}

impl Figures {
    fn read(timeline: &Timeline, cache: &str, bad: &[&Expiry]) -> Self {
        let middle = |f: fn(&Expiry) -> f64| median(bad.iter().map(|e| f(e)).collect()).unwrap_or(0.0);
        let over = |part: &str| {
            bad.iter()
                .filter_map(|e| window::counted(timeline, &lane(cache, part), with_tick(e.span)))
                .reduce(|a, b| a + b)
        };
        let loads = lane(cache, "load");
        let times = Durations::of(bad.iter().flat_map(|e| {
            timeline.named(&loads).flat_map(move |s| {
                s.intervals_within(with_tick(Span::new(e.span.start.back(TICK), e.span.end)))
            })
        }));
        let starts: Vec<RunTime> = bad.iter().map(|e| e.span.start).collect();
        let gaps = starts.windows(2).map(|w| w[1].since(w[0]).as_secs_f64()).collect();
        let span = Span::new(
            bad.first().map_or(RunTime::ZERO, |e| e.span.start),
            bad.iter().map(|e| e.span.end).max().unwrap_or_default(),
        );
        Self {
            expiries: bad.len(),
            span,
            loads: middle(|e| e.loads),
            processes: middle(|e| e.processes.len() as f64).max(1.0),
            duplicates_each: middle(Expiry::duplicates_each),
            period: median(gaps).map(Duration::from_secs_f64),
            load_p50: times.quantile_ns(0.5),
            misses: over("misses"),
            coalesced: over("coalesced").unwrap_or(0.0),
            total_loads: bad.iter().map(|e| e.loads).sum(),
            law: times
                .quantile_ns(0.5)
                .zip(rate_around(timeline, cache, span))
                .map(|(time, rate)| 1.0 + rate * time / 1e9),
        }
    }

    /// Loads per expiry on average: what the totals come to.
    fn mean_loads(&self) -> f64 {
        self.total_loads / self.expiries.max(1) as f64
    }

    /// Loads per expiry and process.
    fn each(&self) -> f64 {
        (self.loads / self.processes).max(1.0)
    }

    /// Those who load had missed.
    fn missed(&self) -> bool {
        self.misses.is_some_and(|m| m >= LEAST_MISS_SHARE * self.total_loads)
    }

    /// The beta with which entries seem to be refreshed early: many load though few miss.
    fn early(&self) -> Option<f64> {
        let early = self.law.is_some() && self.misses.is_some() && !self.missed();
        (early && self.each() >= XFETCH_LEAST).then(|| 1.0 / self.each().ln())
    }

    /// What loads per expiry, and who missed, tell of the protection in use.
    fn protection(&self) -> String {
        match (self.law, self.early()) {
            _ if self.each() < XFETCH_LEAST => "as many as with a single flight".to_owned(),
            (_, Some(beta)) => format!(
                "but few missed: loads begin early, as with XFetch at beta {beta:.2} (e^(1/beta) loads)"
            ),
            (Some(_), _) if self.missed() => format!(
                "and there are misses for them: no protection (a single flight loads 1, XFetch with beta 1 about {:.1})",
                std::f64::consts::E
            ),
            _ => "and who missed is not told".to_owned(),
        }
    }

    fn law_agrees(&self) -> bool {
        // Other keys are coalesced meanwhile, so there may be some; under a single flight nearly all are.
        let each_missed = self.misses.is_some_and(|m| m >= self.total_loads / LAW_FACTOR)
            && self.coalesced <= self.total_loads;
        let possible = self.law.is_some() && !self.law_disagrees();
        self.expiries >= LAW_EXPIRIES && each_missed && possible
    }

    /// More than misses could load.
    fn law_disagrees(&self) -> bool {
        self.law.is_some_and(|most| self.loads > LAW_FACTOR * most)
    }
}

/// Look-ups of the cache per second from two seconds before the first bad expiry to the last one's end.
fn rate_around(timeline: &Timeline, cache: &str, span: Span) -> Option<f64> {
    let span = Span::new(span.start.back(Duration::from_secs(2)), span.end + TICK);
    let hits = window::counted(timeline, &lane(cache, "hits"), span)?;
    let misses = window::counted(timeline, &lane(cache, "misses"), span)?;
    Some((hits + misses) / window::seconds(span).max(0.1))
}

fn sentence(cache: &str, key: &str, f: &Figures) -> String {
    let of = if cache.is_empty() { String::new() } else { format!(" of cache {cache}") };
    let mut text =
        format!("key {key}{of} is loaded {} per expiry since {ONSET}", plural(f.mean_loads(), "time"));
    if f.processes > 1.0 {
        text += &format!(" in {} processes", Unit::Count.show(f.processes));
    }
    if let Some(time) = f.load_p50 {
        text += &format!(", each load taking {}", Unit::Ns.show(time));
    }
    if let Some(period) = f.period {
        text += &format!(
            "; {} so far, {} apart",
            plural(f.expiries as f64, "bad expiry"),
            Unit::Ns.show(period.as_nanos() as f64)
        );
    }
    text
}

fn supporting(cache: &str, key: &str, f: &Figures, bad: &[(&str, Vec<&Expiry>)]) -> Vec<Evidence> {
    let text = format!(
        "{} of key {key} at {}, where one per process ({}) would do",
        plural(f.total_loads, "load"),
        plural(f.expiries as f64, "expiry"),
        Unit::Count.show(f.processes)
    );
    let mut list = vec![evidence(text, kinds::CACHE_REFRESH, f.span, f.loads, Unit::Count)];
    if let Some(misses) = f.misses {
        let text = format!(
            "{} of all keys in those expiries, for {} of this one; {} coalesced",
            plural(misses, "miss"),
            plural(f.total_loads, "load"),
            Unit::Count.show(f.coalesced.round())
        );
        list.push(evidence(text, lane(cache, "misses"), f.span, misses, Unit::Count));
    }
    list.extend(law_line(cache, f).filter(|_| !f.law_disagrees()));
    if bad.len() > 1 {
        let names: Vec<&str> = bad.iter().skip(1).take(OTHER_KEYS).map(|b| b.0).collect();
        let text = format!(
            "{} of the same cache likewise: {}",
            plural((bad.len() - 1) as f64, "further key"),
            names.join(", ")
        );
        list.push(evidence(text, kinds::CACHE_REFRESH, f.span, (bad.len() - 1) as f64, Unit::Count));
    }
    list
}

fn law_line(cache: &str, f: &Figures) -> Option<Evidence> {
    let law = f.law?;
    let agree = match (f.law_agrees(), f.law_disagrees()) {
        (true, _) => "agrees",
        (_, true) => "does not agree",
        _ => "is not (yet) shown to agree",
    };
    let text = format!(
        "law: 1 + rate x load time allows {} per expiry at most, seen {} as a rule: it {agree}, {}",
        Unit::Count.show(law.round()),
        Unit::Count.show(f.loads.round()),
        f.protection()
    );
    Some(evidence(text, lane(cache, "load"), f.span, law, Unit::Count))
}

/// Where entries are refreshed early already, more eagerly; else the kind says what is to be done.
fn remedies(cache: &str, f: &Figures) -> Vec<Remedy> {
    let too_late = f.early().filter(|&beta| beta < XFETCH_BETA);
    too_late.map(|_| Remedy::number(lane(cache, "beta"), XFETCH_BETA)).into_iter().collect()
}

fn advice(f: &Figures) -> Vec<String> {
    let mut list = Vec::new();
    if let Some(beta) = f.early().filter(|&beta| beta < XFETCH_BETA) {
        list.push(format!(
            "Refresh early more eagerly: raise beta from about {beta:.2} to {XFETCH_BETA}, and {} per expiry and process become about {:.1} (e^(1/beta)).",
            plural(f.each(), "load"),
            (1.0 / XFETCH_BETA).exp()
        ));
    }
    list.push(format!(
        "Let one request load a key while the others wait for it (single flight): {} per expiry become {}.",
        plural(f.mean_loads(), "load"),
        Unit::Count.show(f.processes)
    ));
    if let Some(time) = f.load_p50.filter(|_| f.early().is_none()) {
        list.push(format!(
            "Refresh early at random (XFetch, beta 1): about {:.1} loads per refresh whatever the load (e^(1/beta)), begun about {} before the expiry, and nobody waits.",
            std::f64::consts::E,
            Unit::Ns.show(time * f.each().ln().max(1.0))
        ));
        if f.processes > 1.0 {
            list.push(format!(
                "Where the store is shared, a lock in it makes it one load for all {} processes; its lease must outlast a load ({}).",
                Unit::Count.show(f.processes), Unit::Ns.show(time)
            ));
        }
    }
    list
}

/// Where nobody says which key: duplicates that go on.
fn by_lane(timeline: &Timeline, at: RunTime, cache: &str) -> Option<Claim> {
    let name = lane(cache, "duplicate-loads");
    let span = window::last(at, LANE_WINDOW_S);
    let total = window::counted(timeline, &name, span)?;
    let seen: Vec<Span> = timeline
        .named(&name)
        .flat_map(|s| window::steps(s, span))
        .filter(|s| s.2 > 0.0)
        .map(|s| Span::new(s.0, s.1))
        .collect();
    if total < LANE_DUPLICATES || seen.len() < LANE_SAMPLES {
        return None;
    }
    let text = format!(
        "{} in {} s, loads of a key that was being loaded already",
        plural(total, "duplicate load"),
        LANE_WINDOW_S
    );
    Some(Claim {
        kind: FindingKind::CacheStampede,
        identity: cache.to_owned(),
        subject: cache.to_owned(),
        severity: Severity::Warning,
        status: Status::Likely,
        onset: seen.iter().map(|s| s.start).min()?,
        last: seen.iter().map(|s| s.end).max()?,
        quiet: recurring_quiet(None),
        weight: total,
        claim: format!("cache {cache} loads keys that are being loaded already since {ONSET}: {} in {LANE_WINDOW_S} s", plural(total, "duplicate load")),
        evidence: vec![evidence(text, name, span, total, Unit::Count)],
        contradicting: Vec::new(),
        advice: vec!["Let one request load a key while the others wait for it (single flight): no load is then a duplicate.".to_owned()],
        missing: vec![kinds::CACHE_REFRESH.to_owned()],
        episodes: episodes(seen, TICK),
        remedies: Vec::new(),
        sort: "",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refresh(instance: &str, start: u64, end: u64, loads: f64) -> Event {
        Event {
            kind: kinds::CACHE_REFRESH.to_owned(),
            instance: instance.to_owned(),
            start: RunTime::from_ms(start),
            end: RunTime::from_ms(end),
            labels: Vec::new(),
            value: loads,
            others: 0,
        }
    }

    #[test]
    fn refreshes_of_several_processes_are_one_expiry_and_pieces_of_one_are_not() {
        let mut expiries = Vec::new();
        for e in [
            refresh("a", 0, 1_000, 40.0),
            refresh("b", 100, 1_100, 30.0),
            refresh("a", 1_000, 1_600, 35.0),
            refresh("b", 1_100, 1_500, 20.0),
            refresh("a", 5_000, 5_200, 1.0),
        ] {
            add(&mut expiries, &e);
        }
        let seen: Vec<_> = expiries
            .iter()
            .map(|e| (e.span.start.as_ms(), e.span.end.as_ms(), e.loads, e.processes.len()))
            .collect();
        assert_eq!(seen, [(0, 1_100, 70.0, 2), (1_000, 1_600, 55.0, 2), (5_000, 5_200, 1.0, 1)]);
        assert_eq!(expiries[2].duplicates(), 0.0);
    }
}
