//! What each fuzz target does with its bytes; `loadgen/tests/corpus.rs` does the same with the corpus.

pub mod entries;
