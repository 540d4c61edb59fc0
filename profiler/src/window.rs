//! Windows on the timeline: the few ways in which detectors look at lanes.
//!
//! Owns reading (sums over instances, rates turned into counts, merged durations, settled load), nothing that judges.
//! All of it is bounded by the window asked for, never by the length of the run.

use std::collections::BTreeMap;
use std::time::Duration;

use timeline::clock::RunTime;
use timeline::facts::{LoadModel, PlanFacts};
use timeline::lane::names;
use timeline::{Series, Span, Timeline};

use crate::stats::{Durations, median};

/// How often a lane is looked at in a cell of which the least counts: ten times a second in cells of a quarter.
const LOOKS: u32 = 4;
/// A rate's step up to so long counts whole where it ends, as sources at 10 Hz and the generator each second tell it: windows are
/// of such ticks. Of a longer one only the part within the window counts.
const WHOLE_STEP: Duration = Duration::from_millis(1_250);
/// Samples by which a lane's pace is told, at most: a process that stands still for seconds makes few of them late.
const PACE_SAMPLES: usize = 60;
/// A lane that has been silent for so many times its pace, and for a second, has gone or has been stopped.
const OVERDUE: f64 = 2.5;
const LEAST_SILENCE: Duration = Duration::from_secs(1);
/// Sources that hand on what somebody else has counted: of pages of metrics, and of senders of OpenTelemetry.
const SECOND_HAND: [&str; 2] = ["metrics", "otlp"];
/// Instants at which sessions are looked at, and how long their number is good.
const SESSIONS_POINTS: u32 = 10;
const SESSIONS_CARRY: Duration = Duration::from_secs(2);

/// The last `seconds` up to and with `at`.
pub fn last(at: RunTime, seconds: f64) -> Span {
    // One nanosecond more, because a span's end is outside and samples at the tick itself count.
    Span::new(at.back(Duration::from_secs_f64(seconds)), at + Duration::from_nanos(1))
}

/// Seconds of a span.
pub fn seconds(span: Span) -> f64 {
    span.length().as_secs_f64()
}

/// Has any lane `name` ever had a value? Some are declared by a source that then cannot tell them.
pub fn told(timeline: &Timeline, name: &str) -> bool {
    timeline.named(name).any(|s| !(s.points.is_empty() && s.intervals.is_empty()))
}

/// Is nothing known of the instance but what it shows or sends of itself? The age of what is read of it says by whom that is done.
pub fn second_hand(timeline: &Timeline, instance: &str) -> bool {
    let mut ages = timeline.named(names::SOURCE_AGE).filter(|s| s.spec.subject == instance);
    ages.any(|s| SECOND_HAND.contains(&s.spec.instance.as_str()))
}

/// Names of the instances that have lane `name`, sorted.
pub fn instances<'a>(timeline: &'a Timeline, name: &str) -> Vec<&'a str> {
    let mut found: Vec<&str> = timeline.named(name).map(|s| s.spec.instance.as_str()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// What lanes `name` are about, sorted.
pub fn subjects<'a>(timeline: &'a Timeline, name: &str) -> Vec<&'a str> {
    let mut found: Vec<&str> = timeline.named(name).map(|s| s.spec.subject.as_str()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The lane `name` of one instance, about nothing in particular.
pub fn of_instance<'a>(timeline: &'a Timeline, name: &str, instance: &str) -> Option<&'a Series> {
    timeline.named(name).find(|s| s.spec.instance == instance)
}

/// Typical time from one sample to the next of those lanes `name` that still tell at `at`: the slowest one's. None before any
/// has two samples.
pub fn pace(timeline: &Timeline, name: &str, at: RunTime) -> Option<Duration> {
    let paces = timeline.named(name).filter_map(|s| {
        let told = until(s, at);
        let pace = typical_gap(told, PACE_SAMPLES)?;
        (at.since(told.last()?.0) <= pace.mul_f64(OVERDUE).max(LEAST_SILENCE)).then_some(pace)
    });
    paces.max()
}

/// Are the lanes `name` told more seldom at `at` than each `every`, or not at all?
pub fn seldom(timeline: &Timeline, name: &str, at: RunTime, every: Duration) -> bool {
    pace(timeline, name, at).is_none_or(|pace| pace > every)
}

