//! The timeline: everything measured in one run, on one axis, as detectors and reports read it.
//!
//! Owns the series in memory and the questions that may be asked of them. It is filled by applying
//! [`Entry`]s, live by the recorder and later by the recording's reader, in the same order and so to
//! the same state. It judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::amendment::Amendment;
use crate::clock::{RunTime, Span};
use crate::event::Event;
use crate::facts::PlanFacts;
use crate::histogram::{self, Histogram, Sparse};
use crate::lane::{Combine, LaneId, LaneSpec};
use crate::profile::Profile;
use crate::thinning;

/// Places that something late may move others by when it is put where it belongs: a hundred seconds of a lane at 10 Hz. What is later
/// still waits for the tick, where all of it is put in at once: each for itself, many such would take the square of their number.
const NEAR: usize = 1_024;

/// One thing that becomes known; the unit of live data and of recordings.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// The plan as far as detectors may know it. First of all entries; a later one replaces it (an amendment).
    Plan(PlanFacts),
    /// A lane is declared; ids count up from 0.
    Lane(LaneId, LaneSpec),
    /// A level or rate at an instant.
    Sample {
        /// Which lane.
        lane: LaneId,
        /// When.
        at: RunTime,
        /// In the lane's unit; as [`is_value`](crate::lane::is_value) has it, so finite.
        value: f64,
    },
    /// What a histogram lane recorded over an interval.
    Histogram {
        /// Which lane.
        lane: LaneId,
        /// The interval.
        span: Span,
        /// Its samples.
        cells: Sparse,
    },
    /// Something happened.
    Event(Event),
    /// Where a process spent its CPU time.
    Profile(Profile),
    /// Detectors are run now, over all entries before this one.
    Tick(RunTime),
}

/// The samples of one lane.
#[derive(Debug, Clone)]
pub struct Series {
    /// What the lane declares.
    pub spec: LaneSpec,
    /// Level and rate lanes: instants and values in order of time.
    pub points: Vec<(RunTime, f64)>,
    /// Histogram lanes: intervals and their samples in order of start.
    pub intervals: Vec<(Span, Sparse)>,
}

impl Series {
    /// The points with `span.start <= at < span.end`.
    #[must_use]
    pub fn within(&self, span: Span) -> &[(RunTime, f64)] {
        let a = self.points.partition_point(|p| p.0 < span.start);
        let b = self.points.partition_point(|p| p.0 < span.end);
        &self.points[a..b.max(a)]
    }

    /// The newest value not after `at` and not older than `max_age` then.
    #[must_use]
    pub fn at(&self, at: RunTime, max_age: Duration) -> Option<f64> {
        let i = self.points.partition_point(|p| p.0 <= at).checked_sub(1)?;
        let (t, v) = self.points[i];
        (at.since(t) <= max_age).then_some(v)
    }

    /// The intervals that start within `span`.
    #[must_use]
    pub fn intervals_within(&self, span: Span) -> &[(Span, Sparse)] {
        let a = self.intervals.partition_point(|p| p.0.start < span.start);
        let b = self.intervals.partition_point(|p| p.0.start < span.end);
        &self.intervals[a..b.max(a)]
    }
}

/// Everything measured so far.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    plan: PlanFacts,
    series: Vec<Series>,
    by_name: BTreeMap<String, Vec<LaneId>>,
    events: Vec<Event>,
    profiles: Vec<Profile>,
    now: RunTime,
    late: Late,
    /// What is before it has been thinned.
    thinned: RunTime,
}

/// What came so late that it waits for the next tick.
#[derive(Debug, Clone, Default)]
struct Late {
    points: Vec<(LaneId, (RunTime, f64))>,
    intervals: Vec<(LaneId, (Span, Sparse))>,
    events: Vec<Event>,
}

