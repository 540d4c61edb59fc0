//! What the sampling allocator adds to jemalloc: nanoseconds for an allocation and its free.
//!
//! Run with `cargo bench -p dynamometer-agent`. The rounds alternate, so that a machine that speeds up or
//! slows down does so for both; the least of each is told, since noise only ever adds.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;

use dynamometer_agent::Alloc;
use tikv_jemallocator::Jemalloc;
use timeline::clock::MonoNs;

const ROUNDS: usize = 15;
const PAIRS: u32 = 500_000;

/// Nanoseconds a pair of allocation and free.
#[expect(unsafe_code, reason = "the allocators are compared by calling them directly")]
fn pair(allocator: &impl GlobalAlloc, layout: Layout) -> f64 {
    let start = MonoNs::now();
    for _ in 0..PAIRS {
        // SAFETY: the layout has a size, and the block goes back to the allocator that gave it.
        unsafe {
            let block = black_box(allocator.alloc(layout));
            allocator.dealloc(block, layout);
        }
    }
    MonoNs::now().since(start).as_nanos() as f64 / f64::from(PAIRS)
}

fn main() {
    println!("{:>8} {:>12} {:>12} {:>7}   (ns a pair)", "bytes", "jemalloc", "with ages", "ratio");
    for size in [16, 256, 4_096, 65_536] {
        let layout = Layout::from_size_align(size, 8).expect("a plain layout");
        let (mut plain, mut aged) = (f64::MAX, f64::MAX);
        for _ in 0..ROUNDS {
            plain = plain.min(pair(&Jemalloc, layout));
            aged = aged.min(pair(&Alloc::new(), layout));
        }
        println!("{size:>8} {plain:>12.2} {aged:>12.2} {:>7.2}", aged / plain);
    }
}
