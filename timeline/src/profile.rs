//! A CPU profile of a process of the target, taken during the run and kept in its recording.
//!
//! Owns where and when it was taken, and as much of pprof's form (`profile.proto`) as stacks need: sources that sample write it, reports
//! read it, and no detector does. A profile has names of functions and files.

use prost::Message;

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

/// `Profile` of `profile.proto`. Texts are places in `string_table`, whose first is empty.
#[derive(Clone, PartialEq, Message)]
pub struct Pprof {
    /// What the values of a sample are.
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    /// Stacks with their values.
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    /// What stacks are made of.
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    /// What locations lie in.
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    /// All texts.
    #[prost(string, repeated, tag = "6")]
    pub string_table: Vec<String>,
}

/// What a value of each sample is.
#[derive(Clone, PartialEq, Message)]
pub struct ValueType {
    /// Its name: `samples`.
    #[prost(int64, tag = "1")]
    pub r#type: i64,
    /// Its unit: `count`.
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

/// One stack.
#[derive(Clone, PartialEq, Message)]
pub struct Sample {
    /// Its locations, the innermost first.
    #[prost(uint64, repeated, packed = "false", tag = "1")]
    pub location_id: Vec<u64>,
    /// A value for each type; the first is the number of samples.
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub value: Vec<i64>,
}

/// A place in the program.
#[derive(Clone, PartialEq, Message)]
pub struct Location {
    /// By which samples name it.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its function, after those that were inlined there: the innermost first.
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
}

/// A line of a location.
#[derive(Clone, PartialEq, Message)]
pub struct Line {
    /// Its function.
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
}

/// A function.
#[derive(Clone, PartialEq, Message)]
pub struct Function {
    /// By which lines name it.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Its name.
    #[prost(int64, tag = "2")]
    pub name: i64,
    /// Its name as the system has it.
    #[prost(int64, tag = "3")]
    pub system_name: i64,
}
