//! The CPU profile of a process with the allocator installed: deep, named, one at a time, and never fatal.

#[path = "common/http.rs"]
mod http;
#[path = "common/start.rs"]
mod start;

use http::*;
use start::*;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pprof::protos::{Message, Profile};

#[global_allocator]
static ALLOC: dynamometer_agent::Alloc = dynamometer_agent::Alloc::new();

#[inline(never)]
fn burns_the_cpu(stop: &AtomicBool) -> u64 {
    let mut x = 1_u64;
    while !stop.load(Ordering::Relaxed) {
        for n in 0..10_000_u64 {
            x = black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n));
        }
    }
    x
}

#[inline(never)]
fn calls_what_burns(stop: &AtomicBool) -> u64 {
    black_box(burns_the_cpu(black_box(stop))).wrapping_add(1)
}

#[inline(never)]
fn allocates_all_the_time(stop: &AtomicBool) -> usize {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let blocks: Vec<Vec<u8>> = (1..50).map(|k| vec![1; k * 97]).collect();
        n += black_box(blocks).len();
    }
    n
}

/// Everything in one test: the profiler belongs to the process.
#[test]
fn a_profile_is_deep_and_named() {
    let agent = agent();
    let used = || {
        let batch = agent.batch(0);
        let lane = batch.lanes.iter().position(|l| l.name == "heap.used").expect("the allocator is installed")
            as u32;
        let newest = batch.ticks.iter().flat_map(|t| &t.values).rfind(|v| v.0 == lane);
        newest.expect("a value each tick").1 / 1e6
    };
    let before = used();
    let path = "/v1/instances/shop-0/profile";
    let (status, body) = get(agent.addr(), &format!("{path}?seconds=1&format=svg"));
    let idle = String::from_utf8_lossy(&body).into_owned();
    // The agent's own threads may be caught once; but an empty profile is an error, not an empty file.
    assert!(
        status == 200 && idle.contains("</svg>")
            || status == 503 && idle.starts_with("{\"error\":\"no samples: "),
        "{status} {idle}"
    );

    let stop = Arc::new(AtomicBool::new(false));
    let (a, b) = (Arc::clone(&stop), Arc::clone(&stop));
    let burning = std::thread::spawn(move || calls_what_burns(&a));
    let allocating = std::thread::spawn(move || allocates_all_the_time(&b));

    let addr = agent.addr();
    let at_once = || {
        let take = || std::thread::spawn(move || get(addr, &format!("{path}?seconds=2&format=svg")));
        let mut answers = [take(), take()].map(|asked| asked.join().unwrap());
        answers.sort_by_key(|answer| answer.0);
        answers
    };
    let [(_, svg), (_, refused)] = until("one is taken and one refused", || {
        let answers = at_once();
        let statuses = answers.each_ref().map(|answer| answer.0);
        // Both are taken where one was held up on its way until the other was over.
        assert!(matches!(statuses, [200, 200 | 409]), "{}", String::from_utf8_lossy(&answers[1].1));
        (statuses == [200, 409]).then_some(answers)
    });
    assert_eq!(&*refused, &br#"{"error":"a profile is being taken already"}"#[..]);
    let svg = String::from_utf8(svg).unwrap();
    assert!(svg.contains("burns_the_cpu") && svg.contains("calls_what_burns"), "names");

    let (status, bytes) = get(addr, &format!("{path}?seconds=1"));
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    let profile = Profile::decode(&bytes[..]).unwrap();
    stop.store(true, Ordering::Relaxed);
    burning.join().unwrap();
    allocating.join().unwrap();

    let name = |id: &u64| {
        let function = &profile.function[*id as usize - 1];
        profile.string_table[function.name as usize].as_str()
    };
    let stacks: Vec<Vec<&str>> =
        profile.sample.iter().map(|s| s.location_id.iter().map(name).collect()).collect();
    let burning =
        stacks.iter().find(|s| s.iter().any(|n| n.contains("burns_the_cpu"))).expect("the busy loop");
    assert!(burning.len() >= 3 && burning.iter().any(|n| n.contains("calls_what_burns")), "{burning:?}");
    eprintln!("{} stacks, deepest {}", stacks.len(), stacks.iter().map(Vec::len).max().unwrap_or(0));
    std::thread::sleep(std::time::Duration::from_millis(300));
    eprintln!("heap {before:.1} MB before, {:.1} MB after three profiles", used());
}
