//! Gates: conditions that a run must meet, spelled as people already know them.
//!
//! Owns what a gate *is* (subject, comparison, limit, scope) and how it reads. `parse` turns
//! `p99 < 250ms for checkout in phase peak` into one and refuses what can never hold or names nothing;
//! `check` refuses what a given plan can never meet;
//! `judge` compares it with the figures of [`crate::figures`]. What follows from a verdict (exit code,
//! early end) is the caller's business.
//!
//! ```text
//! [service|response] p50|p90|p95|p99|p99.9|max|mean OP DURATION [for STEP] [in phase NAME] [over 30s]
//! errors OP 0.1%|5              [for STEP] [in phase NAME] [over 30s]
//! achieved OP 99% of offered    [in phase NAME] [over 30s]
//! completed|achieved|offered OP 500/s          [in phase NAME] [over 30s]
//! lateness p99 OP 20ms          [in phase NAME] [over 30s]
//! dropped OP 1                  [in phase NAME]
//! LANE [p50|p99|min|max|median|mean|last] OP VALUE [for SUBJECT] [in phase NAME] [over 30s]
//! LANE growth OP 1MiB/min       [in phase NAME]
//! no findings | no finding KIND
//! count OP 1000                 [for STEP] [in phase NAME] [over 30s]
//! ```
//! OP is `<`, `<=`, `>` or `>=`; `==` where it means the end of a scale (`errors == 0`). Words are read whatever their
//! case, but for what the target names itself: `pool.HikariPool-1.waiters < 10`. k6's thresholds are understood as well: `http_req_duration{name:checkout}: p(95)<500`, `checks: rate>0.99`,
//! `avg<200`.

mod check;
mod judge;
mod lanes;
mod parse;
mod quantity;

pub use check::{Asked, Figure};

use std::fmt;
use std::time::Duration;

use crate::clock::Span;
use crate::finding::FindingKind;
use crate::units::Unit;

/// A condition that a run must meet.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    condition: Condition,
}

#[derive(Debug, Clone, PartialEq)]
enum Condition {
    /// A figure stands in a relation to a limit.
    Figure { subject: Subject, op: Op, limit: f64, scope: Scope },
    /// No finding at all, or none of a kind.
    NoFinding(Option<FindingKind>),
}

/// Which figure; limits are in the base unit that [`Subject::unit`] says.
#[derive(Debug, Clone, PartialEq)]
enum Subject {
    /// A client-side time: canonical lane and what of it.
    Time(&'static str, Stat),
    /// Failed steps over finished steps.
    ErrorShare,
    /// Failed steps.
    ErrorCount,
    /// Finished steps.
    Count,
    /// Starts over planned starts.
    AchievedShare,
    /// Starts, planned starts or finished steps per second: canonical lane.
    Rate(&'static str),
    /// Planned starts that never happened.
    Dropped,
    /// Any lane; none stands for the worst value in view of the comparison.
    Lane(String, Option<Stat>, Unit),
    /// Slope of a lane, per second.
    Growth(String, Unit),
}

/// What is taken of many values.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stat {
    /// 0 to 1, both ends excluded.
    Quantile(f64),
    Min,
    Max,
    Mean,
    Last,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Less,
    AtMost,
    More,
    AtLeast,
}

/// Which part of the run; all of it but warm-up if nothing is said.
#[derive(Debug, Clone, Default, PartialEq)]
struct Scope {
    step: Option<String>,
    phase: Option<String>,
    over: Option<Duration>,
}

/// How a gate stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// True: holds; false: fails; none: undecided, because there are too few samples to say.
    pub holds: Option<bool>,
    /// The figure with its unit, or why there is none.
    pub figure: String,
    /// The figure as a number in the unit of [`Judgement::unit`]; none without samples.
    pub value: Option<f64>,
    /// What it was compared with, in the same unit; none for `no findings`.
    pub limit: Option<f64>,
    /// Unit of value and limit.
    pub unit: Unit,
    /// How many samples the figure rests on.
    pub samples: u64,
    /// The span that was judged: the whole scope, or the worst (live: the last) window of it.
    pub window: Span,
}

/// Why a text is no gate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct GateError {
    /// The expression as written.
    pub text: String,
    /// Where it goes wrong: number of the character, from 1.
    pub at: usize,
    /// What is wrong and what was expected, one sentence without its full stop.
    pub problem: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for GateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gate `{}`, character {}: {}", self.text, self.at, self.problem)?;
        match &self.suggestion {
            Some(s) => write!(f, "; did you mean `{s}`?"),
            None => Ok(()),
        }
    }
}

