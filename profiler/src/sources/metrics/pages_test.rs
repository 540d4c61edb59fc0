//! Pages of real libraries (`profiler/tests/pages`), read twice a second apart: which lanes come of them, under snapshot.
//!
//! A page and the lines of its second reading are divided by `# -- later`.

use std::fmt::Write;
use std::sync::Arc;

use timeline::histogram::Sparse;
use timeline::metric::{Mapping, MetricUnit};
use timeline::{LaneId, LaneSpec, MonoNs, Shape};

use super::own::Own;
use super::rules::Rule;
use super::scrape::Scrape;
use super::{dialects, page};
use crate::sources::{Agreement, Sink, SourceEvent};

#[derive(Default)]
struct Told {
    lanes: Vec<LaneSpec>,
    text: String,
}

impl Sink for Told {
    fn declare(&mut self, spec: LaneSpec) -> Option<LaneId> {
        let known = self.lanes.iter().position(|l| *l == spec).unwrap_or_else(|| {
            self.lanes.push(spec);
            self.lanes.len() - 1
        });
        Some(LaneId(known as u32))
    }

    fn sample(&mut self, lane: LaneId, _: MonoNs, value: f64) {
        let spec = &self.lanes[lane.0 as usize];
        assert_ne!(spec.shape, Shape::Histogram);
        let value = spec.unit.show(value);
        writeln!(
            self.text,
            "  {} [{}] {:?} {:?} {:?} = {value}",
            spec.name, spec.subject, spec.shape, spec.combine, spec.quality
        )
        .unwrap();
    }

    fn histogram(&mut self, lane: LaneId, _: MonoNs, _: MonoNs, cells: Sparse) {
        let spec = &self.lanes[lane.0 as usize];
        writeln!(self.text, "  {} [{}] {:?} = {:?}", spec.name, spec.subject, spec.quality, cells.cells)
            .unwrap();
    }

    fn event(&mut self, event: SourceEvent) {
        let (from, to) = (event.start.0 as f64 / 1e9, event.end.0 as f64 / 1e9);
        writeln!(
            self.text,
            "  event {} {from:.4} to {to:.4} s, {} others, {:?}",
            event.kind, event.others, event.labels
        )
        .unwrap();
    }

    fn note(&mut self, _: &str, _: &str) {}
}

fn told(pages: &str) -> String {
    let mut told = Told::default();
    let mut scrape = Scrape::new("metrics", "metrics-1", None, Arc::default());
    let mut since = None;
    for (second, page) in (10..).zip(pages.split("# -- later")) {
        let at = MonoNs(second * 1_000_000_000);
        scrape.begin();
        page::read(page, &mut scrape).unwrap();
        writeln!(told.text, "reading").unwrap();
        scrape.end(since, at, &mut told);
        since = Some(at);
    }
    write!(told.text, "of {:?}\nrefused {:?}", scrape.dialects(), scrape.refused).unwrap();
    told.text
}

#[test]
fn pages_of_known_libraries_become_lanes() {
    for (name, page) in [
        ("prom-client", include_str!("../../../tests/pages/prom-client-15.txt")),
        ("python", include_str!("../../../tests/pages/python-openmetrics.txt")),
        ("micrometer", include_str!("../../../tests/pages/micrometer-1.14.txt")),
        ("go", include_str!("../../../tests/pages/go-1.23.txt")),
        ("otel", include_str!("../../../tests/pages/otel.txt")),
        ("exporters", include_str!("../../../tests/pages/exporters.txt")),
    ] {
        insta::assert_snapshot!(name, told(page));
    }
}

