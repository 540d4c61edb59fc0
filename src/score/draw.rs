//! Drawing cases at random: the same seed and wish always give the same cases, and fewer of them are the first of more.
//!
//! Faults come in shuffled decks, so that each is tried about equally often; everything else about a case is drawn for itself.

use backend::DATABASE_VARIABLE;
use loadgen::random::{Stream, mix};
use timeline::fault::FaultKind;

use super::case::{Case, Injected, RUST, Shape, Sort, conditions};
use super::reach::reach;
use super::slow::is_slow;
use crate::cli::Runtime;
use crate::twin;

/// Length of a case, ms: with start and reports 19 s, and 20 s on a twin.
pub const LENGTH_MS: u64 = 18_000;
/// When a fault begins at the earliest, ms, after the longest warm-up (4.5 s) and a look at the healthy target ...
const FAULT_FROM_MS: u64 = 7_000;
/// ... and how much later it may, so that no detector is lucky with its ticks.
const FAULT_SPREAD_MS: u64 = 1_000;
/// When it ends, ms: detectors also see the cure.
const FAULT_UNTIL_MS: u64 = 17_000;
/// A fault that shows in a history only begins when the shortest warm-up is over, and lasts to the end: the slowest needs 13 s of data, and has
/// no time to give away.
const SLOW_FROM_MS: u64 = 3_500;
/// The second fault of a composite begins so much later at most, ms, if it is no slow one.
const SECOND_LATER_MS: u64 = 2_000;

/// Load of a case with a fault, as a multiple of its scenario's.
pub const LOAD: (f64, f64) = (0.85, 1.3);
/// Load of each half of a composite: both together are little more than one.
pub const LOAD_HALF: (f64, f64) = (0.6, 0.8);
/// Load of a clean case: more would be a fault of its own on a small machine.
const LOAD_CLEAN: (f64, f64) = (0.6, 1.1);
/// How much of any of these a twin gets: a request takes several times the CPU there, and a machine of two cores that is full before a fault
/// begins, or without one, has a fault of its own.
pub const TWIN_SHARE: f64 = 0.75;

/// The twin on which faults are drawn that no other backend has.
const NODE: &str = twin::name(Runtime::Node);

/// The session mix of the ramp, spike and soak cases.
const MIX: &str = "soak";
/// A clean case beside the twins of faults: workers are relieved one by one, and nobody notices.
const RELOAD: &str = "rolling-reload";

/// Which cases are wanted.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Sorts of cases.
    pub sorts: Vec<Sort>,
    /// Faults (or conditions) of which cases are made; clean cases are their twins.
    pub subjects: Vec<&'static str>,
    /// What the backend runs on.
    pub runtimes: Vec<String>,
    /// Environment variables that name stores on servers.
    pub stores: Vec<String>,
}

/// All that a case can be about on these runtimes.
pub fn subjects(runtimes: &[String]) -> Vec<&'static str> {
    let has_node = runtimes.iter().any(|r| r == NODE);
    let faults = FaultKind::ALL.iter().filter(|f| has_node || !f.of_twin_alone());
    faults.map(|f| f.name()).chain(conditions()).collect()
}

/// The first `count` cases of a seed.
pub fn cases(count: u32, seed: u64, wish: &Wish) -> Vec<Case> {
    let mut decks = Decks::new(seed, wish);
    (0..count).filter_map(|number| one(number, seed, wish, &mut decks)).collect()
}

fn one(number: u32, seed: u64, wish: &Wish, decks: &mut Decks) -> Option<Case> {
    let mut luck = Luck(Stream::of(seed, u64::from(number)));
    let sort = sort(&mut luck, &decks.possible(&wish.sorts))?;
    let mut case = Case {
        number,
        sort,
        scenarios: Vec::new(),
        faults: Vec::new(),
        load: 1.0,
        shape: Shape::Steady,
        neighbour: false,
        seed: mix(seed, u64::from(number)) >> 1, // scenario files have no larger numbers than 2^63
        runtime: luck.one_of(&wish.runtimes).cloned()?,
        stores: wish.stores.iter().filter(|_| luck.coin()).cloned().collect(),
    };
    match sort {
        Sort::Fault => fault(&mut case, &mut luck, decks),
        Sort::Composite => composite(&mut case, &mut luck, decks),
        Sort::Clean => clean(&mut case, &mut luck, decks),
    }
    let runs = |f: &Injected| twin::knows(f.fault);
    if !(case.faults.iter().all(runs) && case.condition().is_none()) {
        RUST.clone_into(&mut case.runtime);
    }
    settle_database(&mut case, wish);
    Some(case)
}

