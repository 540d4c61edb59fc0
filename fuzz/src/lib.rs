//! What each fuzz target does with its bytes; `loadgen/tests/engine/corpus.rs` does the same with the corpus.

pub mod entries;
