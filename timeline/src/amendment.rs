//! Amendments: what a person or a gate changes of a load that is under way, and what then holds.
//!
//! Owns their words in the recording and what the load came to after each, so that generator, detectors, gates and
//! screens speak of one thing. Who asks for one, and how workers carry it out, is left to the load engine.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{RunTime, Span};
use crate::event::{Event, kinds};

/// A change of the load, as somebody asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Amendment {
    /// Rates and counts are so many times what the plan says. Range: finite, 0 or more.
    Scale(f64),
    /// Nothing starts any more; what is open stays open.
    Halt,
    /// The halt is over.
    GoOn,
    /// No new arrivals; open sessions end after their current step, within the plan's grace.
    Stop,
    /// Everything ends at once.
    Abort,
}

impl fmt::Display for Amendment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scale(factor) => write!(f, "scale {factor}"),
            Self::Halt => f.write_str("halt"),
            Self::GoOn => f.write_str("go on"),
            Self::Stop => f.write_str("stop"),
            Self::Abort => f.write_str("abort"),
        }
    }
}

impl Amendment {
    /// As an event of the timeline.
    #[must_use]
    pub fn event(self, at: RunTime) -> Event {
        Event {
            kind: kinds::AMENDMENT.to_owned(),
            instance: "coordinator".to_owned(),
            start: at,
            end: at,
            labels: vec![("what".to_owned(), self.to_string())],
            value: 0.0,
            others: 0,
        }
    }

    /// What such an event says; none if it is another one, or says something that this version does not know.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        if event.kind != kinds::AMENDMENT {
            return None;
        }
        match event.label("what")? {
            "halt" => Some(Self::Halt),
            "go on" => Some(Self::GoOn),
            "stop" => Some(Self::Stop),
            "abort" => Some(Self::Abort),
            other => {
                let factor: f64 = other.strip_prefix("scale ")?.parse().ok()?;
                (factor.is_finite() && factor >= 0.0).then_some(Self::Scale(factor))
            }
        }
    }
}

/// The event that tells of a halt once it is over.
#[must_use]
pub fn halt_event(span: Span) -> Event {
    Event {
        kind: kinds::HALT.to_owned(),
        instance: "coordinator".to_owned(),
        start: span.start,
        end: span.end,
        labels: Vec::new(),
        value: 0.0,
        others: 0,
    }
}

/// What holds from an instant on, until the next one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadState {
    /// From when on.
    pub since: RunTime,
    /// Load as a share of the plan.
    pub factor: f64,
    /// Nothing starts.
    pub halted: bool,
}

impl Default for LoadState {
    /// As planned.
    fn default() -> Self {
        Self { since: RunTime::ZERO, factor: 1.0, halted: false }
    }
}

/// How a load was changed in the course of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes(Vec<LoadState>);

impl Changes {
    /// Takes one in; what changes nothing leaves no trace. They come in order of time.
    pub fn take(&mut self, at: RunTime, amendment: Amendment) {
        let now = self.0.last().copied().unwrap_or_default();
        let then = match amendment {
            Amendment::Scale(factor) => LoadState { factor, ..now },
            Amendment::Halt => LoadState { halted: true, ..now },
            Amendment::GoOn | Amendment::Stop | Amendment::Abort => LoadState { halted: false, ..now },
        };
        if then != now {
            self.0.push(LoadState { since: at.max(now.since), ..then });
        }
    }

    /// What holds at `at`.
    #[must_use]
    pub fn at(&self, at: RunTime) -> LoadState {
        self.0.iter().rev().find(|s| s.since <= at).copied().unwrap_or_default()
    }

    /// The halts up to `at`, in order; one that still lasts ends there.
    #[must_use]
    pub fn halts(&self, at: RunTime) -> Vec<Span> {
        let mut halts = Vec::new();
        let mut begun: Option<RunTime> = None;
        for state in self.0.iter().filter(|s| s.since < at) {
            match (begun, state.halted) {
                (None, true) => begun = Some(state.since),
                (Some(start), false) => {
                    halts.push(Span::new(start, state.since));
                    begun = None;
                }
                _ => {}
            }
        }
        halts.extend(begun.map(|start| Span::new(start, at)));
        halts
    }

    /// The halts up to `at` in words: `for 2.0 s at 00:12`; none if there was none.
    #[must_use]
    pub fn halts_told(&self, at: RunTime) -> Option<String> {
        let halts = self.halts(at);
        let total: Duration = halts.iter().map(|h| h.length()).sum();
        let first = halts.first()?;
        let seconds = total.as_secs_f64();
        Some(match halts.len() {
            1 => format!("for {seconds:.1} s at {}", first.start),
            n => format!("{n} times, first at {}, for {seconds:.1} s in all", first.start),
        })
    }

