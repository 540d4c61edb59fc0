//! The verdict on a gate: compares the figure that `reading` has with the limit.
//!
//! Owns which window speaks for a gate that has one, and what is said where there is no figure or too few samples for one.

mod reading;

use std::time::Duration;

use super::{Condition, Gate, Judgement, Op, Scope, Subject};
use crate::clock::{RunTime, Span};
use crate::figures;
use crate::finding::{Finding, FindingKind, Status};
use crate::store::Timeline;
use crate::units::Unit;
use reading::Reading;

/// Windows tried at the end: enough that the worst one found is near the worst there is, few enough to
/// judge an hour in under a second.
const MAX_WINDOWS: u64 = 600;
/// Windows begin on whole seconds of their span because histograms come once a second.
const WINDOW_STEP: Duration = Duration::from_secs(1);

/// How long a second's histograms may be on their way: the recorder's tick.
const HISTOGRAM_LAG: Duration = Duration::from_millis(500);

impl Gate {
    /// How the gate stands at `at`, with the load going on: over its window's last stretch, or all of
    /// its phases so far. Once the phases are over, as [`Gate::judge_final`] says.
    ///
    /// Warm-up phases are left out unless the gate names one.
    #[must_use]
    pub fn judge(&self, timeline: &Timeline, findings: &[Finding], at: RunTime) -> Judgement {
        self.judge_when(timeline, findings, at, false)
    }

    /// How the gate stands in the end: a gate with a window is judged over the worst one under load; one without a
    /// single sample fails, unless its phase was never reached.
    #[must_use]
    pub fn judge_final(&self, timeline: &Timeline, findings: &[Finding]) -> Judgement {
        self.judge_when(timeline, findings, timeline.now(), true)
    }

    fn judge_when(&self, timeline: &Timeline, findings: &[Finding], at: RunTime, ended: bool) -> Judgement {
        match &self.condition {
            Condition::NoFinding(kind) => no_finding(*kind, findings, Span::new(RunTime::ZERO, at)),
            Condition::Figure { subject, op, limit, scope } => {
                let figure = Figure { subject, op: *op, limit: *limit, scope };
                let judged = figure.judge(timeline, at, ended || at >= scope_end(timeline, scope));
                self.unless_halted(judged, timeline, at)
            }
        }
    }

    /// Is it about times that clients see?
    #[must_use]
    pub fn is_of_times(&self) -> bool {
        matches!(self.condition, Condition::Figure { subject: Subject::Time(..), .. })
    }

    /// A halt gives the target time to recover that its users would not: a gate of times that would hold is undecided
    /// from the first one on. One that fails, fails all the same. A halt of warm-up counts too: what is warm then is another thing.
    fn unless_halted(&self, judged: Judgement, timeline: &Timeline, at: RunTime) -> Judgement {
        let halts = timeline.plan().changes.halts_told(at).filter(|_| self.is_of_times());
        match halts {
            Some(halts) if judged.holds == Some(true) => Judgement {
                holds: None,
                figure: format!("{}, but the load was halted {halts}", judged.figure),
                ..judged
            },
            _ => judged,
        }
    }
}

/// When the last phase that the gate looks at is planned to end; never, if nothing is planned.
fn scope_end(timeline: &Timeline, scope: &Scope) -> RunTime {
    let plan = timeline.plan();
    let end = match &scope.phase {
        Some(name) => plan.phase(name).map(|p| p.span.end),
        None => plan.phases.iter().filter(|p| !p.warmup).map(|p| p.span.end).max(),
    };
    end.unwrap_or(RunTime(u64::MAX))
}

fn no_finding(kind: Option<FindingKind>, findings: &[Finding], window: Span) -> Judgement {
    let of_kind = || findings.iter().filter(|f| kind.is_none_or(|k| f.kind == k));
    let seen: Vec<&Finding> = of_kind().filter(|f| f.status >= Status::Possible).collect();
    let sure = seen.iter().any(|f| f.status >= Status::Likely);
    let unknown = kind.is_some() && of_kind().any(|f| f.status == Status::CannotTell);
    let figure = match seen.first() {
        Some(f) if seen.len() == 1 => format!("{} {} ({})", f.id, f.kind.name(), f.status.name()),
        Some(f) => format!("{} findings, first {} {} ({})", seen.len(), f.id, f.kind.name(), f.status.name()),
        None if unknown => "cannot tell: a signal is missing".to_owned(),
        None => "none".to_owned(),
    };
    let holds = match (sure, seen.is_empty() && !unknown) {
        (true, _) => Some(false),
        (false, true) => Some(true),
        (false, false) => None,
    };
    let samples = seen.len() as u64;
    Judgement { holds, figure, value: Some(samples as f64), limit: None, unit: Unit::Count, samples, window }
}

