//! Cache thrash: the working set is larger than the cache, so entries go before they are wanted again.
//!
//! **Claim.** A cache evicts about as much as it loads, and still misses often. **Reads**
//! `cache.NAME.{evictions,loads,hits,misses,entries,absent-loads}` and, for the size of the working set, events `cache.refresh`. **Statistic.** Over
//! the last 2 s evictions are most of what is loaded, in one sample of eight (caches make room in heaps), and the share of misses is high. **Needs**
//! two seconds of full cache.
//! **Law.** A full cache gives one entry for each that comes: evictions = loads that are kept; where that holds and the level of
//! entries stands still, it is confirmed. A server that tells of itself (Redis) knows no loads: what was missed stands for them, and its
//! memory must be at its limit, too.
//!
//! A cache with a long tail evicts too, but hits four times of five. Its capacity is what it holds while it evicts. The working set is told
//! from keys that were loaded once and twice in the window (Chao 1984: unseen ones are about f1^2 / 2 f2), or from entries / hit ratio while few
//! came again, and from what the cache held before. Where the service's cache is elsewhere and it tells no evictions itself, its server must be asked
//! (`--attach redis://...`), or this detector cannot tell.

use std::collections::BTreeMap;
use std::time::Duration;

use timeline::clock::RunTime;
use timeline::event::kinds;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Remedy, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, evidence, plural, quiet, they};
use crate::cache_cells::{CELL, busy, lane, sampled};
use crate::stats::median;
use crate::window;

/// Window of the rule, seconds.
const WINDOW_S: f64 = 2.0;
/// How far back keys are counted and the beginning is looked for, seconds: at 50 loads a second 300 keys come up 1.7 times.
const REACH_S: f64 = 10.0;
/// How far back the cache's earlier size is looked for.
const EARLIER: Duration = Duration::from_secs(60);
/// Evictions needed in the window.
const LEAST_EVICTIONS: f64 = 20.0;
/// Evictions over loads: a full cache gives one for each; two processes' ticks shift it a little.
const EVICTED_SHARE: f64 = 0.6;
/// Share of look-ups that must miss. Caches are sized to miss one in five or less; below it more room gains little.
const MISS_SHARE: f64 = 0.2;
/// Share of samples with evictions, of the process that has most: caches make room in heaps, a few times a second, and one that is
/// made smaller does so once.
const LEAST_SAMPLES_SHARE: f64 = 0.12;
/// Law: evictions and loads differ by so much at most.
const LAW_TOLERANCE: f64 = 0.25;
/// Law: entries move by so much of their level at most.
const STEADY: f64 = 0.1;
/// Law: share of its limit that the memory of a server must take. It evicts only at the limit, and what it frees for one
/// command is some per cent of it at most.
const AT_LIMIT: f64 = 0.9;
/// Share of misses from which on it hurts now: the cache hardly spares a load.
const CRITICAL_MISS_SHARE: f64 = 0.5;
/// Room beyond the working set that keeps evictions rare.
const ROOM: f64 = 1.1;
/// Silence after which it has ended, or what is told more seldom has not come for some times.
const QUIET: Duration = Duration::from_secs(5);

/// Looks at every cache.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let mut caches = timeline.members(names::CACHE);
    caches.retain(|c| knows_evictions(timeline, c));
    if caches.is_empty() {
        return Answer::CannotTell(vec!["cache.NAME.evictions".to_owned(), "cache.NAME.entries".to_owned()]);
    }
    Answer::Looked(caches.iter().filter_map(|c| look_at(timeline, at, c)).collect())
}

/// Are evictions of a cache known to those who tell of it? They are who know how much it holds, and who have told of any.
fn knows_evictions(timeline: &Timeline, cache: &str) -> bool {
    let evictions = lane(cache, "evictions");
    let any = || timeline.named(&evictions).any(|s| s.points.iter().any(|p| p.1 > 0.0));
    timeline.has(&evictions) && (window::told(timeline, &lane(cache, "entries")) || any())
}

fn look_at(timeline: &Timeline, at: RunTime, cache: &str) -> Option<Claim> {
    let seen = Seen::read(timeline, at, cache)?;
    (seen.evictions >= EVICTED_SHARE * seen.loads
        && seen.missed() >= MISS_SHARE
        && seen.sampled >= LEAST_SAMPLES_SHARE)
        .then(|| claim(timeline, at, cache, &seen))
}

