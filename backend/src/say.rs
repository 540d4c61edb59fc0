//! A line on standard error: what a worker or the supervisor has to tell whoever keeps its log.
//!
//! Owns that nothing depends on it. Nobody may be left to read it, or its disk may be full, where `eprintln!` would panic.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Says it, if it can.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