struct Figure<'a> {
    subject: &'a Subject,
    op: Op,
    limit: f64,
    scope: &'a Scope,
}

impl Figure<'_> {
    fn judge(&self, timeline: &Timeline, at: RunTime, over: bool) -> Judgement {
        let spans = match &self.scope.phase {
            Some(name) => figures::phase(timeline, name).into_iter().collect(),
            None => figures::measured(timeline),
        };
        let all = hull(&spans, at);
        let Some(window) = self.scope.over else {
            return self.decide(self.read(timeline, &spans), all, timeline, over);
        };
        if over {
            return self
                .worst(timeline, &spans, window)
                .unwrap_or_else(|| self.decide(None, all, timeline, over));
        }
        // Histograms come once a second, and a moment after it: the newest window ends where all of them are in.
        let end = RunTime::from_ms(at.back(HISTOGRAM_LAG).as_ms() / 1_000 * 1_000);
        let last = Span::new(end.back(window), end);
        match spans.iter().find(|s| s.start <= last.start && last.start < s.end) {
            Some(_) => self.decide(self.read(timeline, &[last]), last, timeline, over),
            None => self.nothing(None, "no full window yet", last),
        }
    }

    /// The judgement over the window with the worst figure; none if no window has a sample.
    fn worst(&self, timeline: &Timeline, spans: &[Span], window: Duration) -> Option<Judgement> {
        let mut worst: Option<Judgement> = None;
        for span in spans.iter().flat_map(|s| self.loaded_windows(timeline, *s, window)) {
            let Some(reading) = self.read(timeline, &[span]) else { continue };
            let judged = self.decide(Some(reading), span, timeline, true);
            if worst.as_ref().is_none_or(|w| self.is_worse(&judged, w)) {
                worst = Some(judged);
            }
        }
        worst
    }

    /// The windows of a span while load is applied. While what was begun comes to its end, ever less finishes, and most of it badly:
    /// it belongs to the last window, whose load it was, but for a count, which is one of a window of its length.
    fn loaded_windows(&self, timeline: &Timeline, span: Span, window: Duration) -> Vec<Span> {
        let loaded = figures::under_load(timeline, &[span]);
        let mut all: Vec<Span> = loaded.into_iter().flat_map(|s| windows(s, window)).collect();
        if let Some(last) = all.last_mut().filter(|_| *self.subject != Subject::Count) {
            last.end = span.end;
        }
        all
    }

    /// A window that can be judged speaks before one that cannot; among equals the worse value.
    fn is_worse(&self, a: &Judgement, b: &Judgement) -> bool {
        let rank = |j: &Judgement| match j.holds {
            Some(false) => 2,
            Some(true) => 1,
            None => 0,
        };
        let worse = match (a.value, b.value) {
            (Some(x), Some(y)) if self.op.is_upper() => x > y,
            (Some(x), Some(y)) => x < y,
            _ => false,
        };
        rank(a) > rank(b) || rank(a) == rank(b) && worse
    }

    fn decide(&self, reading: Option<Reading>, window: Span, timeline: &Timeline, over: bool) -> Judgement {
        let Some(r) = reading else {
            let reached = timeline.plan().phases.is_empty() || !window.length().is_zero();
            return match self.lane_trouble(timeline) {
                Some(trouble) => self.nothing(over.then_some(false), &trouble, window),
                None if !reached => self.nothing(None, "not reached", window),
                None => self.nothing(over.then_some(false), "no samples", window),
            };
        };
        let unit = self.subject.unit();
        let shown = match self.subject {
            Subject::Growth(..) => format!("{}/min", unit.show(r.value * 60.0)),
            Subject::ErrorCount | Subject::Count | Subject::Dropped => format!("{}", r.value),
            _ => unit.show(r.value),
        };
        let mut figure = r.detail.map(|d| format!("{shown} {d}")).unwrap_or(shown);
        if !r.enough {
            figure = format!("{figure}, too few samples ({})", r.samples);
        }
        Judgement {
            holds: r.enough.then(|| self.op.holds(r.value, self.limit)),
            figure,
            value: Some(r.value),
            limit: Some(self.limit),
            unit,
            samples: r.samples,
            window,
        }
    }

    fn nothing(&self, holds: Option<bool>, why: &str, window: Span) -> Judgement {
        let unit = self.subject.unit();
        Judgement {
            holds,
            figure: why.to_owned(),
            value: None,
            limit: Some(self.limit),
            unit,
            samples: 0,
            window,
        }
    }
}

