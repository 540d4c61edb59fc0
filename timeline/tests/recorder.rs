//! The recorder: what goes in comes out of snapshot, timeline and recording alike.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dynamometer_timeline as timeline;
use timeline::amendment::halt_event;
use timeline::facts::{EndReason, LoadModel, PhaseFacts, PlanFacts, RunEnd, RunMeta};
use timeline::gate::Gate;
use timeline::histogram::Sparse;
use timeline::lane::names;
use timeline::recorder::{Diagnose, Follower, Options, Player, Recorder};
use timeline::recording::{Reader, RecordingError, Writer, is_written};
use timeline::snapshot::{CURVE_POINTS, LogLine, RunState, RunView, Snapshot};
use timeline::{
    Amendment, Entry, Event, Finding, FindingKind, LaneId, LaneSpec, MonoNs, RunClock, RunTime, Span,
    Timeline, Unit,
};

/// A stand-in for the detectors: says how many waiters it has seen, so that any difference shows.
fn waiters_seen(timeline: &Timeline, at: RunTime) -> Vec<Finding> {
    let seen: f64 = timeline.named("pool.db.waiters").flat_map(|s| s.points.iter().map(|p| p.1)).sum();
    if seen == 0.0 {
        return Vec::new();
    }
    vec![Finding {
        subject: "db".to_owned(),
        claim: format!("{seen} waiters"),
        ..Finding::bare("F1", FindingKind::PoolSaturated, at)
    }]
}

fn options(diagnose: Diagnose) -> Options {
    let span = Span::new(RunTime::ZERO, RunTime::from_ms(60_000));
    let phase = PhaseFacts {
        name: "steady".to_owned(),
        span,
        warmup: false,
        model: LoadModel::Sessions,
        from: 5.0,
        to: 5.0,
    };
    Options {
        clock: RunClock::start(),
        meta: RunMeta {
            run_id: "r".to_owned(),
            scenario: "s".to_owned(),
            gates: vec!["pool.db.waiters max < 100".to_owned()],
            ..RunMeta::default()
        },
        plan: PlanFacts { phases: vec![phase], steps: vec!["say".to_owned()], ..PlanFacts::default() },
        gates: vec![Gate::parse("pool.db.waiters max < 100").unwrap()],
        state: RunState::Running,
        diagnose,
    }
}

fn feed(recorder: &Recorder) {
    let handle = recorder.handle();
    let waiters = handle.declare(LaneSpec::level("pool.db.waiters", "shop-0", Unit::Count)).unwrap();
    let response = handle.declare(LaneSpec::histogram(names::RESPONSE, "gen-0").about("say")).unwrap();
    assert_eq!(handle.declare(LaneSpec::level("pool.db.waiters", "shop-0", Unit::Count)), Some(waiters));
    for i in 0..12 {
        let now = MonoNs::now();
        handle.sample(waiters, now, f64::from(i));
        [f64::NAN, -1e101].into_iter().for_each(|none| handle.sample(waiters, now, none));
        handle.histogram(response, now, MonoNs(now.0 + 1_000), Sparse { cells: vec![(1_000 * (i + 1), 3)] });
        std::thread::sleep(Duration::from_millis(100));
    }
    handle.event(Event {
        kind: "pause.hiccup".to_owned(),
        instance: "shop-0\x1b[2J".to_owned(),
        start: handle.clock().now(),
        end: RunTime::ZERO,
        labels: Vec::new(),
        value: 0.0,
        others: 0,
    });
    handle.log("a line\nwith a break");
    handle.source("agent", "sees everything");
    handle.attached(&["agent: sees everything".to_owned()]);
}

