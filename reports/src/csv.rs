//! `steps.csv`, `lanes.csv` and `events.csv`: every figure of the steps, every sample of every lane and every event, for
//! spreadsheets and scripts.
//!
//! A row of `lanes.csv` is one sample: long form, so that no tool needs to know the lanes beforehand. A row of `events.csv` is one event,
//! with its labels in one cell as JSON.

use timeline::histogram::{self, Sparse};
use timeline::{Timeline, Unit};

use crate::summary::{Step, Summary, Times};
use crate::write::ReportError;

/// Nanoseconds in a microsecond, the unit of histogram cells.
const NS_PER_US: f64 = 1_000.0;

/// Steps in the plan's order, all together last; times in nanoseconds, empty without samples.
///
/// # Errors
/// [`ReportError::Form`] if a row cannot be written: a fault of ours.
pub fn steps(s: &Summary) -> Result<Vec<u8>, ReportError> {
    const TIMES: [&str; 7] = ["mean", "p50", "p90", "p95", "p99", "p999", "max"];
    let head = ["step", "count", "errors"].map(str::to_owned).into_iter();
    let of = |kind: &'static str| TIMES.map(|t| format!("{kind}_{t}_ns"));
    let mut rows = vec![head.chain(of("response")).chain(of("service")).collect::<Vec<String>>()];
    for (name, step) in s.steps.iter().map(|st| (st.name.as_str(), st)).chain([("all", &s.total)]) {
        rows.push(step_row(name, step));
    }
    write("steps.csv", rows.into_iter())
}

fn step_row(name: &str, step: &Step) -> Vec<String> {
    let number = |n: Option<f64>| n.map_or_else(String::new, |n| n.to_string());
    let times = |t: &Times| [t.mean, t.p50, t.p90, t.p95, t.p99, t.p999, t.max].map(number);
    let mut row = vec![text(name), step.count.to_string(), step.errors.to_string()];
    row.extend(times(&step.response));
    row.extend(times(&step.service));
    row
}

/// Every sample: when, seconds of the run; of which lane; how much, in the lane's unit. A histogram's interval
/// has its start, and a row for each of count, p50, p99 and max.
///
/// # Errors
/// As [`steps`].
pub fn lanes(timeline: &Timeline) -> Result<Vec<u8>, ReportError> {
    let head = ["seconds", "lane", "subject", "instance", "unit", "quality", "figure", "value"];
    let rows = timeline.series().iter().flat_map(|series| {
        let spec = &series.spec;
        let row = move |seconds: f64, unit: Unit, figure: &str, value: f64| {
            vec![
                seconds.to_string(),
                text(&spec.name),
                text(&spec.subject),
                text(&spec.instance),
                unit.name().to_owned(),
                format!("{:?}", spec.quality).to_lowercase(),
                figure.to_owned(),
                value.to_string(),
            ]
        };
        let samples = series.points.iter().map(move |(at, v)| row(at.as_secs_f64(), spec.unit, "value", *v));
        let intervals = series.intervals.iter().flat_map(move |(span, cells)| {
            figures(cells).map(move |(figure, unit, v)| row(span.start.as_secs_f64(), unit, figure, v))
        });
        samples.chain(intervals)
    });
    write("lanes.csv", [head.map(str::to_owned).to_vec()].into_iter().chain(rows))
}

/// Every event: when it began and ended, seconds of the run; of which kind, in which process, the figure that belongs to its
/// kind, how many more of its kind were counted and not kept, and its labels as a JSON object.
///
/// # Errors
/// As [`steps`].
pub fn events(timeline: &Timeline) -> Result<Vec<u8>, ReportError> {
    let head = ["start", "end", "event", "instance", "value", "others", "labels"];
    let rows = timeline.all_events().iter().map(|e| {
        let label = |(name, value): &(String, String)| (text(name), text(value).into());
        let labels = serde_json::Value::Object(e.labels.iter().map(label).collect());
        vec![
            e.start.as_secs_f64().to_string(),
            e.end.as_secs_f64().to_string(),
            text(&e.kind),
            text(&e.instance),
            e.value.to_string(),
            e.others.to_string(),
            labels.to_string(),
        ]
    });
    write("events.csv", [head.map(str::to_owned).to_vec()].into_iter().chain(rows))
}