/// Some faults can be seen on the embedded database only, and not every runtime has that (Node.js before 22): where a server is
/// given all cases of the twins take it, and leave those faults to Rust.
fn settle_database(case: &mut Case, wish: &Wish) {
    let is_database = |variable: &String| variable == DATABASE_VARIABLE;
    let Some(server) = wish.stores.iter().find(|v| is_database(v)) else { return };
    let embedded = case.faults.iter().any(|f| lives_on_the_round_trip(f.fault));
    if embedded {
        RUST.clone_into(&mut case.runtime);
        case.stores.retain(|v| !is_database(v));
    } else if case.runtime != RUST && !case.stores.contains(server) {
        case.stores.insert(0, server.clone());
    }
}

/// Six of ten cases have a fault, three of twenty have two, five of twenty none.
fn sort(luck: &mut Luck, possible: &[Sort]) -> Option<Sort> {
    let weight = |s: &Sort| match s {
        Sort::Fault => 12,
        Sort::Composite => 3,
        Sort::Clean => 5,
    };
    let mut at = luck.0.below(possible.iter().map(weight).sum());
    possible.iter().copied().find(|s| {
        let here = at < weight(s);
        at = at.saturating_sub(weight(s));
        here
    })
}

fn fault(case: &mut Case, luck: &mut Luck, decks: &mut Decks) {
    let subject = decks.faults.next();
    case.scenarios.push(subject.to_owned());
    let fault = FaultKind::from_name(subject);
    settle_runtime(case, fault);
    case.load = luck.between(LOAD) * share(&case.runtime, fault.as_slice());
    if let Some(fault) = fault {
        case.faults.push(injected(fault, luck, case.load, 0));
    }
}

fn composite(case: &mut Case, luck: &mut Luck, decks: &mut Decks) {
    let first = decks.halves.next();
    let second = decks.partner(first);
    case.load = luck.between(LOAD_HALF) * share(&case.runtime, &[first, second]);
    for (fault, later) in [(first, 0), (second, luck.0.below(SECOND_LATER_MS))] {
        case.scenarios.push(fault.name().to_owned());
        case.faults.push(injected(fault, luck, case.load, later));
    }
}

fn clean(case: &mut Case, luck: &mut Luck, decks: &mut Decks) {
    case.load = luck.between(LOAD_CLEAN);
    let (shape, mixed, neighbour) = match luck.0.below(6) {
        0 => (Shape::Steady, true, false),
        1 => (Shape::Ramp, true, false),
        2 => (Shape::Spike, true, false),
        3 => (Shape::Steady, false, true),
        _ => (Shape::Steady, false, false),
    };
    (case.shape, case.neighbour) = (shape, neighbour);
    let scenario = if mixed { MIX.to_owned() } else { decks.twins.next() };
    settle_runtime(case, scenario.strip_suffix("-clean").and_then(FaultKind::from_name));
    if case.runtime != RUST {
        case.load *= TWIN_SHARE;
    }
    case.scenarios.push(scenario);
}

/// What no other backend has is tried there, and its cure as well.
fn settle_runtime(case: &mut Case, fault: Option<FaultKind>) {
    if fault.is_some_and(FaultKind::of_twin_alone) {
        NODE.clone_into(&mut case.runtime);
    }
}

/// Which part of the load drawn a case gets: all of it where it goes to Rust in the end, is a matter of the round trip, or has a scenario
/// that was made for a twin.
fn share(runtime: &str, faults: &[FaultKind]) -> f64 {
    let on_twin = |f: &FaultKind| twin::knows(*f) && !lives_on_the_round_trip(*f) && !f.of_twin_alone();
    if runtime != RUST && !faults.is_empty() && faults.iter().all(on_twin) { TWIN_SHARE } else { 1.0 }
}