#[test]
fn live_and_replayed_agree_and_the_snapshot_shows_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording.dyno");
    let recorder = Recorder::start(options(Box::new(waiters_seen)), Some(&path)).unwrap();
    feed(&recorder);
    let end = RunEnd { reason: EndReason::Completed, at: RunTime::ZERO, notes: Vec::new() };
    let finished = recorder.finish(end);

    let snapshot = &finished.snapshot;
    assert_eq!(snapshot.run.state, RunState::Done);
    assert_eq!(snapshot.pools[0].waiters, Some(11.0));
    assert_eq!(snapshot.response.count, 36);
    assert_eq!(snapshot.steps[0].name, "say");
    assert_eq!(snapshot.gates[0].that, "pool.db.waiters max < 100");
    assert_eq!(snapshot.dropped_entries, 24, "what is no value is dropped and counted");
    let heat: u32 = snapshot.heat.iter().flat_map(|c| c.rows.iter()).sum();
    assert_eq!(heat, 36);
    assert_eq!(snapshot.run.phase, Some(("steady".to_owned(), 1, 1)));
    assert!(snapshot.events.iter().all(|e| !e.instance.contains('\x1b')), "text is made harmless");
    assert!(snapshot.log.iter().any(|l| l.text.contains("F1 pool-saturated (likely)")));
    assert!(snapshot.sources.iter().any(|s| s.name == "agent"));

    let mut findings = Vec::new();
    let loaded = Reader::open(dir.path())
        .unwrap()
        .load(Path::new("x"), |timeline, at| findings = waiters_seen(timeline, at))
        .unwrap();
    assert_eq!(findings, finished.findings, "the same, to the byte");
    assert_eq!(loaded.timeline.series()[0].points, finished.timeline.series()[0].points);
    assert_eq!(loaded.end.as_ref(), Some(&finished.end));
    assert_eq!(loaded.meta, finished.meta);
    assert_eq!(loaded.meta.attached, ["agent: sees everything"]);
}

#[test]
fn a_played_recording_shows_what_was_live_forwards_and_backwards() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording.dyno");
    let recorder = Recorder::start(options(Box::new(waiters_seen)), Some(&path)).unwrap();
    feed(&recorder);
    let live = recorder.finish(RunEnd { reason: EndReason::Completed, at: RunTime::ZERO, notes: Vec::new() });

    let mut player = Player::open(&path, || Box::new(waiters_seen)).unwrap();
    let published = player.published();
    let shown = |player: &mut Player, at: RunTime| {
        player.seek(at).unwrap();
        published.get()
    };
    let early = shown(&mut player, RunTime::from_ms(400));
    assert!(early.at >= RunTime::from_ms(400) && early.at < player.length());
    let end = player.length();
    let last = shown(&mut player, RunTime(u64::MAX));
    assert_eq!(last.at, end);
    assert_eq!(last.run.state, RunState::Replaying);
    assert_eq!(last.findings, live.findings);
    assert_eq!(
        (last.response, &last.steps, &last.heat),
        (live.snapshot.response, &live.snapshot.steps, &live.snapshot.heat)
    );
    assert_eq!(
        (&last.pools, &last.gates, &last.log),
        (&live.snapshot.pools, &live.snapshot.gates, &live.snapshot.log)
    );
    let again = shown(&mut player, RunTime::from_ms(400));
    assert_eq!((again.at, &again.findings, &again.lanes), (early.at, &early.findings, &early.lanes));
}

/// A picture without what cannot be the same: how many came before it, who shows it, and what never reached the recording.
fn picture(snapshot: &Snapshot) -> Snapshot {
    let run = RunView { state: RunState::Done, ..snapshot.run.clone() };
    Snapshot { seq: 0, dropped_entries: 0, run, ..snapshot.clone() }
}

