//! Cache avalanche: many keys expire in the same instant, and all of them are loaded at once.
//!
//! **Claim.** A large part of a cache's keys ran out together, so most look-ups missed for a while and loaded, each key
//! once. **Reads** `cache.NAME.{hits,misses,loads,duplicate-loads,expired,removed,evictions,absent-loads,entries,load}`.
//! **Statistic.** A *mass miss* (`cache_cells`): within 300 ms the share of look-ups that miss leaps to half or more, and so
//! do the keys that are loaded. It is an avalanche where most of the keys loaded meanwhile had expired, and neither were removed nor evicted nor
//! are absent. `expired` comes late and in heaps where a cache tidies up now and then, so it is asked for an amount and
//! never for an instant. **Needs** a second of usual look-ups before. **Law.** Of the look-ups that usually hit as large a share misses as
//! expired of the entries that usually stay: both agree within their standard errors. One wave that agrees is *likely* an avalanche;
//! two, or three at equal distances, confirm it, since chance and other faults make single waves.
//!
//! One popular key that expires (a stampede, or a single flight) misses as often, but loads one key. Expiries spread by jitter
//! miss at a steady share, and a process that begins empty fills while its load settles. A cache elsewhere (Redis) does not tell what
//! expired: there a mass miss that recurs with nothing removed is *likely* one, and the missing lane is named.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Remedy, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, episodes, evidence, plural, they};
use crate::cache_cells::{CELL, LoadTimes, MassMiss, TRIPLE, lane, level, mass_misses, recurring_quiet};
use crate::stats::median;
use crate::window;

/// How far back: five instants of a cache that keeps things for 4 s.
const WINDOW_S: f64 = 20.0;
/// So much more is read before it, where waves are no more told but known: what expires usually must not be counted in one.
const MARGIN_S: f64 = 5.0;
/// Advised share of its time up to which an entry expires earlier: what expired at once then takes half of that time.
const JITTER: f64 = 0.5;
/// Keys that expired, of those loaded: most of them.
const EXPIRED_SHARE: f64 = 0.5;
/// So much time after a mass miss's begin belongs to it at least: caches tidy up about once a second.
const TIDIED: Duration = Duration::from_millis(1_500);
/// What was removed or evicted just before it explains it too: sources tick at different instants.
const JUST_BEFORE: Duration = Duration::from_millis(300);
/// The law's two shares may differ by so many standard errors ...
const LAW_ERRORS: f64 = 2.0;
/// ... and by what half a cell of a mass miss's three makes: sources tick anywhere in a cell, so in its first one half of the look-ups
/// were before the instant.
const LAW_SMEAR: f64 = 0.5 / TRIPLE as f64;
/// Waves that agree with the law and confirm it.
const LAW_WAVES: usize = 2;
/// Time without waves from which what expires usually is known.
const LEAST_CALM_S: f64 = 1.0;
/// Distances that are equal to a tenth are a period; three instants have two.
const PERIOD_TOLERANCE: f64 = 0.1;
const PERIODIC: usize = 3;

/// Looks at every cache.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let mut caches = timeline.members(names::CACHE);
    // Without it many loads of one key could not be told from loads of many.
    let needed = ["misses", "loads", "duplicate-loads"];
    caches.retain(|c| needed.iter().all(|part| timeline.has(&lane(c, part))));
    if caches.is_empty() {
        return Answer::CannotTell(needed.iter().map(|part| lane("NAME", part)).collect());
    }
    Answer::Looked(caches.iter().filter_map(|c| look_at(timeline, at, c)).collect())
}

fn look_at(timeline: &Timeline, at: RunTime, cache: &str) -> Option<Claim> {
    let told = window::told(timeline, &lane(cache, "expired"));
    let wide = window::last(at, WINDOW_S + MARGIN_S);
    let waves = mass_misses(timeline, cache, wide);
    let newest = window::last(at, WINDOW_S);
    let usual = usually_expired(timeline, cache, &waves, wide);
    let seen: Vec<Instant> = waves
        .into_iter()
        .filter(|w| w.span.start >= newest.start)
        .map(|miss| Instant::read(timeline, cache, miss, usual))
        .filter(|i| i.is_avalanche(told))
        .collect();
    let figures = Figures::of(timeline, cache, seen, told)?;
    Some(figures.claim(cache))
}

/// What belongs to a wave: sources tick at different instants, and caches tidy up late.
fn around(wave: &MassMiss) -> Span {
    Span::new(wave.span.start.back(JUST_BEFORE), wave.span.end.max(wave.span.start + TIDIED))
}

