//! `report.html`: the run as one file that opens anywhere, with no network.
//!
//! The first screen has verdict and cause; below it are the lanes on one time axis. Text goes through
//! the template's escaping, data through JSON in which `<` cannot occur. Figures are the summary's.

mod data;
pub mod overlay;
mod panels;

use askama::Template;
use base64::Engine as _;
use timeline::facts::LoadModel;
use timeline::figures;
use timeline::lane::names;
use timeline::{Finding, RunTime, Timeline, Unit};

use crate::profile::{self, Stacks};
use crate::summary::{Phase, Summary, Verdict};
use crate::write::{Inputs, ReportError};

const UPLOT_JS: &str = include_str!("../../assets/uplot/uPlot.iife.min.js");
const UPLOT_CSS: &str = include_str!("../../assets/uplot/uPlot.min.css");
const STYLE: &str = include_str!("../../assets/report.css");

/// The page.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    s: &'a Summary,
    scenario_text: &'a str,
    story: Vec<(usize, &'a Finding)>,
    flame_graph: Option<String>,
    busiest: Vec<(String, f64, f64)>,
    /// When starts were latest.
    latest: Option<RunTime>,
    data: String,
    uplot_js: &'static str,
    uplot_css: &'static str,
    style: &'static str,
    script: &'static str,
}

/// Most functions in the table beside the flame graph.
const BUSIEST: usize = 10;

/// A figure of the strip under the verdict.
struct Figure {
    name: &'static str,
    value: String,
    note: String,
    /// Is it to catch the eye?
    bad: bool,
}

/// Makes the page. The flame graph is an image of it, so that it cannot run scripts.
///
/// # Errors
/// When data or template cannot be rendered.
pub fn render(inputs: &Inputs<'_>) -> Result<String, ReportError> {
    let form = |why: String| ReportError::Form { what: "report.html", why };
    let json = serde_json::to_string(&data::of(inputs)).map_err(|e| form(e.to_string()))?;
    let stacks = profile::together(inputs.timeline.profiles());
    let flame_graph = profile::flame_graph(&stacks)?;
    let page = Page {
        s: inputs.summary,
        scenario_text: &inputs.meta.scenario_text,
        story: inputs.summary.story(),
        busiest: busiest(&stacks),
        latest: latest(inputs.timeline),
        flame_graph: flame_graph.map(|svg| base64::engine::general_purpose::STANDARD.encode(svg)),
        data: harmless(&json),
        uplot_js: UPLOT_JS,
        uplot_css: UPLOT_CSS,
        style: STYLE,
        script: concat!(include_str!("../../assets/figures.js"), include_str!("../../assets/report.js")),
    };
    page.render().map_err(|e| form(e.to_string()))
}

