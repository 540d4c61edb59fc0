//! The client's side alone: what clients feel is told with its figures, healthy loads stay clean, and whoever is attached speaks instead.

use crate::world::{Dice, World, cannot_tell, find, kinds_of, ms, phase, state};
use dynamometer_profiler::Diagnosis;
use timeline::facts::PhaseFacts;
use timeline::lane::names;
use timeline::{FindingKind, LaneSpec, Severity, Status, Unit};

const SECONDS: u64 = 30;
const SEEDS: u64 = 5;

/// What clients see of a target, by second of the run.
#[derive(Clone)]
struct Client {
    phases: Vec<PhaseFacts>,
    sessions: fn(f64) -> f64,
    /// Steps started, finished and planned per second.
    sent: fn(f64) -> f64,
    finished: fn(f64) -> f64,
    offered: fn(f64) -> f64,
    /// Service time of step `browse`, ms, and of `buy`; response time is as long and what is waited besides.
    browse_ms: fn(f64, &mut Dice) -> f64,
    buy_ms: fn(f64, &mut Dice) -> f64,
    waits_ms: fn(f64) -> f64,
    /// What one step waits besides.
    step_waits_ms: fn(&str, f64) -> f64,
    refused: fn(f64) -> f64,
    /// Lateness of starts, ms.
    late_ms: f64,
    /// The target says something of itself: and how long `/buy` stays in its handler, if it tells that; and how much of it holding
    /// connections of a pool.
    attached: bool,
    handler_ms: Option<fn(f64) -> f64>,
    held_ms: Option<f64>,
    /// So many seconds apart.
    told_each_s: u64,
}

fn steady() -> Client {
    Client {
        phases: vec![phase(0, 4, 20.0, 200.0, true), phase(4, SECONDS, 200.0, 200.0, false)],
        sessions: |s| 200.0 * (s / 4.0).min(1.0),
        sent: |s| 250.0 * (s / 4.0).min(1.0),
        finished: |s| 250.0 * (s / 4.0).min(1.0),
        offered: |s| 250.0 * (s / 4.0).min(1.0),
        browse_ms: |_, d| 1.0 + d.exp(4.0),
        buy_ms: |_, d| 3.0 + d.exp(12.0),
        waits_ms: |_| 0.0,
        step_waits_ms: |_, _| 0.0,
        refused: |_| 0.0,
        late_ms: 1.0,
        attached: false,
        handler_ms: None,
        held_ms: None,
        told_each_s: 1,
    }
}

/// A count with that mean, by chance (Poisson, by its normal law).
fn drawn(mean: f64, dice: &mut Dice) -> f64 {
    dice.normal(mean, mean.max(0.0).sqrt()).round().max(0.0)
}

