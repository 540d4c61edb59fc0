//! Rules: how a metric of a known library becomes a lane.
//!
//! Owns what a rule can say ([`Rule`]) and how a page's names are matched to them: in the wild they carry prefixes
//! (`shop_nodejs_heap_size_used_bytes`), units (`_seconds`, `_ms`), the suffixes of their kind (`_total`, `_bucket`) and dots. The rules
//! themselves are data, in `dialects`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use timeline::{Combine, Unit};

use super::dialects;
use super::line::Line;

/// One metric, one lane. A metric may have several rules.
#[derive(Debug, Clone, Copy)]
pub(in crate::sources) struct Rule {
    /// Name with underscores for dots, without unit and suffix: `jvm_memory_used`.
    pub stem: &'static str,
    /// Labels that must be there, and texts one of which each must contain; `^` anchors a text at the beginning, `=` at both ends.
    pub when: &'static [(&'static str, &'static [&'static str])],
    /// Canonical name of the lane; `*` in it is the member, from `member`.
    pub lane: &'static str,
    /// Labels of which the first that is there names the member; the last word stands for a page that has none.
    pub member: &'static [&'static str],
    /// Labels of which the first that is there is the subject.
    pub subject: &'static [&'static str],
    /// The subject where there is none of them.
    pub otherwise: &'static str,
    /// What is made of its values.
    pub take: Take,
    /// How instances and series of the lane add up.
    pub combine: Combine,
    /// What one unit of the metric's values comes to in the lane's, where that does not follow from its name.
    pub factor: Option<f64>,
    /// Which part of a histogram or summary it is, where it goes by a name of its own: `go_sql_wait_count`.
    pub part: Option<Part>,
    /// Is it the counter of that name alone? Beside it there is a level of the same name less its `_total`.
    pub total: bool,
    /// Is 0 how the library writes that there is none: no limit, no look in this interval?
    pub never_zero: bool,
}

/// What is made of a metric's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sources) enum Take {
    /// The value is a level.
    Level(Unit),
    /// Its increase is a rate.
    Rate(Unit),
    /// The count of a histogram or summary is a rate.
    Calls,
    /// A histogram or summary of durations is a histogram lane.
    Durations,
    /// The same, and each duration a pause of this kind.
    Pauses(&'static str),
}

impl Rule {
    pub(super) const fn of(stem: &'static str, take: Take, lane: &'static str) -> Self {
        Self {
            stem,
            when: &[],
            lane,
            member: &[],
            subject: &[],
            otherwise: "",
            take,
            combine: Combine::Sum,
            factor: None,
            part: None,
            total: false,
            never_zero: false,
        }
    }

    pub(super) const fn level(stem: &'static str, unit: Unit, lane: &'static str) -> Self {
        Self::of(stem, Take::Level(unit), lane)
    }

    pub(super) const fn rate(stem: &'static str, unit: Unit, lane: &'static str) -> Self {
        Self::of(stem, Take::Rate(unit), lane)
    }

    pub(super) const fn durations(stem: &'static str, lane: &'static str) -> Self {
        Self::of(stem, Take::Durations, lane)
    }

    pub(super) const fn pauses(stem: &'static str, kind: &'static str) -> Self {
        Self { combine: Combine::Max, ..Self::of(stem, Take::Pauses(kind), timeline::lane::names::PAUSE) }
    }

    /// Collections of a kind that are counted without their time.
    pub(super) const fn collections(stem: &'static str, kind: &'static str) -> Self {
        let lane = timeline::lane::names::PAUSE_COLLECTIONS;
        Self { otherwise: kind, ..Self::rate(stem, Unit::PerSecond, lane) }
    }

    pub(super) const fn when(self, when: &'static [(&'static str, &'static [&'static str])]) -> Self {
        Self { when, ..self }
    }

    pub(super) const fn member(self, member: &'static [&'static str]) -> Self {
        Self { member, ..self }
    }

    pub(super) const fn about(self, subject: &'static [&'static str]) -> Self {
        Self { subject, ..self }
    }

    pub(super) const fn worst(self) -> Self {
        Self { combine: Combine::Max, ..self }
    }

    pub(super) const fn part(self, part: Part) -> Self {
        Self { part: Some(part), ..self }
    }

    pub(super) const fn total(self) -> Self {
        Self { total: true, ..self }
    }

    pub(super) const fn never_zero(self) -> Self {
        Self { never_zero: true, ..self }
    }

    /// Do the labels of `line` meet the rule's conditions?
    pub fn fits(&self, line: &Line<'_>) -> bool {
        self.when.iter().all(|(name, words)| {
            let has = |v: &str, w: &str| match w.as_bytes().first() {
                Some(b'^') => v.starts_with(&w[1..]),
                Some(b'=') => v == &w[1..],
                _ => v.contains(w),
            };
            line.label(name).is_some_and(|v| words.iter().any(|w| has(v, w)))
        })
    }

    /// What one unit of the metric's values comes to in the lane's unit, given the metric's own; none if they do not agree.
    fn scale(&self, unit: Option<Suffix>) -> Option<f64> {
        if self.factor.is_some() {
            return self.factor;
        }
        let wanted = match self.take {
            Take::Level(unit) | Take::Rate(unit) => unit,
            Take::Calls => return Some(1.0),
            Take::Durations | Take::Pauses(_) => Unit::Ns,
        };
        match (wanted, unit) {
            (Unit::Ns, Some(Suffix::Time(ns))) => Some(ns),
            // Without a unit in its name: Prometheus' and OpenTelemetry's base unit of time is the second.
            (Unit::Ns, None) => Some(1e9),
            (Unit::Bytes | Unit::BytesPerSecond, Some(Suffix::Bytes(n))) => Some(n),
            (Unit::Ratio, Some(Suffix::Percent)) => Some(0.01),
            // So much time of each second.
            (Unit::Ratio | Unit::Cores, Some(Suffix::Time(ns))) => Some(ns / 1e9),
            (Unit::Ns | Unit::Cores, _) => None,
            (_, Some(Suffix::Time(_) | Suffix::Bytes(_) | Suffix::Percent)) => None,
            _ => Some(1.0),
        }
    }
}