impl Gate {
    /// Reads an expression.
    ///
    /// # Errors
    /// When it is not one, when it could never hold (`p99 < 0ms`), or when it names no figure.
    pub fn parse(text: &str) -> Result<Self, GateError> {
        parse::gate(text).map(|condition| Self { condition })
    }

    /// The expression in its canonical spelling; [`Gate::parse`] reads it back to an equal gate.
    #[must_use]
    pub fn expression(&self) -> String {
        self.to_string()
    }

    /// The step that the gate is about, if it is about one.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        match &self.condition {
            Condition::Figure { scope, .. } => scope.step.as_deref(),
            Condition::NoFinding(_) => None,
        }
    }

    /// For a line across a chart: the canonical lane that the limit belongs to, the limit and its unit.
    /// None where the limit is not a value of a lane (shares, growth, findings).
    #[must_use]
    pub fn line(&self) -> Option<(&str, f64, Unit)> {
        match &self.condition {
            Condition::Figure { subject: Subject::Time(lane, _), limit, .. } => {
                Some((lane, *limit, Unit::Ns))
            }
            Condition::Figure { subject: Subject::Lane(lane, _, unit), limit, .. } => {
                Some((lane, *limit, *unit))
            }
            Condition::Figure { subject: Subject::Rate(lane), limit, .. } => {
                Some((lane, *limit, Unit::PerSecond))
            }
            _ => None,
        }
    }
}

impl Subject {
    /// Base unit of the limit.
    fn unit(&self) -> Unit {
        match self {
            Self::Time(..) => Unit::Ns,
            Self::ErrorShare | Self::AchievedShare => Unit::Ratio,
            Self::ErrorCount | Self::Count | Self::Dropped => Unit::Count,
            Self::Rate(_) => Unit::PerSecond,
            Self::Lane(_, _, unit) | Self::Growth(_, unit) => *unit,
        }
    }
}

impl Op {
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::AtMost => value <= limit,
            Self::More => value > limit,
            Self::AtLeast => value >= limit,
        }
    }

    /// Does a greater figure make it worse?
    fn is_upper(self) -> bool {
        matches!(self, Self::Less | Self::AtMost)
    }

    /// The comparison that says the same of what is left of a whole.
    fn inverted(self) -> Self {
        match self {
            Self::Less => Self::More,
            Self::AtMost => Self::AtLeast,
            Self::More => Self::Less,
            Self::AtLeast => Self::AtMost,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Rounded as percentiles are written; 0.999 * 100 is 99.9000...1.
            Self::Quantile(q) => write!(f, "p{}", (q * 1e8).round() / 1e6),
            Self::Min => f.write_str("min"),
            Self::Max => f.write_str("max"),
            Self::Mean => f.write_str("mean"),
            Self::Last => f.write_str("last"),
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (subject, op, limit, scope) = match &self.condition {
            Condition::NoFinding(None) => return f.write_str("no findings"),
            Condition::NoFinding(Some(kind)) => return write!(f, "no finding {}", kind.name()),
            Condition::Figure { subject, op, limit, scope } => (subject, op, limit, scope),
        };
        match subject {
            Subject::Time(lane, stat) => write!(f, "{}{stat}", parse::time_word(lane))?,
            Subject::ErrorShare | Subject::ErrorCount => f.write_str("errors")?,
            Subject::Count => f.write_str("count")?,
            Subject::AchievedShare => f.write_str("achieved")?,
            Subject::Rate(lane) => f.write_str(lane.rsplit('.').next().unwrap_or(lane))?,
            Subject::Dropped => f.write_str("dropped")?,
            Subject::Lane(name, Some(stat), _) => write!(f, "{name} {stat}")?,
            Subject::Lane(name, None, _) => f.write_str(name)?,
            Subject::Growth(name, _) => write!(f, "{name} growth")?,
        }
        let limit = match subject {
            Subject::Growth(_, unit) => quantity::spell_per_minute(*limit, *unit),
            other => quantity::spell(*limit, other.unit()),
        };
        write!(f, " {} {limit}", op.sign())?;
        if *subject == Subject::AchievedShare {
            f.write_str(" of offered")?;
        }
        scope.fmt(f)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(step) = &self.step {
            write!(f, " for {}", parse::quoted(step))?;
        }
        if let Some(phase) = &self.phase {
            write!(f, " in phase {}", parse::quoted(phase))?;
        }
        match self.over {
            Some(over) => write!(f, " over {}", quantity::spell(over.as_nanos() as f64, Unit::Ns)),
            None => Ok(()),
        }
    }
}
