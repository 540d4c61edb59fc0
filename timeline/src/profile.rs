//! A CPU profile of a process of the target, taken during the run and kept in its recording.
//!
//! Owns where and when it was taken. What is in it is pprof's form (`profile.proto`), which reports read and no detector does: a
//! profile has names of functions and files, and is taken only if asked for.

use crate::clock::Span;

/// Longest profile that is kept, bytes.
pub const MAX_BYTES: usize = 16 << 20;

/// Where one process spent its CPU time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Which process.
    pub instance: String,
    /// When it was sampled.
    pub span: Span,
    /// The profile in pprof's protobuf form, not compressed.
    pub pprof: Vec<u8>,
}