/// A load of two kinds of sessions, at half of the plan from sample 1 on, halted for a second: twice the time between two ticks.
fn amended(recorder: &Recorder) -> Arc<Snapshot> {
    let handle = recorder.handle();
    let lane = |spec: LaneSpec| handle.declare(spec).unwrap();
    let rate = |name: &str| LaneSpec::rate(name, "gen-0", Unit::PerSecond);
    let level = |name: &str| LaneSpec::level(name, "gen-0", Unit::Count);
    let offered = lane(rate(names::OFFERED));
    let times = [names::RESPONSE, names::SERVICE].map(|n| lane(LaneSpec::histogram(n, "gen-0").about("say")));
    let kinds = ["buyer", "onlooker"].map(|kind| {
        (lane(level(names::SESSIONS_BY_KIND).about(kind)), lane(rate(names::SESSIONS_STARTED).about(kind)))
    });
    let change = |what: Amendment| handle.event(what.event(handle.clock().now()));
    let (mut halted, mut shown) = (RunTime::ZERO, None);
    for i in 0..16u32 {
        let now = MonoNs::now();
        handle.sample(offered, now, if (3..13).contains(&i) { 0.0 } else { 5.0 });
        for (k, (open, started)) in kinds.into_iter().enumerate() {
            handle.sample(open, now, f64::from(i % 4));
            handle.sample(started, now, 40.0 + 10.0 * k as f64);
        }
        for (lane, us) in times.into_iter().zip([3_000, 1_000]) {
            let cells = Sparse { cells: vec![(us * (i + 1), 30)] };
            handle.histogram(lane, now, MonoNs(now.0 + 1_000), cells);
        }
        match i {
            1 => change(Amendment::Scale(0.5)),
            3 => {
                halted = handle.clock().now();
                change(Amendment::Halt);
            }
            12 => {
                // A machine that is busy publishes later than it was told.
                let mut looks = (0..1_000).map(|_| {
                    std::thread::sleep(Duration::from_millis(20));
                    handle.published().get()
                });
                shown = looks.find(|s| s.load.halted_since.is_some());
            }
            13 => {
                change(Amendment::GoOn);
                handle.event(halt_event(Span::new(halted, handle.clock().now())));
            }
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    shown.unwrap()
}

#[test]
fn a_run_whose_load_was_halted_and_changed_is_played_as_it_was_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording.dyno");
    let recorder = Recorder::start(options(Box::new(waiters_seen)), Some(&path)).unwrap();
    let halted = amended(&recorder);
    let live = recorder.finish(RunEnd { reason: EndReason::Completed, at: RunTime::ZERO, notes: Vec::new() });
    assert_eq!((halted.load.factor, halted.load.halted_since.is_some()), (Some(0.5), true));

    let mut player = Player::open(&path, || Box::new(waiters_seen)).unwrap();
    let published = player.published();
    let load = |s: &Snapshot| (s.load.factor, s.load.halted_since);
    let tenths = player.length().0 / 100_000_000;
    let mut played = (0..=tenths).map(|tenth| {
        player.seek(RunTime::from_ms(tenth * 100)).unwrap();
        published.get()
    });
    let then = played.find(|s| load(s) == load(&halted)).expect("it is halted at one of its ticks, too");
    assert_eq!(then.phases, halted.phases);

    player.seek(RunTime(u64::MAX)).unwrap();
    let (last, end) = (picture(&published.get()), picture(&live.snapshot));
    assert_eq!(last, end, "every figure");
    assert_eq!((end.load.factor, end.load.halted_since), (Some(0.5), None));
    let kinds: Vec<&str> = end.kinds.iter().map(|k| k.name.as_str()).collect();
    assert_eq!(kinds, ["onlooker", "buyer"], "the most frequent first");
    assert!(end.kinds.iter().all(|k| k.open == 3 && k.ended + k.open == k.started), "{:?}", end.kinds);
    assert_eq!(end.phases[0].name, "steady");
    let (response, service) = (&end.curves.response, &end.curves.service);
    assert_eq!((response.len(), response[0]), (CURVE_POINTS, end.response.p50));
    assert!(response.iter().zip(service).all(|(r, s)| r > s));
}

#[test]
fn a_recording_that_exists_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording.dyno");
    std::fs::write(&path, "precious").unwrap();
    assert!(Recorder::start(options(Box::new(|_, _| Vec::new())), Some(&path)).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn whoever_follows_late_sees_the_history_and_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording.dyno");
    let recorder = Recorder::start(options(Box::new(waiters_seen)), Some(&path)).unwrap();
    feed(&recorder);
    assert!(is_written(&path), "a running run can be told");

    // A machine that is busy writes later than it was told. Frames come in pieces, as a network cuts them.
    let mut looks = (0..600).map(|_| {
        let mut follower = Follower::new(&path, Box::new(waiters_seen));
        let history = std::fs::read(&path).unwrap();
        for piece in history.chunks(7) {
            follower.feed(piece).unwrap();
            while follower.read(Duration::ZERO) {}
        }
        follower.publish();
        std::thread::sleep(Duration::from_millis(50));
        (follower, history)
    });
    let what_came = looks.find(|(follower, _)| follower.published().get().response.count >= 3);
    let (mut follower, history) = what_came.expect("what came before");
    let published = follower.published();
    let joined = published.get();
    assert_eq!(joined.run.state, RunState::Watching);
    assert!(follower.end().is_none());
    assert_eq!(follower.meta().unwrap().run_id, "r");
    // Nothing more arrives: the picture grows old, it does not stand still.
    std::thread::sleep(Duration::from_millis(50));
    follower.publish();
    assert!(published.get().at > joined.at);

    let live = recorder.finish(RunEnd { reason: EndReason::Completed, at: RunTime::ZERO, notes: Vec::new() });
    assert!(!is_written(&path));
    follower.feed(&std::fs::read(&path).unwrap()[history.len()..]).unwrap();
    while follower.read(Duration::from_secs(1)) {}
    follower.publish();
    let last = published.get();
    assert_eq!(last.run.state, RunState::Done);
    assert_eq!(follower.end(), Some(&live.end));
    assert_eq!((last.at, &last.findings), (live.end.at, &live.findings), "as the run itself shows it");
    assert_eq!(
        (&last.log, &last.sources, &last.pools),
        (&live.snapshot.log, &live.snapshot.sources, &live.snapshot.pools)
    );
}

#[test]
fn what_is_no_recording_or_a_newer_one_is_not_followed() {
    let follow = |bytes: &[u8]| {
        let mut follower = Follower::new(Path::new("there"), Box::new(waiters_seen));
        bytes.iter().try_for_each(|b| follower.feed(&[*b])).unwrap_err()
    };
    assert!(matches!(follow(b"HTTP/1.1 200 OK"), RecordingError::NotARecording { .. }));
    let newer = [&timeline::recording::MAGIC[..], &99u32.to_le_bytes()].concat();
    let error = follow(&newer);
    assert!(matches!(error, RecordingError::Newer { found: 99, .. }));
    assert!(error.to_string().contains("use a newer dyno"), "{error}");
}

/// Two seconds of everything, then only the clock goes on.
fn silent_after_two_seconds(path: &Path) {
    let mut writer = Writer::create(path, &RunMeta::default()).unwrap();
    let lanes = [
        LaneSpec::level(names::SOURCE_AGE, "agent", Unit::Ns).about("shop-0").worst(),
        LaneSpec::level(names::SOURCE_AGE, "agent", Unit::Ns).about("shop-1").worst(),
        LaneSpec::level("pool.db.in-use", "shop-0", Unit::Count),
        LaneSpec::rate("cache.product.hits", "shop-0", Unit::PerSecond),
        LaneSpec::rate(names::OFFERED, "gen-0", Unit::PerSecond),
        LaneSpec::level(names::PROCESS_RESIDENT, "shop-0", Unit::Bytes),
    ];
    for (i, lane) in lanes.into_iter().enumerate() {
        writer.add(&Entry::Lane(LaneId(i as u32), lane)).unwrap();
    }
    let told = |name: &str| LogLine {
        at: RunTime::ZERO,
        text: format!("{name}: told"),
        source: Some(name.to_owned()),
    };
    writer.log(told("agent"));
    writer.log(told("auto"));
    for tick in 1..=24 {
        let at = RunTime::from_ms(tick * 500);
        for lane in (0..6).filter(|lane| tick <= 4 || *lane == 1) {
            // What the source tells of shop-1 itself grows: it is still asked, and does not answer.
            let value = if lane == 1 { 1e9 + at.0 as f64 } else { 3.0 };
            writer.add(&Entry::Sample { lane: LaneId(lane), at, value }).unwrap();
        }
        writer.add(&Entry::Tick(at)).unwrap();
    }
}

#[test]
fn what_falls_silent_has_an_age_wherever_its_figures_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording.dyno");
    silent_after_two_seconds(&path);
    let mut player = Player::open(&path, || Box::new(waiters_seen)).unwrap();
    let published = player.published();
    player.seek(RunTime::from_ms(2_000)).unwrap();
    let before = published.get();
    assert_eq!(before.load.age_ns, Some(0));
    assert_eq!((before.pools[0].age_ns, before.pools[0].in_use), (0, Some(3.0)));

    player.seek(RunTime::from_ms(12_000)).unwrap();
    let after = published.get();
    let ten = 10_000_000_000;
    assert_eq!(after.load.age_ns, Some(ten));
    assert_eq!((after.pools[0].age_ns, after.pools[0].in_use), (ten, None));
    assert_eq!((after.caches[0].age_ns, after.caches[0].hits), (ten, None));
    assert_eq!((after.processes[0].age_ns, after.processes[0].resident), (ten, None));
    let source = |name: &str| after.sources.iter().find(|s| s.name == name).unwrap();
    assert_eq!(
        source("agent").age_ns,
        Some(13_000_000_000),
        "the one of its instances that is silent longest"
    );
    assert_eq!((source("auto").age_ns, source("auto").ageless), (None, true));
    assert_eq!(source("agent").state, "told", "a played run tells of its sources what the live one did");
}

