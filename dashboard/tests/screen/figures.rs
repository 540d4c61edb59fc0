//! Every figure on the overview is the snapshot's: found in the buffer, and nothing else is there.

use std::collections::BTreeSet;

use dashboard::app::{Model, View};
use dashboard::theme::Palette;
use serde_json::Value;
use timeline::lane::{Quality, names};
use timeline::snapshot::{Cell, HEAT_ROWS, RunState, Snapshot, heat_edge_ns};
use timeline::{RunTime, Unit};

use crate::{SIZES, buffer, fixture, model, rows};

/// The figures of the two lines below the tabs, label and text, from the snapshot alone.
fn headline(s: &Snapshot) -> Vec<(&'static str, String)> {
    let (l, r) = (&s.load, &s.response);
    let count = |n: u64| Unit::Count.show(n as f64);
    vec![
        ("offered", Unit::PerSecond.show(l.offered)),
        ("achieved", Unit::PerSecond.show(l.achieved)),
        ("late", count(l.late)),
        ("dropped", count(l.dropped)),
        ("err", Unit::Ratio.show(l.errors as f64 / l.requests as f64)),
        ("open", count(l.open_sessions)),
        ("resp p50", Unit::Ns.show(r.p50)),
        ("p99", Unit::Ns.show(r.p99)),
        ("p99.9", Unit::Ns.show(r.p999)),
        ("max", Unit::Ns.show(r.max)),
        ("service p99", Unit::Ns.show(s.service.p99)),
    ]
}

/// The figures at the right of the lanes.
fn lanes(s: &Snapshot) -> Vec<(&'static str, String)> {
    let value = |name: &str| {
        let lane = s.lanes.iter().find(|l| l.name == name).expect("the fixture has it");
        let mark = if lane.quality == Quality::Sampled { "~" } else { "" };
        format!("{mark}{}", lane.unit.show(lane.last.expect("the fixture has it")))
    };
    let pool = &s.pools[0];
    let show = |v: Option<f64>| Unit::Count.show(v.expect("the fixture has it"));
    let waiters =
        pool.waiters.filter(|w| *w > 0.0).map(|w| format!(" w{}", Unit::Count.show(w))).unwrap_or_default();
    vec![
        ("young", value(names::HEAP_YOUNG)),
        ("old", value(names::HEAP_OLD)),
        ("pause", value(names::PAUSE)),
        ("pool", format!("{}/{}{waiters}", show(pool.in_use), show(pool.capacity))),
        ("cache", format!("loads {}", value("cache.product.loads"))),
    ]
}

#[test]
fn every_figure_of_the_overview_is_the_snapshots() {
    for second in [12, 41, 44, 66, 71, 86] {
        for (width, height) in [(80, 24), (120, 36), (200, 60)] {
            let s = fixture::flash_sale(second);
            let rows = rows(&buffer(&model(Palette::None, true), &s, width, height));
            let text = rows[2..4].join(" ");
            for (label, figure) in headline(&s) {
                assert!(text.contains(&format!("{label} {figure}")), "{label} {figure} is not in: {text}");
            }
            // And nothing is there that is not the snapshot's.
            let known: BTreeSet<String> = headline(&s).into_iter().map(|(l, f)| format!("{l} {f}")).collect();
            for piece in
                rows[2].split("  ").chain(rows[3].split("  ")).map(str::trim).filter(|p| !p.is_empty())
            {
                assert!(known.contains(piece), "{piece:?} is not of the snapshot");
            }
            let failing = s.gates.iter().filter(|g| g.holds == Some(false)).count();
            let said = format!("gates {failing}/{} FAIL", s.gates.len());
            assert_eq!(rows[0].contains(&said), failing > 0, "{}", rows[0]);
            // Below them only the aligned block counts: a wide screen has a panel beside it.
            let block =
                if width >= 120 { usize::from(width - 44.max(width / 3)) } else { usize::from(width) };
            for (label, figure) in lanes(&s) {
                let found =
                    rows.iter().any(|r| r.starts_with(label) && r[..block].trim_end().ends_with(&figure));
                assert!(found, "{label} {figure} at {second} s, {width}x{height}:\n{}", rows.join("\n"));
            }
        }
    }
}