fn watched(seed: u64, c: &Client) -> Diagnosis {
    let mut w = World::empty(SECONDS, c.phases.clone());
    let mut dice = Dice::new(seed);
    let rate = |w: &mut World, name: &str| w.lane(LaneSpec::rate(name, "gen-0", Unit::PerSecond));
    let (offered, sent, finished) =
        (rate(&mut w, names::OFFERED), rate(&mut w, names::ACHIEVED), rate(&mut w, names::COMPLETED));
    let refused = w.lane(LaneSpec::rate(names::ERRORS, "gen-0", Unit::PerSecond).about("connect-refused"));
    let sessions = w.lane(LaneSpec::level(names::OPEN_SESSIONS, "gen-0", Unit::Count));
    for i in 1..SECONDS * 10 {
        // The middle of the time that the sample speaks of.
        let s = i as f64 / 10.0 - 0.05;
        w.sample(offered, ms(i * 100), (c.offered)(s));
        for (lane, mean) in [(sent, (c.sent)(s)), (finished, (c.finished)(s))] {
            w.sample(lane, ms(i * 100), drawn(mean / 10.0, &mut dice) * 10.0);
        }
        w.sample(refused, ms(i * 100), (c.refused)(s));
        w.sample(sessions, ms(i * 100), (c.sessions)(s).round());
    }
    let lateness = w.lane(LaneSpec::histogram(names::LATENESS, "gen-0"));
    for (step, times, many) in [("browse", c.browse_ms, 2), ("buy", c.buy_ms, 2)] {
        let service = w.lane(LaneSpec::histogram(names::SERVICE, "gen-0").about(step));
        let response = w.lane(LaneSpec::histogram(names::RESPONSE, "gen-0").about(step));
        for s in 1..SECONDS {
            let (from, to) = (ms((s - 1) * 1_000), ms(s * 1_000));
            let at = |k: usize| s as f64 - 1.0 + k as f64 / (60.0 * f64::from(many));
            let us: Vec<f64> = (0..60 * many as usize).map(|k| times(at(k), &mut dice) * 1e3).collect();
            w.histogram(service, from, to, &us);
            let waits = |k: usize| (c.waits_ms)(at(k)) + (c.step_waits_ms)(step, at(k));
            let waited: Vec<f64> = us.iter().enumerate().map(|(k, t)| t + waits(k) * 1e3).collect();
            w.histogram(response, from, to, &waited);
            if step == "browse" {
                let late: Vec<f64> = us.iter().map(|_| dice.exp(c.late_ms) * 1e3).collect();
                w.histogram(lateness, from, to, &late);
            }
        }
    }
    if c.attached {
        let lane = w.lane(LaneSpec::level(names::SERVER_IN_FLIGHT, "shop-0", Unit::Count));
        (1..SECONDS * 10).for_each(|i| w.sample(lane, ms(i * 100), 3.0));
        let every = |w: &mut World, spec: LaneSpec, each_ms: &dyn Fn(f64) -> f64| {
            let lane = w.lane(spec);
            for s in (c.told_each_s..SECONDS).step_by(c.told_each_s as usize) {
                let us = [each_ms(s as f64 - 0.5) * 1e3; 120];
                let all: Vec<f64> = (0..c.told_each_s).flat_map(|_| us).collect();
                w.histogram(lane, ms((s - c.told_each_s) * 1_000), ms(s * 1_000), &all);
            }
        };
        if let Some(takes) = c.handler_ms {
            every(&mut w, LaneSpec::histogram(names::SERVER_HANDLER, "shop-0").about("/buy"), &takes);
        }
        if let Some(held) = c.held_ms {
            every(&mut w, LaneSpec::histogram("pool.db.hold", "shop-0"), &|_| held);
        }
    }
    w.diagnose()
}

/// From 10 s on 260 a second come and 175 are finished; the others wait.
fn short() -> Client {
    Client {
        offered: |s| 260.0 * (s / 4.0).min(1.0),
        sent: |s| 260.0 * (s / 4.0).min(1.0),
        finished: |s| if s < 10.0 { 260.0 * (s / 4.0).min(1.0) } else { 175.0 },
        sessions: |s| 5.0 + 85.0 * (s - 10.0).max(0.0),
        waits_ms: |s| 320.0 * (s - 10.0).max(0.0),
        ..steady()
    }
}

/// A closed loop that keeps its own pace of 400 a second, of which 240 are finished from 10 s on.
fn behind() -> Client {
    Client { waits_ms: |s| 400.0 * (s - 10.0).max(0.0), ..steady() }
}

/// A ramp of sessions to 400; beyond 200 they bring nothing more.
fn flat() -> Client {
    Client {
        phases: vec![phase(0, SECONDS, 10.0, 400.0, false)],
        sessions: |s| 10.0 + 13.0 * s,
        sent: |s| (25.0 * s).min(375.0),
        finished: |s| (25.0 * s).min(375.0),
        offered: |s| (25.0 * s).min(375.0),
        waits_ms: |s| 60.0 * (s - 15.0).max(0.0),
        ..steady()
    }
}

/// Every two seconds from 10 s on half of the answers wait for 0.4 s, and then come at once.
fn stalls() -> Client {
    Client {
        finished: |s| {
            let phase = (s - 10.0).rem_euclid(2.0);
            match (s < 10.0, phase) {
                (true, _) => 250.0 * (s / 4.0).min(1.0),
                (false, p) if p < 0.4 => 125.0,
                (false, p) if p < 0.5 => 750.0,
                _ => 250.0,
            }
        },
        browse_ms: |s, d| {
            let left = 400.0 - 1e3 * (s - 10.0).rem_euclid(2.0);
            let stalled = s >= 10.0 && left > 0.0 && d.unit() < 0.5;
            1.0 + d.exp(4.0) + if stalled { left } else { 0.0 }
        },
        ..steady()
    }
}

