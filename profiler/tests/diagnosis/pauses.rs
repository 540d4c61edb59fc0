//! Pauses, on made-up runs of two processes: what a process did to itself is told from a wait for a core, from seldom words and from a lost source.

use std::collections::BTreeMap;

use dynamometer_profiler as profiler;

use super::detectors::frozen;
use crate::world::{self, Setup, World, build, find, kinds_of, likely, ms, took};
use timeline::event::kinds;
use timeline::lane::names;
use timeline::{Entry, FindingKind, LaneId, LaneSpec, RunTime, Severity, Unit};

/// Each 1.5 s the process stands still for 150 ms, of which it was ready to run for 130; a collection takes `collected` of it.
fn without_a_core(collected: u64) -> profiler::Diagnosis {
    let mut w = build(&Setup { seconds: 24, ..Setup::default() });
    for at in (12_000..24_000).step_by(1_500) {
        w.event(kinds::PAUSE_HICCUP, "shop-0", ms(at), ms(at + 150), &[], 130e6);
        w.event(kinds::PAUSE_MAJOR, "shop-0", ms(at), ms(at + collected), &[], 0.0);
    }
    w.diagnose()
}

#[test]
fn a_collection_whose_helpers_have_the_cores_is_a_pause_and_a_neighbour_is_none() {
    let d = without_a_core(120);
    let f = find(&d, FindingKind::LongPause);
    assert!(f.claim.contains("major collections"), "{f:#?}");
    assert_eq!(kinds_of(&without_a_core(10)), []);
}

/// Each 1.5 s the loop of shop-0 turns 80 ms late, because it was `busy` or for no reason of its own; a collection takes `collected` of it.
fn late_for_80_ms(busy: bool, collected: u64) -> Vec<FindingKind> {
    let mut w = build(&Setup { seconds: 24, ..Setup::default() });
    let kind = if busy { kinds::PAUSE_WORKER_STALL } else { kinds::PAUSE_HICCUP };
    for at in (12_000..24_000).step_by(1_500) {
        w.event(kind, "shop-0", ms(at), ms(at + 80), &[], 0.0);
        w.event(kinds::PAUSE_MAJOR, "shop-0", ms(at), ms(at + collected), &[], 0.0);
    }
    kinds_of(&w.diagnose())
}

#[test]
fn collections_count_from_half_of_what_a_standstill_without_a_reason_takes_to_count() {
    assert!(late_for_80_ms(true, 75).contains(&FindingKind::LongPause));
    assert!(late_for_80_ms(false, 75).contains(&FindingKind::LongPause));
    assert!(
        !late_for_80_ms(true, 20).contains(&FindingKind::LongPause),
        "the work of its loop, and little else"
    );
    assert_eq!(late_for_80_ms(false, 20), []);
    // A standstill that is a collection for the most part is no second one beside it.
    let mut w = build(&Setup { seconds: 24, ..Setup::default() });
    for at in (12_000..24_000).step_by(1_500) {
        w.event(kinds::PAUSE_HICCUP, "shop-0", ms(at), ms(at + 60), &[], 20e6);
        w.event(kinds::PAUSE_MAJOR, "shop-0", ms(at), ms(at + 35), &[], 0.0);
    }
    assert_eq!(kinds_of(&w.diagnose()), []);
}

/// Each 1.5 s shop-0 stands still for 600 ms, of which it was ready to run for 540, with a collection of 335 ms in it; so much of the CPU is in
/// use, and shop-1 lacks a core at the same time or does not.
fn starved_collections(cpu: f64, both: bool) -> bool {
    let mut w = build(&Setup { seconds: 24, ..Setup::default() });
    let host = w.lane(LaneSpec::level(names::HOST_CPU, "host", Unit::Ratio));
    (1..48).for_each(|i| w.sample(host, ms(i * 500), cpu));
    for at in (12_000..23_000).step_by(1_500) {
        w.event(kinds::PAUSE_HICCUP, "shop-0", ms(at), ms(at + 600), &[], 540e6);
        w.event(kinds::PAUSE_MINOR, "shop-0", ms(at + 100), ms(at + 435), &[], 0.0);
        if both {
            w.event(kinds::PAUSE_HICCUP, "shop-1", ms(at + 50), ms(at + 500), &[], 400e6);
        }
    }
    kinds_of(&w.diagnose()).contains(&FindingKind::LongPause)
}

