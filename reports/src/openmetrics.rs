//! Figures as OpenMetrics text: `metrics.txt` of a run that ended, and the page of one that goes on.
//!
//! Owns the encoding only; which figures there are is said in [`crate::metrics`].

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::metrics::{Figures, Labels, of_summary};
use crate::summary::Summary;
use crate::write::ReportError;

/// What a page of this form is called in HTTP.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The exposition of a run that ended, closed by `# EOF`.
///
/// # Errors
/// [`ReportError::Form`] if it cannot be encoded: a fault of ours.
pub fn render(s: &Summary) -> Result<String, ReportError> {
    page(&of_summary(s))
}

/// The exposition of these figures, closed by `# EOF`.
///
/// # Errors
/// [`ReportError::Form`] if it cannot be encoded: a fault of ours.
pub fn page(figures: &Figures) -> Result<String, ReportError> {
    let mut registry = Registry::default();
    for f in &figures.families {
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        registry.register(f.name.clone(), f.help, family.clone());
        for (labels, value) in &f.points {
            family.get_or_create(labels).set(*value);
        }
    }
    let mut out = String::new();
    encode(&mut out, &registry)
        .map_err(|e| ReportError::Form { what: "metrics page", why: e.to_string() })?;
    Ok(out)
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
        let p99 = s.steps[0].response.p99.unwrap() / 1e9;
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