#[test]
fn steps_shorter_than_a_tick_play_on_and_only_a_way_back_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording.dyno");
    silent_after_two_seconds(&path);
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let make_diagnose = move || -> Diagnose {
        count.fetch_add(1, Ordering::Relaxed);
        Box::new(waiters_seen)
    };
    let mut player = Player::open(&path, make_diagnose).unwrap();
    let published = player.published();
    let mut seek = |ms: u64| {
        player.seek(RunTime::from_ms(ms)).unwrap();
        let shown = published.get();
        (shown.at, shown.seq)
    };
    let begun = || begun.load(Ordering::Relaxed);
    let tick = |ms: u64, seq: u64| (RunTime::from_ms(ms), seq);

    let mut shown: Vec<_> = (1..=40).map(|step| seek(step * 50)).collect();
    shown.dedup();
    assert_eq!(shown, [tick(500, 1), tick(1_000, 2), tick(1_500, 3), tick(2_000, 4)]);
    assert_eq!(seek(1_501), tick(2_000, 4), "what is held stands still");
    assert_eq!(seek(1_501), tick(2_000, 4));
    assert_eq!(begun(), 1);

    assert_eq!(seek(1_200), tick(1_500, 5), "a screen skips a number that it has seen");
    assert_eq!(seek(1_200), tick(1_500, 5));
    assert_eq!(begun(), 2);
    assert_eq!(seek(1_000), tick(1_000, 6), "the tick before it is another one");
    assert_eq!(begun(), 3);
    assert_eq!(seek(0), tick(0, 7), "at the start nothing is known yet");
    assert_eq!(seek(0), tick(0, 7));
    assert_eq!(seek(99_000), tick(12_000, 8));
    assert_eq!(begun(), 4);
}

