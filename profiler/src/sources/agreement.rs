//! Agreement: does a page say the same of heap and pauses as a source that sees them itself?
//!
//! Owns the comparison of one page (or sender of OpenTelemetry) with one process that is watched exactly, over all that both have told since
//! the page's first reading, and what is said of it. Exporters mislead: one that is much used records a quarter of the collections
//! (measured on prom-client 15.1.3: 26%), and a person who trusts its charts should hear of it. Nothing is compared while there are several
//! pages or several processes: whose figures are whose is then not known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use timeline::event::kinds;
use timeline::histogram::Sparse;
use timeline::lane::names;
use timeline::{LaneId, LaneSpec, MonoNs, Shape, Unit};

use super::{Sink, SourceEvent, locked};

/// Shortest window: both sides tell at least ten times in it, and what one of them tells late is a hundredth of it.
const WINDOW: Duration = Duration::from_secs(10);
/// Fewest pauses of a kind: of so many, one side may miss a few at the window's ends without a word.
const LEAST_PAUSES: f64 = 20.0;
/// Fewest readings of a level on each side.
const LEAST_READINGS: f64 = 10.0;
/// Counts of the same pauses are the same but for the window's ends.
const PAUSES_APART: f64 = 1.25;
/// Levels are read at other instants, and the young generation saws: its mean over so few readings is uncertain by a third.
const LEVELS_APART: f64 = 1.5;

/// What both sides have told. Clones share it.
#[derive(Clone, Default)]
pub struct Agreement(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// When the page was first read.
    since: Option<MonoNs>,
    pages: BTreeSet<String>,
    exact: BTreeSet<String>,
    of_page: Told,
    of_exact: Told,
    said: BTreeSet<String>,
}

/// Pauses by kind: how many. Levels by lane: their sum, how many, and their unit.
#[derive(Default)]
struct Told {
    pauses: BTreeMap<String, f64>,
    levels: BTreeMap<String, (f64, f64, Unit)>,
}

impl Told {
    fn pauses(&mut self, kind: &str, n: f64) {
        *self.pauses.entry(kind.to_owned()).or_default() += n;
    }

    fn level(&mut self, lane: &str, unit: Unit, value: f64) {
        let known = self.levels.entry(lane.to_owned()).or_insert((0.0, 0.0, unit));
        known.0 += value;
        known.1 += 1.0;
    }
}

impl Agreement {
    /// What `sink` is given counts as seen exactly.
    #[must_use]
    pub fn exact(&self, sink: Box<dyn Sink>) -> Box<dyn Sink> {
        let (agreement, levels, counters) = (self.clone(), BTreeMap::new(), BTreeMap::new());
        Box::new(Heard { agreement, levels, counters, sink })
    }

    /// The page tells of so many pauses of a kind, as the increase since its last reading.
    pub(super) fn pauses(&self, kind: &str, n: f64) {
        locked(&self.0).of_page.pauses(kind, n);
    }

    /// The page tells a level or rate.
    pub(super) fn level(&self, lane: &str, unit: Unit, value: f64) {
        locked(&self.0).of_page.level(lane, unit, value);
    }

    /// A reading of `page` is over. What there is to say of it is said to `sink`, each thing once.
    pub(super) fn read(&self, page: &str, at: MonoNs, source: &str, sink: &mut dyn Sink) {
        let mut state = locked(&self.0);
        state.pages.insert(page.to_owned());
        let Some(since) = state.since else {
            // Before it there was nothing to compare counters with.
            state.begin(at);
            return;
        };
        let window = at.since(since);
        if window < WINDOW || state.pages.len() > 1 || state.exact.len() != 1 {
            return;
        }
        let new: Vec<(String, String)> =
            state.apart().into_iter().filter(|(what, _)| !state.said.contains(what)).collect();
        let Some(exact) = state.exact.first().filter(|_| !new.is_empty()) else { return };
        let words: Vec<&str> = new.iter().map(|(_, words)| words.as_str()).collect();
        let line = format!(
            "{page} and {exact} do not agree over {}: {}; {exact} is believed",
            Unit::Ns.show(window.as_nanos() as f64),
            words.join("; ")
        );
        state.said.extend(new.into_iter().map(|(what, _)| what));
        drop(state);
        sink.remark(source, &line);
    }
}

impl State {
    fn begin(&mut self, at: MonoNs) {
        self.since = Some(at);
        self.of_page = Told::default();
        self.of_exact = Told::default();
    }

    /// What the two do not agree on, each with its figures.
    fn apart(&self) -> Vec<(String, String)> {
        let share = |page: f64, exact: f64| Unit::Ratio.show(page / exact.max(1e-9));
        let far = |page: f64, exact: f64, most: f64| page > exact * most || exact > page * most;
        let mut all = Vec::new();
        // A kind of which one side has told nothing yet is one that it does not know, unless the other knows of many.
        for (kind, page) in &self.of_page.pauses {
            let exact = self.of_exact.pauses.get(kind).copied().unwrap_or(0.0);
            if exact >= LEAST_PAUSES && far(*page, exact, PAUSES_APART) {
                let words = format!("{kind}: {page:.0} told of {exact:.0} ({})", share(*page, exact));
                all.push((kind.clone(), words));
            }
        }
        for (lane, &(sum, n, unit)) in &self.of_page.levels {
            let Some(&(exact_sum, exact_n, _)) = self.of_exact.levels.get(lane) else { continue };
            let (page, exact) = (sum / n, exact_sum / exact_n);
            if n.min(exact_n) >= LEAST_READINGS && far(page, exact, LEVELS_APART) {
                let (page, exact, share) = (unit.show(page), unit.show(exact), share(page, exact));
                all.push((lane.clone(), format!("{lane}: {page} told of {exact} on average ({share})")));
            }
        }
        all
    }
}

