//! What holds of all findings, with the commonest pathologies: figures, twins that stay clean, the same words and bytes each time; on made-up runs of two processes.

use dynamometer_profiler as profiler;

use crate::world::{self, Setup, build, find, kinds_of, likely, ms, phase, told, took};
use timeline::{FindingKind, Status};

fn small_pool() -> Setup {
    let phases = world::open(Setup::default().phases);
    Setup {
        phases,
        capacity: |s| if s < 12.0 { 8 } else { 3 },
        rate: |s| 700.0 * (s / 5.0).min(1.0),
        seconds: 24,
        ..Setup::default()
    }
}

fn stampede() -> Setup {
    Setup { stampede: Some((15.0, 30.0)), rate: |s| 150.0 * (s / 5.0).min(1.0), ..Setup::default() }
}

pub(super) fn leak() -> Setup {
    Setup { leak: Some((12.0, 3.1 * 1024.0 * 1024.0)), ..Setup::default() }
}

pub(super) fn frozen() -> Setup {
    Setup { frozen: Some((12.0, 30.0, 400, 2_000)), ..Setup::default() }
}

/// Seeds for each healthy load; `DYNO_SEEDS=100` looks harder.
fn seeds() -> u64 {
    std::env::var("DYNO_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(3)
}

#[test]
fn a_pool_below_the_load_is_found_with_what_the_load_needs() {
    for seed in 0..5 {
        let d = build(&Setup { seed, ..small_pool() }).diagnose();
        assert_eq!(kinds_of(&d), [FindingKind::PoolSaturated], "{:#?}", d.findings());
        let f = find(&d, FindingKind::PoolSaturated);
        assert!(took(f, 12.0) <= 3.0 && f.onset >= ms(11_500) && f.onset <= ms(13_000), "{f:#?}");
        assert_eq!(f.status, Status::Confirmed);
        assert_eq!(f.caused_by, None);
        // 700/s x 15 ms = 10.5
        let needs: f64 = f.claim.split("needs ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!((9.0..=13.0).contains(&needs), "{}", f.claim);
    }
}

#[test]
fn what_a_warm_up_leaves_in_the_queue_drains_before_it_counts() {
    // Twice 533/s are to be had: 940 wait when the warm-up ends at 5 s, and are gone at 6.4 s.
    let rising = Setup {
        capacity: |_| 8,
        rate: |s| if s < 5.0 { 1_300.0 * s.min(1.0) } else { 400.0 },
        ..small_pool()
    };
    for seed in 0..3 {
        let d = build(&Setup { seed, ..rising.clone() }).diagnose();
        assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
        // A pool that is too small all the same is found with what follows.
        let small = Setup { capacity: |_| 3, rate: |s| 700.0 * (s / 5.0).min(1.0), ..small_pool() };
        let d = build(&Setup { seed, ..small }).diagnose();
        let f = find(&d, FindingKind::PoolSaturated);
        assert!(f.status == Status::Confirmed && f.onset >= ms(8_000) && f.found_at <= ms(13_500), "{f:#?}");
    }
}

#[test]
fn what_a_closed_loop_would_ask_for_is_seen_through_its_waiting() {
    // 1,000 sessions that think for 1 s: 985/s with nobody waiting, 14.8 connections busy; 8 are left.
    let setup = Setup {
        closed: Some((1_000, 1.0)),
        sessions: |_| 1_000.0,
        capacity: |s| if s < 12.0 { 16 } else { 4 },
        seconds: 30,
        ..Setup::default()
    };
    for seed in 0..3 {
        let d = build(&Setup { seed, ..setup.clone() }).diagnose();
        let f = find(&d, FindingKind::PoolSaturated);
        assert!(took(f, 12.0) <= 3.0 && f.status == Status::Confirmed, "{f:#?}");
        let needs: f64 = f.claim.split("needs ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!((13.0..=18.0).contains(&needs), "{}", f.claim);
    }
}

#[test]
fn a_stampede_comes_before_the_pool_that_it_fills() {
    for seed in 0..5 {
        let d = build(&Setup { seed, ..stampede() }).diagnose();
        assert_eq!(
            kinds_of(&d),
            [FindingKind::CacheStampede, FindingKind::PoolSaturated],
            "{:#?}",
            d.findings()
        );
        let (cause, effect) = (&d.findings()[0], &d.findings()[1]);
        assert_eq!(cause.onset, ms(15_000));
        assert!(
            took(cause, 15.0) <= 3.0 && took(effect, 15.0) <= 3.0,
            "{} {}",
            cause.found_at,
            effect.found_at
        );
        assert_eq!((cause.status, cause.subject.as_str()), (Status::Confirmed, "product:7"));
        assert_eq!(effect.caused_by.as_ref(), Some(&cause.id), "{effect:#?}");
        assert!(cause.ended.is_some(), "it ended at 30 s");
    }
}

#[test]
fn stops_of_a_process_are_found_with_length_and_period() {
    for seed in 0..5 {
        let d = build(&Setup { seed, ..frozen() }).diagnose();
        let f = &d.findings()[0];
        assert_eq!(
            (f.kind, f.subject.as_str(), f.status),
            (FindingKind::LongPause, "shop-0", Status::Confirmed)
        );
        assert!(took(f, 12.0) <= 3.0 && f.onset == ms(12_003), "{f:#?}");
        assert!(f.claim.contains("every 2.00 s") && f.claim.contains("398 ms"), "{}", f.claim);
        assert!(
            d.findings().iter().skip(1).all(|g| g.caused_by.as_ref() == Some(&f.id)),
            "{:#?}",
            d.findings()
        );
    }
}

#[test]
fn a_starved_generator_silences_what_it_would_blame_on_the_target() {
    let d = build(&Setup { starved: Some((11.0, 30.0)), ..frozen() }).diagnose();
    assert_eq!(kinds_of(&d), [FindingKind::GeneratorLimited], "{:#?}", d.findings());
    let d = build(&Setup { starved: Some((11.0, 30.0)), ..small_pool() }).diagnose();
    assert_eq!(kinds_of(&d), [FindingKind::GeneratorLimited], "{:#?}", d.findings());
    assert!(
        d.findings()[0].evidence.iter().any(|e| e.text.contains("withheld: pool-saturated db")),
        "{:#?}",
        d.findings()
    );
}

#[test]
fn healthy_runs_have_no_finding() {
    let steady = Setup::default();
    let ramp = Setup {
        phases: vec![phase(0, 30, 0.0, 5_000.0, false), phase(30, 40, 5_000.0, 5_000.0, false)],
        rate: |s| 500.0 * (s / 30.0).min(1.0),
        sessions: |s| 5_000.0 * (s / 30.0).min(1.0),
        heap: |s| 20e6 + 200e6 * (s / 30.0).min(1.0),
        ..Setup::default()
    };
    let spike = Setup {
        phases: vec![
            phase(0, 15, 500.0, 500.0, false),
            phase(15, 25, 5_000.0, 5_000.0, false),
            phase(25, 40, 500.0, 500.0, false),
        ],
        rate: |s| if (15.0..25.0).contains(&s) { 600.0 } else { 100.0 },
        sessions: |s| if (15.0..25.0).contains(&s) { 5_000.0 } else { 500.0 },
        heap: |s| 30e6 + if s > 15.0 { 80e6 * ((s - 15.0) / 2.0).min(1.0) } else { 0.0 },
        ..Setup::default()
    };
    let filling = Setup { heap: |s| 200e6 - 100e6 * (-s / 6.0).exp(), ..Setup::default() };
    let filling_fast = Setup { heap: |s| 100e6 - 50e6 * (-s / 3.0).exp(), ..Setup::default() };
    let filling_slowly = Setup { heap: |s| 200e6 - 100e6 * (-s / 12.0).exp(), ..Setup::default() };
    let noisy = Setup { noisy: true, ..Setup::default() };
    for (name, setup) in [
        ("steady", steady),
        ("ramp", ramp),
        ("spike", spike),
        ("filling", filling),
        ("filling fast", filling_fast),
        ("filling slowly", filling_slowly),
        ("noisy", noisy),
    ] {
        for seed in 0..seeds() {
            let d = build(&Setup { seed, ..setup.clone() }).diagnose();
            assert!(d.findings().is_empty(), "{name}, seed {seed}: {:#?}", d.findings());
            // The world has not the lanes of every detector.
            assert!(d.states().iter().all(|s| s.1 <= Status::NotSeen), "{:#?}", d.states());
        }
    }
}

/// What a person does to the load is known to all who judge: neither the halt nor the going on is a fault of the target.
#[test]
fn a_halt_is_no_finding() {
    use timeline::Amendment::{GoOn, Halt, Scale};
    for seed in 0..seeds() {
        for open in [false, true] {
            let mut setup = Setup {
                seed,
                rate: |s| match s {
                    15.0..20.0 => 0.0,
                    30.0.. => 250.0,
                    _ => 500.0 * (s / 5.0).min(1.0),
                },
                ..Setup::default()
            };
            if open {
                setup.phases = world::open(setup.phases);
            }
            let mut w = build(&setup);
            for (s, what) in [(15, Halt), (20, GoOn), (30, Scale(0.5))] {
                w.entries.push((ms(s * 1_000), timeline::Entry::Event(what.event(ms(s * 1_000)))));
            }
            let d = w.diagnose();
            assert_eq!(kinds_of(&d), [], "seed {seed}, open {open}: {:#?}", d.findings());
        }
    }
}

#[test]
fn independent_faults_are_both_found_and_neither_is_blamed_for_the_other() {
    let d = build(&Setup { leak: leak().leak, ..frozen() }).diagnose();
    for kind in [FindingKind::HeapLeak, FindingKind::LongPause] {
        let f = find(&d, kind);
        assert!(likely(f) && f.caused_by.is_none(), "{f:#?}");
    }
    // A pool that is short all the time, and short stampedes in between.
    let both = Setup {
        stampede: Some((18.0, 30.0)),
        ttl: 3.0,
        load_ms: 60.0,
        key_rate: 400.0,
        seconds: 34,
        ..small_pool()
    };
    let d = build(&both).diagnose();
    for kind in [FindingKind::CacheStampede, FindingKind::PoolSaturated] {
        assert!(find(&d, kind).caused_by.is_none(), "{:#?}", d.findings());
    }
}

#[test]
fn names_of_phases_and_steps_change_nothing() {
    for setup in [stampede(), small_pool(), leak(), frozen()] {
        let mut w = build(&setup);
        let before = serde_json::to_string(w.diagnose().findings()).unwrap();
        w.plan.phases.iter_mut().for_each(|p| p.name = "stampede leak frozen".into());
        w.plan.steps = vec!["pool-too-small".into(); 2];
        assert_eq!(serde_json::to_string(w.diagnose().findings()).unwrap(), before);
    }
}

#[test]
fn the_same_entries_give_the_same_findings_to_the_byte() {
    let script = build(&stampede()).script();
    let json = |d: profiler::Diagnosis| serde_json::to_string(d.findings()).unwrap();
    assert_eq!(json(world::replay(&script)), json(world::replay(&script)));
}

#[test]
fn without_lanes_nothing_can_be_told_and_the_missing_ones_are_named() {
    let d = world::World::empty(10, Vec::new()).diagnose();
    let states = d.states();
    assert!(states.iter().all(|s| s.1 == Status::CannotTell && s.2.starts_with("missing: ")), "{states:#?}");
    assert!(d.findings().is_empty());
    assert_eq!(profiler::Diagnosis::new().states()[0].2, "the run was too short to look");
}

#[test]
fn the_words_of_each_finding() {
    insta::assert_snapshot!("stampede", told(&build(&stampede()).diagnose()));
    insta::assert_snapshot!("small_pool", told(&build(&small_pool()).diagnose()));
    insta::assert_snapshot!("leak", told(&build(&leak()).diagnose()));
    insta::assert_snapshot!("frozen", told(&build(&frozen()).diagnose()));
    insta::assert_snapshot!(
        "starved",
        told(&build(&Setup { starved: Some((11.0, 30.0)), ..small_pool() }).diagnose())
    );
}
