//! A recording can be cut, bent or foreign, and still gives what it has, or one clear error.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use dynamometer_timeline as timeline;
use proptest::prelude::*;
use timeline::event::kinds;
use timeline::facts::{EndReason, PlanFacts, RunEnd, RunMeta};
use timeline::histogram::Sparse;
use timeline::recording::{self, Item, Loaded, PACKED_FILE_NAME, Reader, RecordingError, Writer};
use timeline::snapshot::LogLine;
use timeline::{Amendment, Entry, Event, LaneId, LaneSpec, RunTime, Span, Unit};

/// Entries of a run of `ticks` ticks: two lanes and an event each.
fn entries(ticks: u64) -> Vec<Entry> {
    let mut list = vec![
        Entry::Plan(PlanFacts { steps: vec!["say".to_owned()], ..PlanFacts::default() }),
        Entry::Lane(LaneId(0), LaneSpec::level("pool.db.waiters", "shop-0", Unit::Count)),
        Entry::Lane(LaneId(1), LaneSpec::histogram("pool.db.wait", "shop-0")),
    ];
    for tick in 1..=ticks {
        let at = RunTime::from_ms(tick * 500);
        for i in 1..=5 {
            let at = at.back(Duration::from_millis(100 * (5 - i)));
            list.push(Entry::Sample { lane: LaneId(0), at, value: (tick * i) as f64 });
        }
        let span = Span::new(at.back(Duration::from_millis(500)), at);
        let cells = Sparse { cells: vec![(100, tick as u32), (2_000, 1)] };
        list.push(Entry::Histogram { lane: LaneId(1), span, cells });
        list.push(Entry::Event(Event {
            kind: kinds::PAUSE_HICCUP.to_owned(),
            instance: "shop-0".to_owned(),
            start: at,
            end: at,
            labels: vec![("why".to_owned(), "test".to_owned())],
            value: 0.0,
            others: 0,
        }));
        list.push(Entry::Tick(at));
    }
    list
}

fn written(ticks: u64) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording.dyno");
    let meta = RunMeta { run_id: "r".to_owned(), ..RunMeta::default() };
    let mut writer = Writer::create(&path, &meta).unwrap();
    for entry in entries(ticks) {
        writer.add(&entry).unwrap();
    }
    writer.log(LogLine { at: RunTime::ZERO, text: "hello".to_owned(), source: None });
    writer
        .finish(&RunEnd { reason: EndReason::Completed, at: RunTime::from_ms(ticks * 500), notes: vec![] })
        .unwrap();
    std::fs::read(&path).unwrap()
}

fn load(bytes: Vec<u8>) -> Result<(Loaded, Vec<RunTime>), RecordingError> {
    let path = Path::new("recording.dyno");
    let mut ticks = Vec::new();
    let loaded = Reader::from_bytes(bytes, path)?.load(path, |_, at| ticks.push(at))?;
    Ok((loaded, ticks))
}

#[test]
fn what_was_written_is_read_in_the_same_order() {
    let (loaded, ticks) = load(written(4)).unwrap();
    assert!(loaded.damage.is_empty());
    assert_eq!(loaded.meta.run_id, "r");
    assert_eq!(loaded.end.unwrap().reason, EndReason::Completed);
    assert_eq!(loaded.log[0].text, "hello");
    assert_eq!(ticks, [500, 1000, 1500, 2000].map(RunTime::from_ms));

    let mut direct = timeline::Timeline::new();
    entries(4).iter().for_each(|e| direct.apply(e));
    assert_eq!(direct.series()[0].points, loaded.timeline.series()[0].points);
    assert_eq!(direct.series()[1].intervals, loaded.timeline.series()[1].intervals);
    assert_eq!(direct.all_events(), loaded.timeline.all_events());
    assert_eq!(direct.now(), loaded.timeline.now());
}

