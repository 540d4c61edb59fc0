//! Bodies of the binary frames: samples, histograms and ticks to bytes and back.
//!
//! Decoders trust nothing: every count is checked against what is left of the body.

use std::collections::BTreeMap;

use crate::clock::{RunTime, Span};
use crate::histogram::Sparse;
use crate::lane::LaneId;
use crate::profile::Profile;

/// One sample of a level or rate lane.
pub(super) type Sample = (LaneId, RunTime, f64);
/// One interval of a histogram lane.
pub(super) type Interval = (LaneId, Span, Sparse);

/// A number as a varint: seven bits a byte, the lowest first; the top bit says that more follow.
pub(super) fn put(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// What [`put`] wrote, taken off the front.
pub(super) fn take(body: &mut &[u8]) -> Option<u64> {
    let mut v = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = body.split_first()?;
        *body = rest;
        v |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(v);
        }
    }
    None
}

fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

fn unzigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

/// A count that `body` can really hold, at `least` bytes an item.
fn take_count(body: &mut &[u8], least: usize) -> Option<usize> {
    let n = usize::try_from(take(body)?).ok()?;
    (n <= body.len() / least).then_some(n)
}

/// Samples, grouped by lane; the order within a lane is kept.
pub(super) fn encode_samples(samples: &[Sample]) -> Vec<u8> {
    let mut by_lane: BTreeMap<LaneId, Vec<(u64, f64)>> = BTreeMap::new();
    for &(lane, at, value) in samples {
        by_lane.entry(lane).or_default().push((at.0 / 1_000, value));
    }
    let mut out = Vec::with_capacity(samples.len() * 11);
    put(&mut out, by_lane.len() as u64);
    for (lane, points) in by_lane {
        put(&mut out, u64::from(lane.0));
        put(&mut out, points.len() as u64);
        let mut last = 0i64;
        for &(us, _) in &points {
            put(&mut out, zigzag(us as i64 - last));
            last = us as i64;
        }
        for (_, value) in points {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
    out
}

/// What [`encode_samples`] made; none if the body is not of that form.
pub(super) fn decode_samples(mut body: &[u8]) -> Option<Vec<Sample>> {
    let body = &mut body;
    let mut out = Vec::new();
    for _ in 0..take_count(body, 2)? {
        let lane = LaneId(u32::try_from(take(body)?).ok()?);
        let n = take_count(body, 9)?;
        let mut times = Vec::with_capacity(n);
        let mut last = 0i64;
        for _ in 0..n {
            last = last.checked_add(unzigzag(take(body)?))?;
            times.push(RunTime(u64::try_from(last).ok()?.checked_mul(1_000)?));
        }
        for at in times {
            let (bytes, rest) = body.split_first_chunk::<8>()?;
            *body = rest;
            out.push((lane, at, f64::from_le_bytes(*bytes)));
        }
    }
    body.is_empty().then_some(out)
}

/// Histogram intervals in order.
pub(super) fn encode_intervals(intervals: &[Interval]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, intervals.len() as u64);
    for (lane, span, sparse) in intervals {
        put(&mut out, u64::from(lane.0));
        put(&mut out, span.start.0 / 1_000);
        put(&mut out, span.length().as_micros() as u64);
        put(&mut out, sparse.cells.len() as u64);
        let mut last = 0u32;
        for &(value, count) in &sparse.cells {
            put(&mut out, u64::from(value.saturating_sub(last)));
            put(&mut out, u64::from(count));
            last = value;
        }
    }
    out
}

/// What [`encode_intervals`] made; none if the body is not of that form.
pub(super) fn decode_intervals(mut body: &[u8]) -> Option<Vec<Interval>> {
    let body = &mut body;
    let mut out = Vec::new();
    for _ in 0..take_count(body, 4)? {
        let lane = LaneId(u32::try_from(take(body)?).ok()?);
        let start = take(body)?.checked_mul(1_000)?;
        let length = take(body)?.checked_mul(1_000)?;
        let mut cells = Vec::new();
        let mut last = 0u32;
        for _ in 0..take_count(body, 2)? {
            last = last.checked_add(u32::try_from(take(body)?).ok()?)?;
            cells.push((last, u32::try_from(take(body)?).ok()?));
        }
        let span = Span::new(RunTime(start), RunTime(start.checked_add(length)?));
        out.push((lane, span, Sparse { cells }));
    }
    body.is_empty().then_some(out)
}

/// The time of a tick.
pub(super) fn encode_tick(at: RunTime) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, at.0 / 1_000);
    out
}

/// What [`encode_tick`] made.
pub(super) fn decode_tick(mut body: &[u8]) -> Option<RunTime> {
    let us = take(&mut body)?;
    body.is_empty().then_some(())?;
    Some(RunTime(us.checked_mul(1_000)?))
}

/// A profile: instance, start, length, then pprof's bytes.
pub(super) fn encode_profile(profile: &Profile) -> Vec<u8> {
    let mut out = Vec::with_capacity(profile.pprof.len() + 40);
    put(&mut out, profile.instance.len() as u64);
    out.extend_from_slice(profile.instance.as_bytes());
    put(&mut out, profile.span.start.0 / 1_000);
    put(&mut out, profile.span.length().as_micros() as u64);
    out.extend_from_slice(&profile.pprof);
    out
}

/// What [`encode_profile`] made; none if the body is not of that form.
pub(super) fn decode_profile(mut body: &[u8]) -> Option<Profile> {
    let length = take_count(&mut body, 1)?;
    let (name, mut body) = body.split_at(length);
    let instance = std::str::from_utf8(name).ok()?.to_owned();
    let start = take(&mut body)?.checked_mul(1_000)?;
    let length = take(&mut body)?.checked_mul(1_000)?;
    let span = Span::new(RunTime(start), RunTime(start.checked_add(length)?));
    Some(Profile { instance, span, pprof: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn samples_come_back(raw in prop::collection::vec((0u32..9, 0u64..10_000_000_000, any::<f64>()), 0..200)) {
            let mut samples: Vec<Sample> =
                raw.into_iter().map(|(l, us, v)| (LaneId(l), RunTime(us * 1_000), v)).collect();
            samples.sort_by_key(|s| s.0); // the codec groups by lane and keeps the order inside
            let back = decode_samples(&encode_samples(&samples)).unwrap();
            prop_assert_eq!(back.len(), samples.len());
            for (a, b) in back.iter().zip(&samples) {
                prop_assert!(a.0 == b.0 && a.1 == b.1 && a.2.to_bits() == b.2.to_bits());
            }
        }

        #[test]
        fn intervals_come_back(raw in prop::collection::vec((0u32..9, 0u64..1_000_000, 0u64..1_000_000, prop::collection::btree_map(1u32..4_000_000_000, 1u32.., 0..20)), 0..20)) {
            let intervals: Vec<Interval> = raw.into_iter().map(|(l, s, n, cells)| {
                let span = Span::new(RunTime(s * 1_000), RunTime((s + n) * 1_000));
                (LaneId(l), span, Sparse { cells: cells.into_iter().collect() })
            }).collect();
            prop_assert_eq!(decode_intervals(&encode_intervals(&intervals)).unwrap(), intervals);
        }

        #[test]
        fn foreign_bytes_are_refused_or_read_but_never_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (decode_samples(&body), decode_intervals(&body), decode_tick(&body), decode_profile(&body));
        }
    }
}
