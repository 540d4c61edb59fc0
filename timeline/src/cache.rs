//! How the reference backend's cache can be set: the form that scenario files, control endpoint and backend share.
//!
//! Owns the names and ranges. What each setting does is the backend's (`cache/`, `shop/product_cache.rs` there). Detectors never
//! see this module's data.

use serde::{Deserialize, Serialize};

/// How the cache of product details works; can be changed while the backend runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CacheSettings {
    /// How long an entry is good, milliseconds.
    pub ttl_ms: u64,
    /// What happens in the cache when a product is changed.
    pub mode: CacheMode,
    /// What keeps requests that miss at once from loading at once.
    pub protection: Protection,
    /// An entry expires up to this share of its time earlier, at random, so that what was kept together does not
    /// expire together. Range: 0 (never earlier) to 1.
    pub jitter: f64,
    /// How long it is remembered that there is no such product, milliseconds; 0 for not at all.
    pub negative_ms: u64,
    /// Eagerness of early refreshes under [`Protection::Xfetch`]: about e^(1/beta) of them load for each expiry.
    /// Range: 0.1 to 10.
    pub beta: f64,
    /// After this a lock under [`Protection::Lock`] is free again, whatever became of its holder, milliseconds.
    pub lock_ms: u64,
}

/// What happens in the cache when a product is changed. Where each worker has a cache of its own, the others hear of it and drop
/// their entries; one that is being loaded at that moment may be old for its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheMode {
    /// The entry is dropped; who wants it next loads it.
    CacheAside,
    /// The new entry is written with the change.
    WriteThrough,
}

/// What keeps requests that miss at once from loading at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// Nothing.
    None,
    /// In each worker one loads and the others wait.
    SingleFlight,
    /// Over all workers one loads and the others wait; needs Redis.
    Lock,
    /// Some load before the entry expires, the more likely the nearer that is (XFetch).
    Xfetch,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            ttl_ms: 1_000,
            mode: CacheMode::CacheAside,
            protection: Protection::SingleFlight,
            jitter: 0.1,
            negative_ms: 1_000,
            beta: 1.0,
            lock_ms: 2_000,
        }
    }
}

/// Longest time of an entry, milliseconds: an hour.
pub const MAX_TTL_MS: u64 = 3_600_000;

impl CacheMode {
    /// All of them, with their names.
    pub const NAMES: &'static [(&'static str, Self)] =
        &[("cache-aside", Self::CacheAside), ("write-through", Self::WriteThrough)];
}

impl Protection {
    /// All of them, with their names.
    pub const NAMES: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("single-flight", Self::SingleFlight),
        ("lock", Self::Lock),
        ("xfetch", Self::Xfetch),
    ];
}

impl CacheSettings {
    /// Do they make sense, with a cache that workers share or not?
    ///
    /// # Errors
    /// Which value does not.
    pub fn check(&self, shared: bool) -> Result<(), String> {
        let within = |what: &str, value: f64, min: f64, max: f64| {
            let fits = (min..=max).contains(&value);
            fits.then_some(()).ok_or_else(|| format!("{what} is {value}, expected {min} to {max}"))
        };
        within("ttl-ms", self.ttl_ms as f64, 1.0, MAX_TTL_MS as f64)?;
        within("negative-ms", self.negative_ms as f64, 0.0, MAX_TTL_MS as f64)?;
        within("lock-ms", self.lock_ms as f64, 1.0, MAX_TTL_MS as f64)?;
        within("jitter", self.jitter, 0.0, 1.0)?;
        within("beta", self.beta, 0.1, 10.0)?;
        if self.protection == Protection::Lock && !shared {
            return Err("protection is `lock`, which needs a cache that all workers share: Redis".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_json_form() {
        for (name, mode) in CacheMode::NAMES {
            assert_eq!(serde_json::to_value(mode).unwrap(), *name);
        }
        for (name, protection) in Protection::NAMES {
            assert_eq!(serde_json::to_value(protection).unwrap(), *name);
        }
    }

    #[test]
    fn settings_of_the_cache_that_make_no_sense_are_named() {
        let said = |settings: CacheSettings, shared| settings.check(shared).unwrap_err();
        let sound = CacheSettings::default();
        assert_eq!(sound.check(false), Ok(()));
        insta::assert_snapshot!(said(CacheSettings { ttl_ms: 0, ..sound }, false), @"ttl-ms is 0, expected 1 to 3600000");
        insta::assert_snapshot!(said(CacheSettings { jitter: -0.5, ..sound }, false), @"jitter is -0.5, expected 0 to 1");
        insta::assert_snapshot!(said(CacheSettings { beta: 0.0, ..sound }, false), @"beta is 0, expected 0.1 to 10");
        let lock = CacheSettings { protection: Protection::Lock, ..sound };
        assert_eq!(lock.check(true), Ok(()));
        insta::assert_snapshot!(said(lock, false), @"protection is `lock`, which needs a cache that all workers share: Redis");
    }
}