#[test]
fn detectors_that_take_longer_than_a_tick_leave_time_to_listen() {
    let (calls, sent, behind) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (count, all_sent, is_behind) = (Arc::clone(&calls), Arc::clone(&sent), Arc::clone(&behind));
    let slow = move |timeline: &Timeline, _: RunTime| {
        let taken = timeline.series().first().map_or(0, |s| s.points.len());
        if all_sent.load(Ordering::Relaxed) && taken < 5_000 {
            is_behind.fetch_add(1, Ordering::Relaxed);
        }
        // Not for ever: a recorder that takes in one entry a tick shall fail the test, not hold it up.
        if count.fetch_add(1, Ordering::Relaxed) < 6 {
            std::thread::sleep(Duration::from_millis(600));
        }
        Vec::<Finding>::new()
    };
    let recorder = Recorder::start(options(Box::new(slow)), None).unwrap();
    let handle = recorder.handle();
    let waiters = handle.declare(LaneSpec::level("pool.db.waiters", "shop-0", Unit::Count)).unwrap();
    while calls.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    for i in 0..5_000 {
        handle.sample(waiters, MonoNs::now(), f64::from(i));
    }
    sent.store(true, Ordering::Relaxed);
    let end = RunEnd { reason: EndReason::Completed, at: RunTime::ZERO, notes: Vec::new() };
    let finished = recorder.finish(end);
    assert_eq!(handle.dropped(), 0);
    assert_eq!(finished.timeline.series()[0].points.len(), 5_000);
    // Before the last ones were sent a tick may have begun that did not know of them.
    let behind = behind.load(Ordering::Relaxed);
    assert!(behind <= 1, "all that waits is taken in between two ticks: {behind} began before it was");
}