#[test]
fn a_gzipped_recording_reads_as_the_plain_one() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = Reader::from_bytes(written(4), Path::new("x")).unwrap().unpacked();
    let file = std::fs::File::create(dir.path().join(PACKED_FILE_NAME)).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::best());
    gzip.write_all(&bytes).unwrap();
    gzip.finish().unwrap();
    let packed: Vec<Item> = Reader::open(dir.path()).unwrap().collect();
    let plain: Vec<Item> = Reader::from_bytes(written(4), Path::new("x")).unwrap().collect();
    assert_eq!(packed, plain);

    let whole = std::fs::read(dir.path().join(PACKED_FILE_NAME)).unwrap();
    std::fs::write(dir.path().join(PACKED_FILE_NAME), &whole[..whole.len() / 2]).unwrap();
    let mut cut = Reader::open(dir.path()).unwrap();
    let some: Vec<Item> = cut.by_ref().collect();
    assert!(!some.is_empty() && some.len() < plain.len() && plain.starts_with(&some));
    assert!(
        cut.damage().iter().any(|d| d.what.contains("the gzipped file is cut off")),
        "{:?}",
        cut.damage()
    );
}

#[test]
fn a_file_cut_anywhere_reads_up_to_the_last_whole_block() {
    let bytes = written(6);
    let whole = load(bytes.clone()).unwrap().1;
    let mut most = 0;
    for cut in 0..bytes.len() {
        match load(bytes[..cut].to_vec()) {
            Ok((loaded, ticks)) => {
                assert!(whole.starts_with(&ticks), "cut at {cut}");
                assert!(loaded.damage.len() <= 1);
                assert!(loaded.end.is_none() || ticks.len() == 6, "the index alone may be lost");
                assert!(ticks.len() >= most, "a longer file gives no less");
                most = ticks.len();
            }
            Err(RecordingError::Empty { .. }) => assert_eq!(most, 0),
            Err(e) => panic!("cut at {cut}: {e}"),
        }
    }
    assert_eq!(most, 6);
}

#[test]
fn a_damaged_block_is_named_and_passed_over() {
    let bytes = written(6);
    let (_, all) = load(bytes.clone()).unwrap();
    let mut kept_most = 0;
    for at in (12..bytes.len()).step_by(7) {
        let mut bent = bytes.clone();
        bent[at] ^= 0x55;
        match load(bent) {
            Ok((loaded, ticks)) => {
                assert!(ticks.len() + 1 >= all.len(), "one bent byte at {at} costs at most one tick");
                kept_most = kept_most.max(loaded.damage.len());
            }
            Err(e) => assert!(
                matches!(e, RecordingError::Empty { .. }),
                "only the description itself may be lost: {e}"
            ),
        }
    }
    assert_eq!(kept_most, 1);
}

/// The items that a file has, and how many places of it are damaged.
fn items(bytes: Vec<u8>) -> Result<(Vec<Item>, Vec<String>), RecordingError> {
    let mut reader = Reader::from_bytes(bytes, Path::new("x"))?;
    let items = reader.by_ref().collect();
    Ok((items, reader.damage().iter().map(ToString::to_string).collect()))
}

#[test]
fn damage_is_told_with_its_place_what_it_held_and_of_when() {
    let bytes = written(6);
    let samples = (12..bytes.len())
        .filter(|at| matches!(timeline::frame::unpack(&bytes[*at..]), Ok((f, _)) if f.kind == 4))
        .nth(2)
        .unwrap();
    let mut bent = bytes;
    bent[samples + 20] ^= 1;
    let (_, damage) = items(bent).unwrap();
    assert_eq!(damage.len(), 1);
    let place = format!("at byte {samples}: damaged block of type 4: checksum does not fit; ");
    assert!(damage[0].starts_with(&place), "{damage:?}");
    assert!(
        damage[0].ends_with("bytes are skipped; it held samples, of 1.0 s to 1.5 s of the run"),
        "{damage:?}"
    );
}

