//! The verdict: whether the gates hold, and whether the run may be believed at all.

use timeline::event::kinds;
use timeline::facts::RunMeta;
use timeline::gate::Gate;
use timeline::text::plural;
use timeline::{Finding, FindingKind, RunTime, Span, Status, Timeline, Unit};

use super::{ErrorCount, GateResult, Reason, Summary, Verdict};

/// Every gate as it stands in the end. They were checked before the run; one that does not parse now
/// comes from another version of dyno, and is undecided.
pub(super) fn gates(meta: &RunMeta, timeline: &Timeline, findings: &[Finding]) -> Vec<GateResult> {
    meta.gates.iter().map(|that| gate(that, timeline, findings)).collect()
}

fn gate(that: &str, timeline: &Timeline, findings: &[Finding]) -> GateResult {
    let that_ = that.to_owned();
    match Gate::parse(that) {
        Ok(gate) => {
            let j = gate.judge_final(timeline, findings);
            GateResult {
                that: that_,
                holds: j.holds,
                figure: j.figure,
                value: j.value,
                limit: j.limit,
                unit: j.unit,
                samples: j.samples,
                window: j.window,
            }
        }
        Err(e) => GateResult {
            that: that_,
            holds: None,
            figure: e.to_string(),
            value: None,
            limit: None,
            unit: Unit::Count,
            samples: 0,
            window: Span::new(RunTime::ZERO, RunTime::ZERO),
        },
    }
}

/// The finding that makes a run invalid, if there is one.
pub(super) fn limited(findings: &[Finding]) -> Option<&Finding> {
    findings.iter().find(|f| f.kind == FindingKind::GeneratorLimited && f.status >= Status::Likely)
}

/// The verdict and why, in one sentence without its full stop.
pub(super) fn of(
    s: &Summary,
    meta: &RunMeta,
    timeline: &Timeline,
    findings: &[Finding],
) -> (Verdict, String) {
    if let Some(why) = invalid(s, meta, timeline, findings) {
        return (Verdict::Invalid, why);
    }
    let failed: Vec<&GateResult> = s.gates.iter().filter(|g| g.holds == Some(false)).collect();
    if let Some(first) = failed.first() {
        let more = match failed.len() - 1 {
            0 => String::new(),
            n => format!(", and {n} more fail"),
        };
        return (Verdict::Fail, format!("gate `{}` fails: {}{more}", first.that, first.figure));
    }
    if s.end.reason == Reason::GateAborted {
        return (Verdict::Fail, "a gate ended the run early".to_owned());
    }
    if let Some(halts) = halted(s, timeline) {
        let why =
            format!("the load was halted {halts}, and a halted run cannot pass a gate on response time");
        return (Verdict::Invalid, why);
    }
    let undecided = s.gates.iter().filter(|g| g.holds.is_none()).count();
    let reason = match (s.gates.len(), undecided) {
        (0, _) => "no gate was set".to_owned(),
        (1, 0) => "the gate holds".to_owned(),
        (n, 0) => format!("all {n} gates hold"),
        (n, u) if n == u => "every gate is undecided: too few samples".to_owned(),
        (n, u) => format!("{u} of {n} gates undecided, the others hold"),
    };
    (Verdict::Pass, reason + &aside(s))
}

/// What a run that passes is not to be silent about: steps that failed, and requests that the target had to be sent again.
fn aside(s: &Summary) -> String {
    let mut aside = String::new();
    if s.many_failed() {
        let kinds: Vec<String> = s.errors.iter().take(KINDS).map(ErrorCount::told).collect();
        let more = if s.errors.len() > KINDS { ", and others" } else { "" };
        aside +=
            &format!("; {} of {} steps failed ({}{more})", s.total.errors, s.total.count, kinds.join(", "));
    }
    if s.retried as f64 >= MANY * s.total.count as f64 && s.retried > 0 {
        aside += &format!("; {} were sent again", plural(s.retried as usize, "request"));
    }
    aside
}