/// What a lane has told up to `at`.
pub fn until(series: &Series, at: RunTime) -> &[(RunTime, f64)] {
    &series.points[..series.points.partition_point(|p| p.0 <= at)]
}

/// The median time between the last samples, so many at most; none with fewer than two.
pub fn typical_gap(told: &[(RunTime, f64)], samples: usize) -> Option<Duration> {
    let lately = &told[told.len().saturating_sub(samples)..];
    let gaps = lately.windows(2).map(|w| w[1].0.since(w[0].0).as_secs_f64()).collect();
    median(gaps).map(Duration::from_secs_f64)
}

/// The lanes `name` of instances that are there in `span`, or were so shortly before that `carry` reaches into it. One that has
/// ended keeps its lane, and says nothing in it for ever.
pub fn present<'a>(
    timeline: &'a Timeline,
    name: &str,
    span: Span,
    carry: Duration,
) -> impl Iterator<Item = &'a Series> {
    there(timeline.named(name), span, carry)
}

/// The same of `lanes`.
pub fn there<'a>(
    lanes: impl Iterator<Item = &'a Series>,
    span: Span,
    carry: Duration,
) -> impl Iterator<Item = &'a Series> {
    let told = Span::new(span.start.back(carry), span.end + Duration::from_nanos(1));
    lanes.filter(move |s| !s.within(told).is_empty())
}

/// The lane over all its instances as points (seconds of the run, sum), `count` of them evenly over
/// `span`; an instance's value is carried for `carry` at most, and a point that lacks any instance which is [`present`] is left out.
pub fn summed(timeline: &Timeline, name: &str, span: Span, count: u32, carry: Duration) -> Vec<(f64, f64)> {
    let lanes: Vec<&Series> = present(timeline, name, span, carry).collect();
    summed_of(&lanes, span, count, carry)
}

/// The same of chosen lanes.
pub fn summed_of(lanes: &[&Series], span: Span, count: u32, carry: Duration) -> Vec<(f64, f64)> {
    let step = span.length() / count.max(1);
    if lanes.is_empty() {
        return Vec::new();
    }
    (1..=count)
        .filter_map(|i| {
            let t = span.start + step * i;
            let sum: Option<f64> = lanes.iter().map(|s| s.at(t, carry)).sum();
            Some((t.as_secs_f64(), sum?))
        })
        .collect()
}

/// The same of whoever tells at each point: an instance that has ended by then, or has not begun, leaves out none of them.
pub fn summed_of_any(
    timeline: &Timeline,
    name: &str,
    span: Span,
    count: u32,
    carry: Duration,
) -> Vec<(f64, f64)> {
    let step = span.length() / count.max(1);
    (1..=count)
        .filter_map(|i| {
            let t = span.start + step * i;
            let sum = timeline.named(name).filter_map(|s| s.at(t, carry)).reduce(|a, b| a + b)?;
            Some((t.as_secs_f64(), sum))
        })
        .collect()
}

/// The least of [`LOOKS`] looks in each of `count` cells, and when it was: what is there for a moment lies on top of it.
pub fn summed_least(
    timeline: &Timeline,
    name: &str,
    span: Span,
    count: u32,
    carry: Duration,
) -> Vec<(f64, f64)> {
    let lanes: Vec<&Series> = present(timeline, name, span, carry).collect();
    let cell = span.length() / count.max(1);
    let least = |i: u32| {
        let looks =
            summed_of(&lanes, Span::new(span.start + cell * i, span.start + cell * (i + 1)), LOOKS, carry);
        looks.into_iter().min_by(|a, b| a.1.total_cmp(&b.1))
    };
    (0..count).filter_map(least).collect()
}

/// The lane `name` about `subject`, of all instances.
pub fn about<'a>(timeline: &'a Timeline, name: &str, subject: &'a str) -> impl Iterator<Item = &'a Series> {
    timeline.named(name).filter(move |s| s.spec.subject == subject)
}

/// The name that workers of one cluster share: `shop` for `shop-0` and `shop-1`.
pub fn stem(instance: &str) -> &str {
    instance.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(&['-', '_', '.', ':'][..])
}

/// Instances that have lane `name`, by the cluster that they are workers of: see [`stem`].
pub fn clusters<'a>(timeline: &'a Timeline, name: &str) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for instance in instances(timeline, name) {
        found.entry(stem(instance)).or_default().push(instance);
    }
    found
}