#[test]
fn reading_from_an_instant_on_gives_what_reading_all_gives_from_there() {
    let bytes = written(40);
    let all = Reader::from_bytes(bytes.clone(), Path::new("x")).unwrap();
    assert!(all.has_index());
    let unended = Reader::from_bytes(bytes[..bytes.len() - 5].to_vec(), Path::new("x")).unwrap();
    assert!(!unended.has_index());
    let ticks = |reader: Reader| -> Vec<RunTime> {
        let tick = |item| match item {
            Item::Entry(Entry::Tick(at)) => Some(at),
            _ => None,
        };
        reader.filter_map(tick).collect()
    };
    let whole = ticks(all.again());
    for s in [0, 3, 7, 11, 19, 99] {
        let at = RunTime::from_ms(s * 1_000);
        let some = ticks(all.seek(at));
        assert!(
            whole.ends_with(&some)
                && whole.iter().filter(|t| **t >= at).all(|t| some.contains(t) || *t == at)
        );
        assert_eq!(some, ticks(unended.seek(at)), "an index is only for speed");
        let lanes = all.seek(at).filter(|i| matches!(i, Item::Entry(Entry::Lane(..)))).count();
        assert_eq!(lanes, 2, "what was declared before is known");
    }
    assert!(ticks(all.seek(RunTime::from_ms(19_000))).len() < 15, "it does not begin at the start");
}

/// A file with these bytes.
fn file(dir: &Path, name: &str, bytes: Vec<u8>) -> std::path::PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn opened(path: &Path) -> Loaded {
    Reader::open(path).unwrap().load(path, |_, _| ()).unwrap()
}

#[test]
fn pieces_of_a_run_become_the_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let whole = file(dir.path(), "whole.dyno", written(40));
    let span = |a, b| Span::new(RunTime::from_ms(a), RunTime::from_ms(b));
    let pieces = [("a", span(0, 8_000)), ("b", span(6_000, 14_000)), ("c", span(14_000, 60_000))].map(
        |(name, span)| {
            let out = dir.path().join(name);
            let edited = recording::trim(&whole, &out, span).unwrap();
            assert_eq!(edited.length, span.end.min(RunTime::from_ms(20_000)));
            assert!(opened(&out).meta.notes[0].starts_with("a stretch of the run"));
            out
        },
    );
    let piece = opened(&pieces[1]);
    let times = piece.timeline.series()[0].points.iter().map(|p| p.0);
    assert_eq!(times.clone().min(), Some(RunTime::from_ms(6_100)));
    assert_eq!(times.max(), Some(RunTime::from_ms(14_000)));
    let out = dir.path().join("merged");
    recording::merge(&pieces, &out).unwrap();
    let (merged, whole) = (opened(&out), opened(&whole));
    for (a, b) in merged.timeline.series().iter().zip(whole.timeline.series()) {
        assert_eq!((&a.spec, &a.points, &a.intervals), (&b.spec, &b.points, &b.intervals));
    }
    assert_eq!(merged.timeline.all_events(), whole.timeline.all_events());
    assert_eq!(merged.end.unwrap().at, whole.end.unwrap().at);

    let error = recording::trim(&pieces[0], &dir.path().join("x"), span(30_000, 40_000)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the recording has nothing between 30.0 s and 40.0 s: it goes from 0 s to 8.0 s"
    );
}

/// A recording of these entries, which ended in order at its last tick unless there is no reason why.
fn recorded(path: &Path, meta: &RunMeta, entries: &[Entry], reason: Option<EndReason>) {
    let mut writer = Writer::create(path, meta).unwrap();
    entries.iter().for_each(|e| writer.add(e).unwrap());
    let tick = |entry: &Entry| match entry {
        Entry::Tick(at) => Some(*at),
        _ => None,
    };
    let at = entries.iter().filter_map(tick).max().unwrap();
    match reason {
        Some(reason) => writer.finish(&RunEnd { reason, at, notes: vec![] }).unwrap(),
        None => writer.stop().unwrap(),
    }
}

/// [`entries`], and these events before the first tick at or after their end.
fn entries_with(ticks: u64, events: Vec<Event>) -> Vec<Entry> {
    let mut list = entries(ticks);
    for event in events {
        let is_after = |entry: &Entry| matches!(entry, Entry::Tick(at) if *at >= event.end);
        let place = list.iter().position(is_after).unwrap();
        list.insert(place, Entry::Event(event));
    }
    list
}

