//! Cold cache: somebody empties the cache while it is needed.
//!
//! **Claim.** Most of what a cache held was removed in an instant, not key by key, and what is asked for must be loaded anew. **Reads**
//! `cache.NAME.{removed,entries,hits,misses,loads,load,loads-in-flight}`. **Statistic.** A tick of one process is an *emptying* when
//! it removed half of what that process held, and several entries; emptyings count once look-ups miss after them
//! for many keys: for a second, or at once far more than before. **Needs** half a second after the first. **Law.** Entries are kept: the level must fall by what was removed, less
//! what was loaded since. Where it does, or where emptyings recur, it is confirmed.
//!
//! A cache that begins empty (start, rolling reload, a worker started again) removes nothing, and changes of single
//! things remove few. A cache elsewhere (Redis) does not tell its entries: there a heap of removals in one tick followed
//! by misses is *likely* an emptying, since the share of it is not known.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Series, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, episodes, evidence, plural, they};
use crate::cache_cells::{
    CELL, LoadTimes, held_before, lane, leaps, level, miss_counts, miss_share, recurring_quiet,
};
use crate::stats::median;
use crate::window;

/// How far back: twenty emptyings a second apart, two every ten seconds.
const WINDOW_S: f64 = 20.0;
/// Share of a process's entries that must go in one tick: whoever changes things one by one never takes half of them.
const EMPTIED_SHARE: f64 = 0.5;
/// Entries that must go in one tick, of one process; of a cache elsewhere, whose entries nobody tells, as many as of
/// a mass miss.
const LEAST_REMOVED: f64 = 5.0;
const LEAST_REMOVED_BLIND: f64 = 15.0;
/// Entries that must have been removed in all: fewer are loaded again before anybody notices.
const LEAST_IN_ALL: f64 = 20.0;
/// Misses are looked for so long after an emptying, ...
const AFTERMATH: Duration = Duration::from_secs(1);
/// ... and it may be judged after so much of it.
const LEAST_AFTERMATH: Duration = Duration::from_millis(500);
/// A cache that is asked for much is full again within a second; so soon after the tick its misses are looked for, too ...
const SOON: Duration = Duration::from_millis(200);
/// ... and compared with those of so long before.
const USUAL: Duration = Duration::from_secs(2);
/// Share of look-ups that must miss then. A healthy cache misses a tenth to a fifth.
const MISS_SHARE: f64 = 0.3;
/// ... of so many at least.
const LEAST_LOOK_UPS: f64 = 10.0;
/// Emptyings of several processes, or of one in two ticks, so near to one another are one.
const TOGETHER: Duration = Duration::from_millis(150);
/// The level may differ from what removals make it by so much of what was removed.
const LAW_TOLERANCE: f64 = 0.4;
/// Times that make it recur.
const RECURS: usize = 3;

/// Looks at every cache.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let mut caches = timeline.members(names::CACHE);
    caches.retain(|c| window::told(timeline, &lane(c, "removed")));
    if caches.is_empty() {
        return Answer::CannotTell(vec!["cache.NAME.removed".to_owned()]);
    }
    Answer::Looked(caches.iter().filter_map(|c| look_at(timeline, at, c)).collect())
}

fn look_at(timeline: &Timeline, at: RunTime, cache: &str) -> Option<Claim> {
    let span = window::last(at, WINDOW_S);
    let mut parts: Vec<Emptying> =
        timeline.named(&lane(cache, "removed")).flat_map(|s| emptyings(timeline, cache, s, span)).collect();
    parts.sort_by_key(|e| e.span.start);
    let seen: Vec<Emptying> =
        merged(parts).into_iter().filter(|e| e.is_missed(timeline, cache, at)).collect();
    let removed: f64 = seen.iter().map(|e| e.removed).sum();
    if removed < LEAST_IN_ALL {
        return None;
    }
    Some(Figures::of(timeline, at, cache, seen)?.claim(cache))
}

/// Much removed at once, of one process or of several.
#[derive(Debug, Clone, Copy)]
struct Emptying {
    /// The tick in which it was.
    span: Span,
    removed: f64,
    /// Entries before, where they are told.
    held: Option<f64>,
    /// Entries at the end of the tick, where they are told.
    left: Option<f64>,
}