/// What a rate lane of one instance counted within `span`, over all subjects; none if no sample speaks of it.
pub fn counted_by(timeline: &Timeline, name: &str, instance: &str, span: Span) -> Option<f64> {
    counted_of(timeline.named(name).filter(|s| s.spec.instance == instance), span)
}

/// What a rate lane counted within `span`, over all instances and subjects; none if no sample speaks of it.
pub fn counted(timeline: &Timeline, name: &str, span: Span) -> Option<f64> {
    counted_of(timeline.named(name), span)
}

/// The same of chosen lanes. What is told each minute is not all of it in the second in which it is told.
pub fn counted_of<'a>(lanes: impl IntoIterator<Item = &'a Series>, span: Span) -> Option<f64> {
    let mut total = None;
    for series in lanes {
        let first = series.points.partition_point(|p| p.0 < span.start).max(1);
        let touching = series.points.windows(2).skip(first - 1).take_while(|w| w[0].0 < span.end);
        for (told, rate) in touching.map(|w| (Span::new(w[0].0, w[1].0), w[1].1)) {
            let whole = told.length() <= WHOLE_STEP;
            let counts = if whole { told.end < span.end } else { !told.overlap(span).is_zero() };
            if counts {
                let length = if whole { told.length() } else { told.overlap(span) };
                *total.get_or_insert(0.0) += rate * length.as_secs_f64();
            }
        }
    }
    total
}

/// What histogram lanes `name` recorded within `span`, over all instances and subjects.
pub fn durations(timeline: &Timeline, name: &str, span: Span) -> Durations {
    durations_of(timeline.named(name), span)
}

/// The same of those about `subject`.
pub fn durations_about(timeline: &Timeline, name: &str, subject: &str, span: Span) -> Durations {
    durations_of(about(timeline, name, subject), span)
}

/// The same of chosen lanes.
pub fn durations_of<'a>(lanes: impl IntoIterator<Item = &'a Series>, span: Span) -> Durations {
    Durations::of(lanes.into_iter().flat_map(|s| s.intervals_within(span)))
}

/// Samples that lie in `span`, each with the instant of the one before: what a rate or a "longest in
/// the interval" speaks of. A lane's very first sample speaks of no known interval and is left out.
pub fn steps(series: &Series, span: Span) -> impl Iterator<Item = (RunTime, RunTime, f64)> + '_ {
    let first = series.points.partition_point(|p| p.0 < span.start).max(1);
    series
        .points
        .windows(2)
        .skip(first - 1)
        .take_while(move |w| w[1].0 < span.end)
        .map(|w| (w[0].0, w[1].0, w[1].1))
}

/// When the process was last started anew in `span`, as far as whoever keeps the processes counts their generations.
pub fn restarted(timeline: &Timeline, instance: &str, span: Span) -> Option<RunTime> {
    let points = of_instance(timeline, names::PROCESS_GENERATION, instance)?.within(span);
    points.windows(2).rfind(|w| w[1].1 > w[0].1).map(|w| w[1].0)
}

/// Median of the last `seconds` of a lane over all samples of all instances; none without samples.
pub fn typical(timeline: &Timeline, name: &str, span: Span) -> Option<f64> {
    median(timeline.named(name).flat_map(|s| s.within(span).iter().map(|p| p.1)).collect())
}

/// Median of one lane's samples in `span`; none without samples.
pub fn typical_of(series: &Series, span: Span) -> Option<f64> {
    median(series.within(span).iter().map(|p| p.1).collect())
}

/// Mean of a lane's samples in `span`, of all instances; none without samples.
pub fn mean(timeline: &Timeline, name: &str, span: Span) -> Option<f64> {
    let (mut n, mut sum) = (0.0, 0.0);
    for (_, v) in timeline.named(name).flat_map(|s| s.within(span)) {
        n += 1.0;
        sum += v;
    }
    (n > 0.0).then(|| sum / n)
}

/// Mean of one lane's samples in `span`; none without samples.
pub fn mean_of(series: &Series, span: Span) -> Option<f64> {
    let points = series.within(span);
    (!points.is_empty()).then(|| points.iter().map(|p| p.1).sum::<f64>() / points.len() as f64)
}

/// The highest of a lane's samples in `span`, of all instances; 0 without samples.
pub fn highest(timeline: &Timeline, name: &str, span: Span) -> f64 {
    timeline.named(name).flat_map(|s| s.within(span)).map(|p| p.1).fold(0.0, f64::max)
}