#[test]
fn what_overlaps_about_a_cut_between_ticks_is_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let span = |a, b| Span::new(RunTime::from_ms(a), RunTime::from_ms(b));
    let mut pause = Amendment::GoOn.event(RunTime::from_ms(8_050));
    (pause.kind, pause.end) = (kinds::PAUSE_HICCUP.to_owned(), RunTime::from_ms(8_200));
    let changes = [(2_000, 0.5), (4_000, 1.0)].map(|(ms, f)| Amendment::Scale(f).event(RunTime::from_ms(ms)));
    let events = [vec![pause], changes.to_vec()].concat();
    recorded(&at("whole"), &RunMeta::default(), &entries_with(40, events), Some(EndReason::Completed));
    let whole = opened(&at("whole"));
    let pieces = [("a", span(0, 8_100)), ("b", span(6_100, 60_000))].map(|(name, span)| {
        recording::trim(&at("whole"), &at(name), span).unwrap();
        at(name)
    });
    for (i, pieces) in [pieces.clone(), [pieces[1].clone(), pieces[0].clone()]].iter().enumerate() {
        let out = at(&format!("merged-{i}"));
        recording::merge(pieces, &out).unwrap();
        let merged = opened(&out);
        for (a, b) in merged.timeline.series().iter().zip(whole.timeline.series()) {
            assert_eq!((&a.spec, &a.points, &a.intervals), (&b.spec, &b.points, &b.intervals));
        }
        let starts = |l: &Loaded| -> Vec<(RunTime, String)> {
            l.timeline.all_events().iter().map(|e| (e.start, e.kind.clone())).collect()
        };
        assert_eq!(starts(&merged), starts(&whole));
        assert_eq!(merged.timeline.plan().changes, whole.timeline.plan().changes);
    }
}

#[test]
fn a_stretch_knows_how_the_load_stood_at_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let (path, out) = (dir.path().join("whole"), dir.path().join("late"));
    let halved = Amendment::Scale(0.5).event(RunTime::from_ms(2_000));
    recorded(&path, &RunMeta::default(), &entries_with(60, vec![halved]), Some(EndReason::Completed));
    recording::trim(&path, &out, Span::new(RunTime::from_ms(20_000), RunTime::from_ms(30_000))).unwrap();
    let late = opened(&out);
    assert_eq!(late.timeline.plan().changes.at(RunTime::from_ms(21_000)).factor, 0.5);
    assert_eq!(late.timeline.all_events().iter().filter(|e| e.kind == kinds::AMENDMENT).count(), 1);
}

#[test]
fn hosts_that_start_in_the_same_second_are_runs_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let of = |name: &str, started_unix_ms: u64, host: &str| {
        let path = dir.path().join(name);
        let host = vec![("kernel".to_owned(), host.to_owned())];
        let meta = RunMeta {
            run_id: "20261123-064501-7".to_owned(),
            started_unix_ms,
            host,
            workers: 1,
            ..RunMeta::default()
        };
        recorded(&path, &meta, &entries(10), Some(EndReason::Completed));
        path
    };
    let (a, b, c) = (of("a", 5_000, "a"), of("b", 5_000, "b"), of("c", 5_200, "b"));
    let piece = dir.path().join("piece");
    recording::trim(&b, &piece, Span::new(RunTime::ZERO, RunTime::from_ms(3_000))).unwrap();
    let out = dir.path().join("merged");
    recording::merge(&[a, b, c, piece], &out).unwrap();
    let merged = opened(&out);
    let instances: Vec<&str> = merged.timeline.series().iter().map(|s| s.spec.instance.as_str()).collect();
    assert_eq!(instances, ["shop-0", "shop-0", "shop-0@2", "shop-0@2", "shop-0@3", "shop-0@3"]);
    assert!(merged.timeline.series().iter().step_by(2).all(|s| s.points.len() == 50));
    assert_eq!(merged.meta.workers, 3);
}

#[test]
fn runs_that_are_merged_ended_as_the_worst_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let of = |name: &str, ticks: u64, reason: Option<EndReason>| {
        let path = dir.path().join(name);
        let meta = RunMeta { run_id: name.to_owned(), started_unix_ms: ticks, ..RunMeta::default() };
        recorded(&path, &meta, &entries(ticks), reason);
        path
    };
    let whole = of("whole", 40, Some(EndReason::Completed));
    let short = of("short", 10, Some(EndReason::Unreachable));
    let cut = of("cut", 8, None);
    let end = |name: &str, paths: &[&Path]| {
        let out = dir.path().join(name);
        recording::merge(paths, &out).unwrap();
        opened(&out).end
    };
    let worst = end("worst", &[&whole, &short]).unwrap();
    assert_eq!((worst.reason, worst.at.as_ms() / 100), (EndReason::Unreachable, 200));
    assert_eq!(end("none", &[&whole, &short, &cut]), None);
}

