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
use timeline::recording::{Item, Loaded, PACKED_FILE_NAME, Reader, RecordingError, Writer};
use timeline::snapshot::LogLine;
use timeline::{Entry, Event, LaneId, LaneSpec, RunTime, Span, Unit};

/// Entries of a run of `ticks` ticks: two lanes and an event each.
fn entries(ticks: u64) -> Vec<Entry> {
    let mut list = vec![
        Entry::Plan(PlanFacts { phases: Vec::new(), steps: vec!["say".to_owned()] }),
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
    let error = Reader::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains(PACKED_FILE_NAME), "{error}");
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
                assert!(loaded.end.is_none() && loaded.damage.len() <= 1);
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

#[test]
fn a_full_disk_ends_the_recording_at_a_whole_block() {
    // /dev/full takes nothing; a recording cannot even begin there, which is said, not panicked about.
    let error = Writer::create(Path::new("/dev/full"), &RunMeta::default());
    assert!(error.is_err());
}

proptest! {
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
