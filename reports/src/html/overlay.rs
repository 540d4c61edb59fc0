//! The page of a comparison: its figures, and below them the lanes of both sides laid over each other.
//!
//! Owns which lines are drawn over which. How a lane becomes a line is `data`'s, which charts there are `panels`', and what moved by more
//! than noise [`Comparison`]'s.

use std::collections::BTreeMap;

use askama::Template;
use serde::Serialize;
use timeline::Timeline;
use timeline::text::{clean, plural};

use super::data::{self, Chart, Heat};
use crate::compare::{self, Comparison, Row, Verdict};
use crate::write::ReportError;

/// Most runs of a side that are drawn: more lines hide each other, and each costs room.
const MOST_LINES: usize = 10;
/// Longest name of a run in a legend.
const NAME: usize = 60;

/// The lanes of one run, as lines.
#[derive(Debug)]
pub struct Lanes {
    run: String,
    charts: Vec<Chart>,
    heat: Heat,
}

impl Lanes {
    /// Reads those of the run that is called `run`.
    #[must_use]
    pub fn of(run: &str, timeline: &Timeline) -> Self {
        let (charts, heat) = data::lanes(timeline);
        Self { run: clean(run, NAME), charts, heat }
    }
}

/// All that is drawn.
#[derive(Serialize)]
struct Data<'a> {
    charts: Vec<Overlay<'a>>,
}

/// One figure over time, of all runs.
#[derive(Serialize)]
struct Overlay<'a> {
    title: String,
    unit: &'a str,
    lines: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    new: bool,
    run: &'a str,
    /// Width of a column, seconds.
    step: f64,
    values: &'a [Option<f64>],
}

/// The page.
#[derive(Template)]
#[template(path = "compare.html")]
struct Page<'a> {
    c: &'a Comparison,
    drawn: String,
    data: String,
    uplot_js: &'static str,
    uplot_css: &'static str,
    style: &'static str,
    script: &'static str,
}

/// Makes the page of `c`; `base` and `new` are the lanes of its runs, of which the first ten of each side are drawn.
///
/// # Errors
/// When data or template cannot be rendered.
pub fn render(c: &Comparison, base: &[Lanes], new: &[Lanes]) -> Result<String, ReportError> {
    let form = |why: String| ReportError::Form { what: "the comparison's page", why };
    let sides = [&base[..base.len().min(MOST_LINES)], &new[..new.len().min(MOST_LINES)]];
    let json = serde_json::to_string(&Data { charts: overlays(sides) }).map_err(|e| form(e.to_string()))?;
    let page = Page {
        c,
        drawn: format!("{} of base and {} of new", plural(sides[0].len(), "run"), sides[1].len()),
        data: super::harmless(&json),
        uplot_js: super::UPLOT_JS,
        uplot_css: super::UPLOT_CSS,
        style: super::STYLE,
        script: concat!(include_str!("../../assets/figures.js"), include_str!("../../assets/compare.js")),
    };
    page.render().map_err(|e| form(e.to_string()))
}

/// Lines of one title, in the order in which the first run has them.
fn overlays<'a>(sides: [&'a [Lanes]; 2]) -> Vec<Overlay<'a>> {
    let mut order: Vec<Overlay<'a>> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut add = |title: String, unit: &'a str, line: Line<'a>| {
        let place = *places.entry(title.clone()).or_insert(order.len());
        if place == order.len() {
            order.push(Overlay { title, unit, lines: Vec::new() });
        }
        order[place].lines.push(line);
    };
    for (new, lanes) in sides.iter().enumerate().flat_map(|(i, side)| side.iter().map(move |l| (i == 1, l))) {
        let line = |step, values| Line { new, run: &lanes.run, step, values };
        for (name, values) in [("p50", &lanes.heat.p50), ("p99", &lanes.heat.p99)] {
            add(format!("Response time: {name}"), "ms", line(lanes.heat.step, values));
        }
        for chart in lanes.charts.iter().filter(|c| !c.folded) {
            for series in &chart.series {
                let what = if chart.times { format!("{} p99", series.name) } else { series.name.clone() };
                add(format!("{}: {what}", chart.title), chart.unit, line(chart.step, &series.mid));
            }
        }
    }
    order
}

impl Page<'_> {
    fn verdict_class(&self) -> &'static str {
        match self.c.verdict {
            Verdict::Better | Verdict::Same => "good",
            Verdict::Worse => "bad",
            Verdict::CannotTell => "odd",
        }
    }

    fn sides(&self) -> String {
        let (base, new) = (plural(self.c.base.runs.len(), "run"), plural(self.c.new.runs.len(), "run"));
        format!("{new} against {base}")
    }

    fn cells(&self, row: &Row) -> [String; 6] {
        compare::cells(row)
    }

    fn row_class(&self, row: &Row) -> &'static str {
        match row.verdict {
            Verdict::Better => "gate-holds",
            Verdict::Worse => "gate-fails",
            Verdict::Same => "",
            Verdict::CannotTell => "gate-undecided",
        }
    }

    fn lines(&self) -> Vec<String> {
        compare::remarks(self.c)
    }
}

#[cfg(test)]
mod tests {
    use timeline::facts::RunMeta;

    use super::*;
    use crate::compare::Sample;
    use crate::fixture;

    fn page(run: &fixture::Run) -> String {
        let sample = |meta| [Sample::new(&run.summary(), meta, &run.timeline, &run.findings)];
        let again = RunMeta { run_id: format!("{}-2", run.meta.run_id), ..run.meta.clone() };
        let c = compare::compare(&sample(&run.meta), &sample(&again), &[]).unwrap();
        let lanes = |name: &str| [Lanes::of(name, &run.timeline)];
        render(&c, &lanes("one"), &lanes("two</script><b>")).unwrap()
    }

    #[test]
    fn lanes_of_both_sides_lie_over_each_other() {
        let run = fixture::flash_sale();
        let (base, new) = ([Lanes::of("one", &run.timeline)], [Lanes::of("two", &run.timeline)]);
        let overlays = overlays([&base, &new]);
        assert!(overlays.iter().any(|o| o.title == "Pool db: waiters"), "no pool");
        assert!(overlays.iter().all(|o| o.lines.len() == 2 && !o.lines[0].new && o.lines[1].new));
    }

    #[test]
    fn hostile_text_stays_text_and_nothing_is_fetched() {
        let html = page(&fixture::hostile());
        assert_eq!((html.matches("<script").count(), html.matches("</script>").count()), (3, 3));
        for broken in ["<script>alert", "<img src=x", "<b>", "src=\"http", "url(", "fetch("] {
            assert!(!html.contains(broken), "{broken}");
        }
    }
}