#[test]
fn the_cursor_shows_the_values_of_its_column() {
    let s = fixture::flash_sale(66);
    let mut m = model(Palette::None, true);
    m.cursor = Some(52);
    let rows = rows(&buffer(&m, &s, 80, 24));
    let ends = |label: &str, figure: &str| {
        assert!(
            rows.iter().any(|r| r.starts_with(label) && r.trim_end().ends_with(figure)),
            "{label} {figure}:\n{}",
            rows.join("\n")
        );
    };
    ends("pause", &Unit::Ns.show(212e6));
    ends("cursor", "at 00:52");
    let heat = &s.heat[52];
    for figure in [format!("max {}", Unit::Ns.show(heat.max)), format!("p99 {}", Unit::Ns.show(heat.p99))] {
        assert!(rows.iter().any(|r| r.trim_end().ends_with(&figure)), "{figure}");
    }
    m.cursor = Some(21);
    let rows = crate::rows(&buffer(&m, &s, 80, 24));
    assert!(
        rows.iter().any(|r| r.starts_with("pause") && r.trim_end().ends_with("no data")),
        "a gap is no zero"
    );
}

#[test]
fn a_figure_stands_whole_or_a_part_of_it_is_left_out() {
    let mut s = fixture::flash_sale(66);
    for (full, said) in [(100.0, "100/100"), (1_000.0, "1.00k/1.00k")] {
        let pool = &mut s.pools[0];
        (pool.in_use, pool.capacity, pool.waiters) = (Some(full), Some(full), Some(1_200.0));
        for view in [View::Overview, View::Pools] {
            for (_, width, height) in SIZES {
                let mut m = model(Palette::None, false);
                m.view = view;
                let text = rows(&buffer(&m, &s, width, height)).join("\n");
                assert!(text.contains("w1.20k"), "{width}x{height}:\n{text}");
                assert!(!text.contains("w1.2…") && !text.contains("/1.0…"), "{width}x{height}:\n{text}");
                // The table has room for the fill, whatever the lane has.
                assert!(view != View::Pools || text.contains(said), "{width}x{height}:\n{text}");
            }
        }
    }
}

#[test]
fn under_the_cursor_stands_the_same_statistic_or_another_one_with_its_name() {
    let mut s = fixture::flash_sale(66);
    let delay = s.lanes.iter_mut().find(|l| l.name == names::LOOP_DELAY).expect("the fixture has it");
    delay.cells = vec![Some(Cell { min: 1e6, max: 90e6, last: 4e6 }); 66].into();
    delay.last = Some(4e6);
    let mut m = model(Palette::None, true);
    m.view = View::Pauses;
    let delay = |m: &Model| {
        let rows = rows(&buffer(m, &s, 80, 24));
        let row = rows.iter().find(|r| r.starts_with("loop")).expect("the view has it");
        row.trim_end().rsplit("  ").next().map(|v| v.trim().to_owned())
    };
    let told = |text: &str| Some(text.to_owned());
    assert_eq!(delay(&m), told("4.00 ms"), "the newest p99");
    m.cursor = Some(50);
    assert_eq!(delay(&m), told("4.00 ms"), "the p99 of the column");
    m.zoom = m.zoom.farther();
    assert_eq!(delay(&m), told("max 90.0 ms"), "two columns have no p99");

    m.view = View::Overview;
    let text = rows(&buffer(&m, &s, 80, 24)).join("\n");
    assert!(text.contains("p99 <=412 ms") && text.contains("p50 <=3.20 ms"), "{text}");
    m.zoom = m.zoom.nearer();
    let text = rows(&buffer(&m, &s, 80, 24)).join("\n");
    assert!(text.contains("p99 412 ms") && !text.contains("<="), "a column has its own:\n{text}");
}

#[test]
fn what_was_never_measured_is_not_available() {
    for (state, label, said) in [
        (RunState::Starting, "young", "waiting for the target"),
        (RunState::Running, "others", "not available: young, old, pause, pool, cache"),
    ] {
        let mut snapshot = Snapshot::default();
        snapshot.run.state = state;
        let rows = rows(&buffer(&model(Palette::None, true), &snapshot, 80, 24));
        assert!(rows[3].contains("resp p50 n/a"), "{}", rows[3]);
        assert!(rows[2].contains("err n/a"));
        assert!(rows.iter().any(|r| r.starts_with(label) && r.contains(said)), "{rows:#?}");
        let each = rows.iter().filter(|r| r.starts_with("young") || r.starts_with("cache")).count();
        assert_eq!(each, if state == RunState::Starting { 2 } else { 0 }, "{rows:#?}");
    }
}

const UNITS: [Unit; 7] =
    [Unit::Count, Unit::PerSecond, Unit::Bytes, Unit::BytesPerSecond, Unit::Ns, Unit::Ratio, Unit::Cores];

