//! With the allocator installed: a leak is seen as old memory, to within the error that is told.

#[path = "common/fresh.rs"]
mod fresh;
#[path = "common/lanes.rs"]
mod lanes;
#[path = "common/start.rs"]
mod start;

use dynamometer_agent::Agent;
use fresh::*;
use lanes::*;
use start::{agent, aging, until};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use timeline::clock::MonoNs;
use timeline::probe::Batch;

#[global_allocator]
static ALLOC: dynamometer_agent::Alloc = dynamometer_agent::Alloc::new();

const MB: f64 = 1e6;
/// From this age on a block of the leak is old.
const OLD: Duration = Duration::from_secs(3);

/// The heap is the whole process's: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Blocks of many sizes: 400 rounds of about 100 KB. Some of them are grown and shrunk.
fn leak() -> Vec<Vec<u8>> {
    let mut leak: Vec<Vec<u8>> = Vec::new();
    for _ in 0..400 {
        for size in [100, 900, 4_000, 20_000, 75_000] {
            let mut block = vec![1_u8; size / 2];
            block.reserve_exact(size - size / 2);
            leak.push(block);
        }
    }
    leak
}

/// A leak, a tick before it, and one after its last block at which all of it was young; none if the machine was too slow for that. With an
/// agent that has seen no other.
fn while_young() -> Option<(Agent, Batch, Vec<Vec<u8>>, Batch)> {
    let agent = aging(OLD);
    let before = fresh_tick(&agent);
    let start = MonoNs::now();
    let leak = leak();
    let young = fresh_tick(&agent);
    (MonoNs::now().since(start) < OLD).then_some((agent, before, leak, young))
}

#[test]
fn a_leak_of_40_mb_grows_old_and_goes_when_freed() {
    let _alone = alone();
    let (agent, before, leak, young) = until("all of it is young at a tick", while_young);
    let (old_before, used_before) = (last(&before, "heap.old.used"), last(&before, "heap.used"));
    let truth: f64 = leak.iter().map(|b| b.capacity() as f64).sum();
    // 40 MB at 512 KiB are some 76 points: 11 % standard error; four of them.
    let near = |value: f64| (value / truth - 1.0).abs() < 0.46;
    assert!(
        near(last(&young, "heap.young.used") - last(&before, "heap.young.used")),
        "{}",
        last(&young, "heap.young.used")
    );
    let [used, active, resident] = ["heap.used", "heap.active", "heap.resident"].map(|l| last(&young, l));
    assert!(used <= active && active <= resident, "{used} lives on {active} of {resident}");
    let grown = last(&young, "heap.used") - used_before;
    assert!((grown / truth - 1.0).abs() < 0.15, "exact total: {grown} for {truth}");
    let allocated = amount(&young, "heap.allocated", "");
    assert!(allocated > truth * 0.9, "allocated {allocated} for {truth}");

    let old = until("old memory", || {
        let batch = agent.batch(0);
        near(last(&batch, "heap.old.used") - old_before).then_some(batch)
    });
    let promoted = amount(&old, "heap.promoted", "");
    assert!(near(promoted), "promoted {promoted} for {truth}");
    let error = last(&old, "heap.sampling-error");
    assert!(error > 0.03 && error < 0.25, "{error}");

    drop(leak);
    let after = fresh_tick(&agent);
    assert!(last(&after, "heap.old.used") - old_before < 3.0 * MB);
    assert!(last(&after, "heap.used") - used_before < 5.0 * MB);
    let sampled = |name: &str| after.lanes.iter().find(|l| l.name == name).map(|l| l.quality);
    assert_eq!(sampled("heap.old.used"), Some(timeline::lane::Quality::Sampled));
    assert_eq!(sampled("heap.used"), Some(timeline::lane::Quality::Exact));
}

#[test]
fn blocks_freed_by_other_threads_leave_no_trace() {
    let _alone = alone();
    let agent = agent();
    let before = last(&fresh_tick(&agent), "heap.young.used");
    for _ in 0..20 {
        let blocks: Vec<Vec<u8>> = (0..200).map(|n| vec![1; 1_000 + n * 300]).collect();
        std::thread::spawn(move || drop(blocks)).join().unwrap();
    }
    // 20 rounds of 6 MB; a table that missed the frees would hold 124 MB.
    let after = last(&fresh_tick(&agent), "heap.young.used");
    assert!(after - before < 80.0 * MB, "{before} -> {after}");
}