fn emptyings(timeline: &Timeline, cache: &str, removals: &Series, span: Span) -> Vec<Emptying> {
    let entries = window::of_instance(timeline, &lane(cache, "entries"), &removals.spec.instance)
        .filter(|s| !s.points.is_empty());
    window::steps(removals, span)
        .filter_map(|(since, at, rate)| {
            let removed = rate * at.since(since).as_secs_f64();
            let held = entries.and_then(|s| held_before(s, since));
            let left = entries.and_then(|s| s.at(at, CELL * 2));
            let emptied = match entries {
                Some(_) => removed >= LEAST_REMOVED && removed >= EMPTIED_SHARE * held?,
                None => removed >= LEAST_REMOVED_BLIND,
            };
            emptied.then_some(Emptying { span: Span::new(since, at), removed, held, left })
        })
        .collect()
}

fn merged(parts: Vec<Emptying>) -> Vec<Emptying> {
    let mut out: Vec<Emptying> = Vec::new();
    let sum = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a + b);
    for e in parts {
        match out.last_mut() {
            Some(open) if e.span.start <= open.span.start + TOGETHER => {
                open.span.end = open.span.end.max(e.span.end);
                open.removed += e.removed;
                open.held = sum(open.held, e.held);
                open.left = sum(open.left, e.left);
            }
            _ => out.push(e),
        }
    }
    out
}

impl Emptying {
    fn is_missed(&self, timeline: &Timeline, cache: &str, at: RunTime) -> bool {
        let span = Span::new(self.span.start, self.span.start + AFTERMATH);
        at.since(self.span.end) >= LEAST_AFTERMATH
            && (miss_share(timeline, cache, span, LEAST_LOOK_UPS).is_some_and(|m| m >= MISS_SHARE)
                || self.is_missed_soon(timeline, cache))
    }

    fn is_missed_soon(&self, timeline: &Timeline, cache: &str) -> bool {
        let counted = |span| miss_counts(timeline, cache, span).filter(|c| c.1 >= LEAST_LOOK_UPS);
        let now = counted(Span::new(self.span.start, self.span.end + SOON));
        let before = counted(Span::new(self.span.start.back(USUAL), self.span.start));
        now.zip(before).is_some_and(|((misses, all), (usual, of))| {
            misses >= MISS_SHARE * all && leaps(misses, usual / of * all)
        })
    }

    /// Did the level fall by what was removed?
    fn law_agrees(&self) -> bool {
        self.held
            .zip(self.left)
            .is_some_and(|(held, left)| (held - left - self.removed).abs() <= LAW_TOLERANCE * self.removed)
    }
}

struct Figures {
    seen: Vec<Emptying>,
    span: Span,
    removed: f64,
    missed: f64,
    before: Option<f64>,
    period: Option<Duration>,
    load: Option<LoadTimes>,
    episodes: Vec<Span>,
}

impl Figures {
    fn of(timeline: &Timeline, at: RunTime, cache: &str, seen: Vec<Emptying>) -> Option<Self> {
        let (first, last) = (seen.first()?.span, seen.last()?.span);
        let gaps = seen.windows(2).map(|w| w[1].span.start.since(w[0].span.start).as_secs_f64()).collect();
        let waves: Vec<Span> = seen
            .iter()
            .map(|e| Span::new(e.span.start, settled(timeline, cache, e.span.start, at)))
            .collect();
        let missed = seen
            .iter()
            .filter_map(|e| {
                miss_share(timeline, cache, Span::new(e.span.start, e.span.start + AFTERMATH), LEAST_LOOK_UPS)
            })
            .collect();
        let before = Span::new(first.start.back(Duration::from_secs(3)), first.start);
        Some(Self {
            span: Span::new(first.start, last.end),
            removed: median(seen.iter().map(|e| e.removed).collect())?,
            missed: median(missed)?,
            before: miss_share(timeline, cache, before, LEAST_LOOK_UPS),
            period: median(gaps).map(Duration::from_secs_f64).filter(|_| seen.len() >= RECURS),
            load: LoadTimes::read(timeline, cache, first.start, &waves),
            episodes: waves,
            seen,
        })
    }

    fn agreeing(&self) -> usize {
        self.seen.iter().filter(|e| e.law_agrees()).count()
    }

    fn status(&self) -> Status {
        let agrees = self.agreeing();
        let told = self.seen.iter().any(|e| e.held.is_some());
        match told {
            true if 2 * agrees >= self.seen.len() || self.seen.len() >= RECURS => Status::Confirmed,
            _ => Status::Likely,
        }
    }

