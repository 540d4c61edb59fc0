//! Clients of the live feed that do not read: what waits for them grows with the fault, and with the cure they are let go.

use crate::common::{Backend, Socket, life, wait_for};

/// Clients that follow all prices, 15 KB ten times a second, and read none.
const DEAF: usize = 16;
/// What a client may be behind with the cure: 32 messages of 15 KB, and some room.
const CURED: f64 = 600_000.0;

fn deaf(backend: &Backend) -> Vec<Socket> {
    let follow = |_| {
        let mut socket = Socket::open(backend.shop(), "/ws").expect("open");
        socket.send(r#"{"op":"follow"}"#);
        assert_eq!(socket.json()["op"], "following");
        socket
    };
    (0..DEAF).map(follow).collect()
}

#[test]
fn what_waits_for_clients_that_do_not_read_is_bounded_by_the_cure_alone() {
    let backend = Backend::start(1);
    let lane = |name: &str| backend.lane(name).unwrap_or(-1.0);
    let open = || lane("server.websockets");
    let longest = || lane("server.send-queue.longest");

    let mut reader = Socket::open(backend.shop(), "/ws").expect("open");
    reader.send(r#"{"op":"follow"}"#);
    assert_eq!(reader.json()["op"], "following");
    let board = reader.json();
    assert_eq!((&board["op"], board["prices"].as_array().unwrap().len()), (&"board".into(), 500));
    drop(reader);
    assert!(wait_for(|| open() == 0.0), "one that leaves is gone");

    let quiet = deaf(&backend);
    // All of them were there, each for a while.
    backend.tick("shop-0");
    let most = std::cell::Cell::new(0.0_f64);
    let all_gone = || {
        most.set(most.get().max(longest()));
        open() == 0.0
    };
    assert!((0..3).any(|_| wait_for(all_gone)), "{} are still there", open());
    assert!(most.get() < CURED, "{} bytes waited for one of them", most.get());
    drop(quiet);

    backend.arm(r#"{"name":"slow-consumer","for_ms":600000}"#);
    let resident = backend.told_next("process.resident");
    let quiet = deaf(&backend);
    assert!((0..3).any(|_| wait_for(|| longest() > 2.0 * CURED)), "{} bytes wait for one", longest());
    assert_eq!(open(), DEAF as f64, "nobody is let go");
    // Those who came last have as much waiting for them a little later.
    let all_behind = || lane("server.send-queue") > 0.5 * DEAF as f64 * longest();
    assert!(wait_for(all_behind), "they wait for all of them");
    let grown = || lane("process.resident") - resident;
    assert!(wait_for(|| grown() > CURED * DEAF as f64), "the process grew by {} bytes", grown());

    backend.cure();
    assert_eq!(backend.truth(), life("slow-consumer"));
    assert!(
        (0..3).any(|_| wait_for(|| open() == 0.0 && lane("server.send-queue") == 0.0)),
        "they are let go"
    );
    drop(quiet);
}
