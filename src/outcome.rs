//! How dyno ends: the one list of exit codes, and which runs and errors come to which.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use reports::summary::{Reason, Summary, Verdict};

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
    /// How the run of this summary ended: a person's wish counts more than the verdict. Under `ci` an undecided gate fails.
    #[must_use]
    pub fn of(run: &Summary, ci: bool) -> Self {
        match (run.end.reason, run.verdict) {
            (Reason::Interrupted, _) => Self::Interrupted,
            (_, Verdict::Invalid) => Self::Invalid,
            (_, Verdict::Fail) => Self::GateFailed,
            (_, Verdict::Pass) if ci && run.gates.iter().any(|g| g.holds.is_none()) => Self::GateFailed,
            (_, Verdict::Pass) => Self::Pass,
        }
    }

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

/// An error that the user can mend, or wished for; everything else is an internal fault (exit code 1).
#[derive(Debug)]
pub enum UserError {
    /// Usage, scenario or environment: exit code 2.
    Wrong(String),
    /// The target does not answer: exit code 6.
    Unreachable(String),
    /// A person ended it before there was a run: exit code 130.
    Interrupted(String),
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

    /// An end that a person wished for before there was a run, as `anyhow` carries it.
    pub fn interrupted(text: impl fmt::Display) -> anyhow::Error {
        anyhow::Error::new(Self::Interrupted(text.to_string()))
    }
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(text) | Self::Unreachable(text) | Self::Interrupted(text) => f.write_str(text),
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
        Some(UserError::Interrupted(_)) => Outcome::Interrupted.code(),
        None => 1,
    }
}

/// Did a program that we started end because somebody pressed Ctrl-C: by the signal, or as it says so itself?
#[must_use]
pub fn is_interrupted(status: ExitStatus) -> bool {
    let signal = rustix::process::Signal::INT.as_raw();
    status.signal() == Some(signal) || status.code() == Some(Outcome::Interrupted.code().into())
}

#[cfg(test)]
mod tests {
    use timeline::Timeline;
    use timeline::facts::RunMeta;

    use super::*;

    #[test]
    fn each_end_of_a_run_has_its_code() {
        let meta = RunMeta { gates: vec!["errors < 1%".to_owned()], ..RunMeta::default() };
        let mut run = Summary::new(&meta, &Timeline::new(), &[], None);
        for (reason, verdict, holds, ci, code) in [
            (Reason::Completed, Verdict::Pass, Some(true), true, 0),
            (Reason::Completed, Verdict::Pass, None, false, 0),
            (Reason::Completed, Verdict::Pass, None, true, 3),
            (Reason::Completed, Verdict::Fail, Some(false), false, 3),
            (Reason::GateAborted, Verdict::Fail, Some(true), false, 3),
            (Reason::Completed, Verdict::Invalid, None, true, 5),
            (Reason::CutOff, Verdict::Invalid, Some(false), false, 5),
            (Reason::Interrupted, Verdict::Pass, None, true, 130),
            (Reason::Interrupted, Verdict::Fail, Some(false), false, 130),
            (Reason::Interrupted, Verdict::Invalid, None, false, 130),
        ] {
            (run.end.reason, run.verdict, run.gates[0].holds) = (reason, verdict, holds);
            let outcome = Outcome::of(&run, ci);
            assert_eq!(outcome.code(), code, "{reason:?}, {verdict:?}, gate {holds:?}, ci {ci}");
        }
    }
}