/// Entries that expire in a second without waves; 0 where there is no time without.
fn usually_expired(timeline: &Timeline, cache: &str, waves: &[MassMiss], wide: Span) -> f64 {
    if waves.is_empty() {
        return 0.0;
    }
    // A wave in the first second, in which a mass miss is not yet told from the usual, may be tidied up until here.
    let (mut from, mut seconds, mut expired) = (wide.start + TIDIED + Duration::from_secs(1), 0.0, 0.0);
    let ends = waves.iter().map(around).chain([Span::new(wide.end, wide.end)]);
    for wave in ends {
        if from < wave.start {
            let calm = Span::new(from, wave.start);
            seconds += window::seconds(calm);
            expired += window::counted(timeline, &lane(cache, "expired"), calm).unwrap_or(0.0);
        }
        from = from.max(wave.end);
    }
    if seconds >= LEAST_CALM_S { expired / seconds } else { 0.0 }
}

/// A mass miss, and what became of entries around it.
struct Instant {
    miss: MassMiss,
    expired: f64,
    /// Of these, so many would have expired anyway.
    usual: f64,
    elsewise: f64,
    entries: Option<f64>,
}

impl Instant {
    fn read(timeline: &Timeline, cache: &str, miss: MassMiss, usual_per_s: f64) -> Self {
        let span = around(&miss);
        let of = |part: &str| window::counted(timeline, &lane(cache, part), span).unwrap_or(0.0);
        Self {
            miss,
            expired: of("expired"),
            usual: usual_per_s * window::seconds(span),
            elsewise: of("removed") + of("evictions") + of("absent-loads"),
            entries: level(timeline, &lane(cache, "entries"), miss.span.start.back(CELL)),
        }
    }

    fn is_avalanche(&self, told: bool) -> bool {
        let other = self.elsewise >= EXPIRED_SHARE * self.miss.keys;
        !other && (!told || self.expired >= EXPIRED_SHARE * self.miss.keys)
    }

    /// Keys that were gone. A wave that the next one meets loads more in all.
    fn keys(&self) -> f64 {
        self.miss.keys.min(self.entries.unwrap_or(f64::INFINITY))
    }

    /// Share of the entries that usually stay and now expired; none where all would have gone meanwhile.
    fn share(&self) -> Option<f64> {
        let stay = self.entries? - self.usual;
        (stay >= 1.0).then(|| ((self.expired - self.usual) / stay).clamp(0.0, 1.0))
    }

    /// Share of the look-ups that usually hit and now missed.
    fn missed(&self) -> f64 {
        ((self.miss.height - self.miss.usual) / (1.0 - self.miss.usual).max(f64::MIN_POSITIVE)).max(0.0)
    }

    /// Whether a key had expired is a coin's toss for each key that was asked for, and a look-up's miss one for each look-up.
    fn law_agrees(&self) -> bool {
        let variance = |p: f64, n: f64| p * (1.0 - p) / n.max(1.0);
        self.share().is_some_and(|share| {
            let missed = self.missed();
            let error = (variance(share, self.miss.keys) + variance(missed, self.miss.looks)).sqrt();
            (share - missed).abs() <= LAW_ERRORS * error + LAW_SMEAR
        })
    }
}

struct Figures {
    seen: Vec<Instant>,
    span: Span,
    keys: f64,
    height: f64,
    usual: f64,
    period: Option<Duration>,
    periodic: bool,
    told: bool,
    /// Median load times before, and meanwhile.
    load: Option<LoadTimes>,
}

impl Figures {
    fn of(timeline: &Timeline, cache: &str, seen: Vec<Instant>, told: bool) -> Option<Self> {
        let (first, last) = (seen.first()?.miss, seen.last()?.miss);
        let middle = |f: fn(&Instant) -> f64| median(seen.iter().map(f).collect()).unwrap_or(0.0);
        let gaps: Vec<f64> =
            seen.windows(2).map(|w| w[1].miss.span.start.since(w[0].miss.span.start).as_secs_f64()).collect();
        let period = median(gaps.clone());
        let even = |p: f64| gaps.iter().all(|g| (g - p).abs() <= PERIOD_TOLERANCE * p);
        let spans: Vec<Span> = seen.iter().map(|i| i.miss.span).collect();
        Some(Self {
            span: Span::new(first.span.start, last.span.end),
            keys: middle(Instant::keys),
            height: middle(|i| i.miss.height),
            usual: middle(|i| i.miss.usual),
            period: period.map(Duration::from_secs_f64).filter(|_| seen.len() >= PERIODIC),
            periodic: seen.len() >= PERIODIC && period.is_some_and(even),
            load: LoadTimes::read(timeline, cache, first.span.start, &spans),
            told,
            seen,
        })
    }

