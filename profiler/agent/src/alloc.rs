//! The allocator that a target installs: jemalloc, with a sample of its blocks remembered by age.
//!
//! Owns the hook and nothing else; what is sampled is `sampling`'s business, where it is kept is `ages`'.
//! Memory that C libraries take from the system's `malloc` does not pass here.
#![expect(
    unsafe_code,
    reason = "an allocator is unsafe to write; this file hands every call to jemalloc unchanged"
)]

use std::alloc::{GlobalAlloc, Layout};

use tikv_jemallocator::Jemalloc;

use crate::sampling;

/// jemalloc, with about one allocation in 512 KiB sampled by age.
///
/// ```
/// #[global_allocator]
/// static ALLOC: dynamometer_agent::Alloc = dynamometer_agent::Alloc::new();
/// # fn main() {}
/// ```
#[derive(Debug, Default)]
pub struct Alloc {
    jemalloc: Jemalloc,
}

impl Alloc {
    /// For a `static` with `#[global_allocator]`.
    #[must_use]
    pub const fn new() -> Self {
        Self { jemalloc: Jemalloc }
    }
}

// SAFETY: every block comes from and goes back to jemalloc with the layout that the caller gave;
// `sampling` neither allocates nor reads or writes through the addresses that it is told, and does not unwind.
unsafe impl GlobalAlloc for Alloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps `GlobalAlloc::alloc`'s contract, which is jemalloc's too.
        let block = unsafe { self.jemalloc.alloc(layout) };
        sampling::born(block.addr(), layout.size());
        block
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let block = unsafe { self.jemalloc.alloc_zeroed(layout) };
        sampling::born(block.addr(), layout.size());
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // Before jemalloc may give the address to another thread.
        let _ = sampling::take(block.addr());
        // SAFETY: the caller got `block` from this allocator, that is from jemalloc, with this layout.
        unsafe { self.jemalloc.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let sample = sampling::take(block.addr());
        // SAFETY: as in `dealloc`; `new_size` is the caller's duty.
        let moved = unsafe { self.jemalloc.realloc(block, layout, new_size) };
        if moved.is_null() {
            sampling::put_back(block.addr(), sample);
        } else {
            sampling::resized(moved.addr(), sample, layout.size(), new_size);
        }
        moved
    }
}