/// A closed loop of 200 sessions that finished 250 a second, and 120 from 10 s on.
fn fallen() -> Client {
    Client {
        finished: |s| if s < 10.0 { 250.0 * (s / 4.0).min(1.0) } else { 120.0 },
        waits_ms: |s| 500.0 * (s - 10.0).max(0.0),
        ..steady()
    }
}

/// From 10 s on `buy` takes 0.8 s, and its sessions fall behind by 0.4 s each second: of 200 a second that are asked for, 120 are finished.
fn one_step() -> Client {
    Client {
        buy_ms: |s, d| 3.0 + d.exp(12.0) + if s > 10.0 { 800.0 } else { 0.0 },
        step_waits_ms: |step, s| if step == "buy" { 400.0 * (s - 10.0).max(0.0) } else { 0.0 },
        ..steady()
    }
}

/// The same with instruments that time its handler.
fn seen_in_the_handler() -> Client {
    Client { attached: true, handler_ms: Some(|s| if s > 10.0 { 812.0 } else { 12.0 }), ..one_step() }
}

fn cold() -> Client {
    Client {
        phases: vec![phase(0, SECONDS, 200.0, 200.0, false)],
        sessions: |_| 200.0,
        sent: |_| 250.0,
        finished: |_| 250.0,
        offered: |_| 250.0,
        browse_ms: |s, d| 1.0 + d.exp(4.0) + if s < 6.0 { 90.0 } else { 0.0 },
        ..steady()
    }
}

fn refusing() -> Client {
    Client { refused: |s| if (10.0..14.0).contains(&s) { 40.0 } else { 0.0 }, ..steady() }
}

/// One in twenty of `buy` takes half a second from 10 s on.
fn tail() -> Client {
    Client {
        buy_ms: |s, d| 3.0 + d.exp(12.0) + if s > 10.0 && d.unit() < 0.05 { 500.0 } else { 0.0 },
        ..steady()
    }
}

#[test]
fn a_target_that_finishes_less_than_comes_is_found_with_what_it_finishes() {
    for seed in 0..SEEDS {
        for (client, figure) in [(short(), "260/s are offered"), (behind(), "what is asked comes to about")] {
            let d = watched(seed, &client);
            assert_eq!(kinds_of(&d), [FindingKind::ThroughputKnee], "{:#?}", d.findings());
            let f = find(&d, FindingKind::ThroughputKnee);
            assert_eq!((f.status, f.severity), (Status::Likely, Severity::Critical));
            assert!(f.onset >= ms(9_000) && f.onset <= ms(14_000) && f.found_at <= ms(17_500), "{f:#?}");
            assert!(f.claim.contains(figure), "{}", f.claim);
        }
    }
    // 250 finished a second, and answers come 0.4 s later each second: 250 / 0.6.
    let d = watched(1, &behind());
    let asked = d.findings()[0].claim.split("about ").nth(1).unwrap().split('/').next().unwrap().to_owned();
    assert!((370.0..470.0).contains(&asked.parse::<f64>().unwrap()), "{asked}");
}

#[test]
fn a_ramp_beyond_the_knee_is_found_with_the_sessions_at_which_it_lies() {
    for seed in 0..SEEDS {
        let d = watched(seed, &flat());
        let f = find(&d, FindingKind::ThroughputKnee);
        let at = f.claim.split("reached with ").nth(1).unwrap().split(' ').next().unwrap();
        // 375 a second are reached at 15 s, with 205 sessions.
        assert!((170.0..=230.0).contains(&at.parse::<f64>().unwrap()), "{}", f.claim);
    }
}

#[test]
fn what_was_finished_before_is_told_and_does_not_count_for_the_knee() {
    for seed in 0..SEEDS {
        let d = watched(seed, &fallen());
        assert_eq!(kinds_of(&d), [FindingKind::ThroughputKnee], "{:#?}", d.findings());
        let f = find(&d, FindingKind::ThroughputKnee);
        // The ramp had come to 120 a second with 96 sessions.
        assert!(f.claim.contains("reached with 200 sessions; it finished 2"), "{}", f.claim);
        assert!(f.claim.contains("/s until 00:10; "), "{}", f.claim);
        assert!(f.advice[0].contains("more sessions than 200 only wait longer"), "{:?}", f.advice);
    }
    let never = watched(1, &behind());
    assert!(!never.findings()[0].claim.contains("it finished"), "{:#?}", never.findings());
}

