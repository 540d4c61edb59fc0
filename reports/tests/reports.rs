//! Reports of a small run: the same figures everywhere, and no text of the target's gets through unescaped.

use std::time::Duration;

use dynamometer_reports as reports;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use reports::discreet::Discreet;
use reports::{Format, Inputs, Summary, Verdict, write};
use timeline::facts::{EndReason, LoadModel, PhaseFacts, PlanFacts, RunEnd, RunMeta};
use timeline::histogram::Sparse;
use timeline::lane::{GREATEST, names};
use timeline::recording::{Reader, Writer};
use timeline::{
    Entry, Finding, FindingKind, LaneId, LaneSpec, Remedy, RunTime, Severity, Span, Timeline, Unit,
};

const HOSTILE: &str = "</script><script>alert(1)</script>,\u{1b}[2J \"x\" & 'y'";

/// Ten seconds, 1,000 steps of 2 ms in each, a tenth of the response times 40 ms; a pool with waiters.
fn run() -> (RunMeta, Timeline) {
    let phase = PhaseFacts {
        name: "steady".to_owned(),
        span: Span::new(RunTime::ZERO, RunTime::from_ms(10_000)),
        warmup: false,
        model: LoadModel::Sessions,
        from: 10.0,
        to: 10.0,
    };
    let mut t = Timeline::new();
    t.apply(&Entry::Plan(PlanFacts {
        phases: vec![phase],
        steps: vec![HOSTILE.to_owned()],
        ..PlanFacts::default()
    }));
    let lanes = [
        LaneSpec::histogram(names::RESPONSE, "gen-0").about(HOSTILE),
        LaneSpec::histogram(names::SERVICE, "gen-0").about(HOSTILE),
        LaneSpec::rate(names::COMPLETED, "gen-0", Unit::PerSecond),
        LaneSpec::rate(names::OFFERED, "gen-0", Unit::PerSecond),
        LaneSpec::rate(names::ACHIEVED, "gen-0", Unit::PerSecond),
        LaneSpec::level("pool.db.waiters", "shop-0", Unit::Count),
        LaneSpec::rate(names::ERRORS, "gen-0", Unit::PerSecond).about(HOSTILE),
    ];
    for (i, spec) in lanes.into_iter().enumerate() {
        t.apply(&Entry::Lane(LaneId(i as u32), spec));
    }
    for s in 0..10u64 {
        let span = Span::new(RunTime::from_ms(s * 1_000), RunTime::from_ms((s + 1) * 1_000));
        let response = Sparse { cells: vec![(2_000, 900), (40_000, 100)] };
        t.apply(&Entry::Histogram { lane: LaneId(0), span, cells: response });
        t.apply(&Entry::Histogram { lane: LaneId(1), span, cells: Sparse { cells: vec![(2_000, 1_000)] } });
        for tick in 1..=10 {
            let at = span.start + Duration::from_millis(tick * 100);
            for (lane, value) in [(2, 1_000.0), (3, 1_000.0), (4, 1_000.0), (5, s as f64), (6, 1.0)] {
                t.apply(&Entry::Sample { lane: LaneId(lane), at, value });
            }
        }
    }
    let meta = RunMeta {
        run_id: "r-1".to_owned(),
        scenario: HOSTILE.to_owned(),
        about: HOSTILE.to_owned(),
        scenario_text: HOSTILE.to_owned(),
        target: "http://127.0.0.1:1".to_owned(),
        gates: vec!["p50 < 5ms".to_owned(), "p99 < 5ms".to_owned()],
        workers: 1,
        ..RunMeta::default()
    };
    (meta, t)
}

fn finding(kind: FindingKind) -> Finding {
    Finding {
        subject: HOSTILE.to_owned(),
        severity: Severity::Critical,
        found_at: RunTime::from_ms(4_000),
        claim: HOSTILE.to_owned(),
        advice: vec![HOSTILE.to_owned()],
        remedies: vec![Remedy::word(HOSTILE, HOSTILE)],
        ..Finding::bare("F1", kind, RunTime::from_ms(3_000))
    }
}

fn end() -> RunEnd {
    RunEnd { reason: EndReason::Completed, at: RunTime::from_ms(10_000), notes: Vec::new() }
}

