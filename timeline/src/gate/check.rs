//! A gate beside the plan of its run: what can be known to be wrong before anything starts.
//!
//! Owns names that the plan does not have, windows that fit into no phase, and gates that exclude each other; and says what a
//! gate asks of the load. How much load a plan can come to is the plan's business.

use std::time::Duration;

use super::{Condition, Gate, GateError, Subject, parse, quantity};
use crate::facts::PlanFacts;
use crate::lane::names;
use crate::units::Unit;

/// What a gate asks at least of the load that a plan applies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked<'a> {
    /// Of which figure.
    pub figure: Figure,
    /// How much of it: a number, or per second.
    pub least: f64,
    /// The step that is counted; all of them if none.
    pub step: Option<&'a str>,
    /// The phase that is looked at; all but warm-up if none.
    pub phase: Option<&'a str>,
    /// Each window of this length must have so much.
    pub over: Option<Duration>,
}

/// A figure of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Steps per second: planned, started or finished.
    Rate,
    /// Finished steps.
    Count,
    /// Sessions that are open at once.
    Sessions,
}

impl Gate {
    /// Checks that step and phase exist, and that the window fits. A lane's presence is only known once the run goes on.
    ///
    /// # Errors
    /// When the gate names a step or phase that the plan does not have, or a window that is longer than what it lies in.
    pub fn check_plan(&self, plan: &PlanFacts) -> Result<(), GateError> {
        let Condition::Figure { subject, scope, .. } = &self.condition else { return Ok(()) };
        // A lane's subject may be a route or an error kind, which no plan lists.
        if !matches!(subject, Subject::Lane(..) | Subject::Growth(..)) {
            self.check_name("step", scope.step.as_ref(), &plan.steps)?;
        }
        let phases: Vec<String> = plan.phases.iter().map(|p| p.name.clone()).collect();
        self.check_name("phase", scope.phase.as_ref(), &phases)?;
        self.check_window(plan)
    }

    fn check_name(&self, what: &str, name: Option<&String>, known: &[String]) -> Result<(), GateError> {
        let Some(name) = name.filter(|n| !known.contains(n)) else { return Ok(()) };
        let list: Vec<String> = known.iter().map(|k| format!("`{k}`")).collect();
        let has =
            if list.is_empty() { "it has none".to_owned() } else { format!("it has {}", list.join(", ")) };
        let meant = parse::nearest(name, known.iter().map(String::as_str));
        Err(self.wrong_at(name, format!("the scenario has no {what} `{name}`; {has}"), meant))
    }

    /// A window must fit into a stretch that is measured without a break: a phase, or phases that follow each other.
    fn check_window(&self, plan: &PlanFacts) -> Result<(), GateError> {
        let Condition::Figure { scope, .. } = &self.condition else { return Ok(()) };
        let Some(over) = scope.over else { return Ok(()) };
        let (mut longest, mut stretch, mut end) = (Duration::ZERO, Duration::ZERO, None);
        for phase in &plan.phases {
            if scope.phase.as_ref().map_or(phase.warmup, |name| *name != phase.name) {
                continue;
            }
            let goes_on = end == Some(phase.span.start);
            stretch = if goes_on { stretch + phase.span.length() } else { phase.span.length() };
            end = Some(phase.span.end);
            longest = longest.max(stretch);
        }
        if over <= longest {
            return Ok(());
        }
        let spell = |d: Duration| quantity::spell(d.as_nanos() as f64, Unit::Ns);
        let what = match &scope.phase {
            Some(name) => format!("phase `{name}` takes"),
            None => "the load takes, warm-up aside,".to_owned(),
        };
        let problem = format!(
            "this gate can never be judged: its window is {}, and {what} {}",
            spell(over),
            spell(longest)
        );
        let mut whole = self.clone();
        if let Condition::Figure { scope, .. } = &mut whole.condition {
            scope.over = None;
        }
        Err(self.wrong_at(&spell(over), problem, Some(whole.expression())))
    }

    /// An error about the last place at which `word` stands in the canonical spelling.
    fn wrong_at(&self, word: &str, problem: String, suggestion: Option<String>) -> GateError {
        let text = self.expression();
        let at = text.rfind(word).map_or(1, |byte| text[..byte].chars().count() + 1);
        GateError { text, at, problem, suggestion }
    }