#[test]
fn a_step_that_falls_behind_is_found_though_the_others_hide_it() {
    for seed in 0..SEEDS {
        let d = watched(seed, &one_step());
        assert_eq!(kinds_of(&d), [FindingKind::ThroughputKnee], "{:#?}", d.findings());
        let f = find(&d, FindingKind::ThroughputKnee);
        assert_eq!((f.subject.as_str(), f.status, f.severity), ("buy", Status::Likely, Severity::Critical));
        assert!(f.onset >= ms(9_000) && f.onset <= ms(12_000) && f.found_at <= ms(21_000), "{f:#?}");
        assert!(f.claim.contains("finishes 120/s of step buy and no more since"), "{}", f.claim);
        let asked = f.claim.split("about ").nth(1).unwrap().split('/').next().unwrap();
        assert!((190.0..210.0).contains(&asked.parse::<f64>().unwrap()), "{}", f.claim);
    }
}

/// A turn's first step is late by what the turn before took.
#[test]
fn the_step_that_is_waited_for_is_named_beside_the_one_that_is_late() {
    let late = |step: &str, s: f64| if step == "browse" { 400.0 * (s - 10.0).max(0.0) } else { 0.0 };
    let d = watched(1, &Client { step_waits_ms: late, ..one_step() });
    assert_eq!(kinds_of(&d), [FindingKind::ThroughputKnee], "{:#?}", d.findings());
    let f = find(&d, FindingKind::ThroughputKnee);
    let told =
        f.evidence.iter().any(|e| e.text.starts_with("of the steps that sessions late for browse do, buy"));
    assert!(f.subject == "browse" && told, "{f:#?}");
    // Nothing takes long: the sessions ask for more than one after the other can be answered.
    let quick = Client { step_waits_ms: late, attached: true, ..steady() };
    assert!(watched(1, &quick).findings().is_empty());
}

#[test]
fn beside_instruments_a_backlog_that_they_do_not_explain_is_told_with_what_they_know() {
    for seed in 0..SEEDS {
        let d = watched(seed, &seen_in_the_handler());
        assert_eq!(kinds_of(&d), [FindingKind::ThroughputKnee], "{:#?}", d.findings());
        let f = find(&d, FindingKind::ThroughputKnee);
        assert_eq!((f.subject.as_str(), f.status), ("buy", Status::Likely));
        let known = "; requests of /buy spend 8";
        let unknown = "ms in the handler, and no pool, statement, called service or offload that is watched accounts for it";
        assert!(f.claim.contains(known) && f.claim.ends_with(unknown), "{}", f.claim);
        assert!(f.evidence.iter().any(|e| e.lane == names::SERVER_HANDLER), "{f:#?}");
        assert_eq!(f.missing, ["pool.*.wait"]);
    }
    let before = watched(1, &Client { handler_ms: Some(|_| 3.0), ..seen_in_the_handler() });
    assert!(before.findings()[0].claim.contains("no handler that is watched takes so long"), "{before:#?}");
    let untimed = watched(1, &Client { handler_ms: None, ..seen_in_the_handler() });
    assert_eq!(untimed.findings()[0].missing, ["server.handler", "pool.*.wait"]);
}

#[test]
fn a_backlog_that_instruments_account_for_or_a_late_generator_makes_is_not_told_beside_them() {
    let held = Client { held_ms: Some(600.0), ..seen_in_the_handler() };
    assert!(!kinds_of(&watched(1, &held)).contains(&FindingKind::ThroughputKnee));
    let little = Client { held_ms: Some(60.0), ..seen_in_the_handler() };
    let told = watched(1, &little);
    let f = find(&told, FindingKind::ThroughputKnee);
    let comes_to = "all that is watched, of all requests, comes to 7.";
    assert!(f.evidence.iter().any(|e| e.text.contains(comes_to)), "{f:#?}");
    // What is told each 15 s may not have been told yet.
    let seldom = Client { told_each_s: 15, ..little };
    assert!(!kinds_of(&watched(1, &seldom)).contains(&FindingKind::ThroughputKnee));
    for client in [one_step(), seen_in_the_handler()] {
        let d = watched(1, &Client { late_ms: 60.0, ..client });
        assert!(kinds_of(&d).iter().all(|k| *k == FindingKind::GeneratorLimited), "{:#?}", d.findings());
    }
}

