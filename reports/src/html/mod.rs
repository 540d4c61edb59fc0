//! `report.html`: the run as one file that opens anywhere, with no network.
//!
//! The first screen has verdict and cause; below it are the lanes on one time axis. Text goes through
//! the template's escaping, data through JSON in which `<` cannot occur. Figures are the summary's.

mod data;

use askama::Template;
use timeline::{Finding, RunTime, Unit};

use crate::summary::{Summary, Verdict};
use crate::write::{Inputs, ReportError};

/// The page.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    s: &'a Summary,
    scenario_text: &'a str,
    roots: Vec<Node<'a>>,
    data: String,
    uplot_js: &'static str,
    uplot_css: &'static str,
    style: &'static str,
    script: &'static str,
}

/// A finding and what hangs under it.
struct Node<'a> {
    f: &'a Finding,
    children: Vec<Node<'a>>,
}

/// Findings nest no deeper than this, whatever a recording says.
const DEEPEST: usize = 6;

/// Makes the page.
///
/// # Errors
/// When data or template cannot be rendered.
pub fn render(inputs: &Inputs<'_>) -> Result<String, ReportError> {
    let form = |why: String| ReportError::Form { what: "report.html", why };
    let json = serde_json::to_string(&data::of(inputs)).map_err(|e| form(e.to_string()))?;
    let page = Page {
        s: inputs.summary,
        scenario_text: &inputs.meta.scenario_text,
        roots: children(&inputs.summary.findings, None, 0),
        data: harmless(&json),
        uplot_js: include_str!("../../assets/uplot/uPlot.iife.min.js"),
        uplot_css: include_str!("../../assets/uplot/uPlot.min.css"),
        style: include_str!("../../assets/report.css"),
        script: include_str!("../../assets/report.js"),
    };
    page.render().map_err(|e| form(e.to_string()))
}

/// JSON that can stand inside a script element: nothing in it can end the element.
fn harmless(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

fn children<'a>(findings: &'a [Finding], parent: Option<&str>, depth: usize) -> Vec<Node<'a>> {
    if depth >= DEEPEST {
        return Vec::new();
    }
    findings
        .iter()
        .filter(|f| f.caused_by.as_deref() == parent)
        .map(|f| Node { f, children: children(findings, Some(&f.id), depth + 1) })
        .collect()
}

impl Page<'_> {
    fn title(&self) -> String {
        format!("{} - {}", self.s.scenario.name, self.s.verdict.name())
    }

    fn verdict_class(&self) -> &'static str {
        match self.s.verdict {
            Verdict::Pass => "good",
            Verdict::Fail => "bad",
            Verdict::Invalid => "odd",
        }
    }

    fn length(&self) -> String {
        RunTime(self.s.end.length).to_string()
    }

    fn time(&self, value: &Option<f64>) -> String {
        value.map_or_else(|| "–".to_owned(), |v| Unit::Ns.show(v))
    }

    fn cores(&self, value: &Option<f64>) -> String {
        value.map_or_else(|| "–".to_owned(), |v| Unit::Cores.show(v))
    }

    fn holds(&self, holds: &Option<bool>) -> &'static str {
        match holds {
            Some(true) => "holds",
            Some(false) => "fails",
            None => "undecided",
        }
    }

    /// Findings flattened in order of cause and consequence, with their depth.
    fn told(&self) -> Vec<(usize, &Finding)> {
        fn walk<'a>(nodes: &'a [Node<'a>], depth: usize, out: &mut Vec<(usize, &'a Finding)>) {
            for node in nodes {
                out.push((depth, node.f));
                walk(&node.children, depth + 1, out);
            }
        }
        let mut out = Vec::new();
        walk(&self.roots, 0, &mut out);
        out
    }
}