    /// What it asks at least of the load; none if it asks for less, or of something else.
    #[must_use]
    pub fn asked(&self) -> Option<Asked<'_>> {
        let Condition::Figure { subject, op, limit, scope } = &self.condition else { return None };
        let figure = match subject {
            Subject::Rate(_) => Figure::Rate,
            Subject::Count => Figure::Count,
            Subject::Lane(name, ..) if name == names::OPEN_SESSIONS => Figure::Sessions,
            _ => return None,
        };
        let (step, phase) = (scope.step.as_deref(), scope.phase.as_deref());
        (!op.is_upper()).then_some(Asked { figure, least: *limit, step, phase, over: scope.over })
    }

    /// The same gate with another limit, in its subject's own unit; the same gate if it has none.
    #[must_use]
    pub fn with_limit(&self, limit: f64) -> Self {
        let mut other = self.clone();
        if let Condition::Figure { limit: old, .. } = &mut other.condition {
            *old = limit;
        }
        other
    }

    /// Can no figure meet both: `p99 < 1s` and `p99 > 2s`?
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        let (
            Condition::Figure { subject, op, limit, scope },
            Condition::Figure { subject: s, op: o, limit: l, scope: c },
        ) = (&self.condition, &other.condition)
        else {
            return false;
        };
        if (subject, scope) != (s, c) || op.is_upper() == o.is_upper() {
            return false;
        }
        let (upper, lower) = if op.is_upper() { (limit, l) } else { (l, limit) };
        // At the same limit only "at most" and "at least" leave one value.
        upper < lower || upper == lower && !(op.holds(*limit, *limit) && o.holds(*l, *l))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{RunTime, Span};
    use crate::facts::{LoadModel, PhaseFacts};

    fn plan() -> PlanFacts {
        let phase = |name: &str, from: u64, to: u64, warmup| PhaseFacts {
            name: name.to_owned(),
            span: Span::new(RunTime::from_ms(from * 1_000), RunTime::from_ms(to * 1_000)),
            warmup,
            model: LoadModel::Requests,
            from: 1.0,
            to: 1.0,
        };
        PlanFacts {
            phases: vec![
                phase("warm", 0, 60, true),
                phase("peak", 60, 80, false),
                phase("over", 80, 90, false),
            ],
            steps: vec!["say".to_owned(), "log in".to_owned()],
            ..PlanFacts::default()
        }
    }

    fn check(text: &str) -> Result<(), String> {
        Gate::parse(text).unwrap().check_plan(&plan()).map_err(|e| e.to_string())
    }

    #[test]
    fn names_and_windows_are_checked_against_the_plan() {
        for good in [
            "p99 < 1s for log in in phase peak",
            "server.handler p99 < 1s for /products",
            "p99 < 1s over 30s",
            "p99 < 1s over 20s in phase peak",
            "p99 < 1s over 1m in phase warm",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let wrong = [
            "p99 < 1s for log on",
            "p99 < 1s in phase steady",
            "p99 < 1s over 31s",
            "errors < 1% in phase over over 11s",
        ];
        let said: Vec<String> = wrong.iter().map(|text| check(text).unwrap_err()).collect();
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn gates_exclude_each_other_where_no_figure_meets_both() {
        let excludes = |a: &str, b: &str| {
            let (a, b) = (Gate::parse(a).unwrap(), Gate::parse(b).unwrap());
            assert_eq!(a.excludes(&b), b.excludes(&a));
            a.excludes(&b)
        };
        assert!(excludes("p99 < 1s", "p99 > 2s"));
        assert!(excludes("p99 < 1s", "p99 >= 1s"));
        assert!(!excludes("p99 <= 1s", "p99 >= 1s"));
        assert!(!excludes("p99 < 2s", "p99 > 1s"));
        assert!(!excludes("p99 < 1s", "p99 > 2s for say"));
        assert!(!excludes("p99 < 1s", "no findings"));
    }

    #[test]
    fn only_what_wants_more_load_asks_for_it() {
        let of = |text: &str| Gate::parse(text).unwrap().asked().map(|a| (a.figure, a.least));
        assert_eq!(of("completed >= 500/s"), Some((Figure::Rate, 500.0)));
        assert_eq!(of("http_reqs: rate>100"), Some((Figure::Rate, 100.0)));
        assert_eq!(of("count > 10 for say"), Some((Figure::Count, 10.0)));
        assert_eq!(of("vus: value>10"), Some((Figure::Sessions, 10.0)));
        assert_eq!(of("completed < 500/s"), None);
        assert_eq!(of("p99 > 1s"), None);
        assert_eq!(
            Gate::parse("count > 10 for say").unwrap().with_limit(5.0).expression(),
            "count > 5 for say"
        );
    }
}