impl Summary {
    /// Did so many steps fail that a reader should see it at once, whatever the gates say?
    pub(crate) fn many_failed(&self) -> bool {
        self.total.errors > 0 && self.total.errors as f64 >= MANY * self.total.count as f64
    }
}

/// Share of all steps from which on what went wrong with them is told beside the verdict: what a gate on errors usually allows.
const MANY: f64 = 0.01;
/// Kinds of errors that the verdict names.
const KINDS: usize = 3;

/// The halts in words, if a gate is undecided that is about times.
fn halted(s: &Summary, timeline: &Timeline) -> Option<String> {
    let of_times = |g: &GateResult| g.holds.is_none() && Gate::parse(&g.that).is_ok_and(|g| g.is_of_times());
    let halts = timeline.plan().changes.halts_told(timeline.now());
    halts.filter(|_| s.gates.iter().any(of_times))
}

/// Why the run says nothing about the target, if it does not.
fn invalid(s: &Summary, meta: &RunMeta, timeline: &Timeline, findings: &[Finding]) -> Option<String> {
    let everything = Span::new(RunTime::ZERO, RunTime(u64::MAX));
    // It is certain, and may be why the schedule was not kept, which is inferred.
    if let Some(lost) = timeline.events(kinds::WORKER_LOST, everything).next() {
        let who = lost.label("worker").unwrap_or(&lost.instance);
        let part = lost.label("share").map(|s| format!("; its part of the plan was {s}")).unwrap_or_default();
        return Some(format!("load worker {who} died at {}, and its sessions with it{part}", lost.start));
    }
    if let Some(f) = limited(findings) {
        // The verdict itself says what the claim ends with.
        return Some(f.claim.strip_suffix(": the run is invalid").unwrap_or(&f.claim).to_owned());
    }
    if s.generator.limited {
        let g = &s.generator;
        return Some(format!(
            "the load generator could not keep its schedule: {} of {} starts were late by more than 10 ms, lateness p99 {}",
            g.late,
            g.achieved,
            g.lateness.p99.map_or_else(|| "-".to_owned(), |p99| Unit::Ns.show(p99))
        ));
    }
    match s.end.reason {
        Reason::CutOff => return Some(format!("the recording was cut off at {}", RunTime(s.end.length))),
        Reason::Unreachable => return Some("the target could not be reached".to_owned()),
        Reason::Completed | Reason::Interrupted | Reason::GateAborted => {}
    }
    // It is another run than the scenario's.
    if let Some(refused) = timeline.events(kinds::ORDER_REFUSED, everything).next() {
        let what = refused.label("what").unwrap_or("an order was not carried out");
        let why = refused.label("why").map(|why| format!(": {why}")).unwrap_or_default();
        return Some(format!("the backend refused what the scenario asks for: {what}{why}"));
    }
    let loaded = meta.command != "watch" && s.end.reason == Reason::Completed;
    (loaded && s.total.count == 0 && s.generator.offered == 0)
        .then(|| "no load was applied outside warm-up, so nothing was measured".to_owned())
}

#[cfg(test)]
mod tests {
    use timeline::histogram::Sparse;
    use timeline::lane::{LaneId, names};
    use timeline::{Entry, Event};

    use super::*;
    use crate::fixture;

    /// This happens 17 s into the run.
    fn happens(timeline: &mut Timeline, kind: &str, instance: &str, labels: [(&str, &str); 2]) {
        let label = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        timeline.apply(&Entry::Event(Event {
            kind: kind.to_owned(),
            instance: instance.to_owned(),
            start: RunTime::from_ms(17_000),
            end: RunTime::from_ms(17_000),
            labels: labels.map(label).into(),
            value: 0.0,
            others: 0,
        }));
    }

