//! Generations for real: records in a young and an old region of memory, collected by copying.
//!
//! Owns where records lie, when survivors are promoted and how the old region is compacted. What a record means is
//! its user's business (`shop::visits`), and so is when a compaction runs and under which lock: that choice is
//! the fault `stop-the-world` and its cure. Where memory comes from, and all unsafe code, is in [`arena`].
//!
//! Records are never changed in place: a new one goes to the young region, and the old one becomes garbage.
//! When the young region is full, what is still wanted of it is copied to the old one and the rest is given back at
//! once. The old region's garbage waits for a compaction, which copies what is wanted into a fresh region. Nobody
//! holds addresses: a record is found by its key, and moving it only changes where its key points.

mod arena;
mod generations;
mod space;

pub use generations::Generations;
