//! What clients felt of a finding: failed requests and response times before it and since.
//!
//! Owns between which stretches that is compared, and the sentence. Where the time went is the diagnosis's to say.

use serde::{Deserialize, Serialize};
use timeline::{Finding, FindingKind, RunTime, Span, Status, Timeline, Unit, figures, histogram};

use super::Summary;

/// Of so many findings it is told: each reads all of a run's response times again.
const MOST: usize = 8;

/// Figures of all steps before a finding and since.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Felt {
    /// The measured load before its onset without the time of other findings; none where no request ended in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Stretch>,
    /// From its onset until it was last seen.
    pub since: Stretch,
}

/// Figures of all steps over a part of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// Requests that ended in it, failures among them; at least 1.
    pub requests: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Median response time, ns; null where no request was timed.
    pub p50: Option<f64>,
    /// 99th percentile of the response time, ns.
    pub p99: Option<f64>,
}

impl Stretch {
    fn over(timeline: &Timeline, spans: &[Span]) -> Option<Self> {
        let f = figures::step_figures(timeline, None, spans);
        let quantile = |q| histogram::quantile_ns(&f.response, q);
        (f.count > 0).then(|| Self {
            requests: f.count,
            errors: f.errors,
            p50: quantile(0.5),
            p99: quantile(0.99),
        })
    }

    fn failed(&self) -> String {
        format!(
            "{} of {} requests failed",
            Unit::Ratio.show(self.errors as f64 / self.requests as f64),
            self.requests
        )
    }

    fn times(&self) -> String {
        let time = |t: Option<f64>| t.map_or_else(|| "-".to_owned(), |t| Unit::Ns.show(t));
        format!("p50 {}, p99 {}", time(self.p50), time(self.p99))
    }
}

impl Felt {
    /// In words: `57 % of 3830 requests failed, p50 335 ms, p99 2.10 s; before, 0 % of 1640 requests failed, p50 12.0 ms, p99 25.0 ms`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let told = |s: &Stretch| format!("{}, {}", s.failed(), s.times());
        let before = self.before.as_ref().map(|b| format!("; before, {}", told(b))).unwrap_or_default();
        told(&self.since) + &before
    }
}

/// Tells it of the first roots that are *likely* at least; of a generator that did not keep up clients felt nothing that would be the target's.
pub(super) fn tell(summary: &mut Summary, timeline: &Timeline, measured: &[Span]) {
    let end = summary.over();
    let told = |f: &&Finding| f.status >= Status::Likely && f.kind != FindingKind::GeneratorLimited;
    let roots = summary.roots().filter(told).take(MOST);
    let roots: Vec<(String, Span)> =
        roots.map(|f| (f.id.clone(), Span::new(f.onset, f.over(end).unwrap_or(RunTime(u64::MAX))))).collect();
    let seen: Vec<(String, Span)> = summary
        .findings
        .iter()
        .map(|t| (t.finding.id.clone(), Span::new(t.finding.onset, t.finding.over(end).unwrap_or(end))))
        .collect();
    for (id, span) in roots {
        let others: Vec<Span> = seen.iter().filter(|s| s.0 != id).map(|s| s.1).collect();
        let Some(since) = Stretch::over(timeline, &within(measured, span)) else { continue };
        let before = without(&within(measured, Span::new(RunTime::ZERO, span.start)), &others);
        let felt = Felt { before: Stretch::over(timeline, &before), since };
        if let Some(told) = summary.findings.iter_mut().find(|t| t.finding.id == id) {
            told.felt = Some(felt);
        }
    }
}

/// The parts of `spans` in `window`.
fn within(spans: &[Span], window: Span) -> Vec<Span> {
    let cut = |s: &Span| Span::new(s.start.max(window.start), s.end.min(window.end));
    spans.iter().map(cut).filter(|s| s.start < s.end).collect()
}

/// The parts of `spans` outside of all of `taken`.
fn without(spans: &[Span], taken: &[Span]) -> Vec<Span> {
    let mut left = spans.to_vec();
    for t in taken {
        let ends = |s: Span| [Span::new(s.start, s.end.min(t.start)), Span::new(s.start.max(t.end), s.end)];
        let (apart, cut): (Vec<Span>, Vec<Span>) = left.into_iter().partition(|s| s.overlap(*t).is_zero());
        left = apart;
        left.extend(cut.into_iter().flat_map(ends).filter(|s| s.start < s.end));
    }
    left.sort_by_key(|s| s.start);
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn span(from: u64, to: u64) -> Span {
        Span::new(RunTime::from_ms(from * 1_000), RunTime::from_ms(to * 1_000))
    }

    #[test]
    fn spans_are_cut() {
        assert_eq!(within(&[span(0, 5), span(8, 20)], span(4, 9)), [span(4, 5), span(8, 9)]);
        let left = without(&[span(0, 10), span(12, 20)], &[span(2, 3), span(9, 13), span(30, 40)]);
        assert_eq!(left, [span(0, 2), span(3, 9), span(13, 20)]);
        assert!(without(&[span(2, 9)], &[span(0, 10)]).is_empty());
    }

    #[test]
    fn roots_are_told_with_what_clients_felt() {
        let s = fixture::flash_sale().summary();
        let felt = s.findings[0].felt.as_ref().unwrap();
        // 800 requests a second: 10 s of measured load before it, then 16 s in which every fifth second stampedes, and 7 of its requests
        // time out.
        let before = felt.before.as_ref().unwrap();
        assert_eq!((before.requests, before.errors), (8_000, 0));
        assert_eq!((felt.since.requests, felt.since.errors), (12_800, 28));
        assert!(felt.since.p99 > before.p99.map(|t| 10.0 * t), "{felt:?}");
        assert!(felt.sentence().starts_with("0.22 % of 12800 requests failed, p50 "), "{}", felt.sentence());
        assert_eq!(s.findings[1].felt, None, "a consequence is felt as its cause");
    }

    #[test]
    fn what_else_was_found_is_no_part_of_before() {
        let mut run = fixture::flash_sale();
        let other = Finding {
            id: "F3".to_owned(),
            kind: FindingKind::LongPause,
            onset: RunTime::from_ms(12_000),
            ended: Some(RunTime::from_ms(15_000)),
            ..run.findings[0].clone()
        };
        run.findings.push(other);
        let s = run.summary();
        let before =
            |i: usize| s.findings[i].felt.as_ref().and_then(|f| f.before.as_ref()).map(|b| b.requests);
        assert_eq!((before(0), before(2)), (Some(5_600), Some(1_600)));
    }
}
