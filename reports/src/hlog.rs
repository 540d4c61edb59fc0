//! HdrHistogram interval logs: `response.hlog` and `service.hlog`, a tagged line for each step and interval.
//!
//! Format version 1.3, as HdrHistogram's own tools read it, warm-up left out as everywhere. Histograms
//! hold microseconds; the interval's maximum is written in milliseconds, which the head says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use timeline::facts::RunMeta;
use timeline::histogram::{self, Histogram};
use timeline::{RunTime, Timeline, figures};

use crate::write::ReportError;

/// Microseconds in the unit of a line's maximum, milliseconds.
const MAX_VALUE_DIVISOR: f64 = 1_000.0;

/// The log of one histogram lane with a subject for each step.
///
/// # Errors
/// When a histogram cannot be serialised.
pub fn render(meta: &RunMeta, timeline: &Timeline, lane: &str) -> Result<Vec<u8>, ReportError> {
    let bad = |why: String| ReportError::Form { what: "histogram log", why };
    let mut out = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let started = SystemTime::UNIX_EPOCH + Duration::from_millis(meta.started_unix_ms);
    let intervals = intervals(timeline, lane);
    let tags = tags(intervals.keys().map(|(_, subject)| subject.as_str()));
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(&format!("[{lane} of dyno run {}, values in microseconds]", line(&meta.run_id)))
        .with_start_time(started)
        .with_base_time(started)
        .with_max_value_divisor(MAX_VALUE_DIVISOR)
        .begin_log_with(&mut out, &mut serializer)
        .map_err(|e| bad(e.to_string()))?;
    for ((start, subject), (length, histogram)) in &intervals {
        let at = start.since(RunTime::ZERO);
        let tag = tags.get(subject.as_str()).and_then(|t| Tag::new(t));
        writer.write_histogram(histogram, at, *length, tag).map_err(|e| bad(format!("{e:?}")))?;
    }
    Ok(out)
}

/// Histograms by start and subject, the worker processes merged.
fn intervals(timeline: &Timeline, lane: &str) -> BTreeMap<(RunTime, String), (Duration, Histogram)> {
    let measured = figures::measured(timeline);
    let mut merged: BTreeMap<(RunTime, String), (Duration, Histogram)> = BTreeMap::new();
    for series in figures::about(timeline, lane, None) {
        for (span, cells) in measured.iter().flat_map(|m| series.intervals_within(*m)) {
            let key = (span.start, series.spec.subject.clone());
            let (length, total) = merged.entry(key).or_insert_with(|| (Duration::ZERO, histogram::new()));
            *length = (*length).max(span.length());
            cells.add_to(total);
        }
    }
    merged
}

/// A tag for each subject, unique: it may hold neither comma nor space nor line break.
fn tags<'a>(subjects: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, String> {
    let subjects: BTreeSet<&str> = subjects.collect();
    let mut taken = BTreeSet::new();
    subjects
        .into_iter()
        .map(|subject| {
            let plain = |c: char| if c == ',' || c.is_whitespace() || c.is_control() { '_' } else { c };
            let mut tag: String = subject.chars().map(plain).collect();
            if tag.is_empty() {
                tag = "all".to_owned();
            }
            while !taken.insert(tag.clone()) {
                tag.push('_');
            }
            (subject, tag)
        })
        .collect()
}

/// A comment is one line.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    use timeline::lane::names;

    use super::*;
    use crate::fixture;

    /// Reads a log as any other tool would: histograms by tag, merged.
    fn read(log: &[u8]) -> BTreeMap<String, Histogram> {
        assert!(log.starts_with(b"#[Histogram log format version 1.3]\n"));
        let mut merged: BTreeMap<String, Histogram> = BTreeMap::new();
        for entry in IntervalLogIterator::new(log) {
            let LogEntry::Interval(interval) = entry.unwrap() else { continue };
            let bytes =
                base64::engine::general_purpose::STANDARD.decode(interval.encoded_histogram()).unwrap();
            let h: Histogram = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
            assert!((h.max() as f64 / MAX_VALUE_DIVISOR - interval.max()).abs() < 0.01);
            let tag = interval.tag().unwrap().as_str().to_owned();
            merged.entry(tag).or_insert_with(histogram::new).add(h).unwrap();
        }
        merged
    }

    #[test]
    fn the_log_holds_what_the_summary_says() {
        let run = fixture::flash_sale();
        let log = render(&run.meta, &run.timeline, names::RESPONSE).unwrap();
        let read = read(&log);
        for step in &run.summary().steps {
            let h = &read[&step.name.replace(' ', "_")];
            let timed = step.response.count;
            assert_eq!(
                (h.len(), histogram::quantile_ns(h, 0.99)),
                (timed, step.response.p99),
                "{}",
                step.name
            );
        }
    }

    #[test]
    fn hostile_names_become_tags_that_stay_apart() {
        let tags = tags(["a b", "a,b", "a\nb", "", "a_b"].into_iter());
        let unique: BTreeSet<&String> = tags.values().collect();
        assert_eq!(unique.len(), 5);
        assert!(tags.values().all(|t| Tag::new(t).is_some()), "{tags:?}");
        let run = fixture::hostile();
        assert_eq!(read(&render(&run.meta, &run.timeline, names::SERVICE).unwrap()).len(), 2);
    }
}