    /// Waves that agree with the law.
    fn agreeing(&self) -> usize {
        self.seen.iter().filter(|i| i.law_agrees()).count()
    }

    fn status(&self) -> Status {
        match (self.told, self.seen.len()) {
            (true, _) if self.periodic || self.agreeing() >= LAW_WAVES => Status::Confirmed,
            // One wave by itself, and not as high as what expired would make it: something else may miss.
            (_, 1) if self.agreeing() == 0 => Status::Possible,
            _ => Status::Likely,
        }
    }

    fn claim(self, cache: &str) -> Claim {
        let critical = self.load.is_some_and(LoadTimes::hurt);
        Claim {
            kind: FindingKind::CacheAvalanche,
            identity: cache.to_owned(),
            subject: cache.to_owned(),
            severity: if critical { Severity::Critical } else { Severity::Warning },
            status: self.status(),
            onset: self.span.start,
            last: self.span.end,
            quiet: recurring_quiet(self.period),
            weight: self.seen.iter().map(|i| i.miss.keys).sum(),
            claim: self.sentence(cache),
            evidence: self.supporting(cache),
            contradicting: self.law_line(cache).filter(|_| self.agreeing() == 0).into_iter().collect(),
            advice: self.advice(),
            missing: if self.told { Vec::new() } else { vec![lane(cache, "expired")] },
            episodes: episodes(self.seen.iter().map(|i| i.miss.span).collect(), CELL),
            remedies: vec![Remedy::number(lane(cache, "jitter"), JITTER)],
            sort: "",
        }
    }

    fn sentence(&self, cache: &str) -> String {
        let mut text = format!(
            "{} of cache {cache} expired at once at {ONSET} and {} loaded anew: {} of look-ups missed, usually {}",
            plural(self.keys, "key"),
            if self.keys < 1.5 { "was" } else { "were" },
            Unit::Ratio.show(self.height),
            Unit::Ratio.show(self.usual)
        );
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
        let misses: f64 = self.seen.iter().map(|i| i.miss.misses).sum();
        let text = format!(
            "{} in {}, in which {} were loaded",
            plural(misses, "miss"),
            plural(self.seen.len() as f64, "wave"),
            plural(self.seen.iter().map(|i| i.miss.keys).sum(), "key")
        );
        let mut list = vec![evidence(text, lane(cache, "misses"), self.span, misses, Unit::Count)];
        if self.told {
            let expired: f64 = self.seen.iter().map(|i| i.expired).sum();
            let text = format!("{} expired meanwhile", plural(expired, "entry"));
            list.push(evidence(text, lane(cache, "expired"), self.span, expired, Unit::Count));
        }
        list.extend(self.law_line(cache).filter(|_| self.agreeing() > 0));
        list.extend(self.load.map(|l| l.evidence(cache, self.span)));
        list
    }

    /// None where no wave had entries that usually stay.
    fn law_line(&self, cache: &str) -> Option<Evidence> {
        let share = median(self.seen.iter().filter_map(Instant::share).collect())?;
        let missed = median(self.seen.iter().map(Instant::missed).collect()).unwrap_or(0.0);
        let text = format!(
            "law: {} of the entries that usually stay expired and {} of the look-ups that usually hit missed: they {}",
            Unit::Ratio.show(share),
            Unit::Ratio.show(missed),
            they(self.agreeing() > 0, true)
        );
        Some(evidence(text, lane(cache, "entries"), self.span, share, Unit::Ratio))
    }

    fn advice(&self) -> Vec<String> {
        let mut list = vec![match self.period {
            Some(period) => {
                let spread = period.as_secs_f64() / 2.0;
                format!(
                    "Draw each entry's time to live from half to all of it (jitter {JITTER}): {} then expire over {}, about {} instead of all at once.",
                    plural(self.keys, "key"),
                    Unit::Ns.show(spread * 1e9),
                    Unit::PerSecond.show((self.keys / spread).ceil())
                )
            }
            None => format!(
                "Draw each entry's time to live from half to all of it (jitter {JITTER}): {} then expire one by one over half of that time.",
                plural(self.keys, "key")
            ),
        }];
        list.push(
            "Load anew in the background before entries expire, so many at a time that others find room beside them."
                .to_owned(),
        );
        list
    }
}
