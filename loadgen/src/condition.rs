//! Conditions, made ready: whether one holds for a session right now.
//!
//! Evaluating one cannot fail, and allocates nothing but where a number is looked at as a text. What it looks at stays where it is: variables and rows of the session.

use regex::bytes::Regex;
use scenarios::plan::{self, Compare, Part};
use timeline::clock::unix_ms;

use crate::program::{self, BadPlan};
use crate::scan::contains;
use crate::template::Values;

/// A condition, ready to be evaluated.
#[derive(Debug)]
pub struct Condition(Test);

#[derive(Debug)]
enum Test {
    Set(Operand),
    Not(Box<Test>),
    All(Vec<Test>),
    Any(Vec<Test>),
    Compare(Operand, Compare, Operand),
    Contains(Operand, Operand),
    Matches(Operand, Regex),
}

#[derive(Debug)]
enum Operand {
    Var(usize),
    Column(usize, usize),
    Session,
    Now,
    Number(f64),
    Text(Box<str>),
}

/// What an operand is at the moment.
#[derive(Clone, Copy)]
enum Value<'v> {
    Number(f64),
    /// Written in the condition.
    Text(&'v str),
    /// Of a variable: a number if it looks like one and is compared with another one.
    Var(&'v str),
}

impl Condition {
    /// Makes one ready.
    ///
    /// # Errors
    /// [`BadPlan::Regex`].
    pub fn new(condition: &plan::Condition) -> Result<Self, BadPlan> {
        Test::new(&condition.test).map(Self)
    }

    /// Does it hold?
    #[must_use]
    pub fn holds(&self, values: &Values<'_>) -> bool {
        self.0.holds(values)
    }

    /// The feeders whose columns it looks at.
    #[must_use]
    pub fn feeders(&self) -> Vec<usize> {
        let mut all = Vec::new();
        self.0.feeders(&mut all);
        all
    }
}

impl Test {
    fn new(test: &plan::Test) -> Result<Self, BadPlan> {
        let all = |tests: &[plan::Test]| tests.iter().map(Self::new).collect::<Result<Vec<_>, _>>();
        Ok(match test {
            plan::Test::Set(a) => Self::Set(Operand::new(a)),
            plan::Test::Not(inner) => Self::Not(Box::new(Self::new(inner)?)),
            plan::Test::All(tests) => Self::All(all(tests)?),
            plan::Test::Any(tests) => Self::Any(all(tests)?),
            plan::Test::Compare(a, compare, b) => Self::Compare(Operand::new(a), *compare, Operand::new(b)),
            plan::Test::Contains(a, b) => Self::Contains(Operand::new(a), Operand::new(b)),
            plan::Test::Matches(a, pattern) => Self::Matches(Operand::new(a), program::regex(pattern)?),
        })
    }

    fn holds(&self, values: &Values<'_>) -> bool {
        match self {
            Self::Set(a) => a.is_set(values),
            Self::Not(inner) => !inner.holds(values),
            Self::All(tests) => tests.iter().all(|t| t.holds(values)),
            Self::Any(tests) => tests.iter().any(|t| t.holds(values)),
            Self::Compare(a, compare, b) => compared(a.value(values), *compare, b.value(values)),
            Self::Contains(a, b) => {
                a.with_text(values, |a| b.with_text(values, |b| contains(a.as_bytes(), b.as_bytes())))
            }
            Self::Matches(a, regex) => a.with_text(values, |a| regex.is_match(a.as_bytes())),
        }
    }

    fn feeders(&self, into: &mut Vec<usize>) {
        let mut operand = |o: &Operand| {
            if let Operand::Column(feeder, _) = o {
                into.push(*feeder);
            }
        };
        match self {
            Self::Set(a) | Self::Matches(a, _) => operand(a),
            Self::Compare(a, _, b) | Self::Contains(a, b) => [a, b].into_iter().for_each(operand),
            Self::Not(inner) => inner.feeders(into),
            Self::All(tests) | Self::Any(tests) => tests.iter().for_each(|t| t.feeders(into)),
        }
    }
}

impl Operand {
    fn new(operand: &plan::Operand) -> Self {
        match operand {
            plan::Operand::Number(n) => Self::Number(*n),
            plan::Operand::Text(text) => Self::Text(text.as_str().into()),
            plan::Operand::Value(part) => match part {
                Part::Var(slot) => Self::Var(usize::from(slot.0)),
                Part::Column { feeder, column } => Self::Column(usize::from(*feeder), usize::from(*column)),
                Part::Secret(secret) => Self::Text(secret.value.as_str().into()),
                Part::Session => Self::Session,
                Part::Now => Self::Now,
                Part::Text(text) => Self::Text(text.as_str().into()),
                // The plan has no others here; were one there, it would be unset.
                _ => Self::Text(Box::default()),
            },
        }
    }

    fn value<'v>(&'v self, values: &'v Values<'_>) -> Value<'v> {
        match self {
            Self::Var(slot) => Value::Var(values.var(*slot)),
            Self::Column(feeder, column) => Value::Var(values.cell(*feeder, *column)),
            Self::Session => Value::Number(values.number as f64),
            Self::Now => Value::Number(unix_ms() as f64),
            Self::Number(n) => Value::Number(*n),
            Self::Text(text) => Value::Text(text),
        }
    }

    fn is_set(&self, values: &Values<'_>) -> bool {
        match self.value(values) {
            Value::Number(_) => true,
            Value::Text(text) | Value::Var(text) => !text.is_empty(),
        }
    }

    /// Gives `f` the value as a text; a number needs one made.
    fn with_text<T>(&self, values: &Values<'_>, f: impl FnOnce(&str) -> T) -> T {
        match self.value(values) {
            Value::Number(n) => f(&n.to_string()),
            Value::Text(text) | Value::Var(text) => f(text),
        }
    }
}

