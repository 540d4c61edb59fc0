//! The faults of memory and pauses, switched in a real worker: each does its work, and its cure does not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::common::{Backend, ask, life, wait_for};
use serde_json::json;

const MIB: f64 = 1_048_576.0;

#[test]
fn new_canvases_for_every_picture_are_allocated_and_dropped() {
    let backend = Backend::start(1);
    let allocated = || backend.lane("heap.allocated").unwrap_or(0.0);
    // Megabytes allocated for a picture, at most, while `pictures` are drawn one after the other.
    let most = || {
        let most = (0..20).map(|_| {
            assert_eq!(backend.get("/products/7/picture").status, 200);
            allocated()
        });
        most.fold(0.0, f64::max)
    };
    most();
    let cure = most();
    backend.arm(r#"{"name":"churn","for_ms":60000,"knobs":{"layers":32}}"#);
    // 64 canvases of 256 KiB each time; the cure has its two already.
    assert!(
        wait_for(|| most() > 4.0 * cure + 32.0 * MIB),
        "{cure} a second with the cure, {} with the fault",
        most()
    );
    backend.cure();
    assert_eq!(backend.truth(), life("churn"));
    assert_eq!(backend.get("/products/501/picture").status, 404);
}

#[test]
fn a_file_of_64_megabytes_is_held_whole_by_the_fault_and_flows_through_the_cure() {
    let backend = Backend::start(1);
    let token = backend.log_in();
    let import = |megabytes: u32| {
        let reply = backend.post(&format!("/import/supplier?megabytes={megabytes}"), &token, "");
        assert_eq!(reply.status, 200, "{}", reply.body);
        let done = reply.json();
        assert!(done["bytes"].as_u64().unwrap() >= u64::from(megabytes) << 20, "{done}");
        done["rows"].as_u64().unwrap()
    };
    // What every import needs: a statement, a batch of rows, pages of the database.
    import(4);
    let resident = || backend.lane("process.resident").unwrap_or(0.0);
    // The most that it came to while the file was imported.
    let most = |megabytes| {
        std::thread::scope(|scope| {
            let importing = scope.spawn(|| import(megabytes));
            let mut most = resident();
            while !importing.is_finished() {
                most = most.max(resident());
            }
            most
        })
    };
    let before = backend.told_next("process.resident");
    let cure = most(64) - before;
    assert!(cure < 32.0 * MIB, "it grew by {} MiB", cure / MIB);
    backend.arm(r#"{"name":"whole-file","for_ms":600000}"#);
    let before = backend.told_next("process.resident");
    // Another try, should the agent not have come to look while the file was there.
    let mut seen = Vec::new();
    let held = (0..5).any(|_| {
        seen.push((most(64) - before) / MIB);
        let fault = seen[seen.len() - 1];
        fault > 48.0 && fault > 2.0 * cure / MIB
    });
    assert!(held, "{seen:?} MiB, with the cure {}", cure / MIB);
    backend.cure();
    assert_eq!(backend.truth(), life("whole-file"));

    backend.arm(r#"{"name":"whole-file","for_ms":60000,"knobs":{"megabytes":64}}"#);
    assert_eq!(backend.post("/import/supplier?megabytes=65", &token, "").status, 413);
    let refused = |path: &str| backend.post(path, &token, "").error();
    assert!(refused("/import/supplier?megabytes=0").contains("expected 1 to 1024"));
    assert!(refused("/import/supplier").contains("megabytes"));
    assert_eq!(backend.post("/import/supplier?megabytes=1", "", "").status, 401);
}

#[test]
fn what_is_kept_among_short_lived_data_holds_many_times_its_own_size() {
    let backend = Backend::start(1);
    let ask_all = || {
        for product in 1..=64 {
            let reply = backend.get(&format!("/products/{product}/recommendations"));
            assert_eq!((reply.status, reply.json()["products"].as_array().unwrap().len()), (200, 5));
        }
    };
    let lane = |name: &str| backend.lane(name).unwrap_or(0.0);
    let spare = || lane("heap.active") - lane("heap.used");
    ask_all();
    assert!(wait_for(|| lane("heap.used") > 0.0));
    let cure = spare();
    backend.arm(r#"{"name":"fragmentation","for_ms":60000,"knobs":{"candidates":50000}}"#);
    ask_all();
    let much = wait_for(|| spare() > cure + 64.0 * MIB && spare() > 2.0 * lane("heap.used"));
    assert!(
        much,
        "{} MiB to spare, {} used; with the cure {}",
        spare() / MIB,
        lane("heap.used") / MIB,
        cure / MIB
    );
    backend.cure();
    assert_eq!(backend.truth(), life("fragmentation"));
    assert_eq!(backend.get("/products/0/recommendations").status, 404);
}

#[test]
fn stop_the_world_that_is_ordered_again_at_once_has_its_old_generation_again() {
    let backend = Backend::start(1);
    let old = || backend.lane("heap.visits.old").unwrap_or(0.0);
    let order = r#"{"name":"stop-the-world","for_ms":60000,"knobs":{"sessions":200000,"period_ms":500}}"#;
    backend.arm(order);
    assert!(wait_for(|| old() > 10.0 * MIB), "{} MiB", old() / MIB);
    // Its end forgets the earlier sessions, for about half a second, and leaves those that are wanted again.
    backend.cure();
    backend.arm(order);
    std::thread::sleep(Duration::from_secs(3));
    assert!(wait_for(|| old() > 10.0 * MIB), "{} MiB", old() / MIB);
    backend.cure();
    assert!(wait_for(|| old() < MIB), "{} MiB", old() / MIB);
}

#[test]
fn compaction_in_one_go_stops_the_world_and_loses_nothing_and_in_steps_it_does_not() {
    let backend = Backend::start(1);
    let token = backend.log_in();
    let visit = || {
        let bearer = format!("Bearer {token}");
        let reply = ask(backend.shop(), "GET", "/visits", &[("Authorization", &bearer)], b"");
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()
    };
    assert_eq!(backend.post("/cart", &token, r#"{"product":7,"quantity":1}"#).status, 200);
    assert_eq!(visit()["visits"][1]["path"], json!("/cart"));
    let old = || backend.lane("heap.visits.old").unwrap_or(0.0);
    // A rate is known from the second tick on.
    assert!(wait_for(|| backend.lane("heap.visits.promoted") == Some(0.0)));
    assert_eq!(old(), 0.0);

    let order = r#"{"name":"stop-the-world","for_ms":60000,"knobs":{"sessions":100000,"period_ms":500}}"#;
    backend.arm(order);
    assert!(wait_for(|| old() > 5.0 * MIB), "earlier sessions are promoted");
    // All that is old has been promoted, and not longer ago than the worker remembers.
    let (filled, promoted) = (old(), backend.amount("heap.visits.promoted", ""));
    assert!(promoted >= filled, "{promoted} of {filled} bytes");
    let stops = AtomicU64::new(0);
    let stopped = wait_for(|| {
        visit();
        stops.fetch_add(backend.events("pause.stop-the-world"), Ordering::Relaxed);
        stops.load(Ordering::Relaxed) > 1
    });
    assert!(stopped, "the worker says that it stops");
    // Only records that were replaced since the last compaction are garbage.
    assert!(backend.lane("heap.visits.garbage").is_some_and(|bytes| bytes < MIB));
    // Two dozen visits are remembered, the one to the cart among them no longer.
    for _ in 0..30 {
        visit();
    }
    let visits = visit();
    assert_eq!(visits["visits"].as_array().unwrap().len(), 24);
    assert_eq!(visits["visits"][0]["path"], json!("/visits"));

    backend.cure();
    assert_eq!(backend.truth(), life("stop-the-world"));
    // The earlier sessions are garbage now, which the cure gives back in steps while others are served.
    let emptied = wait_for(|| {
        visit();
        old() < MIB
    });
    assert!(emptied, "{} MiB", old() / MIB);
    assert_eq!(visit()["visits"].as_array().unwrap().len(), 24);
}
