//! The recorder: what goes in comes out of snapshot, timeline and recording alike.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use dynamometer_timeline as timeline;
use timeline::facts::{EndReason, LoadModel, PhaseFacts, PlanFacts, RunEnd, RunMeta};
use timeline::gate::Gate;
use timeline::histogram::Sparse;
use timeline::lane::names;
use timeline::recorder::{Diagnose, Options, Player, Recorder};
use timeline::recording::Reader;
use timeline::snapshot::RunState;
use timeline::{
    Event, Finding, FindingKind, LaneSpec, MonoNs, RunClock, RunTime, Severity, Span, Status, Timeline, Unit,
};

/// A stand-in for the detectors: says how many waiters it has seen, so that any difference shows.
fn waiters_seen(timeline: &Timeline, at: RunTime) -> Vec<Finding> {
    let seen: f64 = timeline.named("pool.db.waiters").flat_map(|s| s.points.iter().map(|p| p.1)).sum();
    if seen == 0.0 {
        return Vec::new();
    }
    vec![Finding {
        id: "F1".to_owned(),
        kind: FindingKind::PoolSaturated,
        subject: "db".to_owned(),
        severity: Severity::Warning,
        status: Status::Likely,
        onset: at,
        found_at: at,
        ended: None,
        claim: format!("{seen} waiters"),
        evidence: Vec::new(),
        contradicting: Vec::new(),
        advice: Vec::new(),
        remedies: Vec::new(),
        caused_by: None,
        caused_by_reason: None,
        missing: Vec::new(),
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
        plan: PlanFacts { phases: vec![phase], steps: vec!["say".to_owned()] },
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
        handle.sample(waiters, now, f64::NAN);
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
    assert_eq!(snapshot.dropped_entries, 12, "not-a-number is dropped and counted");
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
    assert_eq!(player.at(), end);
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

#[test]
fn a_recording_that_exists_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording.dyno");
    std::fs::write(&path, "precious").unwrap();
    assert!(Recorder::start(options(Box::new(|_, _| Vec::new())), Some(&path)).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}