struct Seen {
    span: Span,
    evictions: f64,
    /// Loads that are kept; what was missed, where nobody tells of loads.
    loads: f64,
    loads_told: bool,
    hits: f64,
    misses: f64,
    /// Share of samples with evictions, of the process that has most.
    sampled: f64,
    /// Entries of one process now (median over processes), and how they moved.
    entries: Option<f64>,
    moved: f64,
    processes: usize,
    /// Bytes that a server takes, and may take.
    memory: Option<(f64, f64)>,
}

impl Seen {
    fn read(timeline: &Timeline, at: RunTime, cache: &str) -> Option<Self> {
        let span = window::last(at, WINDOW_S);
        let of = |part: &str| window::counted(timeline, &lane(cache, part), span);
        let evictions = of("evictions")?;
        if evictions < LEAST_EVICTIONS {
            return None;
        }
        let sampled = sampled(timeline, &lane(cache, "evictions"), span);
        let levels: Vec<(f64, f64)> =
            timeline.named(&lane(cache, "entries")).filter_map(|s| level_and_move(s.within(span))).collect();
        let misses = of("misses").unwrap_or(0.0);
        let loads = of("loads");
        let level = |part: &str| window::typical(timeline, &lane(cache, part), span);
        Some(Self {
            span,
            evictions,
            loads: loads.unwrap_or(misses) - of("absent-loads").unwrap_or(0.0),
            loads_told: loads.is_some(),
            hits: of("hits").unwrap_or(0.0),
            misses,
            memory: level("memory").zip(level("memory-limit")),
            sampled,
            entries: median(levels.iter().map(|l| l.0).collect()),
            moved: levels.iter().map(|l| l.1).fold(0.0, f64::max),
            processes: levels.len().max(1),
        })
    }

    fn missed(&self) -> f64 {
        self.misses / (self.hits + self.misses).max(1.0)
    }

    fn by_hits(&self) -> Option<f64> {
        (self.hits >= 1.0).then(|| self.entries.map(|n| n * (self.hits + self.misses) / self.hits))?
    }

    /// Is it known to be full, and how much it holds? The law speaks of no other cache.
    fn full(&self) -> bool {
        let at_limit = self.memory.is_some_and(|(used, limit)| used >= AT_LIMIT * limit);
        (self.loads_told || at_limit) && self.entries.is_some()
    }

    fn law_agrees(&self) -> bool {
        self.full()
            && (self.evictions - self.loads).abs() <= LAW_TOLERANCE * self.loads
            && self.entries.is_some_and(|n| self.moved <= (STEADY * n).max(2.0))
    }

    fn law_disagrees(&self) -> bool {
        self.full() && !self.law_agrees()
    }

    /// Bytes of an entry with all that a server keeps beside it, where it has a limit of bytes.
    fn bytes_each(&self) -> Option<f64> {
        self.memory.zip(self.entries).filter(|(_, n)| *n >= 1.0).map(|((used, _), n)| used / n)
    }
}

/// Median of the points, and their spread.
fn level_and_move(points: &[(RunTime, f64)]) -> Option<(f64, f64)> {
    let values = || points.iter().map(|p| p.1);
    let level = median(values().collect())?;
    Some((level, values().fold(f64::MIN, f64::max) - values().fold(f64::MAX, f64::min)))
}

/// Keys of the working set of one process.
struct WorkingSet {
    /// Different keys that were loaded.
    seen: f64,
    /// With those that were not (yet) loaded in the window, where enough came again to tell.
    by_keys: Option<f64>,
    /// Where all are wanted alike, a cache hits in its share of them: entries / hit ratio. Where some are wanted more it is too few.
    by_hits: f64,
    /// Most entries that it held before it had to evict.
    held: f64,
}

impl WorkingSet {
    fn read(timeline: &Timeline, at: RunTime, cache: &str, now: &Seen) -> Self {
        let mut loads: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
        for e in timeline.events(kinds::CACHE_REFRESH, window::last(at, REACH_S)) {
            if e.label("cache") == Some(cache) {
                *loads.entry(&e.instance).or_default().entry(e.label("key").unwrap_or("")).or_default() += 1;
            }
        }
        let before = Span::new(at.back(EARLIER), at);
        let held = window::highest(timeline, &lane(cache, "entries"), before);
        let each: Vec<_> = loads.values().map(|keys| chao(keys.values().copied())).collect();
        let by_keys = each.iter().filter_map(|e| e.1).reduce(f64::max);
        let seen = each.iter().map(|e| e.0).fold(0.0, f64::max);
        Self { seen, by_keys, by_hits: now.by_hits().unwrap_or(0.0), held }
    }

    /// Entries that a process needs room for.
    fn needs(&self) -> f64 {
        self.by_keys.unwrap_or(self.by_hits).max(self.seen).max(self.held)
    }