/// JSON that can stand inside a script element: nothing in it can end the element.
fn harmless(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

impl Page<'_> {
    fn title(&self) -> String {
        format!("{}: {}", self.s.scenario.name, self.s.verdict.name())
    }

    fn verdict_class(&self) -> &'static str {
        match self.s.verdict {
            Verdict::Pass => "good",
            Verdict::Fail => "bad",
            Verdict::Invalid => "odd",
        }
    }

    /// `2026-11-23 08:17:32 UTC`.
    fn started(&self) -> String {
        self.s.end.started.replace('T', " ").replace('Z', " UTC")
    }

    fn length(&self) -> String {
        RunTime(self.s.end.length).to_string()
    }

    fn time(&self, value: &Option<f64>) -> String {
        self.show(value, Unit::Ns)
    }

    fn cores(&self, value: &Option<f64>) -> String {
        self.show(value, Unit::Cores)
    }

    fn bytes(&self, value: &Option<f64>) -> String {
        self.show(value, Unit::Bytes)
    }

    fn percent(&self, value: &f64) -> String {
        format!("{value:.1} %")
    }

    fn share(&self, value: &Option<f64>) -> String {
        self.show(value, Unit::Ratio)
    }

    fn count(&self, value: &Option<f64>) -> String {
        self.show(value, Unit::Count)
    }

    /// No data is not zero.
    fn show(&self, value: &Option<f64>, unit: Unit) -> String {
        value.map_or_else(|| "–".to_owned(), |v| unit.show(v))
    }

    fn with(&self, value: &f64, unit: &Unit) -> String {
        unit.show(*value)
    }

    fn holds(&self, holds: &Option<bool>) -> &'static str {
        match holds {
            Some(true) => "holds",
            Some(false) => "fails",
            None => "undecided",
        }
    }

    fn quality(&self, quality: &timeline::Quality) -> &'static str {
        panels::quality(*quality)
    }

    /// Until when a finding was seen: ` to 00:36.0`, or nothing.
    fn until(&self, finding: &Finding) -> String {
        finding.until(self.s.over())
    }

    fn felt(&self, finding: &Finding) -> Option<String> {
        self.s.felt(finding).map(crate::summary::Felt::sentence)
    }

    /// Did the load come as planned?
    fn kept(&self) -> String {
        let g = &self.s.generator;
        if g.limited {
            return "No: the load generator could not keep its schedule.".to_owned();
        }
        if g.late == 0 {
            return "The load generator kept its schedule.".to_owned();
        }
        let share = Unit::Ratio.show(g.late as f64 / g.achieved.max(1) as f64);
        let at = self.latest.map_or_else(String::new, |at| format!(", worst at {at}"));
        format!(
            "Mostly: {} of {} starts ({share}) were late by more than 10 ms, by {} at most{at}; that is part of their response times.",
            g.late,
            g.achieved,
            self.time(&g.lateness.max)
        )
    }

    /// `0 to 5000 sessions`.
    fn asked(&self, phase: &Phase) -> String {
        let what = match phase.model {
            LoadModel::Sessions => "sessions",
            LoadModel::Arrivals => "sessions arriving per second",
            LoadModel::Requests => "requests per second",
            LoadModel::Watch => return "watched only".to_owned(),
        };
        if phase.from == phase.to {
            format!("{} {what}", phase.to)
        } else {
            format!("{} to {} {what}", phase.from, phase.to)
        }
    }

    /// What a reader wants to know before anything else.
    fn figures(&self) -> Vec<Figure> {
        let s = self.s;
        let completed = s.total.rate;
        let errors = (s.total.count > 0).then(|| s.total.errors as f64 / s.total.count as f64);
        let sessions = s.most_sessions().filter(|most| *most > 0.0);
        vec![
            Figure {
                name: "response p50",
                value: self.time(&s.total.response.p50),
                note: format!("service {}", self.time(&s.total.service.p50)),
                bad: false,
            },
            Figure {
                name: "response p99",
                value: self.time(&s.total.response.p99),
                note: format!("service {}", self.time(&s.total.service.p99)),
                bad: false,
            },
            Figure {
                name: "completed",
                value: self.show(&completed, Unit::PerSecond),
                note: format!("{} steps", s.total.count),
                bad: false,
            },
            Figure {
                name: "errors",
                value: self.share(&errors),
                note: format!("{} of {}", s.total.errors, s.total.count),
                bad: s.many_failed(),
            },
            Figure {
                name: "sessions at once",
                value: self.count(&sessions),
                note: match s.generator.workers {
                    1 => "1 worker process".to_owned(),
                    n => format!("{n} worker processes"),
                },
                bad: false,
            },
            Figure {
                name: "lateness p99",
                value: self.time(&s.generator.lateness.p99),
                note: format!(
                    "{} late, {} dropped, timer p99 {}",
                    s.generator.late,
                    s.generator.dropped,
                    self.time(&s.generator.release_error.p99)
                ),
                bad: s.generator.limited,
            },
        ]
    }
}

/// The second in which a start was latest.
fn latest(timeline: &Timeline) -> Option<RunTime> {
    let spans = &figures::measured(timeline);
    let intervals = timeline
        .named(names::LATENESS)
        .flat_map(|series| spans.iter().flat_map(|span| series.intervals_within(*span)));
    let worst = intervals.filter_map(|(span, cells)| Some((cells.cells.last()?.0, span.start)));
    worst.max_by_key(|(us, _)| *us).map(|(_, at)| at)
}