fn figures(cells: &Sparse) -> [(&'static str, Unit, f64); 4] {
    let mut h = histogram::new();
    cells.add_to(&mut h);
    let q = |q: f64| h.value_at_quantile(q) as f64 * NS_PER_US;
    [
        ("count", Unit::Count, h.len() as f64),
        ("p50", Unit::Ns, q(0.5)),
        ("p99", Unit::Ns, q(0.99)),
        ("max", Unit::Ns, q(1.0)),
    ]
}

/// A spreadsheet takes a cell that begins like this for a formula, whoever wrote it.
fn text(text: &str) -> String {
    let text = timeline::text::clean(text, usize::MAX - 1);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

fn write(what: &'static str, rows: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>, ReportError> {
    let bad = |why: String| ReportError::Form { what, why };
    let mut out = csv::Writer::from_writer(Vec::new());
    for row in rows {
        out.write_record(&row).map_err(|e| bad(e.to_string()))?;
    }
    out.into_inner().map_err(|e| bad(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use serde_json::json;
    use timeline::clock::RunTime;
    use timeline::event::{Event, kinds};

    fn read(bytes: &[u8]) -> Vec<Vec<String>> {
        let rows = csv::Reader::from_reader(bytes).into_records().map(|r| r.unwrap());
        rows.map(|r| r.iter().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn steps_are_those_of_the_summary() {
        let s = fixture::flash_sale().summary();
        let rows = read(&steps(&s).unwrap());
        assert_eq!(rows.len(), s.steps.len() + 1);
        for (row, step) in rows.iter().zip(&s.steps) {
            assert_eq!(row[0], step.name);
            assert_eq!(row[7].parse::<f64>().ok(), step.response.p99);
        }
    }

    #[test]
    fn every_sample_is_there() {
        let run = fixture::flash_sale();
        let rows = read(&lanes(&run.timeline).unwrap());
        let all: usize = run.timeline.series().iter().map(|s| s.points.len() + 4 * s.intervals.len()).sum();
        assert_eq!(rows.len(), all);
    }

    #[test]
    fn every_event_is_there_with_its_labels() {
        let event = |ms, key: &str| Event {
            kind: kinds::CACHE_REFRESH.to_owned(),
            instance: "shop-0".to_owned(),
            start: RunTime::from_ms(ms),
            end: RunTime::from_ms(ms + 5),
            labels: vec![("key".to_owned(), key.to_owned())],
            value: 412.0,
            others: 3,
        };
        let mut timeline = Timeline::new();
        let keys = ["product:7", "=a \"quoted\", one"];
        for (ms, key) in [1_000, 2_000].into_iter().zip(keys) {
            timeline.apply(&timeline::Entry::Event(event(ms, key)));
        }
        let rows = read(&events(&timeline).unwrap());
        assert_eq!(rows[0][..6], ["1", "1.005", "cache.refresh", "shop-0", "412", "3"]);
        let labels: Vec<serde_json::Value> =
            rows.iter().map(|r| serde_json::from_str(&r[6]).unwrap()).collect();
        assert_eq!(labels, [json!({ "key": "product:7" }), json!({ "key": "'=a \"quoted\", one" })]);
    }

    #[test]
    fn hostile_names_stay_in_their_cell() {
        let run = fixture::hostile();
        assert!(read(&lanes(&run.timeline).unwrap()).iter().all(|r| r.len() == 8));
        assert!(read(&events(&run.timeline).unwrap()).iter().all(|r| r.len() == 7));
        assert_eq!(text("=cmd()"), "'=cmd()");
    }
}
