//! How dyno ends: the one list of exit codes, and which errors come to which.

use std::fmt;
use std::process::ExitCode;

/// How a command ended, when it did not fail inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All well; findings without a gate do not fail a run.
    Pass,
    /// A gate failed, or was undecided under `--ci`.
    GateFailed,
    /// Worse than the runs that it was compared with.
    Regressed,
    /// The run measured itself badly: neither pass nor fail.
    Invalid,
    /// A person ended it early; reports are written.
    Interrupted,
}

impl Outcome {
    /// The code of this outcome.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::GateFailed => 3,
            Self::Regressed => 4,
            Self::Invalid => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome.code())
    }
}

/// An error that the user can mend; everything else is an internal fault (exit code 1).
#[derive(Debug)]
pub enum UserError {
    /// Usage, scenario or environment: exit code 2.
    Wrong(String),
    /// The target does not answer: exit code 6.
    Unreachable(String),
}

impl UserError {
    /// A usage, scenario or environment error as `anyhow` carries it.
    pub fn wrong(text: impl fmt::Display) -> anyhow::Error {
        anyhow::Error::new(Self::Wrong(text.to_string()))
    }

    /// An unreachable target as `anyhow` carries it.
    pub fn unreachable(text: impl fmt::Display) -> anyhow::Error {
        anyhow::Error::new(Self::Unreachable(text.to_string()))
    }
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(text) | Self::Unreachable(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for UserError {}

/// The code of an error.
#[must_use]
pub fn error_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<UserError>() {
        Some(UserError::Wrong(_)) => 2,
        Some(UserError::Unreachable(_)) => 6,
        None => 1,
    }
}