/// From the first span's start to the last one's end; empty at `at` if there is none.
fn hull(spans: &[Span], at: RunTime) -> Span {
    match (spans.first(), spans.last()) {
        (Some(first), Some(last)) => Span::new(first.start, last.end),
        _ => Span::new(at, at),
    }
}

/// Windows of this length inside `span`, the last one at its end; the span itself if it is shorter.
fn windows(span: Span, length: Duration) -> Vec<Span> {
    let room = span.length().saturating_sub(length);
    if room.is_zero() {
        return vec![span];
    }
    let whole_seconds = (room.as_secs() / MAX_WINDOWS + 1) as u32;
    let step = WINDOW_STEP * whole_seconds;
    let mut starts: Vec<RunTime> =
        (0..).map(|i| span.start + step * i).take_while(|start| *start + length < span.end).collect();
    starts.push(span.end.back(length));
    starts.into_iter().map(|start| Span::new(start, start + length)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{LoadModel, PhaseFacts, PlanFacts};
    use crate::histogram::Sparse;
    use crate::lane::{LaneId, LaneSpec, names};
    use crate::store::Entry;

    fn seconds(a: u64, b: u64) -> Span {
        Span::new(RunTime::from_ms(a * 1_000), RunTime::from_ms(b * 1_000))
    }

    /// Warm-up to 10 s, peak to 40 s; 100 steps/s of 5 ms, of 900 ms in warm-up and from 20 to 25 s.
    fn run(per_second: u32) -> Timeline {
        let mut t = Timeline::new();
        let phase = |name: &str, span, warmup| PhaseFacts {
            name: name.into(),
            span,
            warmup,
            model: LoadModel::Requests,
            from: 100.0,
            to: 100.0,
        };
        t.apply(&Entry::Plan(PlanFacts {
            phases: vec![phase("warm", seconds(0, 10), true), phase("peak", seconds(10, 40), false)],
            steps: vec!["check out".into()],
            ..PlanFacts::default()
        }));
        t.apply(&Entry::Lane(LaneId(0), LaneSpec::histogram(names::RESPONSE, "gen-0").about("check out")));
        t.apply(&Entry::Lane(
            LaneId(1),
            LaneSpec::rate(names::ERRORS, "gen-0", Unit::PerSecond).about("status"),
        ));
        t.apply(&Entry::Lane(LaneId(2), LaneSpec::rate(names::OFFERED, "gen-0", Unit::PerSecond)));
        t.apply(&Entry::Lane(LaneId(3), LaneSpec::rate(names::ACHIEVED, "gen-0", Unit::PerSecond)));
        t.apply(&Entry::Lane(LaneId(4), LaneSpec::level(names::HEAP_OLD, "shop-0", Unit::Bytes)));
        for s in 0..40 {
            let us = if s < 10 || (20..25).contains(&s) { 900_000 } else { 5_000 };
            let cells = Sparse { cells: vec![(us, per_second)] };
            t.apply(&Entry::Histogram { lane: LaneId(0), span: seconds(s, s + 1), cells });
            for tenth in 1..=10 {
                let at = RunTime::from_ms(s * 1_000 + tenth * 100);
                let mut sample = |lane, value| t.apply(&Entry::Sample { lane: LaneId(lane), at, value });
                sample(1, if s == 30 { 3.0 } else { 0.0 });
                sample(2, f64::from(per_second));
                sample(3, if s == 12 { 0.0 } else { f64::from(per_second) });
                sample(4, 1e6 * (s as f64 + tenth as f64 / 10.0));
            }
        }
        t
    }

    fn final_(t: &Timeline, text: &str) -> (Option<bool>, String) {
        let j = Gate::parse(text).unwrap().judge_final(t, &[]);
        (j.holds, j.figure)
    }

    #[test]
    fn warm_up_is_left_out_unless_it_is_named() {
        let t = run(100);
        assert_eq!(final_(&t, "p50 < 10ms"), (Some(true), "5.00 ms".into()));
        assert_eq!(final_(&t, "p99 < 10ms for check out").0, Some(false));
        assert_eq!(final_(&t, "p50 < 10ms in phase warm").0, Some(false));
        assert_eq!(final_(&t, "p50 < 10ms for other"), (Some(false), "no samples".into()));
    }

    #[test]
    fn a_window_is_judged_where_it_is_worst_in_the_end_and_where_it_is_last_before() {
        let t = run(100);
        let gate = Gate::parse("p50 < 10ms over 5s").unwrap();
        let end = gate.judge_final(&t, &[]);
        assert_eq!((end.holds, end.window), (Some(false), seconds(18, 23)));
        let live = gate.judge(&t, &[], RunTime::from_ms(18_600));
        assert_eq!((live.holds, live.window), (Some(true), seconds(13, 18)));
        let shortest = Gate::parse("p50 < 10ms over 1s").unwrap().judge(&t, &[], RunTime::from_ms(21_700));
        assert_eq!(
            (shortest.holds, shortest.window),
            (Some(false), seconds(20, 21)),
            "a window of one histogram"
        );
        let early = gate.judge(&t, &[], RunTime::from_ms(12_000));
        assert_eq!((early.holds, early.figure.as_str()), (None, "no full window yet"));
    }

    #[test]
    fn few_samples_leave_a_gate_undecided_unless_it_fails_beyond_doubt() {
        let t = run(2); // 60 samples, 10 of them at 900 ms
        assert_eq!(final_(&t, "p99 < 10ms").0, Some(false));
        assert_eq!(final_(&t, "p99.9 < 1s"), (None, "900 ms, too few samples (60)".into()));
        assert_eq!(final_(&t, "p99 < 10ms for other").0, Some(false));
    }

    #[test]
    fn errors_load_and_growth_are_integrals_and_slopes() {
        let t = run(100);
        assert_eq!(final_(&t, "errors < 0.4%"), (Some(true), "0.10 % (3 of 3000)".into()));
        assert_eq!(final_(&t, "errors < 3"), (Some(false), "3".into()));
        assert_eq!(final_(&t, "achieved >= 97% of offered"), (Some(false), "96.7 % of offered".into()));
        assert_eq!(final_(&t, "offered >= 99/s in phase peak").0, Some(true));
        assert_eq!(final_(&t, "heap.old growth < 50MB/min").0, Some(false));
        assert_eq!(final_(&t, "heap.old growth < 61MB/min"), (Some(true), "57.2 MiB/min".into()));
        assert_eq!(final_(&t, "heap.old max < 41MB").0, Some(true));
        assert_eq!(
            final_(&t, "pool.db.wait p99 < 5ms"),
            (Some(false), "no lane pool.db.wait in this run".into())
        );
    }

    #[test]
    fn a_halted_run_passes_no_gate_of_times_and_fails_as_before() {
        let mut t = run(100);
        let change = |t: &mut Timeline, s: u64, what: crate::Amendment| {
            t.apply(&Entry::Event(what.event(RunTime::from_ms(s * 1_000))));
        };
        change(&mut t, 15, crate::Amendment::Scale(0.5));
        assert_eq!(final_(&t, "p50 < 10ms").0, Some(true), "less load is no halt");
        change(&mut t, 30, crate::Amendment::Halt);
        change(&mut t, 32, crate::Amendment::GoOn);
        assert_eq!(
            final_(&t, "p50 < 10ms"),
            (None, "5.00 ms, but the load was halted for 2.0 s at 00:30".into())
        );
        assert_eq!(final_(&t, "p99 < 10ms").0, Some(false));
        assert_eq!(final_(&t, "errors < 0.4%").0, Some(true), "it is about no times");
        let before = Gate::parse("p50 < 10ms over 5s").unwrap().judge(&t, &[], RunTime::from_ms(18_000));
        assert_eq!(before.holds, Some(true), "what comes later is not known");
        // Offered falls with the load, and what is achieved is held against that.
        assert_eq!(final_(&t, "achieved >= 95% of offered").0, Some(true));
    }

    #[test]
    fn a_level_is_that_of_all_workers_while_load_is_applied() {
        let mut t = run(100);
        for (id, worker) in [(5, "gen-0"), (6, "gen-1")] {
            t.apply(&Entry::Lane(LaneId(id), LaneSpec::level(names::OPEN_WEBSOCKETS, worker, Unit::Count)));
            for tenth in 1..=420 {
                // All are closed once the last phase is over.
                let value = if tenth > 400 { 0.0 } else { 25_000.0 };
                t.apply(&Entry::Sample { lane: LaneId(id), at: RunTime::from_ms(tenth * 100), value });
            }
        }
        assert_eq!(final_(&t, "client.open-websockets min >= 50000"), (Some(true), "50.0k".into()));
        assert_eq!(final_(&t, "client.open-websockets min >= 50001 in phase peak").0, Some(false));
    }

    #[test]
    fn a_window_in_which_nothing_finished_has_a_count_of_none() {
        let mut t = Timeline::new();
        t.apply(&Entry::Plan(run(1).plan().clone()));
        t.apply(&Entry::Lane(LaneId(0), LaneSpec::histogram(names::RESPONSE, "gen-0").about("check out")));
        // Nothing from 15 s to 35 s, and what is late after the plan's end.
        for s in (0..15).chain(35..44) {
            let cells = Sparse { cells: vec![(5_000, if s < 40 { 10 } else { 1 })] };
            t.apply(&Entry::Histogram { lane: LaneId(0), span: seconds(s, s + 1), cells });
        }
        let gate = |text: &str| Gate::parse(text).unwrap();
        assert_eq!(final_(&t, "count >= 1 for check out over 10s"), (Some(false), "0".into()));
        assert_eq!(gate("count >= 1 over 5s").judge(&t, &[], RunTime::from_ms(30_500)).holds, Some(false));
        assert_eq!(
            final_(&t, "count >= 100 over 30s").0,
            Some(true),
            "none of the windows reaches beyond the load"
        );
        assert_eq!(final_(&t, "count >= 1 for other"), (Some(false), "no samples".into()));
    }

    #[test]
    fn what_comes_to_its_end_after_the_load_belongs_to_its_last_window() {
        let mut t = run(100);
        // Three steps that have waited for long, and fail.
        let cells = Sparse { cells: vec![(2_000_000, 3)] };
        t.apply(&Entry::Histogram { lane: LaneId(0), span: seconds(43, 44), cells });
        for (ms, value) in [(43_000, 0.0), (44_000, 3.0)] {
            t.apply(&Entry::Sample { lane: LaneId(1), at: RunTime::from_ms(ms), value });
        }
        assert_eq!(final_(&t, "errors < 5% over 1s").0, Some(true), "three of three are no window");
        let slow = Gate::parse("max < 1s over 5s").unwrap().judge_final(&t, &[]);
        let last = RunTime::from_ms(35_000);
        assert_eq!((slow.holds, slow.window.start), (Some(false), last), "none of them is left out");
    }

    #[test]
    fn what_finishes_after_the_load_is_no_part_of_its_rate() {
        let mut t = Timeline::new();
        t.apply(&Entry::Plan(run(1).plan().clone()));
        t.apply(&Entry::Lane(LaneId(0), LaneSpec::rate(names::COMPLETED, "gen-0", Unit::PerSecond)));
        // 70/s of 100/s, and the others in the nine seconds after the load.
        for second in 1..=49 {
            let value = if second <= 40 { 70.0 } else { 100.0 };
            t.apply(&Entry::Sample { lane: LaneId(0), at: RunTime::from_ms(second * 1_000), value });
        }
        assert_eq!(final_(&t, "completed >= 95/s"), (Some(false), "70/s".into()));
    }

    #[test]
    fn counts_and_k6_thresholds_read_the_same_figures() {
        let t = run(100);
        assert_eq!(final_(&t, "count >= 3000"), (Some(true), "3000".into()));
        assert_eq!(final_(&t, "http_reqs: count > 3000").0, Some(false));
        assert_eq!(final_(&t, "checks: rate > 0.99").0, Some(true));
        assert_eq!(final_(&t, "checks: rate == 1"), (Some(false), "0.10 % (3 of 3000)".into()));
        assert_eq!(final_(&t, "http_req_duration{name:check out,scenario:peak}: med<10").0, Some(true));
    }

    #[test]
    fn a_phase_that_was_never_reached_is_undecided() {
        let mut t = Timeline::new();
        t.apply(&Entry::Plan(run(1).plan().clone()));
        t.apply(&Entry::Tick(RunTime::from_ms(3_000)));
        assert_eq!(final_(&t, "p99 < 10ms in phase peak"), (None, "not reached".into()));
    }
}