impl Timeline {
    /// An empty timeline.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one entry in. An entry that names an undeclared lane is ignored: only a damaged
    /// recording has one, and its reader has reported the damage.
    pub fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Plan(plan) => {
                let changes = std::mem::take(&mut self.plan.changes);
                self.plan = PlanFacts { changes, ..plan.clone() };
            }
            Entry::Lane(id, spec) => self.declare(*id, spec.clone()),
            Entry::Sample { lane, at, value } => {
                if let Some(s) = self.series.get_mut(lane.0 as usize) {
                    let late = insert_by(&mut s.points, (*at, *value), |p| p.0);
                    self.late.points.extend(late.map(|point| (*lane, point)));
                    self.now = self.now.max(*at);
                }
            }
            Entry::Histogram { lane, span, cells } => {
                if let Some(s) = self.series.get_mut(lane.0 as usize) {
                    let late = insert_by(&mut s.intervals, (*span, cells.clone()), |p| p.0.start);
                    self.late.intervals.extend(late.map(|interval| (*lane, interval)));
                    self.now = self.now.max(span.end);
                }
            }
            Entry::Event(event) => {
                self.now = self.now.max(event.end);
                if let Some(amendment) = Amendment::of(event) {
                    self.plan.changes.take(event.start, amendment);
                }
                let late = insert_by(&mut self.events, event.clone(), |e| e.start);
                self.late.events.extend(late);
            }
            Entry::Profile(profile) => self.profiles.push(profile.clone()),
            Entry::Tick(at) => {
                self.settle();
                self.now = self.now.max(*at);
                self.thin(*at);
            }
        }
    }

    /// Puts in what came too late to be put in at once: at every tick, and when nothing more comes.
    pub(crate) fn settle(&mut self) {
        let Late { points, intervals, events } = std::mem::take(&mut self.late);
        let lanes: BTreeSet<usize> =
            points.iter().map(|p| p.0).chain(intervals.iter().map(|i| i.0)).map(|id| id.0 as usize).collect();
        for (lane, point) in points {
            self.series[lane.0 as usize].points.push(point);
        }
        for (lane, interval) in intervals {
            self.series[lane.0 as usize].intervals.push(interval);
        }
        for lane in lanes {
            // Stable, and quick where most is in order.
            self.series[lane].points.sort_by_key(|p| p.0);
            self.series[lane].intervals.sort_by_key(|i| i.0.start);
        }
        if !events.is_empty() {
            self.events.extend(events);
            self.events.sort_by_key(|e| e.start);
        }
    }

    /// Keeps less of what is old by now.
    fn thin(&mut self, now: RunTime) {
        let span = Span::new(self.thinned, thinning::due(now).max(self.thinned));
        if !span.length().is_zero() {
            self.thinned = span.end;
            self.series.iter_mut().for_each(|series| thinning::thin(series, span));
        }
    }

    fn declare(&mut self, id: LaneId, spec: LaneSpec) {
        // Ids count up; after a lost declaration the gap is filled with lanes that nobody asks for.
        while self.series.len() < id.0 as usize {
            let lost = LaneSpec::level("lost", "lost", crate::Unit::Count);
            self.series.push(Series { spec: lost, points: Vec::new(), intervals: Vec::new() });
        }
        if self.series.len() == id.0 as usize {
            self.by_name.entry(spec.name.clone()).or_default().push(id);
            self.series.push(Series { spec, points: Vec::new(), intervals: Vec::new() });
        }
    }

    /// The same figures under other names: `lane` says what each lane is called, `event` what an event becomes; it is left
    /// out where that is nothing.
    #[must_use]
    pub fn renamed(
        &self,
        mut lane: impl FnMut(&LaneSpec) -> LaneSpec,
        event: impl FnMut(&Event) -> Option<Event>,
    ) -> Self {
        let (now, thinned) = (self.now, self.thinned);
        let mut other = Self { plan: self.plan.clone(), now, thinned, ..Self::default() };
        for (id, series) in self.series.iter().enumerate() {
            other.declare(LaneId(id as u32), lane(&series.spec));
            let Series { points, intervals, .. } = series.clone();
            if let Some(new) = other.series.last_mut() {
                (new.points, new.intervals) = (points, intervals);
            }
        }
        other.profiles.clone_from(&self.profiles);
        other.events = self.events.iter().filter_map(event).collect();
        other
    }

    /// The plan as far as detectors may know it.
    #[must_use]
    pub fn plan(&self) -> &PlanFacts {
        &self.plan
    }

    /// The newest instant that any entry speaks of.
    #[must_use]
    pub fn now(&self) -> RunTime {
        self.now
    }

    /// All lanes in order of declaration; the index is the lane's id.
    #[must_use]
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// Every lane called `name`: one for each instance and subject.
    pub fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Series> + 'a {
        self.by_name.get(name).into_iter().flatten().filter_map(|id| self.series.get(id.0 as usize))
    }

    /// Is any lane called `name` declared?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Members of a family, each once, sorted: for `pool`, the names of all pools.
    #[must_use]
    pub fn members(&self, family: &str) -> Vec<String> {
        let prefix = format!("{family}.");
        // A member's lanes do not all stand together where another's name begins with its own: `users` and `users.findAll`.
        let found: BTreeSet<&str> = self
            .by_name
            .range(prefix.clone()..)
            .take_while(|(name, _)| name.starts_with(&prefix))
            .filter_map(|(name, _)| name[prefix.len()..].rsplit_once('.').map(|(member, _)| member))
            .collect();
        found.into_iter().map(str::to_owned).collect()
    }

    /// The lane over all instances (and subjects) on a grid: for each cell of length `step` the newest
    /// value of each instance in the cell, combined as the lane says. A cell in which no instance has a value is a gap.
    #[must_use]
    pub fn grid(&self, name: &str, span: Span, step: Duration) -> Vec<Option<f64>> {
        let step_ns = (step.as_nanos() as u64).max(1);
        let cells = (span.length().as_nanos() as u64).div_ceil(step_ns) as usize;
        let mut out: Vec<Option<f64>> = vec![None; cells];
        for series in self.named(name) {
            let mut last: Option<usize> = None;
            for &(at, value) in series.within(span).iter().rev() {
                let i = ((at.0 - span.start.0) / step_ns) as usize;
                if last == Some(i) {
                    continue; // newest first: the rest of this cell is older
                }
                last = Some(i);
                let cell = &mut out[i];
                *cell = Some(match (series.spec.combine, *cell) {
                    (_, None) => value,
                    (Combine::Max, Some(v)) => v.max(value),
                    (_, Some(v)) => v + value,
                });
            }
        }
        out
    }

    /// All samples of a histogram lane in `span`, merged over instances, and over subjects unless one is given.
    #[must_use]
    pub fn merged(&self, name: &str, subject: Option<&str>, span: Span) -> Histogram {
        let mut total = histogram::new();
        for series in self.named(name).filter(|s| subject.is_none_or(|x| s.spec.subject == x)) {
            for (_, cells) in series.intervals_within(span) {
                cells.add_to(&mut total);
            }
        }
        total
    }

    /// How many samples the histogram lanes called `name` have in `span`, all instances and subjects, and their sum, ns.
    #[must_use]
    pub fn timed(&self, name: &str, span: Span) -> (u64, f64) {
        let (mut count, mut us) = (0, 0);
        for (_, cells) in self.named(name).flat_map(|s| s.intervals_within(span)) {
            count += cells.count();
            us += cells.sum_us();
        }
        (count, us as f64 * 1e3)
    }

    /// The part of `span` of which the histogram lanes called `name` have told: from the first to the last of the intervals that lie in it
    /// as a whole. None without one.
    #[must_use]
    pub fn told_within(&self, name: &str, span: Span) -> Option<Span> {
        let intervals = self.named(name).flat_map(|s| s.intervals_within(span)).map(|i| i.0);
        let whole = intervals.filter(|i| i.end <= span.end);
        whole.reduce(|a, b| Span::new(a.start.min(b.start), a.end.max(b.end)))
    }

    /// Events of `kind` that begin within `span`, in order.
    pub fn events<'a>(&'a self, kind: &'a str, span: Span) -> impl Iterator<Item = &'a Event> + 'a {
        let a = self.events.partition_point(|e| e.start < span.start);
        self.events[a..].iter().take_while(move |e| e.start < span.end).filter(move |e| e.kind == kind)
    }

    /// CPU profiles of the target's processes; none unless they were asked for.
    #[must_use]
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// All events in order of their start.
    #[must_use]
    pub fn all_events(&self) -> &[Event] {
        &self.events
    }
}

