//! Pages of real libraries (`profiler/tests/pages`), read twice a second apart: which lanes come of them, under snapshot.
//!
//! A page and the lines of its second reading are divided by `# -- later`.

use std::fmt::Write;
use std::sync::Arc;

use timeline::histogram::Sparse;
use timeline::{LaneId, LaneSpec, MonoNs, Shape};

use super::page;
use super::scrape::Scrape;
use crate::sources::{Sink, SourceEvent};

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
    let mut scrape = Scrape::new("metrics-1", false, Arc::default());
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
    let mut scrape = Scrape::new("metrics-1", true, Arc::default());
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
    let mut scrape = Scrape::new("x", false, Arc::default());
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
        let mut scrape = Scrape::new("x", false, Arc::default());
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