    /// The capacity with which evictions are rare.
    fn room(&self) -> f64 {
        (self.needs() * ROOM).ceil()
    }
}

/// How many there are by how often each was seen: those seen, and Chao's estimate of all (bias-corrected, so that no pair is no
/// division by zero). Where most came once it is a guess with a wide error: none then.
fn chao(counts: impl Iterator<Item = u32>) -> (f64, Option<f64>) {
    let (mut seen, mut once, mut twice) = (0.0, 0.0, 0.0);
    for n in counts {
        seen += 1.0;
        match n {
            1 => once += 1.0,
            2 => twice += 1.0,
            _ => {}
        }
    }
    let all = seen + once * (once - 1.0_f64).max(0.0) / (2.0 * (twice + 1.0));
    (seen, (2.0 * once <= seen && seen > 0.0).then_some(all))
}

fn claim(timeline: &Timeline, at: RunTime, cache: &str, seen: &Seen) -> Claim {
    let spans = busy(timeline, &lane(cache, "evictions"), window::last(at, REACH_S), CELL * 10);
    let onset = spans.last().map_or(seen.span.start, |s| s.start);
    let set = WorkingSet::read(timeline, at, cache, seen);
    let critical = seen.missed() >= CRITICAL_MISS_SHARE;
    Claim {
        kind: FindingKind::CacheThrash,
        identity: cache.to_owned(),
        subject: cache.to_owned(),
        severity: if critical { Severity::Critical } else { Severity::Warning },
        status: if seen.law_agrees() { Status::Confirmed } else { Status::Likely },
        onset,
        last: spans.last().map_or(at, |s| s.end),
        quiet: quiet(window::pace(timeline, &lane(cache, "evictions"), at), QUIET, QUIET),
        weight: seen.misses,
        claim: sentence(cache, seen, &set),
        evidence: supporting(cache, seen, &set),
        contradicting: law_line(cache, seen).filter(|_| seen.law_disagrees()).into_iter().collect(),
        advice: advice(cache, seen, &set),
        missing: if set.seen == 0.0 { vec![kinds::CACHE_REFRESH.to_owned()] } else { Vec::new() },
        episodes: spans,
        remedies: remedies(cache, seen, &set),
        sort: "",
    }
}

fn sentence(cache: &str, seen: &Seen, set: &WorkingSet) -> String {
    let mut text = format!(
        "cache {cache} evicts entries before they are wanted again since {ONSET}: {} evictions/s, and {} of look-ups miss",
        Unit::Count.show((seen.evictions / WINDOW_S).round()),
        Unit::Ratio.show(seen.missed())
    );
    if let Some(entries) = seen.entries {
        text += &format!("; it holds {}", plural(entries, "entry"));
        if set.needs() > entries {
            text += &format!(" where about {} are wanted", Unit::Count.show(set.needs().round()));
        }
        if seen.processes > 1 {
            text += &format!(" in each of {} processes", seen.processes);
        }
    }
    text
}

fn supporting(cache: &str, seen: &Seen, set: &WorkingSet) -> Vec<Evidence> {
    let text = format!(
        "{} to make room in {WINDOW_S} s, {} meanwhile",
        plural(seen.evictions, "eviction"),
        plural(seen.loads, if seen.loads_told { "load" } else { "miss" })
    );
    let mut list = vec![evidence(text, lane(cache, "evictions"), seen.span, seen.evictions, Unit::Count)];
    let text = format!(
        "{} and {}: {} of look-ups miss",
        plural(seen.hits, "hit"),
        plural(seen.misses, "miss"),
        Unit::Ratio.show(seen.missed())
    );
    list.push(evidence(text, lane(cache, "misses"), seen.span, seen.missed(), Unit::Ratio));
    list.extend(law_line(cache, seen).filter(|_| !seen.law_disagrees()));
    if let Some((used, limit)) = seen.memory {
        let text =
            format!("it takes {} of the {} that it may", Unit::Bytes.show(used), Unit::Bytes.show(limit));
        list.push(evidence(text, lane(cache, "memory"), seen.span, used, Unit::Bytes));
    }
    list.extend(wanted(cache, seen, set));
    list
}

fn law_line(cache: &str, seen: &Seen) -> Option<Evidence> {
    let entries = seen.entries?;
    let text = format!(
        "law of a full cache: it stays at {} and gives one for each that comes: they {}",
        plural(entries, "entry"),
        they(seen.law_agrees(), seen.law_disagrees())
    );
    Some(evidence(text, lane(cache, "entries"), seen.span, entries, Unit::Count))
}