/// Inserts keeping the order of `key`; almost always at the end. Gives back what would move too many others.
fn insert_by<T, K: Ord>(list: &mut Vec<T>, item: T, key: impl Fn(&T) -> K) -> Option<T> {
    let k = key(&item);
    if list.last().is_none_or(|last| key(last) <= k) {
        list.push(item);
        return None;
    }
    let i = list.partition_point(|x| key(x) <= k);
    if list.len() - i > NEAR {
        return Some(item);
    }
    list.insert(i, item);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unit;

    fn two_pools() -> Timeline {
        let mut t = Timeline::new();
        for (i, instance) in ["a", "b"].into_iter().enumerate() {
            t.apply(&Entry::Lane(
                LaneId(i as u32),
                LaneSpec::level("pool.db.waiters", instance, Unit::Count),
            ));
        }
        for (lane, ms, value) in [(0, 100, 1.0), (1, 150, 2.0), (0, 190, 4.0), (0, 310, 8.0)] {
            t.apply(&Entry::Sample { lane: LaneId(lane), at: RunTime::from_ms(ms), value });
        }
        t
    }

    #[test]
    fn a_grid_adds_instances_and_keeps_gaps() {
        let t = two_pools();
        let span = Span::new(RunTime::ZERO, RunTime::from_ms(400));
        let grid = t.grid("pool.db.waiters", span, Duration::from_millis(100));
        assert_eq!(grid, [None, Some(6.0), None, Some(8.0)]);
        assert_eq!(t.members("pool"), ["db"]);
        assert!(t.members("cache").is_empty());
    }

    #[test]
    fn a_member_is_told_once_whatever_another_one_s_name_begins_with() {
        let mut t = Timeline::new();
        let lanes =
            ["db-2.wait", "db.wait", "users.evictions", "users.findAll.hits", "users.hits", "users.loads"];
        for (i, lane) in lanes.into_iter().enumerate() {
            let spec = LaneSpec::level(format!("cache.{lane}"), "a", Unit::Count);
            t.apply(&Entry::Lane(LaneId(i as u32), spec));
        }
        assert_eq!(t.members("cache"), ["db", "db-2", "users", "users.findAll"]);
    }

    #[test]
    fn times_of_all_instances_add_up_over_the_intervals_that_begin_in_a_span() {
        let ms = |a, b| Span::new(RunTime::from_ms(a), RunTime::from_ms(b));
        let mut t = Timeline::new();
        for (i, instance) in ["a", "b"].into_iter().enumerate() {
            let lane = LaneId(i as u32);
            t.apply(&Entry::Lane(lane, LaneSpec::histogram("client.service", instance)));
            for (second, us) in [(0, 10), (1, 20), (2, 30)] {
                // The clock of the second is behind by 100 ms.
                let begin = second * 1_000 + i as u64 * 100;
                let cells = Sparse { cells: vec![(us, 2)] };
                t.apply(&Entry::Histogram { lane, span: ms(begin, begin + 1_000), cells });
            }
        }
        let (most, service) = (ms(1_000, 3_050), "client.service");
        assert_eq!(t.timed(service, most), (8, 200_000.0));
        // The last one of `b` ends after it.
        assert_eq!(t.told_within(service, most), Some(ms(1_000, 3_000)));
        assert_eq!(t.told_within(service, ms(50, 2_200)), Some(ms(100, 2_100)));
        assert_eq!(t.told_within(service, ms(1_050, 1_900)), None);
        assert_eq!((t.timed("x", most), t.told_within("x", most)), ((0, 0.0), None));
    }

    #[test]
    fn late_samples_find_their_place() {
        let mut t = two_pools();
        t.apply(&Entry::Sample { lane: LaneId(0), at: RunTime::from_ms(120), value: 3.0 });
        let times: Vec<u64> = t.series()[0].points.iter().map(|p| p.0.as_ms()).collect();
        assert_eq!(times, [100, 120, 190, 310]);
        assert_eq!(t.series()[0].at(RunTime::from_ms(150), Duration::from_millis(40)), Some(3.0));
        assert_eq!(t.series()[0].at(RunTime::from_ms(180), Duration::from_millis(40)), None);
    }

    #[test]
    fn what_comes_far_too_late_waits_for_the_tick_and_is_put_in_at_once() {
        let mut t = two_pools();
        let count = 100_000;
        let late = |i: u64| RunTime::from_ms(1_000 + count - i);
        for i in 0..count {
            let (at, lane) = (late(i), LaneId(0));
            t.apply(&Entry::Sample { lane, at, value: i as f64 });
            let cells = Sparse { cells: vec![(1, i as u32)] };
            t.apply(&Entry::Histogram { lane: LaneId(1), span: Span::new(at, at), cells });
            t.apply(&Entry::Event(Amendment::Halt.event(at)));
        }
        let sizes =
            |t: &Timeline| [t.series()[0].points.len(), t.series()[1].intervals.len(), t.all_events().len()];
        // As many as can be put in one by one in little time.
        assert!(sizes(&t).iter().all(|n| *n <= NEAR + 5), "{:?}", sizes(&t));
        t.apply(&Entry::Tick(late(0)));
        assert_eq!(sizes(&t), [count as usize + 3, count as usize, count as usize]);
        assert!(t.series()[0].points.is_sorted_by_key(|p| p.0));
        assert!(t.series()[1].intervals.is_sorted_by_key(|i| i.0.start));
        assert!(t.all_events().is_sorted_by_key(|e| e.start));
        assert_eq!(t.series()[0].points.last(), Some(&(late(0), 0.0)));
    }
}
