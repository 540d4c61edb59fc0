//! How many connections are enough is told of the pools that are full, and no more of it than can be known.

use crate::world::{self, SHOPS, World, find, ms, phase};
use timeline::lane::names;
use timeline::remedy::Setting;
use timeline::{Finding, FindingKind, LaneSpec, Status, Unit};

/// What the pool of one process shows in 100 ms.
struct Shown {
    capacity: f64,
    in_use: f64,
    waiters: f64,
    /// How many get a connection, for how long they waited and then held it, us.
    served: usize,
    wait: f64,
    hold: f64,
    /// Holds that end late, us.
    late: Vec<f64>,
}

/// The finding of a saturated pool, of so many processes under so many sessions, or under requests that come on their own; the load is
/// the same from 3 s on.
fn saturated(processes: usize, sessions: Option<f64>, shows: impl Fn(usize, u64) -> Shown) -> Finding {
    const SECONDS: u64 = 24;
    let load = sessions.unwrap_or(300.0);
    let phases = vec![phase(0, 3, 0.0, load, true), phase(3, SECONDS, load, load, false)];
    let phases = if sessions.is_some() { phases } else { world::open(phases) };
    let mut w = World::empty(SECONDS, phases);
    let open = w.lane(LaneSpec::level(names::OPEN_SESSIONS, "gen-0", Unit::Count));
    for (process, name) in SHOPS[..processes].iter().enumerate() {
        let levels = ["pool.db.capacity", "pool.db.in-use", "pool.db.waiters"]
            .map(|lane| w.lane(LaneSpec::level(lane, *name, Unit::Count)));
        let times = ["pool.db.wait", "pool.db.hold"].map(|lane| w.lane(LaneSpec::histogram(lane, *name)));
        for t in (100..SECONDS * 1_000).step_by(100) {
            let shown = shows(process, t);
            for (lane, value) in levels.into_iter().zip([shown.capacity, shown.in_use, shown.waiters]) {
                w.sample(lane, ms(t), value);
            }
            let holds = [vec![shown.hold; shown.served], shown.late].concat();
            w.histogram(times[0], ms(t - 100), ms(t), &vec![shown.wait; shown.served]);
            w.histogram(times[1], ms(t - 100), ms(t), &holds);
            if process == 0 {
                w.sample(open, ms(t), load);
            }
        }
    }
    find(&w.diagnose(), FindingKind::PoolSaturated).clone()
}

/// The one setting that is advised, as a number.
fn setting(f: &Finding) -> f64 {
    match f.remedies.as_slice() {
        [remedy] if remedy.set == "pool.db.capacity" => match remedy.to {
            Setting::Number(n) => n,
            Setting::Word(_) => panic!("{f:#?}"),
        },
        _ => panic!("{f:#?}"),
    }
}

fn advised(f: &Finding, words: &str) -> bool {
    f.advice.iter().any(|a| a.contains(words))
}

#[test]
fn one_process_s_pool_is_full_and_the_other_s_is_not() {
    let f = saturated(2, None, |process, t| {
        let is_full = process == 0 && t > 12_000;
        Shown {
            capacity: 12.0,
            in_use: if is_full { 12.0 } else { 7.0 },
            waiters: if is_full { 6.0 } else { 0.0 },
            served: if is_full { 30 } else { 17 },
            wait: if is_full { 60e3 } else { 1.0 },
            hold: 40e3,
            late: Vec::new(),
        }
    });
    assert_eq!(f.status, Status::Confirmed);
    assert!(f.claim.contains("6 waiters on 12 connections of shop-0, wait"), "{}", f.claim);
    let line = |words: &str| f.evidence.iter().any(|e| e.text.contains(words));
    assert!(line("while all 12 connections of shop-0 were out"), "{f:#?}");
    // 12 / 40 ms = 300/s.
    assert!(line("utilisation law: 12 connections at a mean hold of") && line("serve 300/s"), "{f:#?}");
    // 12 busy, by Erlang C; not so many in both together.
    assert!(setting(&f) == 20.0 && advised(&f, "from 12 to 20 in each process"), "{f:#?}");
}