#[test]
fn runs_that_lie_too_far_apart_are_not_merged_into_what_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let of = |name: &str, started_unix_ms: u64| {
        let path = dir.path().join(name);
        let meta = RunMeta { run_id: name.to_owned(), started_unix_ms, ..RunMeta::default() };
        recorded(&path, &meta, &entries(10), Some(EndReason::Completed));
        path
    };
    let day = 24 * 3_600_000;
    let (early, later, far) = (of("early", 0), of("later", 13 * day), of("far", 14 * day));
    let out = dir.path().join("merged");
    let error = recording::merge(&[&early, &far], &out).unwrap_err().to_string();
    assert!(error.starts_with("run far started 14.0 days after the first one"), "{error}");
    assert!(!out.exists());
    recording::merge(&[&early, &later], &out).unwrap();
    let merged = opened(&out);
    assert!(merged.damage.is_empty());
    assert!(merged.meta.notes.iter().any(|n| n.contains("did not load together")), "{:?}", merged.meta.notes);
}

#[test]
fn runs_of_several_hosts_share_a_clock_and_keep_their_processes_apart() {
    let dir = tempfile::tempdir().unwrap();
    let of = |name: &str, started_unix_ms: u64| {
        let path = dir.path().join(name);
        let meta = RunMeta { run_id: name.to_owned(), started_unix_ms, workers: 1, ..RunMeta::default() };
        let mut writer = Writer::create(&path, &meta).unwrap();
        entries(10).iter().for_each(|e| writer.add(e).unwrap());
        let at = RunTime::from_ms(5_000);
        writer.finish(&RunEnd { reason: EndReason::Completed, at, notes: vec![] }).unwrap();
        path
    };
    let (late, early) = (of("late", 1_700_000_002_250), of("early", 1_700_000_000_000));
    let out = dir.path().join("merged");
    recording::merge(&[late, early], &out).unwrap();
    let merged = opened(&out);
    let names: Vec<&str> = merged.timeline.series().iter().map(|s| s.spec.instance.as_str()).collect();
    assert_eq!(names, ["shop-0", "shop-0", "shop-0@2", "shop-0@2"]);
    let first = |i: usize| merged.timeline.series()[i].points[0].0.as_ms();
    assert_eq!((first(0), first(2)), (100, 2_350));
    assert_eq!((merged.meta.run_id.as_str(), merged.meta.workers), ("early", 2));
    assert_eq!(merged.end.unwrap().at, RunTime::from_ms(7_250));
    assert_eq!(merged.timeline.all_events().len(), 20);
}

/// Lanes as a run with much to see has them: of the recorded runs in `profiler/tests`, 94 of 100 samples are whole numbers, most
/// of them the same as the one before. This stretch is noisier than they are.
fn five_hundred_lanes(seconds: u64) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording.dyno");
    let mut writer = Writer::create(&path, &RunMeta::default()).unwrap();
    for id in 0..500 {
        let name = format!("lane.{id}");
        let spec = if id < 400 {
            LaneSpec::level(name, "shop-0", Unit::Count)
        } else {
            LaneSpec::histogram(name, "shop-0")
        };
        writer.add(&Entry::Lane(LaneId(id), spec)).unwrap();
    }
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    for tick in 1..=seconds * 2 {
        for tenth in 0..5 {
            let us = (tick - 1) * 500_000 + tenth * 100_000;
            let jitter = [random() % 2_000, random() % 2_000, random() % 2_000, random() % 2_000];
            for id in 0..400u32 {
                let value = match id {
                    0..300 => f64::from(id) + ((tick / 7 + u64::from(id)) % 5) as f64,
                    300..360 => (random() % 1_000) as f64,
                    _ => random() as f64 / 7.0,
                };
                let at = RunTime((us + jitter[id as usize % 4]) * 1_000);
                writer.add(&Entry::Sample { lane: LaneId(id), at, value }).unwrap();
            }
        }
        let at = RunTime::from_ms(tick * 500);
        for id in (400..500).filter(|_| tick % 2 == 0) {
            let cells: std::collections::BTreeMap<u32, u32> = (0..if id < 460 { 60 } else { 8 })
                .map(|_| ((random() % 60_000) as u32 + 100, (random() % 9) as u32 + 1))
                .collect();
            let span = Span::new(at.back(Duration::from_secs(1)), at);
            let cells = Sparse { cells: cells.into_iter().collect() };
            writer.add(&Entry::Histogram { lane: LaneId(id), span, cells }).unwrap();
        }
        writer.add(&Entry::Tick(at)).unwrap();
    }
    writer.stop().unwrap();
    std::fs::metadata(&path).unwrap().len()
}

