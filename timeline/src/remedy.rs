//! Remedies: advice in a form that a machine can carry out, beside the words that a person reads.
//!
//! Owns the form and nothing else. Detectors (in `profiler`) name the setting and its value; whether a target has such a
//! setting, and how it is changed there, is the target's to know (for the bundled backend: its `remedies.rs`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// One setting that is to be changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remedy {
    /// Which one, from the thing to its property: `pool.db.capacity`, `index.purchase(customer)`.
    pub set: String,
    /// To what; where several processes have the setting, in each of them.
    pub to: Setting,
}

/// What something is set to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// A count, a share, a time in the unit that the setting's name ends in.
    Number(f64),
    /// A way of doing it.
    Word(String),
}

impl Remedy {
    /// A setting with a number.
    #[must_use]
    pub fn number(set: impl Into<String>, to: f64) -> Self {
        Self { set: set.into(), to: Setting::Number(to) }
    }

    /// A setting with a word.
    #[must_use]
    pub fn word(set: impl Into<String>, to: impl Into<String>) -> Self {
        Self { set: set.into(), to: Setting::Word(to.into()) }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            Setting::Number(to) => write!(f, "{} = {to}", self.set),
            Setting::Word(to) => write!(f, "{} = {to}", self.set),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_survive_json() {
        for remedy in [
            Remedy::number("pool.db.capacity", 27.0),
            Remedy::word("cache.products.protection", "single-flight"),
        ] {
            let text = serde_json::to_string(&remedy).unwrap();
            assert_eq!(serde_json::from_str::<Remedy>(&text).unwrap(), remedy);
        }
        insta::assert_snapshot!(Remedy::number("pool.db.capacity", 27.0), @"pool.db.capacity = 27");
    }
}