/// So many sessions that never pause ask for one of 3 connections, for 40 ms each: all that have none wait.
fn never_pausing(sessions: f64, wait: f64) -> Finding {
    saturated(1, Some(sessions), |_, t| Shown {
        capacity: 3.0,
        in_use: 3.0,
        waiters: sessions - 3.0,
        served: if t % 200 == 0 { 8 } else { 7 },
        wait,
        hold: 40e3,
        late: Vec::new(),
    })
}

#[test]
fn where_most_sessions_wait_nobody_can_tell_how_many_connections_they_would_keep_busy() {
    let f = never_pausing(60.0, 760e3);
    let unknown =
        "; the load needs at least 4: how many are enough cannot be told while 57 of 60 sessions wait";
    assert!(f.claim.ends_with(unknown), "{}", f.claim);
    // A step, and a look: enough for 3.
    assert!(setting(&f) == 8.0 && advised(&f, "from 3 to 8 and look again"), "{f:#?}");
    assert!(!advised(&f, "Or hold"), "{f:#?}");
}

#[test]
fn no_more_connections_are_advised_than_there_are_sessions() {
    let f = never_pausing(5.0, 45e3);
    assert!(f.claim.contains("; the load needs 5 (Little's law: "), "{}", f.claim);
    let words = "from 3 to 5: more than one for each of the 5 sessions is never used";
    assert!(setting(&f) == 5.0 && advised(&f, words), "{f:#?}");
}

#[test]
fn what_the_same_load_asked_for_before_it_waited_says_what_it_needs() {
    // 300 sessions with a fixed pace ask 470 times a second for 16 ms: 7.5 busy. 4 connections are left, and nearly all sessions fall behind.
    let f = saturated(1, Some(300.0), |_, t| {
        let is_small = t > 12_000;
        Shown {
            capacity: if is_small { 4.0 } else { 8.0 },
            in_use: if is_small { 4.0 } else { 7.0 },
            waiters: if is_small { 277.0 } else { 0.0 },
            served: if is_small { 25 } else { 47 },
            wait: if is_small { 1.1e6 } else { 1.0 },
            hold: 16e3,
            late: Vec::new(),
        }
    });
    assert!(f.claim.contains("; the load needs 8 (Little's law: 470/s x 16"), "{}", f.claim);
    let before = "the load asked 470 times a second before anybody waited";
    assert!(f.evidence.iter().any(|e| e.text.contains(before)), "{f:#?}");
    // 7.5 + 2 sqrt(7.5) = 13.
    assert!((13.0..=14.0).contains(&setting(&f)), "{f:#?}");
}

#[test]
fn holds_that_come_back_late_give_no_capacity() {
    // Connections come back after 9 s, a few each second: the mean hold says nothing of those that serve.
    let f = saturated(1, None, |_, t| {
        let leaks = t > 12_000;
        Shown {
            capacity: 12.0,
            in_use: if leaks { 12.0 } else { 2.0 },
            waiters: if leaks { 10.0 } else { 0.0 },
            served: if leaks { 14 } else { 20 },
            wait: if leaks { 300e3 } else { 1.0 },
            hold: 10e3,
            late: if leaks && t % 1_000 == 0 { vec![9e6; 4] } else { Vec::new() },
        }
    });
    assert!(f.status == Status::Likely && !f.claim.contains("needs"), "{f:#?}");
    assert!(f.contradicting.iter().any(|e| e.text.ends_with("they do not agree")), "{f:#?}");
    assert!(f.remedies.is_empty() && !advised(&f, "Raise"), "{f:#?}");
    assert!(advised(&f, "Find out who keeps the connections of pool db"), "{f:#?}");
}