#[test]
fn an_hour_of_five_hundred_lanes_is_below_a_hundred_megabytes() {
    let size = five_hundred_lanes(30);
    let hour = size * 120;
    assert!(hour < 100_000_000, "{hour} bytes an hour");
}

#[test]
fn blocks_of_a_newer_writer_are_skipped_but_a_newer_format_is_refused() {
    let mut bytes = written(1);
    bytes.extend(timeline::frame::pack(200, b"from the future"));
    assert!(load(bytes.clone()).unwrap().0.damage.is_empty());
    bytes[8] = 2;
    let error = load(bytes).unwrap_err().to_string();
    assert_eq!(
        error,
        "recording.dyno was written in format 2; this dyno reads up to format 1: use a newer dyno"
    );
}

#[test]
fn what_is_no_recording_is_said_to_be_none() {
    let error = load(b"{\"json\": true, \"long\": \"enough\"}".to_vec()).unwrap_err().to_string();
    assert!(error.contains("is not a dyno recording"), "{error}");
    assert!(matches!(Reader::open(Path::new("/nowhere/at/all")), Err(RecordingError::Io { .. })));
}

/// A number as blocks have it.
fn varint(mut v: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
    out
}

#[test]
fn what_no_run_says_is_damage_and_takes_no_memory() {
    let far = varint(1 << 50); // microseconds: a lifetime
    let sample =
        |us: u64, value: f64| (4, [vec![1, 0, 1], varint(2 * us), value.to_le_bytes().to_vec()].concat());
    let lane = serde_json::to_string(&LaneSpec::level("a", "b", Unit::Count)).unwrap();
    let event = r#"[{"kind":"k","instance":"i","start":2000000,"end":1000000}]"#;
    let vast = r#"[{"kind":"k","instance":"i","start":1000000,"end":1000000,"value":1e101}]"#;
    let blocks: [(u8, Vec<u8>); 11] = [
        (3, format!("[[4294967295,{lane}]]").into_bytes()),
        sample(1 << 50, 1.0),
        sample(500_000, f64::NAN),
        sample(500_000, f64::INFINITY),
        sample(500_000, f64::NEG_INFINITY),
        sample(500_000, 1e101),
        (5, vec![1, 0, 0, 1, 0]),
        (5, [vec![1, 0, 0], far.clone(), vec![1, 1, 1]].concat()),
        (6, event.as_bytes().to_vec()),
        (6, vast.as_bytes().to_vec()),
        (7, far),
    ];
    let (whole, _) = load(written(2)).unwrap();
    for (kind, body) in blocks {
        let bytes = [written(2), timeline::frame::pack(kind, &body)].concat();
        let (loaded, ticks) = load(bytes).unwrap();
        let damage: Vec<String> = loaded.damage.iter().map(ToString::to_string).collect();
        assert!(damage.len() == 1 && damage[0].contains("that no run has"), "{kind}: {damage:?}");
        assert_eq!((ticks.len(), loaded.timeline.series().len()), (2, whole.timeline.series().len()));
        assert_eq!(loaded.timeline.now(), whole.timeline.now());
        assert_eq!(loaded.timeline.series()[0].points, whole.timeline.series()[0].points);
    }
    let (kind, body) = sample(500_000, -1e100);
    let bytes = [written(2), timeline::frame::pack(kind, &body)].concat();
    assert!(load(bytes).unwrap().0.damage.is_empty(), "the least value that there may be");
}

