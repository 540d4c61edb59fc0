//! Blocks of memory that are given back all at once: a jemalloc arena of one's own.
//!
//! The one file of this crate with unsafe code. It is safe to use because nobody outside holds an address: a block is
//! named by its number, read through a borrow of its arena, and [`Arena::clear`] wants the arena for itself alone.
#![expect(
    unsafe_code,
    reason = "jemalloc's arenas are reached through C calls; their memory is read through raw addresses"
)]

use std::ptr::NonNull;
use std::slice;

use tikv_jemalloc_ctl::raw;
use tikv_jemalloc_sys::{MALLOCX_ARENA, MALLOCX_TCACHE_NONE, mallctlbymib, mallocx};

/// An arena and the blocks in it.
pub struct Arena {
    index: u32,
    /// Every entry lies in this arena, was written in full, and has been there since the last reset.
    blocks: Vec<Block>,
}

#[derive(Clone, Copy)]
struct Block {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the blocks are owned by this value alone, like those of a `Vec<Box<[u8]>>`; jemalloc's calls may come from
// any thread, and with `MALLOCX_TCACHE_NONE` no thread keeps blocks of this arena for itself.
unsafe impl Send for Arena {}

impl Arena {
    /// A new one; none where jemalloc cannot make any (each costs it some kilobytes, and it has at most 4,094).
    pub fn create() -> Option<Self> {
        // SAFETY: `arenas.create` gives an `unsigned`, and takes nothing.
        let index = unsafe { raw::read::<u32>(b"arenas.create\0") }.ok()?;
        Some(Self { index, blocks: Vec::new() })
    }

    /// Copies `bytes` into a block of its own. False, and nothing done, when there is no memory.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        // Past the thread's cache: it would keep blocks of this arena beyond its reset. That costs about 30 ns a block.
        let flags = MALLOCX_ARENA(self.index as usize) | MALLOCX_TCACHE_NONE;
        // SAFETY: the size is not zero, and the flags name an arena that lives as long as `self`.
        let start = unsafe { mallocx(bytes.len().max(1), flags) };
        let Some(start) = NonNull::new(start.cast::<u8>()) else { return false };
        // SAFETY: the block is fresh, so nothing overlaps it, and at least as long as `bytes`.
        unsafe { start.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        self.blocks.push(Block { start, length: bytes.len() });
        true
    }

    /// The block with this number, counted from the last [`clear`](Self::clear).
    ///
    /// # Panics
    /// When there is none.
    pub fn block(&self, number: usize) -> &[u8] {
        let Block { start, length } = self.blocks[number];
        // SAFETY: `length` bytes were written there by `push`. They stay until `clear` or `drop`, which both
        // need `self` for themselves, so not while this borrow lives; and no block is ever written again.
        unsafe { slice::from_raw_parts(start.as_ptr(), length) }
    }

    /// Gives all blocks back at once.
    pub fn clear(&mut self) {
        // First of all, so that no address outlives its block whatever happens.
        self.blocks.clear();
        self.tell(b"arena.0.reset\0");
    }

    /// One of jemalloc's orders to this arena that take and give nothing.
    fn tell(&self, order: &[u8]) {
        let mut mib = [0; 3];
        if raw::name_to_mib(order, &mut mib).is_err() {
            return; // a build without the order keeps the memory, which is a leak and nothing worse
        }
        mib[1] = self.index as usize;
        let nothing = std::ptr::null_mut();
        // SAFETY: both orders that are given (reset, destroy) take no value and give none; they end the life of all blocks
        // of the arena, of which none is known any more; and no other thread allocates in it, since `self` is borrowed
        // and nobody else knows its index.
        let _ = unsafe { mallctlbymib(mib.as_ptr(), mib.len(), nothing, std::ptr::null_mut(), nothing, 0) };
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.blocks.clear();
        self.tell(b"arena.0.destroy\0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that this arena has given out, by jemalloc's own count.
    fn allocated(arena: &Arena) -> usize {
        tikv_jemalloc_ctl::epoch::advance().unwrap();
        let figure = |kind: &str| {
            let name = format!("stats.arenas.{}.{kind}.allocated\0", arena.index);
            // SAFETY: both figures are `size_t`.
            unsafe { raw::read::<usize>(name.as_bytes()) }.unwrap()
        };
        figure("small") + figure("large")
    }

    #[test]
    fn blocks_keep_what_was_written_and_are_given_back_at_once() {
        let mut arena = Arena::create().expect("jemalloc is linked");
        for round in 0..3u8 {
            let block = |n: usize| vec![round ^ n as u8; n * 7 % 5_000];
            for n in 0..500 {
                assert!(arena.push(&block(n)));
            }
            assert!((0..500).all(|n| arena.block(n) == block(n)));
            assert!(allocated(&arena) >= (0..500).map(|n| block(n).len()).sum());
            arena.clear();
            assert_eq!((arena.blocks.len(), allocated(&arena)), (0, 0));
        }
    }

    #[test]
    fn an_arena_may_be_used_by_one_thread_after_the_other() {
        let mut arena = Arena::create().expect("jemalloc is linked");
        assert!(arena.push(b"here"));
        let mut arena = std::thread::spawn(move || {
            assert!(arena.push(b"there"));
            arena
        })
        .join()
        .unwrap();
        assert_eq!((arena.block(0), arena.block(1)), (&b"here"[..], &b"there"[..]));
        arena.clear();
        assert!(arena.push(b"again") && arena.block(0) == b"again");
    }
}