#[test]
fn a_collection_that_lacked_a_core_itself_is_no_pause() {
    assert!(!starved_collections(1.0, true));
    assert!(starved_collections(0.6, true), "there were cores");
    assert!(starved_collections(1.0, false), "the other process had one");
}

/// Each 1.5 s shop-0 stands still for 130 ms, waits for a core for `queued` of it, and has a collection of 92 ms in it. The host uses `cpu` of
/// its two cores, which so many threads want.
fn hardly_ran(queued: u64, cpu: f64, wanted: f64) -> bool {
    helped(queued, 0, kinds::PAUSE_MINOR, cpu, wanted)
}

/// The same with a collection of this `kind`, while other threads of the process have a core for so many ms of the wait.
fn helped(queued: u64, helpers: u64, kind: &str, cpu: f64, wanted: f64) -> bool {
    let mut w = build(&Setup { seconds: 24, ..Setup::default() });
    let host = |name, unit, value| (LaneSpec::level(name, "host", unit), value);
    for (spec, value) in [
        host(names::HOST_CPU, Unit::Ratio, cpu),
        host(names::HOST_CORES, Unit::Count, 2.0),
        host(names::HOST_RUN_QUEUE, Unit::Count, wanted),
    ] {
        let lane = w.lane(spec);
        (1..48).for_each(|i| w.sample(lane, ms(i * 500), value));
    }
    for at in (12_000..23_000).step_by(1_500) {
        let labels = [("helped", &*(helpers * 1_000_000).to_string())];
        w.event(kinds::PAUSE_WORKER_STALL, "shop-0", ms(at), ms(at + 130), &labels, queued as f64 * 1e6);
        w.event(kind, "shop-0", ms(at + 30), ms(at + 122), &[], 0.0);
    }
    kinds_of(&w.diagnose()).contains(&FindingKind::LongPause)
}

#[test]
fn a_collection_whose_thread_hardly_ran_is_no_pause_where_the_cores_are_full() {
    assert!(!hardly_ran(125, 1.0, 3.0));
    assert!(!hardly_ran(125, 0.55, 7.0), "one core of two is the target's, and seven want it");
    assert!(hardly_ran(125, 0.55, 4.0), "whoever looks wants one, too: its helpers have them");
    assert!(hardly_ran(70, 1.0, 7.0), "it ran for longer than a collection that counts");
}

#[test]
fn a_major_collection_whose_helpers_had_the_core_is_a_pause_where_the_cores_are_full() {
    assert!(!helped(125, 30, kinds::PAUSE_MAJOR, 1.0, 3.0));
    assert!(helped(125, 90, kinds::PAUSE_MAJOR, 1.0, 3.0));
    assert!(!helped(125, 90, kinds::PAUSE_MINOR, 1.0, 3.0), "offloaded work wants it, too");
}

#[test]
fn a_short_collection_that_hardly_waited_is_still_called_one_where_the_cores_are_full() {
    let mut w = build(&Setup { seconds: 24, ..Setup::default() });
    let host = w.lane(LaneSpec::level(names::HOST_CPU, "host", Unit::Ratio));
    (1..48).for_each(|i| w.sample(host, ms(i * 500), 1.0));
    for at in (12_000..23_000).step_by(1_500) {
        w.event(kinds::PAUSE_HICCUP, "shop-0", ms(at), ms(at + 70), &[], 25e6);
        w.event(kinds::PAUSE_MAJOR, "shop-0", ms(at + 5), ms(at + 65), &[], 0.0);
    }
    let d = w.diagnose();
    let f = find(&d, FindingKind::LongPause);
    assert!(f.claim.contains("major collections"), "{f:#?}");
}

/// What is advised where shop-0 stands still, and tells so many requests a second of its own, or none.
fn frozen_with_requests(each_second: Option<f64>) -> Vec<String> {
    let mut w = build(&frozen());
    let lanes = [("shop-0", each_second), ("shop-1", Some(200.0))]
        .map(|(name, n)| (w.lane(LaneSpec::rate(names::SERVER_REQUESTS, name, Unit::PerSecond)), n));
    for (lane, rate) in lanes {
        if let Some(n) = rate {
            (1..400).for_each(|i| w.sample(lane, ms(i * 100), n));
        }
    }
    find(&w.diagnose(), FindingKind::LongPause).advice.clone()
}

