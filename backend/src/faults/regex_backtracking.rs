//! Backtracking pattern, and its cure: which engine matches what a user searches for.
//!
//! The fault: words with an optional separator after each, matched by an engine that tries all ways to cut the text into
//! words. One that fits not at all (`aaaaaaaaaaaaaaaaaaaaaaaaaaaa!`) has 2^n ways, tried on the event loop, until the
//! engine gives up. The cure: an engine whose time is linear in the text, whatever the text.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use timeline::MonoNs;
use timeline::fault::{FaultKind, FaultOrder};

use super::{Faults, Lever, whole};

/// The other engine is made ready.
pub const LEVER: Lever = Lever::new(
    FaultKind::RegexBacktracking,
    |shop, order| shop.words.backtrack(order),
    |shop| shop.words.match_linearly(),
);

/// Words, each with a separator or none after it. The separator being optional is the mistake; `(?!-)`, which wants no
/// word to begin with a hyphen, is what takes the pattern from a linear engine to one that backtracks.
const CARELESS: &str = r"^(?:(?!-)[A-Za-z0-9]+[ -]?)+$";
/// The same texts, and only one way to cut each.
const CAREFUL: &str = r"^[A-Za-z0-9]+(?:[ -][A-Za-z0-9]+)*[ -]?$";
/// A match that keeps the loop this long is an effect; a text that is one word takes some microseconds.
const FELT: Duration = Duration::from_millis(5);

/// Decides what is a list of words.
pub struct Words {
    careful: regex::Regex,
    /// Made when the fault begins.
    careless: Mutex<Option<Arc<fancy_regex::Regex>>>,
    faults: Arc<Faults>,
}

impl Words {
    /// With the linear engine.
    pub fn new(faults: Arc<Faults>) -> Self {
        let careful = regex::Regex::new(CAREFUL).expect("a constant");
        Self { careful, careless: Mutex::default(), faults }
    }

    /// The fault: the other engine, which gives up after as many steps as its knob says.
    fn backtrack(&self, order: &FaultOrder) {
        let careless = fancy_regex::RegexBuilder::new(CARELESS)
            .backtrack_limit(whole(order, "steps"))
            .build()
            .expect("a constant");
        *self.careless.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(careless));
    }

    /// The cure.
    fn match_linearly(&self) {
        *self.careless.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Is it a list of words?
    pub fn are_words(&self, text: &str) -> bool {
        if !self.faults[FaultKind::RegexBacktracking].is_on() {
            return self.careful.is_match(text);
        }
        let careless = self.careless.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(careless) = careless else { return self.careful.is_match(text) };
        let began = MonoNs::now();
        // Given up: nothing that can be searched for.
        let matched = careless.is_match(text);
        if matched.is_err() || MonoNs::now().since(began) >= FELT {
            self.faults[FaultKind::RegexBacktracking].took_effect_at(began);
        }
        matched.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::testing::armed;
    use proptest::prelude::*;

    fn both(steps: f64) -> (Words, Words, crate::faults::testing::Told) {
        let (off, _) = armed(&[]);
        let (on, truth) = armed(&[(FaultKind::RegexBacktracking, &[("steps", steps)])]);
        let (cure, fault) = (Words::new(off), Words::new(on.clone()));
        fault.backtrack(&on[FaultKind::RegexBacktracking].order().unwrap());
        (cure, fault, truth)
    }

    #[test]
    fn hostile_text_makes_the_fault_give_up_and_the_cure_does_not_mind() {
        let (cure, fault, truth) = both(200_000.0);
        let hostile = format!("{}!", "a".repeat(30));
        let careless = fault.careless.lock().unwrap().clone().unwrap();
        assert!(careless.is_match(&hostile).is_err(), "it ran into its limit of steps");
        assert!(!fault.are_words(&hostile) && !cure.are_words(&hostile));
        assert_eq!(truth.told(), ["armed", "onset"]);
        // Each letter doubles the ways: a text of 12 has some 4,000 and is done, well within the limit.
        assert_eq!(careless.is_match("aaaaaaaaaaaa!").ok(), Some(false));
    }

    proptest! {
        #[test]
        fn both_engines_agree_on_texts_that_do_not_hurt(text in "[ab0 !-]{0,8}") {
            let (cure, fault, _) = both(2_000_000.0);
            prop_assert_eq!(cure.are_words(&text), fault.are_words(&text), "{:?}", text);
        }
    }
}