fn injected(fault: FaultKind, luck: &mut Luck, load: f64, later_ms: u64) -> Injected {
    let (at_ms, until) = if fault.of_twin_alone() {
        (0, LENGTH_MS) // It comes with a release, not while one runs.
    } else if is_slow(fault) {
        (SLOW_FROM_MS, LENGTH_MS)
    } else {
        (FAULT_FROM_MS + luck.0.below(FAULT_SPREAD_MS) + later_ms, FAULT_UNTIL_MS)
    };
    let knobs = fault.knobs().iter().map(|k| (k.name.to_owned(), luck.knob(reach(fault, k, load)))).collect();
    Injected { fault, at_ms, for_ms: until - at_ms, knobs }
}

/// What a fault takes hold of. Two of one family want the same switch, or are one thing to whoever looks, so a composite has
/// two families; none: it takes the whole process away from another fault.
fn family(fault: FaultKind) -> Option<&'static str> {
    use FaultKind as F;
    Some(match fault {
        F::PoolTooSmall | F::PoolLeak | F::PoolTooLarge | F::ConnectPerRequest => "pool",
        F::Stampede | F::Avalanche | F::Penetration | F::ColdCache | F::TooSmallCache => "cache",
        F::BlockingCrypto | F::RegexBacktracking | F::BigJson | F::StarvedPoll => "loop",
        F::Leak | F::Churn | F::WholeFile | F::Fragmentation => "heap",
        F::MissingIndex | F::QueryFanOut | F::SerialQueries => "statements",
        F::SlowDownstream | F::RetryStorm | F::BrokerBacklog => "services",
        F::StopTheWorld | F::Frozen => "pause",
        F::OffloadSaturated => "offload",
        F::SlowConsumer => "feed",
        F::WorkerCrash | F::UnevenWorkers | F::AcceptOverflow | F::FdExhausted | F::Deoptimised => {
            return None;
        }
    })
}

/// Is it a matter of the 10 ms that a statement takes to the embedded database and back? A server on the same machine answers within one:
/// 450 queries a second keep half a connection of it busy, 300 look-ups a second of one key meet none that is loading, all
/// clients are accepted, and the 80 sheets a second that are drawn keep half a thread.
fn lives_on_the_round_trip(fault: FaultKind) -> bool {
    use FaultKind as F;
    matches!(fault, F::PoolTooSmall | F::Stampede | F::AcceptOverflow | F::OffloadSaturated)
}

/// Shuffled decks, one for each thing that is to come about equally often.
struct Decks {
    faults: Deck<&'static str>,
    halves: Deck<FaultKind>,
    twins: Deck<String>,
}

impl Decks {
    fn new(seed: u64, wish: &Wish) -> Self {
        let halves = FaultKind::ALL.iter().copied().filter(|f| family(*f).is_some());
        let halves = halves.filter(|f| wish.subjects.contains(&f.name())).collect();
        let twins = wish.subjects.iter().map(|s| format!("{s}-clean"));
        Self {
            faults: Deck::new(mix(seed, 1), wish.subjects.clone()),
            halves: Deck::new(mix(seed, 2), halves),
            twins: Deck::new(mix(seed, 3), twins.chain([RELOAD.to_owned()]).collect()),
        }
    }

    /// Those sorts of which there can be cases.
    fn possible(&self, sorts: &[Sort]) -> Vec<Sort> {
        let mut families: Vec<_> = self.halves.cards.iter().map(|f| family(*f)).collect();
        families.sort_unstable();
        families.dedup();
        sorts.iter().copied().filter(|s| *s != Sort::Composite || families.len() > 1).collect()
    }

    /// The next fault of another family; there is one, see [`Decks::possible`].
    fn partner(&mut self, first: FaultKind) -> FaultKind {
        loop {
            let other = self.halves.next();
            if family(other) != family(first) {
                return other;
            }
        }
    }
}

