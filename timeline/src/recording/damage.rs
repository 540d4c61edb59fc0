//! What of a recording could not be read: where, what it held, and of which stretch of the run.

use std::fmt;

use super::Kind;
use crate::clock::RunTime;

/// Something in the file that could not be read, and was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where, bytes from the start of the file (of what it unpacks to, where it is gzipped).
    pub offset: u64,
    /// What is wrong, as a sentence.
    pub what: String,
    /// What it held, by its type byte; none if that byte is no type that this dyno knows, so that it may be the damage itself.
    pub kind: Option<Kind>,
    /// The last tick that was read before it.
    pub after: RunTime,
    /// The first tick that was read after it; none if nothing was.
    pub before: Option<RunTime>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, what, kind, after, before } = self;
        write!(f, "at byte {offset}: {what}")?;
        if let Some(kind) = kind {
            write!(f, "; it held {}", kind.holds())?;
        }
        let seconds = |t: &RunTime| format!("{:.1} s", t.as_secs_f64());
        match before {
            Some(before) => write!(f, ", of {} to {} of the run", seconds(after), seconds(before)),
            None => write!(f, ", of what came after {} of the run", seconds(after)),
        }
    }
}