#[test]
fn what_a_pause_holds_up_is_what_that_process_is_asked() {
    let asked = frozen_with_requests(Some(200.0));
    assert!(asked.iter().any(|a| a == "At 200/s such a pause holds up about 80 requests."), "{asked:?}");
    for asked in [frozen_with_requests(Some(0.0)), frozen_with_requests(None)] {
        assert!(!asked.is_empty() && asked.iter().all(|a| !a.contains("holds up")), "{asked:?}");
    }
}

/// What is told of shop-0, which says nothing from second 12 on for three, with so many of 256 descriptors open.
fn silent_with(descriptors: f64) -> profiler::Diagnosis {
    silent_after(|_| descriptors, 0.0)
}

/// The same with descriptors by second, and so many errors a second at the clients while it is silent.
fn silent_after(descriptors: impl Fn(f64) -> f64, errors: f64) -> profiler::Diagnosis {
    let mut w = build(&Setup { seconds: 20, ..Setup::default() });
    let mut level = |name: &str, value: &dyn Fn(f64) -> f64| {
        let lane = w.lane(LaneSpec::level(name, "shop-0", Unit::Count));
        (1..40).for_each(|i| w.sample(lane, ms(i * 500), value(i as f64 / 2.0)));
    };
    level(names::PROCESS_DESCRIPTORS, &descriptors);
    level(names::PROCESS_DESCRIPTOR_LIMIT, &|_| 256.0);
    let lane = w.lane(LaneSpec::rate(names::ERRORS, "gen-0", Unit::PerSecond).about("status"));
    (1..200).for_each(|i| w.sample(lane, ms(i * 100), if i > 120 { errors } else { 0.0 }));
    let script =
        without_the_silent(&w, |instance, at| instance == "shop-0" && (ms(12_000)..ms(15_000)).contains(&at));
    world::replay(&script)
}

#[test]
fn who_has_no_descriptor_left_cannot_be_asked_and_need_not_stand_still() {
    let told = |descriptors| find(&silent_with(descriptors), FindingKind::LongPause).clone();
    let unasked = told(250.0);
    assert_eq!((unasked.subject.as_str(), unasked.severity), ("shop-0", Severity::Info), "{unasked:#?}");
    assert!(unasked.claim.starts_with("shop-0 cannot be asked since 00:1"), "{}", unasked.claim);
    assert!(unasked.evidence.iter().any(|e| e.text.starts_with("250 of its 256")), "{unasked:#?}");
    let stopped = told(100.0);
    assert_eq!(stopped.severity, Severity::Critical, "{stopped:#?}");
    assert!(stopped.claim.starts_with("shop-0 stands still since 00:1"), "{}", stopped.claim);
}

#[test]
fn who_was_about_to_have_no_descriptor_left_and_cannot_be_asked_any_more_has_none() {
    // Four samples on its way, of which one is near the limit; it is another process afterwards.
    let rising = |s: f64| if s < 15.2 { (100.0 + 90.0 * (s - 10.0).max(0.0)).min(235.0) } else { 100.0 };
    let d = silent_after(rising, 20.0);
    let f = find(&d, FindingKind::FdExhausted);
    assert!(likely(f));
    assert_eq!((f.severity, f.subject.as_str()), (Severity::Critical, "shop-0"));
    assert!(f.found_at <= ms(14_000) && (ms(9_000)..ms(10_600)).contains(&f.onset), "{f:#?}");
    assert!(
        f.claim.starts_with("shop-0 cannot be asked any more, as if no descriptor were left: 2"),
        "{f:#?}"
    );
    let pause = find(&d, FindingKind::LongPause);
    assert_eq!(pause.caused_by.as_deref(), Some(f.id.as_str()), "{pause:#?}");
    // Nobody was refused, or it was there all the time.
    for other in [silent_after(rising, 0.0), silent_after(|_| 250.0, 20.0)] {
        assert!(!kinds_of(&other).contains(&FindingKind::FdExhausted), "{:#?}", other.findings());
    }
}

#[test]
fn a_process_that_stands_still_is_named_before_it_can_speak() {
    let d = build(&Setup { frozen: Some((12.0, 12.5, 9_000, 10_000)), seconds: 20, ..Setup::default() })
        .diagnose();
    let f = &d.findings()[0];
    assert_eq!((f.kind, f.subject.as_str()), (FindingKind::LongPause, "shop-0"));
    assert!(took(f, 12.0) <= 2.0, "{f:#?}");
}