/// Hands on what the exact source says, and counts it.
struct Heard {
    agreement: Agreement,
    /// Lanes of the heap.
    levels: BTreeMap<LaneId, (String, Unit)>,
    /// Lanes that count collections: of which kind, and when each told last. Where there is one, events tell of the long ones only.
    counters: BTreeMap<LaneId, (String, Option<MonoNs>)>,
    sink: Box<dyn Sink>,
}

impl Heard {
    /// A counter of collections tells how many there were a second since it told last.
    fn counted(&mut self, lane: LaneId, at: MonoNs, rate: f64) {
        let Some((kind, last)) = self.counters.get_mut(&lane) else { return };
        let Some(last) = last.replace(at) else { return };
        let mut state = locked(&self.agreement.0);
        if let Some(since) = state.since {
            state.of_exact.pauses(kind, rate * at.since(last.max(since)).as_secs_f64());
        }
    }
}

impl Sink for Heard {
    fn declare(&mut self, spec: LaneSpec) -> Option<LaneId> {
        let (name, unit) = (spec.name.clone(), spec.unit);
        let collections = (name == names::PAUSE_COLLECTIONS).then(|| format!("pause.{}", spec.subject));
        let heap = name.starts_with("heap.") && spec.shape != Shape::Histogram && spec.subject.is_empty();
        if heap || name.starts_with("pause.") {
            locked(&self.agreement.0).exact.insert(spec.instance.clone());
        }
        let id = self.sink.declare(spec);
        if let (Some(id), true) = (id, heap) {
            self.levels.insert(id, (name, unit));
        }
        if let (Some(id), Some(kind)) = (id, collections) {
            self.counters.entry(id).or_insert((kind, None));
        }
        id
    }

    fn sample(&mut self, lane: LaneId, at: MonoNs, value: f64) {
        if let Some((name, unit)) = self.levels.get(&lane) {
            let mut state = locked(&self.agreement.0);
            if state.since.is_some_and(|since| at >= since) {
                state.of_exact.level(name, *unit, value);
            }
        }
        self.counted(lane, at, value);
        self.sink.sample(lane, at, value);
    }

    fn histogram(&mut self, lane: LaneId, from: MonoNs, to: MonoNs, cells: Sparse) {
        self.sink.histogram(lane, from, to, cells);
    }

    fn event(&mut self, event: SourceEvent) {
        let counted = self.counters.values().any(|(kind, _)| *kind == event.kind);
        let mut state = locked(&self.agreement.0);
        if event.kind == kinds::SOURCE {
            // What was missed meanwhile is not known: both begin anew with the page's next reading.
            state.since = None;
        } else if event.kind.starts_with("pause.")
            && !counted
            && state.since.is_some_and(|since| event.end >= since)
        {
            state.of_exact.pauses(&event.kind, 1.0 + event.others as f64);
        }
        drop(state);
        self.sink.event(event);
    }

    fn note(&mut self, source: &str, text: &str) {
        self.sink.note(source, text);
    }

    fn remark(&mut self, source: &str, text: &str) {
        self.sink.remark(source, text);
    }

    fn instance(&mut self, short: &str, whole: &str) -> String {
        self.sink.instance(short, whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps remarks.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<String>>>, u32);

    impl Sink for Kept {
        fn declare(&mut self, _: LaneSpec) -> Option<LaneId> {
            self.1 += 1;
            Some(LaneId(self.1))
        }
        fn sample(&mut self, _: LaneId, _: MonoNs, _: f64) {}
        fn histogram(&mut self, _: LaneId, _: MonoNs, _: MonoNs, _: Sparse) {}
        fn event(&mut self, _: SourceEvent) {}
        fn note(&mut self, _: &str, _: &str) {}
        fn remark(&mut self, _: &str, text: &str) {
            locked(&self.0).push(text.to_owned());
        }
    }

    /// A process that collects a hundred times a second, of which five are long enough to be told as events, beside a page that tells of so
    /// many.
    fn beside_a_page(told_per_second: f64) -> Vec<String> {
        let (agreement, kept) = (Agreement::default(), Kept::default());
        let mut exact = agreement.exact(Box::new(kept.clone()));
        let counter = LaneSpec::rate(names::PAUSE_COLLECTIONS, "pid-7", Unit::PerSecond).about("minor");
        let lane = exact.declare(counter).unwrap();
        let mut sink = kept.clone();
        for second in 100..130_u64 {
            for tenth in 0..10 {
                exact.sample(lane, MonoNs(second * 1_000_000_000 + tenth * 100_000_000), 100.0);
            }
            let at = MonoNs(second * 1_000_000_000 + 950_000_000);
            exact.event(SourceEvent {
                kind: kinds::PAUSE_MINOR.to_owned(),
                instance: "pid-7".to_owned(),
                start: at,
                end: at,
                labels: Vec::new(),
                value: 0.0,
                others: 4,
            });
            agreement.pauses(kinds::PAUSE_MINOR, told_per_second);
            agreement.read("metrics-1", at, "metrics", &mut sink);
        }
        locked(&kept.0).clone()
    }

    #[test]
    fn collections_are_compared_with_all_of_them_where_they_are_counted() {
        assert!(beside_a_page(100.0).is_empty(), "{:?}", beside_a_page(100.0));
        let few = beside_a_page(26.0);
        assert!(few.len() == 1 && few[0].contains("pause.minor: 260 told of "), "{few:?}");
    }
}
