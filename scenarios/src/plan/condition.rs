//! Conditions: what must hold for a step to be done, or for a loop to go on.

use serde::{Deserialize, Serialize};

use super::{Compare, Part};

/// A condition, as written and as a tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// As the scenario writes it: for people.
    pub text: String,
    /// What is evaluated.
    pub test: Test,
}

/// A node of a condition. Every one of them has a value whatever the variables hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Test {
    /// It is set and not empty.
    Set(Operand),
    /// The opposite.
    Not(Box<Test>),
    /// All of them hold, looked at from the first on.
    All(Vec<Test>),
    /// One of them holds.
    Any(Vec<Test>),
    /// As numbers if either is one (a text that is no number is [`Compare::Other`] than any), or if both are variables that
    /// hold numbers; else as texts, byte by byte.
    Compare(Operand, Compare, Operand),
    /// The first one holds the second one somewhere.
    Contains(Operand, Operand),
    /// This regular expression matches somewhere in it.
    Matches(Operand, String),
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Operand {
    /// A [`Part::Var`], [`Part::Column`], [`Part::Secret`], [`Part::Session`] or [`Part::Now`]; an unset variable is empty.
    Value(Part),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

impl Condition {
    /// Every value that it looks at.
    pub fn values_mut(&mut self) -> Vec<&mut Part> {
        let mut all = Vec::new();
        self.test.values(&mut all);
        all
    }
}

impl Test {
    fn values<'t>(&'t mut self, all: &mut Vec<&'t mut Part>) {
        let mut take = |operand: &'t mut Operand| {
            if let Operand::Value(part) = operand {
                all.push(part);
            }
        };
        match self {
            Self::Set(a) | Self::Matches(a, _) => take(a),
            Self::Compare(a, _, b) | Self::Contains(a, b) => {
                take(a);
                take(b);
            }
            Self::Not(inner) => inner.values(all),
            Self::All(inner) | Self::Any(inner) => inner.iter_mut().for_each(|t| t.values(all)),
        }
    }
}