#[test]
fn stalls_are_found_with_their_period() {
    for seed in 0..SEEDS {
        let d = watched(seed, &stalls());
        assert_eq!(kinds_of(&d), [FindingKind::PeriodicStalls], "{:#?}", d.findings());
        let f = find(&d, FindingKind::PeriodicStalls);
        assert!(f.claim.contains("every 2.0 s"), "{}", f.claim);
        assert!(f.claim.contains("for about 400 ms each time"), "{}", f.claim);
        // Chance may make one period before the first stall look like one.
        assert!(f.onset >= ms(7_500) && f.onset <= ms(12_500), "{f:#?}");
    }
}

#[test]
fn a_stall_is_as_long_among_periods_without_one() {
    for seed in 0..SEEDS {
        let soon_over =
            Client { finished: |s| if s < 18.0 { (stalls().finished)(s) } else { 250.0 }, ..stalls() };
        let d = watched(seed, &soon_over);
        let f = find(&d, FindingKind::PeriodicStalls);
        // Chance may lift one cell of the four above what counts as missing.
        let length = f.claim.split("for about ").nth(1).unwrap().split(' ').next().unwrap();
        assert!(["300", "400"].contains(&length), "{}", f.claim);
    }
}

#[test]
fn a_cold_target_refused_connections_and_a_long_tail_are_found() {
    for seed in 0..SEEDS {
        let d = watched(seed, &cold());
        assert_eq!(kinds_of(&d), [FindingKind::SlowStart], "{:#?}", d.findings());
        assert!(find(&d, FindingKind::SlowStart).claim.contains("for 6 s"), "{:#?}", d.findings());
        let d = watched(seed, &refusing());
        assert_eq!(kinds_of(&d), [FindingKind::ConnectionsRefused], "{:#?}", d.findings());
        let f = find(&d, FindingKind::ConnectionsRefused);
        assert!(f.onset >= ms(9_800) && f.onset <= ms(10_200) && f.found_at <= ms(11_000), "{f:#?}");
        let d = watched(seed, &tail());
        assert_eq!(kinds_of(&d), [FindingKind::LongTail], "{:#?}", d.findings());
        let f = find(&d, FindingKind::LongTail);
        assert!(f.subject == "buy" && f.found_at <= ms(17_500), "{f:#?}");
    }
}

#[test]
fn healthy_loads_have_no_finding() {
    let beats = Client {
        // The load itself comes in beats.
        sent: |s| if s.rem_euclid(1.0) < 0.3 { 600.0 } else { 100.0 },
        finished: |s| if s.rem_euclid(1.0) < 0.3 { 600.0 } else { 100.0 },
        ..steady()
    };
    let ramp = Client {
        waits_ms: |_| 0.0,
        sent: |s| 25.0 * s,
        finished: |s| 25.0 * s,
        offered: |s| 25.0 * s,
        ..flat()
    };
    let slower_with_load = Client { waits_ms: |s| 2.0 * s, ..ramp.clone() };
    let opening = Client { browse_ms: |s, d| d.exp(5.0) + if s < 2.0 { 150.0 } else { 0.0 }, ..cold() };
    let warming = Client { browse_ms: |s, d| d.exp(5.0) + if s < 4.0 { 150.0 } else { 0.0 }, ..steady() };
    let heavy = Client { buy_ms: |_, d| 10.0 + d.exp(60.0), browse_ms: |_, d| 5.0 + d.exp(40.0), ..steady() };
    let breaks = Client { refused: |s| if (10.0..10.1).contains(&s) { 20.0 } else { 0.0 }, ..steady() };
    // One step's queue that comes and goes, that stays as long as it is, or that is there while load grows or the target warms up.
    let slow = Client { buy_ms: |_, d| 150.0 + d.exp(12.0), ..steady() };
    let spike = Client {
        step_waits_ms: |step, s| if step == "buy" { (4e3 - 1e3 * (s - 14.0).abs()).max(0.0) } else { 0.0 },
        ..slow.clone()
    };
    let again = Client {
        step_waits_ms: |step, s| if step == "buy" && s.rem_euclid(7.0) < 1.0 { 1_500.0 } else { 0.0 },
        ..slow.clone()
    };
    let long = Client { step_waits_ms: |step, _| if step == "buy" { 3e3 } else { 0.0 }, ..slow.clone() };
    let end_of_ramp = Client {
        phases: vec![phase(0, 20, 10.0, 270.0, false), phase(20, SECONDS, 270.0, 270.0, false)],
        sessions: |s| 10.0 + 13.0 * s.min(20.0),
        sent: |s| 25.0 * s.min(20.0),
        finished: |s| 25.0 * s.min(20.0),
        offered: |s| 25.0 * s.min(20.0),
        step_waits_ms: |step, s| if step == "buy" { 120.0 * s.min(20.0) } else { 0.0 },
        ..slow.clone()
    };
    let warm_up = Client {
        phases: vec![phase(0, 14, 200.0, 200.0, true), phase(14, SECONDS, 200.0, 200.0, false)],
        step_waits_ms: |step, s| if step == "buy" && s < 14.0 { 300.0 * s } else { 0.0 },
        ..slow.clone()
    };
    for (name, client) in [
        ("steady", steady()),
        ("beats", beats),
        ("ramp", ramp),
        ("slower with load", slower_with_load),
        ("opening", opening),
        ("warming", warming),
        ("heavy", heavy),
        ("breaks", breaks),
        ("one slow step", slow),
        ("spike of one step", spike),
        ("waits again and again", again),
        ("long waits", long),
        ("end of a ramp", end_of_ramp),
        ("warm-up of one step", warm_up),
    ] {
        for (seed, attached) in (0..SEEDS).flat_map(|seed| [(seed, false), (seed, true)]) {
            let d = watched(seed, &Client { attached, ..client.clone() });
            assert!(d.findings().is_empty(), "{name}, seed {seed}, {attached}: {:#?}", d.findings());
        }
    }
}