/// Cores that those who have lane `name` use together in `span`; none without samples.
pub fn cores_used(timeline: &Timeline, name: &str, span: Span) -> Option<f64> {
    timeline.named(name).filter_map(|s| mean_of(s, span)).reduce(|a, b| a + b)
}

/// Connections and WebSockets that clients have with one instance at `at`; none where it tells of neither.
pub fn connections(timeline: &Timeline, instance: &str, at: RunTime, carry: Duration) -> Option<f64> {
    [names::SERVER_CONNECTIONS, names::SERVER_WEBSOCKETS]
        .iter()
        .filter_map(|n| of_instance(timeline, n, instance)?.at(at, carry))
        .reduce(|a, b| a + b)
}

/// How many sessions are open, at some instants of `span`; none where requests come on their own, and wait for nobody's reply.
pub fn sessions(timeline: &Timeline, span: Span) -> Vec<f64> {
    if timeline.plan().phase_at(span.start).is_some_and(|p| p.model == LoadModel::Requests) {
        return Vec::new();
    }
    let points = summed(timeline, names::OPEN_SESSIONS, span, SESSIONS_POINTS, SESSIONS_CARRY);
    points.iter().map(|p| p.1).collect()
}

/// Share of the machine's CPU that neither target nor generator used in `span`: the system's own
/// work, and what others take. None without the lanes to tell.
pub fn taken_by_others(timeline: &Timeline, span: Span) -> Option<f64> {
    let all = mean(timeline, names::HOST_CPU, span)?;
    let cores = mean(timeline, names::HOST_CORES, span)?;
    let used = |name: &str| cores_used(timeline, name, span);
    let own = used(names::PROCESS_CPU)? + used(names::GENERATOR_CPU).unwrap_or(0.0);
    Some((all - own / cores.max(1.0)).max(0.0))
}

/// Since when the load has been what it is at `at`: the start of the phase, or of the first of
/// several phases in a row that hold the same load, or the last change that a person made of it. Zero without a plan.
pub fn same_load_since(plan: &PlanFacts, at: RunTime) -> RunTime {
    let mut since = RunTime::ZERO;
    let mut load: Option<(LoadModel, f64)> = None;
    for phase in plan.phases.iter().take_while(|p| p.span.start <= at) {
        if load != Some((phase.model, phase.from)) {
            since = phase.span.start;
        }
        load = Some((phase.model, phase.to));
        if phase.from != phase.to {
            // A ramp: its load is a new one at every instant, and its end belongs to it.
            since = phase.span.end.min(at);
        }
    }
    since.max(plan.changes.at(at).since)
}

/// Is `at` in a warm-up or a halt, or less than `settle` after a change of load, planned or made by a person?
pub fn unsettled(plan: &PlanFacts, at: RunTime, settle: Duration) -> bool {
    let changed = plan.changes.at(at);
    plan.phase_at(at).is_some_and(|p| p.warmup || (p.span.start.0 > 0 && at.since(p.span.start) < settle))
        || at < RunTime::ZERO + settle
        || changed.halted
        || at < changed.since + settle
}