fn compared(a: Value<'_>, compare: Compare, b: Value<'_>) -> bool {
    let number = |v: Value<'_>| match v {
        Value::Number(n) => Some(n),
        Value::Text(text) | Value::Var(text) => text.trim().parse::<f64>().ok().filter(|n| n.is_finite()),
    };
    let text = |v| match v {
        Value::Number(_) => None,
        Value::Text(text) | Value::Var(text) => Some(text),
    };
    let by_number = matches!((a, b), (Value::Var(_), Value::Var(_)));
    match (text(a), text(b)) {
        (Some(x), Some(y)) => match number(a).zip(number(b)) {
            Some((x, y)) if by_number => compare.holds(x, y),
            _ => compare.holds_of(x.cmp(y)),
        },
        _ => match number(a).zip(number(b)) {
            Some((x, y)) => compare.holds(x, y),
            None => compare == Compare::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;
    use scenarios::plan::{Operand as Said, Slot, Test as Is};

    #[test]
    fn comparisons_hold_of_what_they_say() {
        let vars: [Option<Box<str>>; 4] =
            [Some("10".into()), Some("9.5".into()), Some("gold card".into()), None];
        let mut stream = Stream::of(1, 1);
        let values = Values::of_vars(&vars, &mut stream);
        let var = |slot| Said::Value(Part::Var(Slot(slot)));
        let text = |t: &str| Said::Text(t.to_owned());
        let cases = [
            (Is::Compare(var(0), Compare::Greater, Said::Number(9.0)), true),
            (Is::Compare(var(0), Compare::Greater, var(1)), true),
            // As texts, `1` stands before `9`.
            (Is::Compare(var(0), Compare::Greater, text("9.5")), false),
            (Is::Compare(var(2), Compare::Equal, text("gold card")), true),
            (Is::Compare(var(2), Compare::Less, Said::Number(5.0)), false),
            (Is::Compare(var(2), Compare::Other, Said::Number(5.0)), true),
            (Is::Compare(var(3), Compare::Equal, Said::Number(0.0)), false),
            (Is::Compare(var(3), Compare::Equal, text("")), true),
            (Is::Compare(Said::Value(Part::Session), Compare::AtMost, Said::Number(7.0)), true),
            (Is::Contains(var(2), text("card")), true),
            (Is::Contains(Said::Number(12.0), text("3")), false),
            (Is::Matches(var(2), "^gold".to_owned()), true),
            (Is::Not(Box::new(Is::Set(var(3)))), true),
            (Is::All(vec![Is::Set(var(0)), Is::Set(var(3))]), false),
            (Is::Any(vec![Is::Set(var(3)), Is::Set(var(0))]), true),
        ];
        for (test, wanted) in cases {
            let condition = plan::Condition { text: String::new(), test };
            assert_eq!(Condition::new(&condition).unwrap().holds(&values), wanted, "{condition:?}");
        }
    }
}