/// A healthy run beside which somebody's page or exports come at `times`, ms.
fn beside_a_slow_voice(
    source: &str,
    instance: &str,
    times: impl Iterator<Item = u64>,
) -> profiler::Diagnosis {
    let mut w = build(&Setup::default());
    let lanes = [names::HEAP_USED, "pool.http.in-use"].map(|lane| {
        let unit = if lane == names::HEAP_USED { Unit::Bytes } else { Unit::Count };
        w.lane(LaneSpec::level(lane, instance, unit))
    });
    let age = w.lane(LaneSpec::level(names::SOURCE_AGE, source, Unit::Ns).about(instance).worst());
    for t in times {
        lanes.into_iter().for_each(|lane| w.sample(lane, ms(t), 5.0));
        w.sample(age, ms(t), 0.0);
    }
    w.diagnose()
}

#[test]
fn who_speaks_seldom_does_not_stand_still_in_between() {
    for (source, period) in [("metrics", 1_500), ("metrics", 2_000), ("otlp", 15_000)] {
        let instance = format!("{source}-8080");
        let d = beside_a_slow_voice(source, &instance, (700..40_000).step_by(period));
        assert_eq!(kinds_of(&d), [], "{instance} each {period} ms: {:#?}", d.findings());
    }
}

#[test]
fn a_page_is_asked_later_after_a_slow_answer_and_stands_still_beyond_that() {
    let fast = |from: u64, to: u64| (from..to).step_by(100);
    // One answer took 40 ms: the next question comes 2 s later.
    let d = beside_a_slow_voice("metrics", "metrics-8080", fast(700, 20_000).chain(fast(22_040, 40_000)));
    assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
    let d = beside_a_slow_voice("metrics", "metrics-8080", fast(700, 20_000).chain(fast(28_000, 40_000)));
    assert_eq!(find(&d, FindingKind::LongPause).subject, "metrics-8080", "{:#?}", d.findings());
}

/// What is told of a run without what those instances say that are silent then.
fn without_the_silent(w: &World, silent: impl Fn(&str, RunTime) -> bool) -> Vec<Entry> {
    let script = w.script();
    let instances: BTreeMap<LaneId, String> = script
        .iter()
        .filter_map(|e| match e {
            Entry::Lane(id, spec) => Some((*id, spec.instance.clone())),
            _ => None,
        })
        .collect();
    let kept = |e: &Entry| match e {
        Entry::Sample { lane, at, .. } => !silent(&instances[lane], *at),
        Entry::Histogram { lane, span, .. } => !silent(&instances[lane], span.end),
        _ => true,
    };
    script.into_iter().filter(kept).collect()
}

/// A healthy run with a third process, in which both shops say nothing from second 12 on for so long.
fn both_silent(ms_long: u64) -> Vec<Entry> {
    let mut w = build(&Setup { seconds: 20, ..Setup::default() });
    let third = w.lane(LaneSpec::level(names::LOOP_UTILISATION, "services-0", Unit::Ratio));
    (1..200).for_each(|i| w.sample(third, ms(i * 100), 0.1));
    let silent = |at: RunTime| at >= ms(12_000) && at < ms(12_000 + ms_long);
    without_the_silent(&w, |instance, at| instance.starts_with("shop-") && silent(at))
}

#[test]
fn all_processes_of_a_kind_that_are_silent_for_a_moment_lack_the_same_core() {
    let found = |ms_long| {
        world::replay(&both_silent(ms_long))
            .findings()
            .iter()
            .filter(|f| f.kind == FindingKind::LongPause)
            .count()
    };
    assert_eq!((found(1_000), found(2_500)), (0, 2));
}

/// shop-1 has gone at second 6, and is known to have; who is left says nothing from second 20 on for three.
#[test]
fn who_is_left_when_others_have_gone_stands_still_alone() {
    let mut w = build(&Setup { seconds: 30, ..Setup::default() });
    w.event(kinds::SOURCE, "shop-1", ms(6_000), ms(6_000), &[("what", "gone")], 0.0);
    let script = without_the_silent(&w, |instance, at| match instance {
        "shop-1" => at >= ms(6_000),
        "shop-0" => (ms(20_000)..ms(23_000)).contains(&at),
        _ => false,
    });
    let d = world::replay(&script);
    let still = d.findings().iter().filter(|f| f.kind == FindingKind::LongPause);
    assert_eq!(still.map(|f| f.subject.as_str()).collect::<Vec<_>>(), ["shop-0"], "{:#?}", d.findings());
}