#[test]
fn figures_gates_and_verdict_are_read_from_the_timeline() {
    let (meta, timeline) = run();
    let s = Summary::new(&meta, &timeline, &[], Some(&end()));
    assert_eq!((s.total.count, s.steps.len()), (10_000, 1));
    let ms = |v: Option<f64>| (v.unwrap() / 1e6).round();
    assert_eq!((ms(s.total.response.p50), ms(s.total.response.p99)), (2.0, 40.0));
    assert_eq!(ms(s.total.service.p99), 2.0);
    assert_eq!(s.lanes["pool.db.waiters"].max, 9.0);
    assert_eq!(s.gates.iter().map(|g| g.holds).collect::<Vec<_>>(), [Some(true), Some(false)]);
    assert_eq!(s.verdict, Verdict::Fail);
    assert_eq!(s.errors[0].count, 10);
}

#[test]
fn a_starved_generator_makes_the_run_invalid_whatever_the_gates_say() {
    let (meta, timeline) = run();
    let s = Summary::new(&meta, &timeline, &[finding(FindingKind::GeneratorLimited)], Some(&end()));
    assert_eq!(s.verdict, Verdict::Invalid);
    assert!(reports::junit::render(&s).unwrap().contains("errors=\"1\""));
}

#[test]
fn hostile_text_is_escaped_everywhere() {
    let (meta, timeline) = run();
    let summary = Summary::new(&meta, &timeline, &[finding(FindingKind::CacheStampede)], Some(&end()));
    let dir = tempfile::tempdir().unwrap();
    let files =
        write(dir.path(), &Inputs { summary: &summary, timeline: &timeline, meta: &meta }, &Format::ALL)
            .unwrap();
    assert_eq!(files.len(), 10);
    let html = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(!html.contains("<script>alert"), "a name of the target's must not become a script");
    assert!(html.len() < 3 << 20);
    assert!(!html.contains("http-equiv=\"refresh\"") && !html.contains("src=\"http"), "no network");
    let junit = std::fs::read_to_string(dir.path().join("junit.xml")).unwrap();
    assert!(!junit.contains('\u{1b}') && junit.contains("failures=\"1\""), "{junit}");
}

#[test]
fn a_recording_with_values_that_are_none_has_discreet_reports_too() {
    let (meta, _) = run();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording.dyno");
    let mut writer = Writer::create(&path, &meta).unwrap();
    for id in 0..2 {
        let spec = LaneSpec::level("pool.db.waiters", format!("shop-{id}"), Unit::Count);
        writer.add(&Entry::Lane(LaneId(id), spec)).unwrap();
    }
    for (tick, value) in (1..).zip([7.0, f64::NAN, f64::INFINITY, 1e308, GREATEST]) {
        let at = RunTime::from_ms(tick * 500);
        for id in 0..2 {
            writer.add(&Entry::Sample { lane: LaneId(id), at, value }).unwrap();
        }
        writer.add(&Entry::Tick(at)).unwrap();
    }
    writer.finish(&end()).unwrap();

    let loaded = Reader::open(&path).unwrap().load(&path, |_, _| ()).unwrap();
    assert_eq!(loaded.damage.len(), 3, "{:?}", loaded.damage);
    let summary = Summary::new(&loaded.meta, &loaded.timeline, &[], loaded.end.as_ref());
    let told = Discreet::of(&Inputs { summary: &summary, timeline: &loaded.timeline, meta: &loaded.meta });
    assert_eq!(told.summary.lanes, summary.lanes);
    let lane = &told.summary.lanes["pool.db.waiters"];
    assert_eq!((lane.count, lane.min, lane.max), (4, 14.0, 2.0 * GREATEST));
    assert_eq!(write(dir.path(), &told.inputs(), &[Format::Html]).unwrap().len(), 1);
}

#[test]
fn histogram_logs_are_read_back_by_their_own_reader() {
    let (meta, timeline) = run();
    let log = reports::hlog::render(&meta, &timeline, names::RESPONSE).unwrap();
    let mut total: Histogram<u64> = timeline::histogram::new();
    let mut intervals = 0;
    for entry in IntervalLogIterator::new(&log) {
        if let LogEntry::Interval(interval) = entry.unwrap() {
            let tag = interval.tag().unwrap().as_str().to_owned();
            assert!(!tag.contains([',', ' ', '\u{1b}']), "{tag}");
            use base64::Engine as _;
            let bytes =
                base64::engine::general_purpose::STANDARD.decode(interval.encoded_histogram()).unwrap();
            let h: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
            total.add(h).unwrap();
            intervals += 1;
        }
    }
    assert_eq!((intervals, total.len()), (10, 10_000));
}

#[test]
fn the_summary_in_words() {
    let (mut meta, timeline) = run();
    meta.scenario = "small".to_owned();
    let s = Summary::new(&meta, &timeline, &[], Some(&end()));
    insta::assert_snapshot!(reports::text::summary(&s, &[]).replace(HOSTILE, "NAME"));
}