#[test]
fn whoever_is_attached_speaks_instead_and_a_late_generator_says_nothing() {
    for client in [short(), behind(), flat(), stalls(), cold(), refusing(), tail()] {
        let d = watched(1, &Client { attached: true, ..client.clone() });
        // Many connections that are lost are told all the same.
        let lost = (client.refused)(12.0) > 0.0;
        let told = if lost { vec![FindingKind::ConnectionsRefused] } else { Vec::new() };
        assert_eq!(kinds_of(&d), told, "{:#?}", d.findings());
        let d = watched(1, &Client { late_ms: 60.0, ..client });
        assert!(kinds_of(&d).iter().all(|k| *k == FindingKind::GeneratorLimited), "{:#?}", d.findings());
    }
}

#[test]
fn who_is_silent_because_others_are_attached_has_not_looked() {
    let alone = watched(1, &steady());
    let attached = watched(1, &Client { attached: true, ..steady() });
    for kind in [
        FindingKind::ThroughputKnee,
        FindingKind::PeriodicStalls,
        FindingKind::SlowStart,
        FindingKind::ConnectionsRefused,
        FindingKind::LongTail,
    ] {
        assert_eq!(state(&alone, kind).0, Status::NotSeen, "{}", kind.name());
        cannot_tell(&attached, kind, "left to the instruments that are attached");
    }
}

#[test]
fn a_missing_lane_is_named() {
    let d = World::empty(10, Vec::new()).diagnose();
    for (kind, lane) in [
        (FindingKind::ThroughputKnee, names::COMPLETED),
        (FindingKind::PeriodicStalls, names::SERVICE),
        (FindingKind::SlowStart, names::RESPONSE),
        (FindingKind::ConnectionsRefused, names::ERRORS),
        (FindingKind::LongTail, names::SERVICE),
    ] {
        cannot_tell(&d, kind, lane);
    }
}

/// Claim, evidence and advice of the findings as people read them.
fn told(d: &Diagnosis) -> String {
    let mut text = String::new();
    for f in d.findings() {
        text += &format!("{} {} {}\n  {}\n", f.kind.name(), f.subject, f.severity.name(), f.claim);
        f.evidence.iter().for_each(|e| text += &format!("  + {} [{}]\n", e.text, e.lane));
        f.advice.iter().for_each(|a| text += &format!("  > {a}\n"));
        text += &format!("  ? {}\n", f.missing.join(", "));
    }
    text
}

#[test]
fn the_words_of_each_finding() {
    insta::assert_snapshot!("knee_short", told(&watched(1, &short())));
    insta::assert_snapshot!("knee_flat", told(&watched(1, &flat())));
    insta::assert_snapshot!("stalls", told(&watched(1, &stalls())));
    insta::assert_snapshot!("cold", told(&watched(1, &cold())));
    insta::assert_snapshot!("refusing", told(&watched(1, &refusing())));
    insta::assert_snapshot!("tail", told(&watched(1, &tail())));
}