#[test]
fn a_counter_that_is_reset_counts_from_zero_and_a_series_twice_counts_once() {
    let told = told(
        "cache_gets_total{cache=\"c\",result=\"hit\"} 100\ncache_size{cache=\"c\"} 5\ncache_size{cache=\"c\"} 5\n# -- later
cache_gets_total{cache=\"c\",result=\"hit\"} 7\ncache_gets_total{cache=\"c\",result=\"hit\"} 8\ncache_size{cache=\"c\"} NaN",
    );
    insta::assert_snapshot!(told);
}

#[test]
fn beside_another_source_heap_and_pauses_are_left_out() {
    let mut scrape = Scrape::new("metrics", "metrics-1", Some(Agreement::default()), Arc::default());
    let mut told = Told::default();
    scrape.begin();
    page::read(
        include_str!("../../../tests/pages/micrometer-1.14.txt").split("# -- later").next().unwrap(),
        &mut scrape,
    )
    .unwrap();
    scrape.end(None, MonoNs(1), &mut told);
    assert!(told.lanes.iter().any(|l| l.name == "pool.HikariPool-1.waiters"));
    assert!(told.lanes.iter().all(|l| !l.name.starts_with("heap.") && !l.name.starts_with("pause.")));
}

#[test]
fn what_is_kept_of_a_page_is_bounded() {
    let mut scrape = Scrape::new("metrics", "x", None, Arc::default());
    let mut told = Told::default();
    scrape.begin();
    let lines: String = (0..40_000).fold(String::new(), |mut page, i| {
        writeln!(page, "cache_gets_total{{cache=\"c{i}\",result=\"hit\"}} 1").unwrap();
        page
    });
    page::read(&lines, &mut scrape).unwrap();
    scrape.end(None, MonoNs(1), &mut told);
    assert_eq!(told.lanes.len(), 512);
    assert!(scrape.refused["lanes beyond 512"] > 10_000);
    assert!(scrape.refused["series for which there is no room (16384)"] > 20_000);
}

#[test]
fn a_page_with_more_bad_lines_than_good_ones_is_none() {
    let read = |page: &str| {
        let mut scrape = Scrape::new("metrics", "x", None, Arc::default());
        scrape.begin();
        page::read(page, &mut scrape).map_err(|e| e.to_string())
    };
    assert_eq!(
        read("<html>\n<p>no</p>\n<p>\n"),
        Err("the answer is not a page of metrics: line 1: no metric's name at its beginning".to_owned())
    );
    assert_eq!(
        read("# only comments\n"),
        Err("the answer is not a page of metrics: line 1: it has no sample".to_owned())
    );
    assert_eq!(read("a 1\nb 2\n<p>\n"), Ok(()));
}

fn mapped(metric: &str, labels: &[(&str, &str)], lane: &str, unit: Option<MetricUnit>) -> Mapping {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let member = lane.contains('*').then(|| "queue".to_owned());
    Mapping {
        metric: metric.to_owned(),
        labels,
        lane: lane.to_owned(),
        member,
        subject: Some("page".to_owned()),
        unit,
    }
}

#[test]
fn a_mapping_fills_lanes_with_metrics_that_nobody_knows() {
    let own = Own::new(&[
        mapped("shop.mail.backlog", &[("kind", "letter")], "broker.*.depth", None),
        mapped("render_time", &[], "server.handler", Some(MetricUnit::Milliseconds)),
        mapped("render_time", &[], "server.requests", None),
        mapped("orders_count", &[], "db.rows", None),
        mapped("nodejs_heap_size_used_bytes", &[], "heap.live", None),
        mapped("cache_kb", &[], "heap.old.used", Some(MetricUnit::Kibibytes)),
        mapped("never", &[], "client.response", None),
    ]);
    let mut scrape = Scrape::new("metrics", "metrics-1", None, Arc::new(own));
    let page = |second: u64| {
        format!(
            "shop_mail_backlog{{kind=\"letter\",queue=\"out\"}} 7\nshop_mail_backlog{{kind=\"letters\",queue=\"out\"}} 1000\n\
             render_time_bucket{{page=\"/\",le=\"10\"}} {n}\nrender_time_bucket{{page=\"/\",le=\"+Inf\"}} {n}\n\
             render_time_sum{{page=\"/\"}} {sum}\nrender_time_count{{page=\"/\"}} {n}\n\
             orders_count {n}\nnodejs_heap_size_used_bytes 1048576\ncache_kb 2\nnever 1\n",
            n = 4 * second,
            sum = 20 * second
        )
    };
    let mut told = Told::default();
    for second in 1..=2 {
        scrape.begin();
        page::read(&page(second), &mut scrape).unwrap();
        let at = MonoNs(second * 1_000_000_000);
        scrape.end((second > 1).then(|| MonoNs(at.0 - 1_000_000_000)), at, &mut told);
    }
    write!(told.text, "of {:?}", scrape.dialects()).unwrap();
    insta::assert_snapshot!(told.text);
}

/// Lines of a rule's metric with all labels that it asks for, and hostile ones where it reads some.
fn hostile(rule: &Rule, value: &str, page: &mut String) {
    let hostile = "\u{1b}[2J\u{202e}<script>\\n".to_owned() + &"x".repeat(3_000);
    let asked =
        rule.when.iter().map(|(label, words)| format!("{label}=\"{}\",", words[0].trim_start_matches('^')));
    let read = rule.member.iter().chain(rule.subject).map(|label| format!("{label}=\"{hostile}\","));
    let labels: String = asked.chain(read).collect();
    for suffix in ["", "_total", "_bytes", "_sum", "_count"] {
        writeln!(page, "{}{suffix}{{{labels}}} {value}", rule.stem).unwrap();
    }
    for le in ["-1", "0.1", "1e308", "NaN", "+Inf", "no"] {
        writeln!(page, "{}_bucket{{{labels}le=\"{le}\"}} {value}", rule.stem).unwrap();
    }
}

#[test]
fn whatever_a_known_metric_says_numbers_are_finite_and_names_harmless() {
    let values =
        ["0", "NaN", "+Inf", "-Inf", "-1", "1e308", "5e-324", "1e400", "7", "1.7976931348623157e308"];
    for beside in [None, Some(Agreement::default())] {
        let (mut scrape, mut told) =
            (Scrape::new("metrics", "m", beside, Arc::default()), Harmless::default());
        for (second, value) in (1..).zip(values) {
            let mut page = String::new();
            dialects::ALL.iter().flat_map(|d| d.rules).for_each(|rule| hostile(rule, value, &mut page));
            scrape.begin();
            page::read(&page, &mut scrape).unwrap();
            let at = MonoNs(second * 1_000_000_000);
            scrape.end((second > 1).then(|| MonoNs(at.0 - 1_000_000_000)), at, &mut told);
        }
        assert!(told.samples > 20, "{}", told.samples);
    }
}

/// Takes what may be taken, and counts it.
#[derive(Default)]
struct Harmless {
    lanes: u32,
    samples: u32,
}

impl Sink for Harmless {
    fn declare(&mut self, spec: LaneSpec) -> Option<LaneId> {
        let texts = [&spec.name, &spec.subject, &spec.instance];
        assert!(
            texts.iter().all(|t| t.len() < 300 && !t.contains(|c: char| c.is_control() || c == '\u{202e}')),
            "{spec:?}"
        );
        self.lanes += 1;
        Some(LaneId(self.lanes))
    }
    fn sample(&mut self, _: LaneId, _: MonoNs, value: f64) {
        assert!(value.is_finite());
        self.samples += 1;
    }
    fn histogram(&mut self, _: LaneId, from: MonoNs, to: MonoNs, cells: Sparse) {
        assert!(from <= to && cells.cells.windows(2).all(|w| w[0].0 < w[1].0));
        self.samples += 1;
    }
    fn event(&mut self, event: SourceEvent) {
        assert!(event.start <= event.end && event.value.is_finite());
    }
    fn note(&mut self, _: &str, _: &str) {}
}

/// A page of which each reading, a second apart, has told `told` more of ten collections that there were, and half of the heap.
fn beside_a_page(told: u64, outage: bool) -> Vec<String> {
    let (agreement, kept) = (Agreement::default(), Kept::default());
    let mut exact = agreement.exact(Box::new(kept.clone()));
    let heap = exact.declare(LaneSpec::level("heap.used", "node-7", timeline::Unit::Bytes)).unwrap();
    let mut scrape = Scrape::new("metrics", "metrics-1", Some(agreement), Arc::default());
    let mut sink = kept.clone();
    let event = |kind: &str, at: MonoNs| SourceEvent {
        kind: kind.to_owned(),
        instance: "node-7".to_owned(),
        start: at,
        end: at,
        labels: Vec::new(),
        value: 0.0,
        others: 9,
    };
    for second in 0..30 {
        let at = MonoNs((100 + second) * 1_000_000_000);
        exact.event(event("pause.minor", MonoNs(at.0 - 500_000_000)));
        exact.sample(heap, at, 100e6);
        if outage && second % 8 == 0 {
            exact.event(event("source.state", at));
        }
        scrape.begin();
        let n = told * (second + 1);
        let lines = format!(
            "nodejs_gc_duration_seconds_count{{kind=\"minor\"}} {n}\nnodejs_gc_duration_seconds_sum{{kind=\"minor\"}} {n}\nnodejs_heap_size_used_bytes 50000000\n"
        );
        page::read(&lines, &mut scrape).unwrap();
        scrape.end((second > 0).then(|| MonoNs(at.0 - 1_000_000_000)), at, &mut sink);
    }
    kept.0.lock().unwrap().clone()
}

/// Keeps remarks.
#[derive(Clone, Default)]
struct Kept(Arc<std::sync::Mutex<Vec<String>>>);

impl Sink for Kept {
    fn declare(&mut self, _: LaneSpec) -> Option<LaneId> {
        Some(LaneId(0))
    }
    fn sample(&mut self, _: LaneId, _: MonoNs, _: f64) {}
    fn histogram(&mut self, _: LaneId, _: MonoNs, _: MonoNs, _: Sparse) {}
    fn event(&mut self, _: SourceEvent) {}
    fn note(&mut self, _: &str, _: &str) {}
    fn remark(&mut self, source: &str, text: &str) {
        self.0.lock().unwrap().push(format!("{source}: {text}"));
    }
}

#[test]
fn what_a_page_and_an_exact_source_do_not_agree_on_is_said_once_with_its_counts() {
    assert_eq!(
        beside_a_page(3, false),
        ["metrics: metrics-1 and node-7 do not agree over 10.0 s: pause.minor: 30 told of 100 (30.0 %); \
          heap.used: 47.7 MiB told of 95.4 MiB on average (50.0 %); node-7 is believed"]
    );
    let agrees = beside_a_page(10, false);
    assert!(agrees.len() == 1 && !agrees[0].contains("pause"), "{agrees:?}");
    assert!(beside_a_page(3, true).is_empty(), "gaps are not counted as disagreement");
}