    #[test]
    fn a_run_whose_backend_refused_an_order_is_invalid() {
        let mut run = fixture::flash_sale();
        run.meta.gates = vec!["errors < 1%".to_owned()];
        assert_eq!(run.summary().objection(), None);
        let labels = [("what", "action reload could not be carried out"), ("why", "a reload is under way")];
        happens(&mut run.timeline, kinds::ORDER_REFUSED, "backend", labels);
        let s = run.summary();
        assert_eq!(s.verdict, Verdict::Invalid);
        insta::assert_snapshot!(s.verdict_reason, @"the backend refused what the scenario asks for: action reload could not be carried out: a reload is under way");
        assert_eq!(s.objection(), Some(("invalid", s.verdict_reason.as_str())));
    }

    /// A flash sale whose steps fail so often a second, by their status, and of whose starts every so many are so late.
    fn with(errors: f64, late: f64, late_us: u32) -> Summary {
        let mut run = fixture::flash_sale();
        run.meta.gates.clear();
        let lanes = run.timeline.series().len() as u32;
        let rate = |name| timeline::LaneSpec::rate(name, "gen-0", Unit::PerSecond);
        let specs = [
            rate(names::ERRORS).about("status 500"),
            rate(names::LATE),
            timeline::LaneSpec::histogram(names::LATENESS, "gen-1"),
        ];
        for (i, spec) in specs.into_iter().enumerate() {
            run.timeline.apply(&Entry::Lane(LaneId(lanes + i as u32), spec));
        }
        for s in 0..60 {
            let (start, end) = (RunTime::from_ms(s * 1_000), RunTime::from_ms((s + 1) * 1_000));
            for (i, value) in [errors, late].into_iter().enumerate() {
                run.timeline.apply(&Entry::Sample { lane: LaneId(lanes + i as u32), at: end, value });
            }
            let cells = Sparse { cells: vec![(late_us, late as u32)] };
            if late > 0.0 {
                run.timeline.apply(&Entry::Histogram {
                    lane: LaneId(lanes + 2),
                    span: Span::new(start, end),
                    cells,
                });
            }
        }
        Summary::new(&run.meta, &run.timeline, &[], run.end.as_ref())
    }

    #[test]
    fn a_pass_is_not_silent_about_what_failed() {
        let reason = |errors| with(errors, 0.0, 0).verdict_reason;
        assert_eq!(reason(0.0), "no gate was set", "a share that no gate would mind");
        insta::assert_snapshot!(reason(400.0), @"no gate was set; 20028 of 40000 steps failed (status 500, timeout)");
    }

    #[test]
    fn a_run_is_invalid_if_a_good_part_of_all_starts_was_late() {
        // Lateness that response times drown in, and a share of the starts: both, or it may be believed.
        for (late, us, verdict) in [
            (0.0, 0, Verdict::Pass),
            (200.0, 100_000, Verdict::Invalid),
            (200.0, 20_000, Verdict::Pass),
            (100.0, 100_000, Verdict::Pass),
        ] {
            let s = with(0.0, late, us);
            assert_eq!(
                (s.verdict, s.generator.limited),
                (verdict, verdict == Verdict::Invalid),
                "{late} {us}"
            );
        }
        let why = with(0.0, 200.0, 100_000).verdict_reason;
        assert!(why.starts_with("the load generator could not keep its schedule: 10000 of 40000 starts were late by more than 10 ms, lateness p99 100"), "{why}");
    }

    #[test]
    fn a_worker_that_died_comes_before_the_schedule_that_was_not_kept() {
        let mut run = fixture::starved();
        assert!(run.summary().verdict_reason.starts_with("the load generator could not keep its schedule"));
        let labels = [("worker", "gen-1"), ("share", "1 of 2")];
        happens(&mut run.timeline, kinds::WORKER_LOST, "gen-1", labels);
        let s = run.summary();
        assert_eq!((s.verdict, s.generator.limited), (Verdict::Invalid, true));
        insta::assert_snapshot!(s.verdict_reason, @"load worker gen-1 died at 00:17, and its sessions with it; its part of the plan was 1 of 2");
    }
}