/// Which of a metric's lines one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sources) enum Part {
    /// The only one.
    Whole,
    /// `_bucket`.
    Bucket,
    /// `_sum`.
    Sum,
    /// `_count`.
    Count,
}

/// A rule that a name met.
#[derive(Debug, Clone, Copy)]
pub(in crate::sources) struct Met {
    pub rule: &'static Rule,
    /// Number of the rule's dialect: one lane is filled by one dialect only.
    pub dialect: usize,
    pub part: Part,
    /// Factor from the page's unit to the lane's.
    pub scale: f64,
    /// Did other words stand in front of the rule's name?
    pub prefixed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Suffix {
    /// So many nanoseconds.
    Time(f64),
    /// So many bytes.
    Bytes(f64),
    Percent,
}

/// Units at the end of names, the base units of Prometheus and those seen in the wild.
const SUFFIXES: &[(&str, Option<Suffix>)] = &[
    ("_seconds", Some(Suffix::Time(1e9))),
    ("_milliseconds", Some(Suffix::Time(1e6))),
    ("_millis", Some(Suffix::Time(1e6))),
    ("_ms", Some(Suffix::Time(1e6))),
    ("_microseconds", Some(Suffix::Time(1e3))),
    ("_usec", Some(Suffix::Time(1e3))),
    ("_us", Some(Suffix::Time(1e3))),
    ("_nanoseconds", Some(Suffix::Time(1.0))),
    ("_nanos", Some(Suffix::Time(1.0))),
    ("_ns", Some(Suffix::Time(1.0))),
    ("_bytes", Some(Suffix::Bytes(1.0))),
    ("_kibibytes", Some(Suffix::Bytes(1024.0))),
    ("_mebibytes", Some(Suffix::Bytes(1_048_576.0))),
    ("_percent", Some(Suffix::Percent)),
    ("_ratio", None),
];

/// Names with fewer words than this mean something only as a whole: `app_cache_size` need not be Micrometer's.
const WORDS_BEHIND_PREFIX: usize = 3;
/// Words that a prefix may have.
const PREFIX_WORDS: usize = 4;

/// Rules by their stem, each with the number of its dialect.
pub(super) type ByStem = HashMap<&'static str, Vec<(usize, &'static Rule)>>;

static RULES: LazyLock<ByStem> = LazyLock::new(|| {
    let mut all = ByStem::new();
    for (i, dialect) in dialects::ALL.iter().enumerate() {
        for rule in dialect.rules {
            all.entry(rule.stem).or_default().push((i, rule));
        }
    }
    all
});

/// All rules that `name` meets, whatever its labels.
pub(super) fn lookup(name: &str) -> Vec<Met> {
    among(name, &RULES, PREFIX_WORDS)
}

/// Those of `rules` that `name` meets behind a prefix of at most so many words.
pub(super) fn among(name: &str, rules: &ByStem, prefix_words: usize) -> Vec<Met> {
    let name: Cow<'_, str> = if name.contains(['.', ':']) {
        Cow::Owned(name.replace(['.', ':'], "_"))
    } else {
        Cow::Borrowed(name)
    };
    // `db_client_connection_count` is a whole name although it ends as a histogram's part does.
    let counted = name.strip_suffix("_total");
    let mut whole = by_unit(counted.unwrap_or(&name), Part::Whole, rules, prefix_words);
    whole.retain(|met| counted.is_some() || !met.rule.total);
    if !whole.is_empty() {
        return whole;
    }
    let parts = [("_bucket", Part::Bucket), ("_sum", Part::Sum), ("_count", Part::Count)];
    let part = parts.iter().find_map(|(suffix, part)| Some((name.strip_suffix(suffix)?, *part)));
    part.map(|(base, part)| by_unit(base, part, rules, prefix_words)).unwrap_or_default()
}

