//! `cache` of `[target]` and `[[phase]]`: how the bundled backend's cache works, from the run's or the phase's start on.

use timeline::cache::{CacheMode, CacheSettings, MAX_TTL_MS, Protection};

use super::reader::{Fields, Reader, Value, number};
use super::{keys, tables};
use crate::mistake::{Wrong, no_such};
use crate::plan::{CachePlan, Phase};
use crate::text::quantity::show_duration;

const NS_PER_MS: u64 = 1_000_000;

/// Reads all of them. `phases` are those of the file, if none of them is wrong; `lockable` says whether there can be a lock of all workers.
pub(super) fn read<'p>(
    reader: &Reader<'_>,
    file: &Fields<'_>,
    phases: impl ExactSizeIterator<Item = &'p Phase>,
    lockable: bool,
) -> Vec<CachePlan> {
    let cache_of = |table: &Value<'_>, shape, base| {
        let value = reader.fields(table, shape)?.get("cache")?;
        settings(reader, value, base, lockable)
    };
    let usual = CacheSettings::default();
    let of_target = file.get("target").and_then(|v| cache_of(v, keys::TARGET, usual));
    let mut all: Vec<_> = of_target.map(|settings| CachePlan { at_ns: 0, settings }).into_iter().collect();
    let written = tables(reader, file, "phase");
    if written.len() != phases.len() {
        return all;
    }
    let mut at_ns = 0;
    for (table, phase) in written.iter().zip(phases) {
        if let Some(settings) = cache_of(table, keys::PHASE, of_target.unwrap_or(usual)) {
            all.retain(|earlier| earlier.at_ns < at_ns);
            all.push(CachePlan { at_ns, settings });
        }
        at_ns += phase.length_ns;
    }
    all
}

/// What is written, over `base`.
fn settings(
    reader: &Reader<'_>,
    value: &Value<'_>,
    base: CacheSettings,
    lockable: bool,
) -> Option<CacheSettings> {
    let fields = reader.fields(value, keys::CACHE)?;
    let time = |key: &str, base: u64, least: u64| {
        let Some(value) = fields.get(key) else { return Some(base) };
        let ms = reader.duration(value)? / NS_PER_MS;
        let fits = (least..=MAX_TTL_MS).contains(&ms);
        if !fits {
            let range = format!("{least}ms to {}", show_duration(MAX_TTL_MS * NS_PER_MS));
            let wrong = Wrong::new(format!("{key} is {}", show_duration(ms * NS_PER_MS)));
            reader.wrong(value.span(), wrong.expected(range));
        }
        fits.then_some(ms)
    };
    let share = |key: &str, base: f64, least: f64, most: f64| {
        let Some(value) = fields.get(key) else { return Some(base) };
        let Some(n) = number(value.get_ref()) else {
            reader.not_a(value, "a number");
            return None;
        };
        let fits = (least..=most).contains(&n);
        if !fits {
            let wrong = Wrong::new(format!("{key} is {n}"));
            reader.wrong(value.span(), wrong.expected(format!("{least} to {most}")));
        }
        fits.then_some(n)
    };
    let (ttl_ms, negative_ms) = (time("ttl", base.ttl_ms, 1), time("negative", base.negative_ms, 0));
    let (lock_ms, jitter) = (time("lock", base.lock_ms, 1), share("jitter", base.jitter, 0.0, 1.0));
    let beta = share("beta", base.beta, 0.1, 10.0);
    let protection = one_of(reader, &fields, "protection", Protection::NAMES, base.protection);
    if protection == Some(Protection::Lock)
        && !lockable
        && let Some(value) = fields.get("protection")
    {
        let wrong = Wrong::new("protection is `lock`, which needs a cache that all workers share");
        let expected =
            "another protection, or a cache on Redis, where the lock lives: name one by DYNO_CACHE_URL";
        reader.wrong(value.span(), wrong.expected(expected));
    }
    let mode = one_of(reader, &fields, "mode", CacheMode::NAMES, base.mode);
    Some(CacheSettings {
        ttl_ms: ttl_ms?,
        mode: mode?,
        protection: protection?,
        jitter: jitter?,
        negative_ms: negative_ms?,
        beta: beta?,
        lock_ms: lock_ms?,
    })
}

fn one_of<T: Copy>(
    reader: &Reader<'_>,
    fields: &Fields<'_>,
    key: &str,
    known: &[(&'static str, T)],
    base: T,
) -> Option<T> {
    let Some(value) = fields.get(key) else { return Some(base) };
    reader.read(value, "a name in quotes", |text| {
        let found = known.iter().find(|(name, _)| *name == text).map(|(_, it)| *it);
        found.ok_or_else(|| no_such(key, text, known.iter().map(|(name, _)| *name)))
    })
}
