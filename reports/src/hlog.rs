//! HdrHistogram interval logs: `response.hlog` and `service.hlog`, a tagged line for each step and interval.
//!
//! Format version 1.3, as HdrHistogram's own tools read it. Histograms hold microseconds; the interval's
//! maximum is written in milliseconds, which the head says.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use timeline::facts::RunMeta;
use timeline::histogram::{self, Histogram};
use timeline::{RunTime, Timeline};

use crate::write::ReportError;

/// The log of one histogram lane with a subject for each step.
///
/// # Errors
/// When a histogram cannot be serialised.
pub fn render(meta: &RunMeta, timeline: &Timeline, lane: &str) -> Result<Vec<u8>, ReportError> {
    let bad = |why: String| ReportError::Form { what: "histogram log", why };
    let mut out = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let started = SystemTime::UNIX_EPOCH + Duration::from_millis(meta.started_unix_ms);
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment(&format!("[{lane} of dyno run {}, values in microseconds]", line(&meta.run_id)))
        .with_start_time(started)
        .with_base_time(started)
        .with_max_value_divisor(1_000.0)
        .begin_log_with(&mut out, &mut serializer)
        .map_err(|e| bad(e.to_string()))?;
    for ((start, subject), (length, histogram)) in intervals(timeline, lane) {
        let tag = tag(&subject);
        let at = start.since(RunTime::ZERO);
        writer.write_histogram(&histogram, at, length, Tag::new(&tag)).map_err(|e| bad(format!("{e:?}")))?;
    }
    Ok(out)
}

/// Histograms by start and subject, the worker processes merged.
fn intervals(timeline: &Timeline, lane: &str) -> BTreeMap<(RunTime, String), (Duration, Histogram)> {
    let mut merged: BTreeMap<(RunTime, String), (Duration, Histogram)> = BTreeMap::new();
    for series in timeline.named(lane) {
        for (span, cells) in &series.intervals {
            let key = (span.start, series.spec.subject.clone());
            let (length, total) = merged.entry(key).or_insert_with(|| (Duration::ZERO, histogram::new()));
            *length = (*length).max(span.length());
            cells.add_to(total);
        }
    }
    merged
}

/// A tag may hold neither comma nor space nor line break.
fn tag(subject: &str) -> String {
    let text: String = subject
        .chars()
        .map(|c| if c == ',' || c.is_whitespace() || c.is_control() { '_' } else { c })
        .collect();
    if text.is_empty() { "all".to_owned() } else { text }
}

/// A comment is one line.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