/// What tells how many are wanted.
fn wanted(cache: &str, seen: &Seen, set: &WorkingSet) -> Vec<Evidence> {
    let mut list = Vec::new();
    if set.seen > 0.0 {
        let text = format!(
            "{} were loaded within {REACH_S} s by one process{}",
            plural(set.seen, "different key"),
            match set.by_keys {
                Some(all) =>
                    format!("; by how many came twice there are about {}", Unit::Count.show(all.round())),
                None => seen.entries.map_or_else(String::new, |n| {
                    format!("; by its hits it holds one of {:.1} that are wanted", set.by_hits / n.max(1.0))
                }),
            }
        );
        list.push(evidence(text, kinds::CACHE_REFRESH, seen.span, set.seen, Unit::Count));
    }
    if seen.entries.is_some_and(|n| set.held > ROOM * n) {
        let text = format!("it has held {} before", plural(set.held, "entry"));
        list.push(evidence(text, lane(cache, "entries"), seen.span, set.held, Unit::Count));
    }
    list
}

fn remedies(cache: &str, seen: &Seen, set: &WorkingSet) -> Vec<Remedy> {
    let more = set.needs() > seen.entries.unwrap_or(0.0);
    let room = || match seen.bytes_each() {
        Some(each) => Remedy::number(lane(cache, "memory-limit"), (set.room() * each).ceil()),
        None => Remedy::number(lane(cache, "capacity"), set.room()),
    };
    more.then(room).into_iter().collect()
}

fn advice(cache: &str, seen: &Seen, set: &WorkingSet) -> Vec<String> {
    let each = if seen.processes > 1 { " in each process" } else { "" };
    let entries = seen.entries.unwrap_or(0.0);
    let from = seen.entries.map_or_else(String::new, |n| format!(" from {}", Unit::Count.show(n)));
    let mut list = vec![if let Some(each) = seen.bytes_each().filter(|_| set.needs() > entries) {
        format!(
            "Raise the limit of cache {cache} (maxmemory) from {} to {}: about {} entries are wanted where {} have room, at {} each, and a tenth more keeps evictions rare.",
            Unit::Bytes.show(seen.memory.map_or(0.0, |m| m.1)),
            Unit::Bytes.show(set.room() * each),
            Unit::Count.show(set.needs().round()),
            Unit::Count.show(entries),
            Unit::Bytes.show(each)
        )
    } else if set.needs() > entries {
        format!(
            "Raise the capacity of cache {cache}{from} to {} entries{each}: about {} are wanted, and a tenth more keeps evictions rare.",
            set.room(),
            Unit::Count.show(set.needs().round())
        )
    } else {
        format!(
            "Raise the capacity of cache {cache} above {} entries{each} until few are evicted.",
            Unit::Count.show(entries)
        )
    }];
    if seen.processes > 1 {
        list.push(format!(
            "Share one cache: {} processes keep the same keys {} times over.",
            seen.processes, seen.processes
        ));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::told_each;
    use timeline::LaneSpec;

    /// A cache told each 15 s, with so many evictions, misses and hits a second, looked at as it is told.
    fn told_by_otlp(evictions: f64, misses: f64, hits: f64) -> Vec<Claim> {
        let rate = |part| LaneSpec::rate(lane("products", part), "shop", Unit::PerSecond);
        let told = [("evictions", evictions), ("misses", misses), ("hits", hits)];
        let t = told_each(15_000, 45_000, told.map(|(part, n)| (rate(part), n)));
        match look(&t, RunTime::from_ms(45_000)) {
            Answer::Looked(claims) => claims,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_told_seldom_is_not_all_of_the_window_in_which_it_is_told() {
        assert!(told_by_otlp(2.0, 2.0, 6.0).is_empty());
        let found = told_by_otlp(100.0, 100.0, 300.0);
        assert!(found[0].claim.contains("100 evictions/s"), "{}", found[0].claim);
        assert!(found[0].quiet > Duration::from_secs(30), "the next export is the same finding");
    }

    #[test]
    fn chao_sees_the_unseen() {
        // 300 keys asked for 330 times at random: a third unseen, a third once, a sixth twice.
        let counts =
            std::iter::repeat_n(1, 99).chain(std::iter::repeat_n(2, 60)).chain(std::iter::repeat_n(3, 40));
        let (seen, about) = chao(counts);
        assert_eq!(seen, 199.0);
        assert!((270.0..=330.0).contains(&about.unwrap()), "{about:?}");
        assert_eq!(chao(std::iter::empty()), (0.0, None));
        assert_eq!(chao(std::iter::repeat_n(1, 50)), (50.0, None), "nothing came again");
    }
}