    /// The stretches up to `at` in which the load was not as planned, in order.
    #[must_use]
    pub fn stretches(&self, at: RunTime) -> Vec<(Span, LoadState)> {
        let ends = self.0.iter().skip(1).map(|s| s.since.min(at)).chain([at]);
        let all = self.0.iter().zip(ends).filter(|(s, end)| s.since < *end);
        all.filter(|(s, _)| s.halted || s.factor != 1.0)
            .map(|(s, end)| (Span::new(s.since, end), *s))
            .collect()
    }

    /// What was changed up to `at`, in words, a line each; empty if all was as planned.
    #[must_use]
    pub fn told(&self, at: RunTime) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(halts) = self.halts_told(at) {
            lines.push(format!(
                "the load was halted {halts}: nothing was started then, nor made up for later"
            ));
        }
        let mut scaled: Vec<(Span, f64)> = Vec::new();
        for (span, LoadState { factor, .. }) in
            self.stretches(at).into_iter().filter(|(_, s)| s.factor != 1.0)
        {
            match scaled.last_mut() {
                // A halt in between does not end it.
                Some((last, same)) if last.end == span.start && *same == factor => last.end = span.end,
                _ => scaled.push((span, factor)),
            }
        }
        let scaled: Vec<String> = scaled
            .iter()
            .map(|(span, f)| format!("{} from {} to {}", percent(*f), span.start, span.end))
            .collect();
        if !scaled.is_empty() {
            let more = match scaled.len().saturating_sub(MOST_TOLD) {
                0 => String::new(),
                n => format!(", and {n} more"),
            };
            let first = scaled[..scaled.len().min(MOST_TOLD)].join(", ");
            lines.push(format!("the load was changed by hand, as a share of the plan: {first}{more}"));
        }
        lines
    }
}

/// Most stretches that are told one by one.
const MOST_TOLD: usize = 6;

/// A factor as a share of the plan: `90 %`.
#[must_use]
pub fn percent(factor: f64) -> String {
    format!("{:.0} %", factor * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_what_was_amended() {
        use Amendment::{Abort, GoOn, Halt, Scale, Stop};
        for amendment in [Scale(0.9), Scale(0.0), Halt, GoOn, Stop, Abort] {
            assert_eq!(Amendment::of(&amendment.event(RunTime::ZERO)), Some(amendment));
        }
        for hostile in ["scale NaN", "scale -1", "scale inf", "scale", "halt "] {
            let mut event = Halt.event(RunTime::ZERO);
            event.labels[0].1 = hostile.to_owned();
            assert_eq!(Amendment::of(&event), None, "{hostile}");
        }
    }

    #[test]
    fn halts_are_spans_and_a_factor_outlives_them() {
        let at = RunTime::from_ms;
        let mut changes = Changes::default();
        for (ms, amendment) in [
            (1_000, Amendment::Scale(0.5)),
            (2_000, Amendment::Halt),
            (2_500, Amendment::Halt),
            (4_000, Amendment::GoOn),
            (6_000, Amendment::Halt),
        ] {
            changes.take(at(ms), amendment);
        }
        assert_eq!(changes.0.len(), 4, "a halt of what is halted is none");
        assert_eq!(
            changes.halts(at(7_000)),
            [Span::new(at(2_000), at(4_000)), Span::new(at(6_000), at(7_000))]
        );
        assert_eq!(changes.at(at(999)), LoadState::default());
        assert_eq!(changes.at(at(3_000)), LoadState { since: at(2_000), factor: 0.5, halted: true });
        assert_eq!(changes.at(at(5_000)), LoadState { since: at(4_000), factor: 0.5, halted: false });
        assert_eq!(changes.halts_told(at(3_000)).unwrap(), "for 1.0 s at 00:02");
        assert_eq!(changes.halts_told(at(1_500)), None);
        insta::assert_snapshot!(changes.told(at(7_000)).join("\n"), @r"
        the load was halted 2 times, first at 00:02, for 3.0 s in all: nothing was started then, nor made up for later
        the load was changed by hand, as a share of the plan: 50 % from 00:01 to 00:07
        ");
        assert_eq!(Changes::default().told(at(7_000)), Vec::<String>::new());
        changes.take(at(8_000), Amendment::Stop);
        assert!(!changes.at(at(9_000)).halted, "what has ended is not halted");
    }
}
