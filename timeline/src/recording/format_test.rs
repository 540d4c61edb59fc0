//! A reader written from `FORMAT.md` alone reads what dyno writes.

use std::collections::BTreeMap;
use std::io::Read as _;

use super::{Kind, Writer};
use crate::facts::{EndReason, RunEnd, RunMeta};
use crate::histogram::Sparse;
use crate::{Entry, LaneId, LaneSpec, RunTime, Span, Unit};

const PAGE: &str = include_str!("../../FORMAT.md");

/// Type and name of each row of the table of types.
fn types() -> BTreeMap<u8, String> {
    let table = PAGE.split("## Types").nth(1).unwrap().split("\n\n").nth(1).unwrap();
    let cells = |row: &str| row.split('|').map(|c| c.trim().to_owned()).collect::<Vec<_>>();
    table.lines().map(cells).filter_map(|c| Some((c[1].parse().ok()?, c[2].clone()))).collect()
}

fn varint(body: &mut &[u8]) -> u64 {
    let mut v = 0;
    for shift in (0..).step_by(7) {
        let byte = body[0];
        *body = &body[1..];
        v |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return v;
        }
    }
    unreachable!()
}

fn signed(body: &mut &[u8]) -> i64 {
    let v = varint(body);
    if v.is_multiple_of(2) { (v / 2) as i64 } else { -((v / 2) as i64) - 1 }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// Place, type and body of each block.
fn blocks(bytes: &[u8]) -> Vec<(usize, u8, Vec<u8>)> {
    assert_eq!(&bytes[..8], b"dynorec\n");
    assert_eq!(u32_at(bytes, 8), 1);
    let (mut at, mut out) = (12, Vec::new());
    while at < bytes.len() {
        let length = u32_at(bytes, at + 4) as usize;
        let stored = &bytes[at + 12..at + 12 + length];
        let summed = [&bytes[at..at + 2], stored].concat();
        assert_eq!(crc32fast::hash(&summed), u32_at(bytes, at + 8));
        let mut body = Vec::new();
        match bytes[at + 1] {
            0 => body.extend(stored),
            _ => {
                flate2::read::DeflateDecoder::new(stored).read_to_end(&mut body).unwrap();
            }
        }
        out.push((at, bytes[at], body));
        at += 12 + length;
    }
    out
}

#[test]
fn the_page_tells_what_is_in_the_file() {
    let named: BTreeMap<u8, String> = Kind::ALL.iter().map(|k| (*k as u8, format!("{k:?}"))).collect();
    assert_eq!(types(), named);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recording.dyno");
    let mut writer = Writer::create(&path, &RunMeta::default()).unwrap();
    let (at, lane) = (RunTime::from_ms(500), LaneId(0));
    let cells = Sparse { cells: vec![(100, 7), (2_000, 1)] };
    let span = Span::new(RunTime::ZERO, at);
    for entry in [
        Entry::Lane(lane, LaneSpec::level("pool.db.waiters", "shop-0", Unit::Count)),
        Entry::Lane(LaneId(1), LaneSpec::histogram("pool.db.wait", "shop-0")),
        Entry::Sample { lane, at, value: 1.5 },
        Entry::Sample { lane, at: RunTime::from_ms(400), value: -2.0 },
        Entry::Histogram { lane: LaneId(1), span, cells },
        Entry::Tick(at),
    ] {
        writer.add(&entry).unwrap();
    }
    writer.finish(&RunEnd { reason: EndReason::Completed, at, notes: vec![] }).unwrap();

    let bytes = std::fs::read(&path).unwrap();
    let blocks = blocks(&bytes);
    let body = |kind: u8| blocks.iter().find(|b| b.1 == kind).unwrap().2.as_slice();
    let mut samples = body(4);
    let s = &mut samples;
    assert_eq!([varint(s), varint(s), varint(s)], [1, 0, 2]);
    assert_eq!([signed(s), signed(s)], [500_000, -100_000]);
    assert_eq!(*s, [1.5f64.to_le_bytes(), (-2.0f64).to_le_bytes()].concat());
    let mut histograms = body(5);
    let read: Vec<u64> =
        std::iter::from_fn(|| (!histograms.is_empty()).then(|| varint(&mut histograms))).collect();
    assert_eq!(read, [1, 1, 0, 500_000, 2, 100, 7, 1_900, 1]);
    assert_eq!(varint(&mut body(7)), 500_000);
    let lanes: serde_json::Value = serde_json::from_slice(body(3)).unwrap();
    assert_eq!(lanes[1][0], 1);
    assert_eq!(lanes[1][1]["name"], "pool.db.wait");

    let foot = u64::from_le_bytes(bytes[bytes.len() - 8..].try_into().unwrap());
    let index = blocks.iter().find(|b| b.1 == 10).unwrap();
    assert_eq!((foot, index.0 as u64), (index.0 as u64, foot));
    let mut index = index.2.as_slice();
    let places: Vec<u64> = (0..varint(&mut index)).map(|_| varint(&mut index)).collect();
    let declared: Vec<usize> = blocks.iter().filter(|b| b.1 <= 3).map(|b| b.0).collect();
    assert_eq!(places.iter().sum::<u64>() as usize, *declared.last().unwrap());
    assert_eq!([varint(&mut index), varint(&mut index)], [1, 500_000]);
    let behind = varint(&mut index) as usize;
    assert_eq!(
        blocks.iter().position(|b| b.0 == behind),
        blocks.iter().position(|b| b.1 == 7).map(|i| i + 1)
    );
}
