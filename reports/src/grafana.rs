//! A Grafana dashboard of live runs, over Prometheus, made from the names of [`crate::metrics`].
//!
//! One row of panels after another, two in a row; the data source and the run are chosen on the page.

use serde_json::{Value, json};

use crate::metrics::names;

/// Version of Grafana's dashboard model that this is written in (Grafana 10 and later read it).
const SCHEMA_VERSION: u32 = 39;
/// Width of the grid; two panels share it.
const GRID: u32 = 24;
/// Height of a panel, in its units.
const HEIGHT: u32 = 8;

/// A panel: title, unit in Grafana's words, what is drawn (figure, its labels, how a line is called).
struct Panel {
    title: &'static str,
    unit: &'static str,
    series: &'static [Series],
}

struct Series {
    name: &'static str,
    labels: &'static str,
    legend: &'static str,
}

const fn all(name: &'static str, labels: &'static str, legend: &'static str) -> Series {
    Series { name, labels, legend }
}

const PANELS: [Panel; 12] = [
    Panel { title: "Load", unit: "reqps", series: &[all(names::LOAD, "", "{{what}}")] },
    Panel { title: "Sessions and connections", unit: "short", series: &[all(names::OPEN, "", "{{what}}")] },
    Panel { title: "Response time, last 5 s", unit: "s", series: &[all(names::RECENT, "", "p{{quantile}}")] },
    Panel {
        title: "Response time by step, p99 over the run",
        unit: "s",
        series: &[all(names::RESPONSE, "quantile=\"0.99\",step!=\"\"", "{{step}}")],
    },
    Panel {
        title: "Service time by step, p99 over the run",
        unit: "s",
        series: &[all(names::SERVICE, "quantile=\"0.99\",step!=\"\"", "{{step}}")],
    },
    Panel {
        title: "Errors",
        unit: "short",
        series: &[all(names::ERRORS, "", "{{kind}}"), all(names::STEP_ERRORS, "step!=\"\"", "{{step}}")],
    },
    Panel { title: "Starts late or dropped", unit: "short", series: &[all(names::STARTS, "", "{{what}}")] },
    Panel {
        title: "Gates (1 holds, 0 fails)",
        unit: "none",
        series: &[all(names::GATE_HOLDS, "", "{{gate}}")],
    },
    Panel {
        title: "Findings, since when",
        unit: "s",
        series: &[all(names::FINDING, "", "{{kind}} {{subject}} ({{status}})")],
    },
    Panel { title: "Memory", unit: "bytes", series: &[all(names::LANE, "unit=\"bytes\"", "{{lane}}")] },
    Panel { title: "CPU", unit: "short", series: &[all(names::LANE, "unit=\"cores\"", "{{lane}}")] },
    Panel {
        title: "Pools, caches, queues",
        unit: "short",
        series: &[all(names::LANE, "lane=~\"pool.*|cache.*|broker.*|offload.*\",unit=\"count\"", "{{lane}}")],
    },
];

/// The dashboard, to be imported as it is.
#[must_use]
pub fn dashboard() -> String {
    let panels: Vec<Value> = PANELS.iter().zip(0..).map(|(p, i)| panel(p, i)).collect();
    let dashboard = json!({
        "title": "dyno: live run",
        "uid": "dyno-live",
        "tags": ["dyno", "load"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": { "from": "now-15m", "to": "now" },
        "templating": { "list": [
            { "type": "datasource", "name": "source", "label": "Prometheus", "query": "prometheus" },
            {
                "type": "query",
                "name": "run",
                "label": "Run",
                "datasource": { "type": "prometheus", "uid": "${source}" },
                "query": format!("label_values(dyno_{}, run)", names::RUN),
                "refresh": 2,
                "sort": 2,
            },
        ] },
        "panels": panels,
    });
    format!("{dashboard:#}\n")
}

fn panel(p: &Panel, i: u32) -> Value {
    let source = json!({ "type": "prometheus", "uid": "${source}" });
    let targets: Vec<Value> = p
        .series
        .iter()
        .zip('A'..)
        .map(|(s, id)| {
            let more = if s.labels.is_empty() { String::new() } else { format!(",{}", s.labels) };
            json!({
                "refId": id.to_string(),
                "datasource": source,
                "expr": format!("dyno_{}{{run=\"$run\"{more}}}", s.name),
                "legendFormat": s.legend,
            })
        })
        .collect();
    json!({
        "id": i + 1,
        "type": "timeseries",
        "title": p.title,
        "datasource": source,
        "gridPos": { "h": HEIGHT, "w": GRID / 2, "x": i % 2 * (GRID / 2), "y": i / 2 * HEIGHT },
        "fieldConfig": { "defaults": { "unit": p.unit, "min": 0 }, "overrides": [] },
        "options": {
            "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
            "tooltip": { "mode": "multi", "sort": "desc" },
        },
        "targets": targets,
    })
}

#[cfg(test)]
mod tests {
    use timeline::snapshot::{GateView, LaneView, Percentiles, Snapshot, StepView};
    use timeline::{Quality, Unit, lane};

    use super::*;
    use crate::{fixture, metrics};

    /// A snapshot with a little of everything.
    fn snapshot() -> Snapshot {
        let times = Percentiles { count: 1, p50: 1e6, p90: 1e6, p99: 1e6, p999: 1e6, max: 1e6 };
        let lane = |name: &str, unit| LaneView {
            name: name.to_owned(),
            unit,
            shape: lane::Shape::Level,
            quality: Quality::Exact,
            cells: Vec::new().into(),
            last: Some(1.0),
            age_ns: 0,
        };
        Snapshot {
            recent: times,
            response: times,
            steps: vec![StepView {
                name: "list".to_owned(),
                errors: 1,
                untimed: 0,
                response: times,
                service: times,
            }],
            errors: vec![("status".to_owned(), 1)],
            lanes: vec![
                lane("heap.old.used", Unit::Bytes),
                lane("process.cpu", Unit::Cores),
                lane("pool.db.waiters", Unit::Count),
            ],
            findings: fixture::flash_sale().findings,
            gates: vec![GateView {
                that: "errors < 1%".to_owned(),
                holds: Some(true),
                figure: String::new(),
                line: None,
            }],
            ..Snapshot::default()
        }
    }

    #[test]
    fn whatever_is_drawn_is_a_figure_of_a_live_run_with_those_labels() {
        let figures = metrics::of_snapshot(&snapshot());
        for series in PANELS.iter().flat_map(|p| p.series) {
            let family = figures.families.iter().find(|f| f.name == format!("dyno_{}", series.name)).unwrap();
            let names: Vec<&str> = family.points[0].0.iter().map(|(k, _)| k.as_str()).collect();
            let legend = series.legend.split("{{").skip(1).map(|part| part.split("}}").next().unwrap());
            let labels = series.labels.split(',').filter(|l| !l.is_empty());
            let labels = labels.map(|l| l.split(['=', '!']).next().unwrap());
            for label in legend.chain(labels) {
                assert!(names.contains(&label), "{} has no label {label}", series.name);
            }
        }
    }

    #[test]
    fn panels_fill_the_grid_and_never_overlap() {
        let dashboard: Value = serde_json::from_str(&dashboard()).unwrap();
        let mut places = std::collections::BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let at = &panel["gridPos"];
            assert!(places.insert((at["y"].as_u64(), at["x"].as_u64())), "{panel}");
            assert!(!panel["targets"].as_array().unwrap().is_empty());
        }
        insta::assert_snapshot!(PANELS.iter().map(|p| p.title).collect::<Vec<_>>().join("\n"));
    }
}