/// A name in front of its unit, and that.
fn without_unit(base: &str) -> (&str, Option<Suffix>) {
    let unit = SUFFIXES.iter().find_map(|(suffix, unit)| Some((base.strip_suffix(suffix)?, *unit)));
    unit.unwrap_or((base, None))
}

/// The stems of rules about the metric `name`: as a whole, and as what has parts. A page's name of a part is taken, too.
pub(super) fn stems(name: &str) -> (String, String) {
    let name = name.replace(['.', ':'], "_");
    let whole = name.strip_suffix("_total").unwrap_or(&name);
    let base =
        ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(&name);
    (without_unit(whole).0.to_owned(), without_unit(base).0.to_owned())
}

fn by_unit(base: &str, part: Part, rules: &ByStem, prefix_words: usize) -> Vec<Met> {
    let (stem, unit) = without_unit(base);
    let mut stem = Some(stem);
    for words in 0..=prefix_words {
        let Some(tried) = stem else { break };
        if let Some(rules) = rules.get(tried) {
            let met = |&(dialect, rule): &(usize, &'static Rule)| {
                let fits = match (rule.take, rule.part) {
                    (Take::Level(_) | Take::Rate(_), _) | (_, Some(_)) => part == Part::Whole,
                    (Take::Calls, None) => part == Part::Count,
                    (Take::Durations | Take::Pauses(_), None) => part != Part::Whole,
                };
                let scale = if fits { rule.scale(unit) } else { None };
                let (part, prefixed) = (rule.part.unwrap_or(part), words > 0);
                scale.map(|scale| Met { rule, dialect, part, scale, prefixed })
            };
            return rules.iter().filter_map(met).collect();
        }
        stem = tried
            .split_once('_')
            .map(|(_, rest)| rest)
            .filter(|r| r.split('_').count() >= WORDS_BEHIND_PREFIX);
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_under_prefixes_units_and_suffixes() {
        let met = |name: &str| lookup(name).first().map(|m| (m.rule.stem, m.part, m.scale));
        assert_eq!(met("nodejs_heap_size_used_bytes"), Some(("nodejs_heap_size_used", Part::Whole, 1.0)));
        assert_eq!(met("shop_api_nodejs_heap_size_used_bytes"), met("nodejs_heap_size_used_bytes"));
        assert_eq!(met("jvm.memory.used"), Some(("jvm_memory_used", Part::Whole, 1.0)));
        assert_eq!(met("jvm_gc_pause_seconds_sum"), Some(("jvm_gc_pause", Part::Sum, 1e9)));
        assert_eq!(
            met("hikaricp_connections_acquire_ms_bucket"),
            Some(("hikaricp_connections_acquire", Part::Bucket, 1e6))
        );
        assert_eq!(met("db_client_connection_count"), Some(("db_client_connection_count", Part::Whole, 1.0)));
        assert_eq!(met("cache_gets_total"), Some(("cache_gets", Part::Whole, 1.0)));
        assert_eq!(met("app_cache_gets_total"), None, "two words are too few behind a prefix");
        assert_eq!(met("nodejs_heap_size_used_seconds"), None, "bytes are no seconds");
        assert_eq!(met("go_sql_wait_count_total").map(|m| m.1), Some(Part::Count));
        assert_eq!(
            met("go_sql_wait_duration_seconds_total"),
            Some(("go_sql_wait_duration", Part::Sum, 1e9)),
            "parts by names of their own"
        );
        assert_eq!(met("my_own_metric"), None);
        // client_golang's level of what is in use, and its counter of what ever was.
        assert_eq!(met("go_memstats_alloc_bytes"), None);
        assert_eq!(met("go_memstats_alloc_bytes_total"), Some(("go_memstats_alloc", Part::Whole, 1.0)));
    }

    #[test]
    fn every_rule_is_reachable_and_well_formed() {
        for dialect in dialects::ALL {
            for rule in dialect.rules {
                let suffix = match rule.take {
                    _ if rule.total => "_bytes_total",
                    Take::Level(Unit::Bytes) => "_bytes",
                    Take::Rate(Unit::Ratio | Unit::Cores) => "_seconds",
                    Take::Level(_) | Take::Rate(_) => "",
                    _ if rule.part.is_some() => "",
                    _ => "_count",
                };
                let found = lookup(&format!("{}{suffix}", rule.stem));
                let same = |m: &Met| std::ptr::eq(m.rule, rule);
                assert!(found.iter().any(same), "{}: {} is not found", dialect.about, rule.stem);
                assert_eq!(
                    rule.lane.contains('*'),
                    !rule.member.is_empty(),
                    "{}: {}",
                    dialect.about,
                    rule.lane
                );
                assert!(
                    SUFFIXES.iter().all(|(s, _)| !rule.stem.ends_with(s)),
                    "{}: a unit in its stem",
                    rule.stem
                );
                let limits = matches!(rule.take, Take::Level(_)) && rule.lane.ends_with("limit");
                assert!(!limits || rule.never_zero, "{}: a limit of 0 is none", rule.stem);
            }
        }
    }
}
