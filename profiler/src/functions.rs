//! Functions: whom a look at the stack or a profile names.
//!
//! Owns reading the label `function` of stalls and of profiles. What follows from a name is each detector's business: a name is no proof,
//! since it comes from a few looks, so detectors decide without it and say it beside.

use std::collections::BTreeMap;

use timeline::{Event, RunTime, Span, Timeline};

/// Looks at the stack for a name to be worth saying.
const LEAST_LOOKS: usize = 2;
/// Share of a profile that a function must have to be named.
const HOT: f64 = 0.25;

/// The function that was seen in most of the looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<'a> {
    /// `name (folder/file.js:17)`.
    pub function: &'a str,
    /// Looks in which it ran.
    pub times: usize,
    /// Looks in all.
    pub looks: usize,
}

/// The one that ran in at least half of the looks.
pub fn most_seen<'a>(looks: impl Iterator<Item = &'a str>) -> Option<Seen<'a>> {
    let mut by: BTreeMap<&str, usize> = BTreeMap::new();
    looks.for_each(|function| *by.entry(function).or_default() += 1);
    let looks = by.values().sum();
    let (function, times) = by.into_iter().max_by_key(|x| x.1)?;
    (looks >= LEAST_LOOKS && 2 * times >= looks).then_some(Seen { function, times, looks })
}

/// A function and its share of a profile.
pub type Share = (String, f64);

/// The function with the greatest share in the last profiles of `kind` within `span`, if that is worth a name: the mean over the processes of
/// which a profile told somebody, so that one busy process of many is not all of them.
pub fn hottest(timeline: &Timeline, kind: &str, span: Span) -> Option<Share> {
    let events: Vec<&Event> = timeline.events(kind, span).collect();
    let mut newest: BTreeMap<&str, RunTime> = BTreeMap::new();
    for event in &events {
        let begins = newest.entry(&event.instance).or_insert(event.start);
        *begins = (*begins).max(event.start);
    }
    let mut by: BTreeMap<&str, f64> = BTreeMap::new();
    for event in events.into_iter().filter(|e| newest.get(e.instance.as_str()) == Some(&e.start)) {
        if let Some(function) = event.label("function") {
            *by.entry(function).or_default() += event.value;
        }
    }
    let (function, sum) = by.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let share = sum / newest.len() as f64;
    (share >= HOT).then(|| (function.to_owned(), share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_be_seen_more_than_once_and_in_half_of_the_looks() {
        assert_eq!(most_seen(["f"].into_iter()), None);
        let seen = most_seen(["f", "g", "f"].into_iter());
        assert_eq!(seen, Some(Seen { function: "f", times: 2, looks: 3 }));
        assert_eq!(most_seen(["f", "g", "h"].into_iter()), None);
    }
}