/// Cards in random order; when all were dealt they are shuffled anew.
struct Deck<T> {
    cards: Vec<T>,
    dealt: usize,
    luck: Stream,
}

impl<T: Clone> Deck<T> {
    fn new(seed: u64, cards: Vec<T>) -> Self {
        Self { dealt: cards.len(), cards, luck: Stream::of(seed, 0) }
    }

    /// The next card; the deck must have some.
    fn next(&mut self) -> T {
        if self.dealt == self.cards.len() {
            self.dealt = 0;
            for i in (1..self.cards.len()).rev() {
                self.cards.swap(i, self.luck.below(i as u64 + 1) as usize);
            }
        }
        self.dealt += 1;
        self.cards[self.dealt - 1].clone()
    }
}

/// Random values of one case.
struct Luck(Stream);

impl Luck {
    fn coin(&mut self) -> bool {
        self.0.below(2) == 1
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.0.below(all.len() as u64) as usize)
    }

    /// Evenly on the logarithm: half and twice are equally far from one.
    fn between(&mut self, (low, high): (f64, f64)) -> f64 {
        let value = (low.ln() + self.0.unit() * (high / low).ln()).exp();
        (value * 1_000.0).round() / 1_000.0
    }

    /// A knob's value, of those within; whole where the knob counts something.
    fn knob(&mut self, (low, high): (f64, f64)) -> f64 {
        let drawn = self.between((low, high));
        if low < 1.0 {
            return drawn.clamp(low, high);
        }
        drawn.round().clamp(low.ceil(), high.floor().max(low.ceil()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend_process::STORES;
    use crate::score::judge::LEAST_S;
    use crate::score::slow::shows_in_s;
    use std::collections::BTreeSet;
    use timeline::fault::FaultOrder;

    fn everything() -> Wish {
        let runtimes = vec!["rust".to_owned()];
        Wish {
            sorts: vec![Sort::Fault, Sort::Composite, Sort::Clean],
            subjects: subjects(&runtimes),
            runtimes,
            stores: Vec::new(),
        }
    }

    #[test]
    fn a_seed_gives_the_same_cases_and_fewer_are_the_first_of_more() {
        let many = cases(300, 7, &everything());
        assert_eq!(many[..40], cases(40, 7, &everything())[..]);
        assert_ne!(many[..40], cases(40, 8, &everything())[..]);
    }

    #[test]
    fn stores_and_runtimes_are_drawn_where_the_fault_can_be_seen_with_them() {
        let wish = Wish {
            runtimes: vec!["rust".to_owned(), "node".to_owned()],
            stores: STORES.map(str::to_owned).to_vec(),
            ..everything()
        };
        let all = cases(300, 3, &wish);
        let with = |variable: &str| all.iter().filter(|c| c.stores.iter().any(|s| s == variable)).count();
        assert!(
            STORES.iter().all(|v| (90..=240).contains(&with(v))),
            "about half of the cases each, or more"
        );
        for sort in [Sort::Fault, Sort::Composite, Sort::Clean] {
            let nodes = all.iter().filter(|c| c.sort == sort && c.runtime == "node").count();
            assert!(nodes > 0, "{sort:?}");
        }
        let clean = |wanted: fn(&Case) -> bool| all.iter().any(|c| c.sort == Sort::Clean && wanted(c));
        assert!(
            clean(|c| c.shape == Shape::Ramp) && clean(|c| c.shape == Shape::Spike) && clean(|c| c.neighbour)
        );
        assert!(clean(|c| c.scenarios == [MIX]) && clean(|c| c.scenarios == [RELOAD]));
        for case in &all {
            let far = case.faults.iter().any(|f| lives_on_the_round_trip(f.fault));
            let server = case.stores.iter().any(|s| s == DATABASE_VARIABLE);
            assert!(!(far && server) && (server || case.runtime == "rust"), "{case:?}");
        }
    }

    #[test]
    fn every_sort_and_every_fault_is_drawn_and_every_draw_is_sound() {
        let all = cases(300, 1, &everything());
        assert_eq!(all.len(), 300);
        let of = |sort| all.iter().filter(move |c| c.sort == sort);
        for (sort, least) in [(Sort::Fault, 140), (Sort::Composite, 25), (Sort::Clean, 50)] {
            assert!(of(sort).count() >= least, "{sort:?}: {}", of(sort).count());
        }
        let tried: BTreeSet<&str> = of(Sort::Fault).map(|c| c.scenarios[0].as_str()).collect();
        assert_eq!(tried, subjects(&everything().runtimes).into_iter().collect());
        for case in &all {
            for f in &case.faults {
                let order = FaultOrder { name: f.fault, for_ms: f.for_ms, knobs: f.knobs.clone() };
                assert_eq!(order.check(), Ok(()), "{case:?}");
                assert_eq!(f.knobs.len(), f.fault.knobs().len());
                assert!(f.at_ms + f.for_ms <= LENGTH_MS && f.for_ms >= 6_000, "{case:?}");
                // It shows if it takes effect within 400 ms.
                assert!(f.for_ms as f64 / 1e3 >= shows_in_s(f.fault) + LEAST_S + 0.4, "{case:?}");
            }
        }
        assert!(of(Sort::Clean).any(|c| c.neighbour) && of(Sort::Clean).any(|c| c.shape == Shape::Spike));
        for c in of(Sort::Composite) {
            assert_ne!(family(c.faults[0].fault), family(c.faults[1].fault));
            assert_ne!(c.faults[0].fault.expected(), c.faults[1].fault.expected());
        }
    }

    #[test]
    fn what_a_twin_alone_has_is_drawn_there_with_the_load_that_was_made_for_it() {
        let runtimes = vec!["rust".to_owned(), "node".to_owned()];
        assert!(
            !everything().subjects.contains(&"deoptimised") && subjects(&runtimes).contains(&"deoptimised")
        );
        let wish = Wish { sorts: vec![Sort::Fault], subjects: vec!["deoptimised"], runtimes, ..everything() };
        for case in cases(20, 3, &wish) {
            let whole = case.load >= LOAD.0 && case.load <= LOAD.1;
            assert!(whole && case.runtime == "node" && case.faults[0].at_ms == 0, "{case:?}");
        }
        let clean = cases(60, 3, &Wish { sorts: vec![Sort::Clean], ..wish });
        let cures: Vec<_> = clean.iter().filter(|c| c.scenarios == ["deoptimised-clean"]).collect();
        assert!(!cures.is_empty() && cures.iter().all(|c| c.runtime == "node"), "{cures:?}");
    }

    #[test]
    fn a_twin_has_less_to_do_where_nothing_is_wrong_too() {
        let runtimes = vec!["rust".to_owned(), "node".to_owned()];
        let clean = cases(100, 3, &Wish { sorts: vec![Sort::Clean], runtimes, ..everything() });
        let most = |runtime| {
            let loads = clean.iter().filter(|c| c.runtime == runtime).map(|c| c.load);
            loads.fold(0.0, f64::max)
        };
        let limit = TWIN_SHARE * LOAD_CLEAN.1;
        assert!(most("node") > 0.0 && most("node") <= limit && most("rust") > limit);
    }

    #[test]
    fn a_wish_is_heard() {
        let wish = Wish {
            subjects: vec!["stampede", "accept-overflow"],
            runtimes: vec!["node".to_owned()],
            stores: vec!["DYNO_CACHE_URL".to_owned()],
            ..everything()
        };
        let all = cases(60, 3, &wish);
        assert!(all.iter().all(|c| c.sort != Sort::Composite), "both of one family, or of none");
        assert!(all.iter().any(|c| !c.stores.is_empty()) && all.iter().any(|c| c.stores.is_empty()));
        for c in &all {
            let knows = c.scenarios[0] != "accept-overflow";
            assert_eq!(c.runtime, if knows { "node" } else { "rust" }, "{c:?}");
        }
        let none = Wish { sorts: vec![Sort::Composite], ..wish };
        assert_eq!(cases(5, 3, &none), Vec::new());
    }
}