#[test]
fn more_lanes_over_more_time_than_any_run_has_are_damage() {
    let lane = LaneSpec::level("a", "b", Unit::Count);
    let lanes = |id: u32| timeline::frame::pack(3, &serde_json::to_vec(&[(LaneId(id), &lane)]).unwrap());
    let tick = |days: u64| timeline::frame::pack(7, &varint(days * 24 * 3_600_000_000));
    let damage = |blocks: [Vec<u8>; 2]| -> usize {
        load([written(2), blocks.concat()].concat()).unwrap().0.damage.len()
    };
    assert_eq!(damage([lanes(20), tick(13)]), 0, "a long run of few lanes");
    assert_eq!(damage([lanes(20_000), tick(0)]), 0, "a short run of many");
    assert_eq!(damage([lanes(20_000), tick(13)]), 1);
    assert_eq!(damage([tick(13), lanes(20_000)]), 1);
}

#[test]
fn an_index_that_names_a_block_twice_is_none() {
    let with_index = |declared: &[u8]| {
        let bytes = written(2);
        let place = (bytes.len() as u64).to_le_bytes();
        // Places as differences, and no ticks.
        let index = [&[declared.len() as u8][..], declared, &[0]].concat();
        let last = [timeline::frame::pack_raw(10, &index), timeline::frame::pack_raw(11, &place)].concat();
        Reader::from_bytes([bytes, last].concat(), Path::new("x")).unwrap().has_index()
    };
    assert!(with_index(&[12]));
    assert!(!with_index(&[12, 0, 0]));
}

#[test]
fn blocks_that_unpack_to_no_end_are_not_read_to_it() {
    let bomb = timeline::frame::pack(5, &vec![0; 16 << 20]);
    let bytes = [written(2), bomb.repeat(16)].concat();
    let (loaded, ticks) = load(bytes).unwrap();
    assert_eq!(ticks.len(), 2);
    let last = loaded.damage.last().unwrap().to_string();
    assert!(last.contains("unpack to more than") && loaded.damage.len() < 16, "{last}");
}

#[test]
fn a_search_among_bytes_that_all_look_like_blocks_comes_to_an_end() {
    let head = [&[1, 0, 0, 0][..], &(1_u32 << 20).to_le_bytes(), &[9; 4]].concat();
    let bytes = [written(2), head.repeat(1 << 20)].concat();
    let (loaded, ticks) = load(bytes).unwrap();
    assert_eq!(ticks.len(), 2);
    let last = loaded.damage.last().unwrap().to_string();
    assert!(last.contains("nothing can be read after it"), "{last}");
}

#[test]
fn a_full_disk_ends_the_recording_at_a_whole_block() {
    // /dev/full takes nothing; a recording cannot even begin there, which is said, not panicked about.
    let error = Writer::create(Path::new("/dev/full"), &RunMeta::default());
    assert!(error.is_err());
}

proptest! {
    #[test]
    fn a_bent_byte_is_told_or_harmless(at: prop::sample::Index, bend in 1u8..) {
        let bytes = written(6);
        let (whole, _) = items(bytes.clone()).unwrap();
        let mut bent = bytes;
        let at = at.index(bent.len());
        bent[at] ^= bend;
        match items(bent) {
            Ok((some, damage)) => {
                prop_assert!(damage.len() <= 1, "{:?}", damage);
                prop_assert!(!damage.is_empty() || some == whole, "a change at {} went unseen", at);
                let mut rest = whole.iter();
                prop_assert!(some.iter().all(|item| rest.any(|w| w == item)), "nothing is made up");
            }
            Err(e) => prop_assert!(at < 12, "{}", e),
        }
    }

    #[test]
    fn foreign_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = load(bytes.clone());
        let mut head = b"dynorec\n\x01\0\0\0".to_vec();
        head.append(&mut bytes);
        if let Ok(reader) = Reader::from_bytes(head, Path::new("x")) {
            let _: Vec<Item> = reader.collect();
        }
    }
}