/// Every way in which a number may be shown.
fn shown(v: f64, known: &mut BTreeSet<String>) {
    known.extend(UNITS.map(|u| u.show(v)));
    if v >= 0.0 {
        let (ns, s) = (v as u64, v as u64 / 1_000_000_000);
        known.extend([
            RunTime(ns).to_string(),
            format!("{:.1} s", ns as f64 / 1e9),
            format!("{s} s"),
            ns.to_string(),
        ]);
    }
}

/// Every number of the snapshot, and every word of its texts.
fn known_of(value: &Value, known: &mut BTreeSet<String>) {
    match value {
        Value::Number(n) => {
            shown(n.as_f64().expect("without arbitrary precision every number is one"), known)
        }
        Value::String(text) => known.extend(text.split_whitespace().flat_map(split).map(bare)),
        Value::Array(list) => list.iter().for_each(|v| known_of(v, known)),
        Value::Object(map) => map.values().for_each(|v| known_of(v, known)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// What follows from the snapshot by one step, and the scales of the plots.
fn derived(s: &Snapshot, known: &mut BTreeSet<String>) {
    let l = &s.load;
    let sums = s.heat.iter().map(|c| c.rows.iter().map(|n| f64::from(*n)).sum::<f64>());
    let times = s.heat.iter().flat_map(|c| [c.max, c.p99, c.p50]);
    // The middle of the percentile plot's scale, whose ends are of either curve; and what lies between the curves.
    let curves = [&s.curves.response, &s.curves.service];
    let gaps = curves[0].iter().zip(curves[1]).map(|(r, s)| r - s);
    let all: Vec<f64> = curves.into_iter().flatten().copied().collect();
    let middles = all.iter().flat_map(|a| all.iter().map(move |b| (a * b).sqrt()));
    let ratio = l.errors as f64 / l.requests as f64;
    let lengths = s.events.iter().map(|e| e.span().length().as_nanos() as f64);
    for v in lengths
        .chain(sums)
        .chain(gaps)
        .chain(times)
        .chain(middles)
        .chain((0..HEAT_ROWS).map(heat_edge_ns))
        .chain([ratio])
    {
        shown(v, known);
    }
    // Counts of things on the screen, quantiles' names, times of the axis, the keys of views.
    known.extend((0..=100).map(|n| n.to_string()));
    known.extend(["99.9", "99.99"].map(str::to_owned));
    known.extend((0..=120).map(|n| RunTime(n * 1_000_000_000).to_string()));
}

fn bare(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric() && c != '%').to_owned()
}

/// The words of a row that are numbers, each with the word behind it.
fn numbers(row: &str) -> Vec<(String, String)> {
    let words: Vec<&str> = row.split_whitespace().flat_map(split).collect();
    let is_number = |w: &&str| !w.ends_with('>') && bare(w).starts_with(|c: char| c.is_ascii_digit());
    let numbers = words.iter().enumerate().filter(|(_, w)| is_number(w));
    numbers.map(|(i, w)| (bare(w), words.get(i + 1).map(|w| bare(w)).unwrap_or_default())).collect()
}

/// `64/64`, `1/3` and `0-8.10k` are two numbers, `4.00k/s` is one.
fn split(word: &str) -> Vec<&str> {
    if word.ends_with("/s") { vec![word] } else { word.split(['/', '-']).collect() }
}

#[test]
fn no_view_shows_a_figure_that_is_not_the_snapshots() {
    let mut looked_at = 0;
    for second in [12, 44, 66] {
        let s = fixture::flash_sale(second);
        let mut known = BTreeSet::new();
        known_of(&serde_json::to_value(&s).unwrap(), &mut known);
        derived(&s, &mut known);
        for view in View::ALL {
            for (_, width, height) in SIZES {
                let mut m = model(Palette::None, true);
                m.view = *view;
                // Hints have no figure of the run, nor has a word that is cut off at the edge.
                let rows = rows(&buffer(&m, &s, width, height));
                let found = rows[..rows.len() - 1].iter().flat_map(|r| numbers(r));
                let made_up: Vec<String> = found
                    .filter(|(number, next)| {
                        !known.contains(number) && !known.contains(&format!("{number} {next}"))
                    })
                    .map(|(number, next)| format!("{number} {next}"))
                    .collect();
                assert_eq!(
                    made_up,
                    [""; 0],
                    "{view:?} at {second} s, {width}x{height}:\n{}",
                    rows.join("\n")
                );
                looked_at += rows.len();
            }
        }
    }
    assert_eq!(looked_at, 3 * View::ALL.len() * (36 + 24 + 10));
}