/// Is the planned load over? False without a plan.
pub fn after_plan(plan: &PlanFacts, at: RunTime) -> bool {
    !plan.phases.is_empty() && at >= plan.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeline::Amendment;
    use timeline::facts::PhaseFacts;
    use timeline::{LaneId, LaneSpec, Unit};

    #[test]
    fn a_rate_counts_what_it_stands_for() {
        let mut t = Timeline::new();
        t.apply(&timeline::Entry::Lane(LaneId(0), LaneSpec::rate("x", "a", Unit::PerSecond)));
        for ms in [100, 200, 300] {
            t.apply(&timeline::Entry::Sample { lane: LaneId(0), at: RunTime::from_ms(ms), value: 50.0 });
        }
        assert_eq!(counted(&t, "x", Span::new(RunTime::ZERO, RunTime::from_ms(301))), Some(10.0));
        assert_eq!(counted(&t, "x", Span::new(RunTime::from_ms(400), RunTime::from_ms(500))), None);
    }

    #[test]
    fn what_is_told_every_fifteen_seconds_counts_by_its_part_of_the_window() {
        let mut t = Timeline::new();
        t.apply(&timeline::Entry::Lane(LaneId(0), LaneSpec::rate("x", "a", Unit::PerSecond)));
        for s in [15, 30, 45] {
            let at = RunTime::from_ms(s * 1_000);
            t.apply(&timeline::Entry::Sample { lane: LaneId(0), at, value: 2.0 });
        }
        let within = |from, to| counted(&t, "x", Span::new(RunTime::from_ms(from), RunTime::from_ms(to)));
        assert_eq!(within(28_000, 30_000), Some(4.0), "not the 30 of the whole step");
        assert_eq!(within(20_000, 22_000), Some(4.0));
        assert_eq!(within(44_000, 50_000), Some(2.0), "what has not been told is not made up");
        assert_eq!(within(46_000, 50_000), None);
        assert_eq!(pace(&t, "x", RunTime::from_ms(45_000)), Some(Duration::from_secs(15)));
        assert_eq!(pace(&t, "x", RunTime::from_ms(90_000)), None, "it has gone");
    }

    #[test]
    fn an_instance_that_has_gone_leaves_the_sum() {
        let mut t = Timeline::new();
        for (id, from, to) in [(0, 0, 60), (1, 70, 100), (2, 0, 100)] {
            let instance = format!("pid-{}", id + 7);
            let lane = LaneId(id);
            t.apply(&timeline::Entry::Lane(lane, LaneSpec::level("x", instance, Unit::Count)));
            for s in from..=to {
                t.apply(&timeline::Entry::Sample { lane, at: RunTime::from_ms(s * 1_000), value: 1.0 });
            }
        }
        let at = |from: u64, to: u64| {
            let span = Span::new(RunTime::from_ms(from * 1_000), RunTime::from_ms(to * 1_000));
            let sums = summed(&t, "x", span, (to - from) as u32, Duration::from_millis(350));
            sums.iter().map(|s| s.1).collect::<Vec<_>>()
        };
        assert_eq!(at(10, 13), [2.0; 3]);
        assert_eq!(at(58, 63), [2.0; 2], "one goes in this window: what lacks it is left out");
        assert_eq!(at(62, 65), [1.0; 3]);
        assert_eq!(at(80, 83), [2.0; 3]);
        assert!(at(200, 203).is_empty());
        let all = Span::new(RunTime::from_ms(58_000), RunTime::from_ms(72_000));
        let of_any = summed_of_any(&t, "x", all, 14, Duration::from_millis(350));
        let sums: Vec<f64> = of_any.iter().map(|s| s.1).collect();
        let there: Vec<f64> = [2.0; 2].into_iter().chain([1.0; 9]).chain([2.0; 3]).collect();
        assert_eq!(sums, there);
    }

    #[test]
    fn equal_phases_in_a_row_are_one_load() {
        let phase = |start, end, from, to| PhaseFacts {
            name: String::new(),
            span: Span::new(RunTime::from_ms(start), RunTime::from_ms(end)),
            warmup: false,
            model: LoadModel::Sessions,
            from,
            to,
        };
        let plan = PlanFacts {
            phases: vec![
                phase(0, 1000, 0.0, 10.0),
                phase(1000, 2000, 10.0, 10.0),
                phase(2000, 3000, 10.0, 10.0),
            ],
            ..PlanFacts::default()
        };
        assert_eq!(same_load_since(&plan, RunTime::from_ms(2500)), RunTime::from_ms(1000));
        assert_eq!(same_load_since(&plan, RunTime::from_ms(500)), RunTime::from_ms(500));
    }

    #[test]
    fn what_a_person_changes_is_a_change_of_load() {
        let mut plan = PlanFacts::default();
        let (at, settle) = (RunTime::from_ms, Duration::from_secs(2));
        for (ms, what) in
            [(10_000, Amendment::Halt), (20_000, Amendment::GoOn), (40_000, Amendment::Scale(0.5))]
        {
            plan.changes.take(at(ms), what);
        }
        let unsettled_at: Vec<u64> = (2..50).filter(|s| unsettled(&plan, at(s * 1_000), settle)).collect();
        assert_eq!(unsettled_at, (10..22).chain(40..42).collect::<Vec<_>>());
        assert_eq!(same_load_since(&plan, at(9_000)), RunTime::ZERO);
        assert_eq!(same_load_since(&plan, at(30_000)), at(20_000));
        assert_eq!(same_load_since(&plan, at(50_000)), at(40_000));
    }
}
