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
cache_gets_total{cache=\"c\",result=\"hit\"} 7\ncache_gets_total{cache=\"c\",result=\"hit\"} 8\ncache_size{cache=\"c\"} NaN
# -- later
cache_gets_total{cache=\"c\",result=\"hit\"} 10",
    );
    insta::assert_snapshot!(told);
}

#[test]
fn an_application_that_counts_what_an_exporter_does_keeps_its_own_figures() {
    let node = "nodejs_heap_size_used_bytes 1048576\nshop_pg_stat_activity_count{state=\"active\"} 3\n\
        http_request_duration_seconds_sum 1\nhttp_request_duration_seconds_count 1\n";
    let go = "go_memstats_heap_alloc_bytes 1048576\nshop_pg_stat_activity_count{state=\"active\"} 3\n";
    for page in [node, node.replace("shop_", "").as_str(), go] {
        let told = told(&format!("{page}# -- later\n{page}"));
        assert!(told.contains("heap.used [] Level Sum Exact = 1.00 MiB"), "{told}");
        assert!(told.contains("db.connections [] Level Sum Exact = 3"), "{told}");
        assert!(page == go || told.contains("server.requests"), "{told}");
    }
    // Exporters are made with Go: its runtime beside their own names is theirs.
    let exporter = told(&go.replace("shop_", ""));
    assert!(exporter.contains("db.connections") && !exporter.contains("heap.used"), "{exporter}");
}

