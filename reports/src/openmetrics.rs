//! `metrics.txt`: the figures of the summary as OpenMetrics, for whoever keeps runs in Prometheus.
//!
//! Values only, no time stamps: what scrapes or pushes the file decides when it holds. Seconds and bytes,
//! as that world expects.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use timeline::text::clean;

use crate::summary::{Step, Summary, Times, Verdict};
use crate::write::ReportError;

/// Nanoseconds in a second.
const NS_PER_S: f64 = 1e9;
/// Longest value of a label, characters.
const LABEL: usize = 120;

type Labels = Vec<(String, String)>;
type Figures = Family<Labels, Gauge<f64, AtomicU64>>;

/// The exposition, ended by `# EOF`.
///
/// # Errors
/// [`ReportError::Form`] if it cannot be encoded: a fault of ours.
pub fn render(s: &Summary) -> Result<String, ReportError> {
    let mut page = Page { registry: Registry::default(), run: run_labels(s) };
    page.run(s);
    page.steps(s);
    page.findings(s);
    page.lanes(s);
    let mut out = String::new();
    encode(&mut out, &page.registry)
        .map_err(|e| ReportError::Form { what: "metrics.txt", why: e.to_string() })?;
    Ok(out)
}

fn run_labels(s: &Summary) -> Labels {
    [("scenario", &s.scenario.name), ("run", &s.end.run_id)]
        .map(|(k, v)| (k.to_owned(), clean(v, LABEL)))
        .to_vec()
}

struct Page {
    registry: Registry,
    run: Labels,
}

impl Page {
    fn family(&mut self, name: &str, help: &str) -> Figures {
        let family = Figures::default();
        self.registry.register(format!("dyno_{name}"), help, family.clone());
        family
    }

    fn set(&self, family: &Figures, labels: &[(&str, &str)], value: f64) {
        let own = labels.iter().map(|(k, v)| ((*k).to_owned(), clean(v, LABEL)));
        family.get_or_create(&self.run.iter().cloned().chain(own).collect()).set(value);
    }

    fn run(&mut self, s: &Summary) {
        let verdict = self.family("verdict", "1 for the verdict of the run, 0 for the others");
        for v in [Verdict::Pass, Verdict::Fail, Verdict::Invalid] {
            self.set(&verdict, &[("verdict", v.name())], f64::from(u8::from(v == s.verdict)));
        }
        let gates =
            self.family("gate_holds", "1 if the gate holds, 0 if it fails; undecided gates are left out");
        for g in &s.gates {
            if let Some(holds) = g.holds {
                self.set(&gates, &[("gate", &g.that)], f64::from(u8::from(holds)));
            }
        }
        let errors = self.family("errors", "Failed steps by kind of error, warm-up left out");
        for e in &s.errors {
            self.set(&errors, &[("kind", &e.kind)], e.count as f64);
        }
        let starts = self.family("starts", "Starts of sessions by what became of them");
        let g = &s.generator;
        let all =
            [("offered", g.offered), ("achieved", g.achieved), ("late", g.late), ("dropped", g.dropped)];
        for (what, n) in all {
            self.set(&starts, &[("what", what)], n as f64);
        }
    }

    fn steps(&mut self, s: &Summary) {
        let count = self.family("steps", "Finished steps, failures among them, warm-up left out");
        let failed = self.family("step_errors", "Failed steps, warm-up left out");
        let response = self.family("response_seconds", "Finished - intended, by quantile");
        let service = self.family("service_seconds", "Finished - started, by quantile");
        let all = s.steps.iter().map(|st: &Step| (st.name.as_str(), st)).chain([("", &s.total)]);
        for (name, step) in all {
            self.set(&count, &[("step", name)], step.count as f64);
            self.set(&failed, &[("step", name)], step.errors as f64);
            self.times(&response, name, &step.response);
            self.times(&service, name, &step.service);
        }
    }

    fn times(&self, family: &Figures, step: &str, t: &Times) {
        let quantiles = [
            ("0.5", t.p50),
            ("0.9", t.p90),
            ("0.95", t.p95),
            ("0.99", t.p99),
            ("0.999", t.p999),
            ("1", t.max),
        ];
        for (q, value) in quantiles {
            if let Some(ns) = value {
                self.set(family, &[("step", step), ("quantile", q)], ns / NS_PER_S);
            }
        }
    }

    fn findings(&mut self, s: &Summary) {
        let family = self.family("finding_onset_seconds", "When each finding began, from the run's start");
        for f in &s.findings {
            let labels = [
                ("id", f.finding.id.as_str()),
                ("kind", f.finding.kind.name()),
                ("subject", &f.finding.subject),
                ("severity", f.finding.severity.name()),
                ("status", f.finding.status.name()),
            ];
            self.set(&family, &labels, f.onset_s);
        }
    }

    fn lanes(&mut self, s: &Summary) {
        let family = self.family("lane", "Lanes over the run in their own unit, all instances together");
        for (name, lane) in &s.lanes {
            let figures = [("min", lane.min), ("median", lane.median), ("p99", lane.p99), ("max", lane.max)];
            for (figure, value) in figures {
                let labels = [("lane", name.as_str()), ("unit", lane.unit.name()), ("figure", figure)];
                self.set(&family, &labels, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn figures_are_those_of_the_summary() {
        let s = fixture::flash_sale().summary();
        let text = render(&s).unwrap();
        assert!(text.ends_with("# EOF\n"));
        let p99 = s.steps[0].response.p99.unwrap() / NS_PER_S;
        let line = text
            .lines()
            .find(|l| {
                l.starts_with("dyno_response_seconds{") && l.contains("\"log in\"") && l.contains("\"0.99\"")
            })
            .unwrap();
        assert!(line.ends_with(&format!(" {p99}")), "{line}");
    }

    #[test]
    fn hostile_text_stays_inside_its_label() {
        let text = render(&fixture::hostile().summary()).unwrap();
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let value = line.rsplit(' ').next().unwrap();
            assert!(line.starts_with("dyno_") && value.parse::<f64>().is_ok(), "{line}");
        }
    }
}
