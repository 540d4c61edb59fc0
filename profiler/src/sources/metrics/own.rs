//! The given mapping of metrics that no dialect knows: a scenario's, or that of a file of its own.
//!
//! Owns how its entries become rules. They stand before all dialects: who maps a metric means it.

use timeline::metric::{MAX_MAPPINGS, Mapping, fillable};
use timeline::{Combine, Shape, Unit};

use super::dialects;
use super::rules::{self, ByStem, Met, Rule, Take};

/// The rules of a mapping; none without one.
#[derive(Default)]
pub(in crate::sources) struct Own(ByStem);

impl Own {
    /// Entries whose lane cannot be filled are left out: whoever read them has said so.
    pub fn new(mappings: &[Mapping]) -> Self {
        let mut all = ByStem::new();
        for mapping in mappings.iter().take(MAX_MAPPINGS) {
            for rule in rules_of(mapping) {
                all.entry(rule.stem).or_default().push((dialects::OWN, rule));
            }
        }
        Self(all)
    }

    /// All rules that `name` meets, those of the mapping first.
    pub fn lookup(&self, name: &str) -> Vec<Met> {
        let mut met = if self.0.is_empty() { Vec::new() } else { rules::among(name, &self.0, 0) };
        met.extend(rules::lookup(name));
        met
    }
}

/// A rate is a counter's, or the count of a histogram: which of them a metric is, its name need not say.
fn rules_of(mapping: &Mapping) -> Vec<&'static Rule> {
    let Some(lane) = fillable(&mapping.lane) else { return Vec::new() };
    let factor = mapping.unit.map(|unit| unit.factor(lane.unit));
    if factor == Some(None) {
        return Vec::new();
    }
    let (whole, part) = rules::stems(&mapping.metric);
    let rule = |stem: &str, take| {
        let text = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
        let list = |one: &Option<String>| -> &'static [&'static str] {
            one.as_ref().map_or(&[], |label| Box::leak(Box::new([text(&label.replace('.', "_"))])))
        };
        let when = mapping.labels.iter().map(|(name, value)| -> (&str, &'static [&'static str]) {
            (text(&name.replace('.', "_")), Box::leak(Box::new([text(&format!("={value}"))])))
        });
        // Rules are the build's own data otherwise. Those of one mapping are few and needed until its process ends.
        &*Box::leak(Box::new(Rule {
            when: Box::leak(when.collect::<Vec<_>>().into_boxed_slice()),
            member: list(&mapping.member),
            subject: list(&mapping.subject),
            combine: if lane.combine == Combine::Max { Combine::Max } else { Combine::Sum },
            factor: if take == Take::Calls { None } else { factor.flatten() },
            // Of a limit, as of those that dialects know.
            never_zero: mapping.lane.ends_with("limit"),
            ..Rule::of(text(stem), take, text(&mapping.lane))
        }))
    };
    match (lane.shape, lane.unit) {
        (Shape::Level, unit) => vec![rule(&whole, Take::Level(unit))],
        (Shape::Rate, Unit::PerSecond) => {
            vec![rule(&whole, Take::Rate(Unit::PerSecond)), rule(&part, Take::Calls)]
        }
        (Shape::Rate, unit) => vec![rule(&whole, Take::Rate(unit))],
        (Shape::Histogram, _) => vec![rule(&part, Take::Durations)],
    }
}