/// What `pages` come to in their last reading.
fn told_last(pages: &str) -> Vec<String> {
    let told = told(pages);
    let last = told.rsplit("reading\n").next().unwrap_or_default();
    last.lines().take_while(|line| !line.starts_with("of ")).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn sums_and_counts_that_go_by_names_of_their_own_are_durations() {
    let page = |waits: u32, seconds: f64| {
        format!(
            "go_sql_wait_count_total{{db_name=\"orders\"}} {waits}\ngo_sql_wait_duration_seconds_total{{db_name=\"orders\"}} {seconds}\n"
        )
    };
    assert_eq!(
        told_last(&format!("{}# -- later\n{}", page(100, 5.0), page(110, 5.5))),
        ["pool.orders.wait [] Inferred = [(50000, 10)]"]
    );
    let calls = |n: u32| format!("pg_stat_statements_calls_total{{queryid=\"7\"}} {n}\n");
    let seconds = |s: f64| format!("pg_stat_statements_seconds_total{{queryid=\"7\"}} {s}\n");
    assert_eq!(
        told_last(&format!("{}{}# -- later\n{}{}", calls(10), seconds(1.0), calls(30), seconds(1.2))),
        ["db.calls [7] Rate Sum Exact = 20/s", "db.time [7] Inferred = [(10000, 20)]"]
    );
    // Without the time that they took nothing is made up.
    assert_eq!(
        told_last(&format!("{}# -- later\n{}", calls(10), calls(30))),
        ["db.calls [7] Rate Sum Exact = 20/s"]
    );
}

#[test]
fn a_histogram_without_its_last_bucket_is_read_by_its_count_and_without_either_is_left_out() {
    let (last, count) = ("_bucket{le=\"+Inf\"}", "_count");
    // Of each four one takes two seconds, beyond the last limit.
    let pages = |parts: &[&str]| {
        let page = |n: u32| {
            let whole: String = parts.iter().fold(String::new(), |mut lines, part| {
                writeln!(lines, "http_request_duration_seconds{part} {}", 4 * n).unwrap();
                lines
            });
            format!(
                "http_request_duration_seconds_bucket{{le=\"0.1\"}} {}\nhttp_request_duration_seconds_sum {}\n{whole}",
                3 * n,
                2.3 * f64::from(n)
            )
        };
        format!("{}# -- later\n{}", page(1), page(2))
    };
    let (both, counted) = (told_last(&pages(&[last, count])), told_last(&pages(&[count])));
    let durations = "server.handler [] Sampled = [(88000, 3), (2036000, 1)]";
    assert!(both.iter().any(|line| line == durations), "{both:?}");
    assert_eq!(counted, both);
    assert_eq!(told_last(&pages(&[last])), [durations]);
    let neither = pages(&[]);
    assert!(told_last(&neither).is_empty(), "{:?}", told_last(&neither));
    let named = "\"histograms without the bucket +Inf and without a count\"";
    assert!(told(&neither).contains(named) && !told(&pages(&[count])).contains(named));
}

#[test]
fn limits_that_are_none_are_left_out_and_pauses_without_a_count_are_a_share() {
    let page = |pauses: f64| {
        format!(
            "jvm_memory_max_bytes{{area=\"heap\",id=\"G1 Eden Space\"}} -1\njvm_memory_max_bytes{{area=\"heap\",id=\"G1 Old Gen\"}} 2097152\n\
             redis_memory_max_bytes 0\nredis_blocked_clients 2\ndotnet_gc_pause_time_seconds_total {pauses}\nprocess_cpu_seconds_total {pauses}\n"
        )
    };
    // The exporter's page has no figures of the process behind it.
    assert_eq!(
        told_last(&format!("{}# -- later\n{}", page(1.0), page(1.25))),
        [
            "heap.limit [] Level Sum Exact = 2.00 MiB",
            "pause.collecting [] Rate Max Exact = 25.0 %",
            "cache.redis.blocked [] Level Sum Exact = 2"
        ]
    );
    let python = |n: u32, cpu: f64| {
        format!(
            "python_gc_collections_total{{generation=\"0\"}} {}\npython_gc_collections_total{{generation=\"1\"}} {n}\n\
             python_gc_collections_total{{generation=\"2\"}} {n}\nprocess_cpu_seconds_total {cpu}\n",
            10 * n
        )
    };
    assert_eq!(
        told_last(&format!("{}# -- later\n{}", python(3, 1.0), python(4, 1.5))),
        [
            "pause.collections [minor] Rate Sum Exact = 11/s",
            "pause.collections [major] Rate Sum Exact = 1/s",
            "process.cpu [] Rate Sum Exact = 0.50 cores"
        ]
    );
}

#[test]
fn a_time_that_is_over_is_zero_and_one_that_nobody_has_measured_is_none() {
    let page = |transaction: f64, lag: f64| {
        format!(
            "pg_stat_activity_max_tx_duration{{datname=\"shop\"}} {transaction}\nnodejs_eventloop_lag_max_seconds {lag}\n"
        )
    };
    assert_eq!(
        told_last(&format!("{}# -- later\n{}", page(12.0, 0.02), page(0.0, 0.0))),
        ["db.longest-transaction [] Level Max Sampled = 0 ms"]
    );
}

#[test]
fn a_level_whose_rows_an_exporter_no_longer_lists_is_zero() {
    let row = |state: &str, wait: &str, n: u32| {
        format!("pg_stat_activity_count{{state=\"{state}\",wait_event_type=\"{wait}\"}} {n}\n")
    };
    let idle = row("idle", "Client", 2);
    let locked = format!("{}{idle}", row("active", "Lock", 4));
    assert_eq!(
        told_last(&format!("{locked}# -- later\n{idle}")),
        [
            "db.connections [] Level Sum Exact = 2",
            "db.active [] Level Sum Exact = 0",
            "db.waiting [] Level Sum Exact = 0"
        ]
    );
    // Of a metric that is not there at all nothing is known.
    assert!(told_last(&format!("{locked}# -- later\nredis_evicted_keys_total 5\n")).is_empty());
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
fn a_page_says_what_it_tells_and_what_not() {
    let read = |page: &str, beside: Option<Agreement>| {
        let mut scrape = Scrape::new("metrics", "metrics-1", beside, Arc::default());
        scrape.begin();
        page::read(page, &mut scrape).unwrap();
        scrape.end(None, MonoNs(1), &mut Told::default());
        scrape
    };
    let node = "nodejs_heap_size_used_bytes 1\npg_pool_max 5\n";
    let mut scrape = read(node, None);
    let found = "2 lanes of prom-client 15 (Node.js): heap, pool; \
        nothing of pauses, loop, offload, cache, requests, process";
    assert_eq!(scrape.found().as_deref(), Some(found));
    assert_eq!(scrape.found_more().as_deref(), Some(found));
    assert_eq!(scrape.found_more(), None);
    scrape.begin();
    page::read("nodejs_eventloop_lag_max_seconds 0.1\n", &mut scrape).unwrap();
    scrape.end(Some(MonoNs(1)), MonoNs(1_000_000_000), &mut Told::default());
    let more = scrape.found_more().unwrap();
    assert!(more.contains(": heap, loop, pool; nothing of pauses, offload, "), "{more}");
    // Who sees the process better tells of its heap.
    assert_eq!(
        read(node, Some(Agreement::default())).found().unwrap(),
        "1 lane of prom-client 15 (Node.js): pool; nothing of pauses, loop, offload, cache, requests, process"
    );
    // An exporter's own heap is not the target's.
    let exporter = "go_memstats_heap_alloc_bytes 1\npg_stat_activity_count{state=\"active\"} 3\n";
    assert_eq!(
        read(exporter, None).found().unwrap(),
        "2 lanes of postgres_exporter 0.15: database; \
         nothing of heap, pauses, loop, offload, pool, cache, requests, process"
    );
    assert_eq!(read("my_own_metric 1\n", None).found(), None);
}

#[test]
fn exporters_that_answer_in_turn_tell_what_their_server_counts() {
    let pages = (0..8).map(|i| {
        format!(
            "process_cpu_seconds_total {}\nprocess_start_time_seconds {}\npg_stat_user_tables_seq_scan{{relname=\"t\"}} {}\n",
            [50, 9][i % 2],
            [100, 200][i % 2],
            4 * i
        )
    });
    assert_eq!(
        told_last(&pages.collect::<Vec<_>>().join("# -- later\n")),
        ["db.table-scans [t] Rate Sum Exact = 4/s"]
    );
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
    // Of one line alone, too: a proxy's word that there is nothing behind it.
    for page in ["<html>no</html>", "<p>\n<p>\n"] {
        let refused = read(page).unwrap_err();
        assert!(refused.ends_with("line 1: no metric's name at its beginning"), "{refused}");
    }
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