/// The busiest functions: name, percent of the samples in which it ran itself, and in which it was on the stack.
fn busiest(stacks: &Stacks) -> Vec<(String, f64, f64)> {
    let total: u64 = stacks.values().sum();
    let percent = |n: u64| 100.0 * n as f64 / total.max(1) as f64;
    let own = profile::functions(stacks).into_iter().filter(|f| f.1 > 0).take(BUSIEST);
    own.map(|(name, own, all)| (name, percent(own), percent(all))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, Run};

    #[test]
    fn late_starts_are_not_called_a_schedule_that_was_kept() {
        let mut run = fixture::flash_sale();
        assert!(page(&run).contains("<p>The load generator kept its schedule.</p>"));
        let ids = run.timeline.series().len() as u32;
        let late = timeline::LaneSpec::rate(names::LATE, "gen-0", Unit::PerSecond);
        let lateness = timeline::LaneSpec::histogram(names::LATENESS, "gen-1");
        for (i, spec) in [late, lateness].into_iter().enumerate() {
            run.timeline.apply(&timeline::Entry::Lane(timeline::LaneId(ids + i as u32), spec));
        }
        let s = |s: u64| RunTime::from_ms(s * 1_000);
        for (at, value) in [(s(22), 0.0), (s(23), 400.0), (s(24), 0.0)] {
            run.timeline.apply(&timeline::Entry::Sample { lane: timeline::LaneId(ids), at, value });
        }
        let cells = timeline::histogram::Sparse { cells: vec![(600_000, 400)] };
        let span = timeline::Span::new(s(22), s(23));
        run.timeline.apply(&timeline::Entry::Histogram { lane: timeline::LaneId(ids + 1), span, cells });
        let page = page(&run);
        let told = page.split("<p>Mostly: ").nth(1).and_then(|rest| rest.split("</p>").next()).unwrap();
        insta::assert_snapshot!(told, @"400 of 40000 starts (1.00 %) were late by more than 10 ms, by 600 ms at most, worst at 00:22; that is part of their response times.");
    }

    /// The page's whole size that still goes through a mail gateway.
    const LARGEST: usize = 3_000_000;

    fn page(run: &Run) -> String {
        let summary = run.summary();
        let inputs = Inputs { summary: &summary, timeline: &run.timeline, meta: &run.meta };
        render(&inputs).unwrap()
    }

    #[test]
    fn hostile_text_stays_text() {
        let mut run = fixture::hostile();
        let bare = page(&run);
        assert!(bare.contains("No CPU profile was taken"));
        run.timeline.apply(&timeline::Entry::Profile(profile::tests::profile("<script>alert(3)</script>")));
        let html = page(&run);
        assert!(
            html.contains("hash&#60;a: b&#62;") && html.contains("70.0 %"),
            "the busiest function is named"
        );
        assert!(html.contains("data:image/svg+xml;base64,"));
        for broken in ["<script>alert", "<img src=x"] {
            assert!(!html.contains(broken), "{broken} came through");
        }
        // Three scripts: data, library, ours.
        assert_eq!(html.matches("<script").count(), 3);
        assert_eq!(html.matches("</script>").count(), 3);
        assert!(!html.contains("href=\"javascript"));
    }

    #[test]
    fn nothing_is_fetched() {
        let html = page(&fixture::flash_sale());
        for fetched in ["src=\"http", "href=\"http", "url(", "@import", "fetch(", "XMLHttpRequest"] {
            assert!(!html.contains(fetched), "{fetched}");
        }
        assert!(html.contains("default-src 'none'"));
    }

    #[test]
    fn the_cause_stands_before_any_figure() {
        let html = page(&fixture::flash_sale());
        let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("no {text}"));
        assert!(at("cache stampede") < at("pool saturated") && at("pool saturated") < at("id=\"charts\""));
        assert!(at("single flight") < at("id=\"h-steps\""));
        assert!(at("from 00:20.0 to 00:36.0") < at("What clients felt: 0.22 % of 12800 requests failed"));
    }

    #[test]
    fn an_hour_still_makes_a_small_page() {
        let run = fixture::hour();
        let html = page(&run);
        assert!(html.len() < LARGEST, "{} bytes", html.len());
    }
}
