//! The catalogue: scenarios that come with dyno, and what each one shows.
//!
//! The files are `catalog/*.toml`. For each fault that the reference backend can inject there is a
//! `FAULT` and its clean twin `FAULT-clean`: the same load with the fault off, so that its cure runs.

use std::sync::OnceLock;

use serde::Serialize;
use toml::de::DeTable;

use crate::plan::Target;
use crate::text::quantity::show_duration;
use crate::{Origin, Overrides};

/// A shipped scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogEntry {
    /// Its name, as `dyno run` takes it.
    pub name: String,
    /// What it does, one line.
    pub about: String,
    /// What a newcomer learns from it, one line.
    pub teaches: String,
    /// How long it runs: `1m`.
    pub takes: String,
    /// What must be there before it starts.
    pub needs: String,
    /// The whole file.
    pub text: &'static str,
}

macro_rules! files {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../catalog/", $name, ".toml")))),*] };
}

/// Names and texts; the newcomer's scenario first, then each fault with its twin, then the stories.
const FILES: &[(&str, &str)] = files![
    "flash-sale",
    "flash-sale-clean",
    "stampede",
    "stampede-clean",
    "pool-too-small",
    "pool-too-small-clean",
    "pool-leak",
    "pool-leak-clean",
    "pool-too-large",
    "pool-too-large-clean",
    "connect-per-request",
    "connect-per-request-clean",
    "missing-index",
    "missing-index-clean",
    "query-fan-out",
    "query-fan-out-clean",
    "serial-queries",
    "serial-queries-clean",
    "leak",
    "leak-clean",
    "blocking-crypto",
    "blocking-crypto-clean",
    "regex-backtracking",
    "regex-backtracking-clean",
    "starved-poll",
    "starved-poll-clean",
    "big-json",
    "big-json-clean",
    "offload-saturated",
    "offload-saturated-clean",
    "churn",
    "churn-clean",
    "whole-file",
    "whole-file-clean",
    "stop-the-world",
    "stop-the-world-clean",
    "fragmentation",
    "fragmentation-clean",
    "deoptimised",
    "deoptimised-clean",
    "avalanche",
    "avalanche-clean",
    "penetration",
    "penetration-clean",
    "cold-cache",
    "cold-cache-clean",
    "too-small-cache",
    "too-small-cache-clean",
    "slow-downstream",
    "slow-downstream-clean",
    "retry-storm",
    "retry-storm-clean",
    "broker-backlog",
    "broker-backlog-clean",
    "cpu-saturated",
    "cpu-saturated-clean",
    "frozen",
    "frozen-clean",
    "pool-sizing",
    "pool-sizing-clean",
    "worker-crash",
    "worker-crash-clean",
    "uneven-workers",
    "uneven-workers-clean",
    "slow-consumer",
    "slow-consumer-clean",
    "accept-overflow",
    "accept-overflow-clean",
    "fd-exhausted",
    "fd-exhausted-clean",
    "generator-limited",
    "generator-limited-clean",
    "event-loop-phases",
    "event-loop-phases-clean",
    "cache-expiry",
    "cascading-checkout",
    "cascading-checkout-clean",
    "csv-import",
    "rolling-reload",
    "hostile",
    "ten-to-fifty-thousand",
    "soak",
    "journey-shop",
];

/// All shipped scenarios.
#[must_use]
pub fn list() -> &'static [CatalogEntry] {
    static LIST: OnceLock<Vec<CatalogEntry>> = OnceLock::new();
    LIST.get_or_init(|| FILES.iter().map(|(name, text)| entry(name, text)).collect())
}

/// The names alone.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// Name and text of a shipped scenario.
pub(crate) fn text(name: &str) -> Option<(&'static str, &'static str)> {
    FILES.iter().copied().find(|(n, _)| *n == name)
}

fn entry(name: &str, text: &'static str) -> CatalogEntry {
    let origin = Origin { name: name.to_owned(), file: None };
    let plan =
        crate::parse(text, &origin, &Overrides::default()).expect("shipped scenarios are checked by a test");
    let file = DeTable::parse(text).expect("it was read just now");
    let told = |key: &str| file.get_ref().get(key).and_then(|v| v.get_ref().as_str());
    let teaches = told("teaches").unwrap_or_default();
    let usual =
        if plan.target == Target::Bundled { "nothing (bundled backend)" } else { "a server that is running" };
    let needs = told("needs").unwrap_or(usual);
    CatalogEntry {
        name: name.to_owned(),
        takes: show_duration(plan.length_ns()),
        about: plan.about,
        teaches: teaches.to_owned(),
        needs: needs.to_owned(),
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_said_where_it_is_more_than_nothing() {
        let needs = |name: &str| &list().iter().find(|e| e.name == name).unwrap().needs;
        assert_eq!(needs("stampede"), "nothing (bundled backend)");
        assert!(needs("ten-to-fifty-thousand").contains("open files for each process"));
        assert!(needs("cache-expiry").contains("for -e one=lock a Redis server"));
    }
}