    fn claim(self, cache: &str) -> Claim {
        let critical = self.load.is_some_and(LoadTimes::hurt);
        let blind = self.seen.iter().all(|e| e.held.is_none());
        Claim {
            kind: FindingKind::CacheCold,
            identity: cache.to_owned(),
            subject: cache.to_owned(),
            severity: if critical { Severity::Critical } else { Severity::Warning },
            status: self.status(),
            onset: self.span.start,
            last: self.span.end,
            quiet: recurring_quiet(self.period),
            weight: self.seen.len() as f64 * self.removed,
            claim: self.sentence(cache),
            evidence: self.supporting(cache),
            contradicting: self.law_line(cache).filter(|_| self.agreeing() == 0).into_iter().collect(),
            advice: self.advice(cache),
            missing: if blind { vec![lane(cache, "entries")] } else { Vec::new() },
            episodes: episodes(self.episodes.clone(), CELL),
            remedies: Vec::new(),
            sort: "",
        }
    }

    fn sentence(&self, cache: &str) -> String {
        let mut text = format!(
            "cache {cache} was emptied under load at {ONSET}: {} removed at once, and {} of look-ups missed after it",
            plural(self.removed, "entry"),
            Unit::Ratio.show(self.missed)
        );
        if let Some(before) = self.before {
            text += &format!(" ({} before)", Unit::Ratio.show(before));
        }
        if let Some(period) = self.period {
            text += &format!(
                "; {} so far, {} apart",
                plural(self.seen.len() as f64, "time"),
                Unit::Ns.show(period.as_nanos() as f64)
            );
        }
        text
    }

    fn supporting(&self, cache: &str) -> Vec<Evidence> {
        let all: f64 = self.seen.iter().map(|e| e.removed).sum();
        let text = format!(
            "{} removed in {}, none of them by their age",
            plural(all, "entry"),
            plural(self.seen.len() as f64, "instant")
        );
        let mut list = vec![evidence(text, lane(cache, "removed"), self.span, all, Unit::Count)];
        list.extend(self.law_line(cache).filter(|_| self.agreeing() > 0));
        let text = format!("{} of look-ups missed in the second after it", Unit::Ratio.show(self.missed));
        list.push(evidence(text, lane(cache, "misses"), self.span, self.missed, Unit::Ratio));
        list.extend(self.load.map(|l| l.evidence(cache, self.span)));
        list
    }

    /// Of the first time that agrees, or else that could be told.
    fn law_line(&self, cache: &str) -> Option<Evidence> {
        let told = || self.seen.iter().find(|e| e.held.is_some() && e.left.is_some());
        let e = self.seen.iter().find(|e| e.law_agrees()).or_else(told)?;
        let (held, left) = e.held.zip(e.left)?;
        let text = format!(
            "entries fell from {} to {} where {} were removed: they {}",
            Unit::Count.show(held),
            Unit::Count.show(left),
            Unit::Count.show(e.removed.round()),
            they(e.law_agrees(), true)
        );
        Some(evidence(text, lane(cache, "entries"), e.span, held - left, Unit::Count))
    }

    fn advice(&self, cache: &str) -> Vec<String> {
        let mut list = vec![format!(
            "Remove what has changed, key by key, instead of all {} of cache {cache}; where all must go, let the new entries take other keys (a version in the key) and the old ones expire.",
            plural(self.removed, "entry")
        )];
        list.push(match self.load {
            Some(load) => format!(
                "Where it must be emptied, load what is wanted most before requests come: {} take {} with 4 loads at a time.",
                plural(self.removed, "entry"),
                Unit::Ns.show(self.removed * load.before / 4.0)
            ),
            None => "Where it must be emptied, load what is wanted most before requests come.".to_owned(),
        });
        list
    }
}

/// When loads in flight are down again to about what they were before `from`, at most `until`.
fn settled(timeline: &Timeline, cache: &str, from: RunTime, until: RunTime) -> RunTime {
    let name = lane(cache, "loads-in-flight");
    let before = Span::new(from.back(Duration::from_secs(2)), from);
    let usual = window::mean(timeline, &name, before).unwrap_or(0.0) * timeline.named(&name).count() as f64;
    let mut t = from + LEAST_AFTERMATH;
    while t < until {
        match level(timeline, &name, t) {
            Some(now) if now > 1.0 + 2.0 * usual => t = t + CELL,
            _ => return t,
        }
    }
    until.max(from)
}
