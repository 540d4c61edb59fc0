//! Admission: what of a target's answer is let in, and in which form.
//!
//! Owns every check between a decoded batch and the sink: names cleaned, statements without their values, numbers finite and in range,
//! histograms in order, times believable, counts bounded. What is turned away is counted by reason. The target
//! speaks of itself only; a lane about clients or generator would let it excuse itself.

use std::collections::BTreeMap;

use timeline::event::LABEL_MAX;
use timeline::histogram::{MAX_US, Sparse};
use timeline::lane::{is_generator, is_value, names};
use timeline::probe::{KEPT_TICKS, MAX_EVENTS, ProbeEvent, TICK_MS, Tick};
use timeline::text::clean;
use timeline::{LaneId, LaneSpec, MonoNs, Shape, fingerprint};

use super::{Sink, SourceEvent};

/// Longest name of a lane.
const NAME_MAX: usize = 100;
/// Most lanes of one process: ten times what a large one declares.
const MAX_LANES: usize = 1_000;
/// Most labels of an event.
const MAX_LABELS: usize = 8;
/// Most cells of a histogram: all of a 3-digit one up to an hour are 24,000; a tick has a few hundred.
const MAX_CELLS: usize = 4_000;
/// Readings of a monotonic clock beyond this (146 years of uptime) are made up.
const MAX_CLOCK: u64 = 1 << 62;
/// How far in the future a reading may lie: the clocks' error, and no more.
const MAX_AHEAD_NS: u64 = 1_000_000_000;
/// Lanes about a statement, and the label of an event that names one.
const OF_STATEMENTS: [&str; 5] =
    [names::DB_CALLS, names::DB_TIME, names::DB_FAILURES, names::DB_ROWS, names::DB_SCANNED];
const STATEMENT: &str = "statement";
/// What only dyno itself may say.
const OURS: [&str; 4] = ["client.", "generator.", "source.", "host."];
/// Ticks that a process may tell in a second, twice what it is asked for; and those that it has kept meanwhile.
const TICKS_PER_S: f64 = 20.0;
const TICKS_AT_ONCE: f64 = KEPT_TICKS as f64;

/// Is `name` fit to stand in an address and on a screen?
pub(super) fn plain_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !name.starts_with('.')
}

/// Is it one of the names that dyno itself goes by: the machine's, and those of the generator's processes?
pub(super) fn is_ours(name: &str) -> bool {
    name == "host" || is_generator(name)
}

/// Is a reading of the target's clock within range, so that arithmetic with it is safe?
pub(super) fn believable(clock: u64) -> bool {
    clock < MAX_CLOCK
}

/// Turns the target's times into ours.
pub(super) type ToOurs<'a> = &'a dyn Fn(u64) -> MonoNs;

/// The lanes of one process, as it numbers them, and what was turned away.
#[derive(Default)]
pub(super) struct Admission {
    instance: String,
    lanes: Vec<Known>,
    last_tick: Option<u64>,
    /// When each rate was told last, by whichever process was behind the name.
    rated: BTreeMap<LaneId, MonoNs>,
    /// Ticks that may come, and as of when; none came yet without it.
    room: Option<(f64, MonoNs)>,
    pub refused: BTreeMap<&'static str, u64>,
}

struct Known {
    said: LaneSpec,
    lane: Option<(LaneId, Shape)>,
    /// The tick that told it last.
    told_at: Option<u64>,
}

impl Admission {
    pub fn new(instance: &str) -> Self {
        Self { instance: instance.to_owned(), ..Self::default() }
    }

    /// Another process is behind the name: it numbers its lanes anew.
    pub fn restart(&mut self) {
        self.lanes.clear();
        self.last_tick = None;
    }

    /// Declares what was not declared so far. The process sends all its lanes each time.
    pub fn lanes(&mut self, said: Vec<LaneSpec>, sink: &mut dyn Sink) {
        for (i, spec) in said.into_iter().enumerate() {
            if i >= MAX_LANES {
                self.refuse("more than 1000 lanes");
                return;
            }
            if self.lanes.get(i).is_some_and(|k| k.said == spec) {
                continue;
            }
            let lane = self.declare(&spec, sink);
            let known = Known { said: spec, lane, told_at: None };
            match self.lanes.get_mut(i) {
                Some(place) => *place = known,
                None => self.lanes.push(known),
            }
        }
    }

    fn declare(&mut self, spec: &LaneSpec, sink: &mut dyn Sink) -> Option<(LaneId, Shape)> {
        if spec.name.is_empty() || spec.name.len() > NAME_MAX {
            self.refuse("a lane's name is empty or longer than 100 bytes");
            return None;
        }
        if OURS.iter().any(|p| spec.name.starts_with(p)) {
            self.refuse("lanes about clients, generator or machine, which are not the target's to tell");
            return None;
        }
        let subject = words(OF_STATEMENTS.contains(&spec.name.as_str()), &spec.subject);
        let ours = LaneSpec {
            name: clean(&spec.name, NAME_MAX),
            subject,
            instance: self.instance.clone(),
            ..spec.clone()
        };
        let lane = sink.declare(ours);
        if lane.is_none() {
            self.refuse("lanes for which the run has no room");
        }
        lane.map(|id| (id, spec.shape))
    }

    /// Hands one tick over; `now` is our clock when the answer came.
    pub fn tick(&mut self, tick: Tick, ours: ToOurs, now: MonoNs, sink: &mut dyn Sink) {
        let before = self.last_tick;
        let late = before.is_some_and(|b| tick.at <= b);
        if !believable(tick.at) || late || ours(tick.at).0 > now.0 + MAX_AHEAD_NS {
            self.refuse("ticks from the future or out of order");
            return;
        }
        if !self.has_room(now) {
            self.refuse("ticks that come faster than anybody asks for them");
            return;
        }
        let at = ours(tick.at);
        let from = ours(before.unwrap_or(tick.at.saturating_sub(TICK_MS * 1_000_000)));
        self.last_tick = Some(tick.at);
        for (index, value) in tick.values {
            match self.lane(index, tick.at, |shape| shape != Shape::Histogram) {
                Some((lane, shape)) if is_value(value) => {
                    if shape == Shape::Rate {
                        self.rest(lane, from, at, sink);
                    }
                    sink.sample(lane, at, value);
                }
                Some(_) => self.refuse("values that are no numbers, or beyond 1e100"),
                None => {}
            }
        }
        for (index, cells) in tick.histograms {
            match self.lane(index, tick.at, |shape| shape == Shape::Histogram) {
                Some((lane, _)) if in_order(&cells) => sink.histogram(lane, from, at, cells),
                Some(_) => self.refuse("histograms out of order or range"),
                None => {}
            }
        }
        self.events(tick.events, ours, now, sink);
    }

    /// A rate speaks of the time since the tick before. Where it was told last earlier than that (another process has the name now),
    /// nobody spoke of the time between, and it would be counted all over it.
    fn rest(&mut self, lane: LaneId, from: MonoNs, at: MonoNs, sink: &mut dyn Sink) {
        if self.rated.insert(lane, at).is_some_and(|told| told < from) {
            sink.sample(lane, from, 0.0);
        }
    }

    fn events(&mut self, events: Vec<ProbeEvent>, ours: ToOurs, now: MonoNs, sink: &mut dyn Sink) {
        if events.len() > MAX_EVENTS {
            self.refuse("more than 64 events in a tick");
        }
        for e in events.into_iter().take(MAX_EVENTS) {
            let in_time = believable(e.start)
                && believable(e.end)
                && e.start <= e.end
                && ours(e.end).0 <= now.0 + MAX_AHEAD_NS;
            let ours_alone = OURS.iter().any(|p| e.kind.starts_with(p));
            if !in_time || ours_alone || e.kind.is_empty() || !is_value(e.value) {
                self.refuse("events without kind, time or figure, or not the target's to tell");
                continue;
            }
            let label =
                |(name, value): (String, String)| (clean(&name, NAME_MAX), words(name == STATEMENT, &value));
            sink.event(SourceEvent {
                kind: clean(&e.kind, NAME_MAX),
                instance: self.instance.clone(),
                start: ours(e.start),
                end: ours(e.end),
                labels: e.labels.into_iter().take(MAX_LABELS).map(label).collect(),
                value: e.value,
                others: e.others,
            });
        }
    }

    /// Takes one tick's room, of what there is after the time that has passed.
    fn has_room(&mut self, now: MonoNs) -> bool {
        let (left, since) = self.room.unwrap_or((TICKS_AT_ONCE, now));
        let left = (left + now.since(since).as_secs_f64() * TICKS_PER_S).min(TICKS_AT_ONCE);
        let has = left >= 1.0;
        self.room = Some((if has { left - 1.0 } else { left }, now));
        has
    }

    /// The lane with this number, once in a tick.
    fn lane(&mut self, index: u32, tick: u64, fits: impl Fn(Shape) -> bool) -> Option<(LaneId, Shape)> {
        let Some(known) = self.lanes.get_mut(index as usize) else {
            self.refuse("values of lanes that were not declared");
            return None;
        };
        let (lane, shape) = known.lane?;
        if !fits(shape) {
            self.refuse("values that do not fit their lane's shape");
            return None;
        }
        if known.told_at.replace(tick) == Some(tick) {
            self.refuse("more than one value of a lane in a tick");
            return None;
        }
        Some((lane, shape))
    }

    fn refuse(&mut self, why: &'static str) {
        *self.refused.entry(why).or_default() += 1;
    }
}

/// The target's own words. Values of a statement may be anybody's data, and are masked whoever has masked them already.
fn words(statement: bool, text: &str) -> String {
    if statement { clean(&fingerprint::of_told(text), LABEL_MAX) } else { clean(text, LABEL_MAX) }
}

fn in_order(cells: &Sparse) -> bool {
    let cells = &cells.cells;
    cells.len() <= MAX_CELLS
        && cells.iter().all(|&(v, n)| (1..=MAX_US).contains(&u64::from(v)) && n > 0)
        && cells.windows(2).all(|w| w[0].0 < w[1].0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::testing::Keeping;
    use timeline::Unit;

    fn level(name: &str) -> Vec<LaneSpec> {
        vec![LaneSpec::level(name, "", Unit::Count)]
    }

    #[test]
    fn a_lane_is_told_once_in_a_tick_and_no_more_ticks_come_than_are_asked_for() {
        let (mut admission, mut sink) = (Admission::new("shop-0"), Keeping::default());
        admission.lanes(level("pool.db.in-use"), &mut sink);
        let mut tell = |ms: u64, times: usize, now_s: u64| {
            let (values, histograms, events) = (vec![(0, 1.0); times], Vec::new(), Vec::new());
            let tick = Tick { seq: ms, at: ms * 1_000_000, values, histograms, events };
            admission.tick(tick, &|t| MonoNs(t), MonoNs(now_s * 1_000_000_000), &mut sink);
            sink.values.len()
        };
        assert_eq!(tell(1, 1_000, 60), 1);
        assert_eq!((2..2_000).map(|ms| tell(ms, 1, 60)).max(), Some(KEPT_TICKS));
        assert_eq!((2_000..3_000).map(|ms| tell(ms, 1, 61)).max(), Some(KEPT_TICKS + TICKS_PER_S as usize));
        assert_eq!(admission.refused.len(), 2, "{:?}", admission.refused);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let (mut admission, mut sink) = (Admission::new("shop-0"), Keeping::default());
        admission.lanes(level("pool.db.in-use"), &mut sink);
        for (ms, value) in (1..).zip([f64::NAN, f64::INFINITY, 1e308, -1e101, 1e100]) {
            let event = ProbeEvent {
                kind: "pause.hiccup".to_owned(),
                start: 1,
                end: 1,
                labels: Vec::new(),
                value,
                others: 0,
            };
            let at = ms * 1_000_000;
            let tick =
                Tick { seq: ms, at, values: vec![(0, value)], histograms: Vec::new(), events: vec![event] };
            admission.tick(tick, &|t| MonoNs(t), MonoNs(at), &mut sink);
        }
        assert_eq!(sink.values, [1e100]);
        assert_eq!(sink.events.iter().map(|e| e.value).collect::<Vec<_>>(), [1e100]);
        assert_eq!(admission.refused.values().copied().collect::<Vec<_>>(), [4, 4]);
    }

    #[test]
    fn a_rate_of_another_process_is_not_counted_over_the_time_between() {
        let (mut admission, mut sink) = (Admission::new("shop-0"), Keeping::default());
        let rate = || vec![LaneSpec::rate(names::SERVER_REQUESTS, "", Unit::PerSecond)];
        let ms = |ms: u64| MonoNs(ms * 1_000_000);
        let mut tell = |admission: &mut Admission, at: u64| {
            admission.lanes(rate(), &mut sink);
            let (histograms, events) = (Vec::new(), Vec::new());
            let tick = Tick { seq: at, at: ms(at).0, values: vec![(0, 10.0)], histograms, events };
            admission.tick(tick, &|t| MonoNs(t), ms(at), &mut sink);
        };
        tell(&mut admission, 1_000);
        tell(&mut admission, 1_100);
        admission.restart();
        tell(&mut admission, 2_500);
        tell(&mut admission, 2_600);
        assert_eq!(sink.values, [10.0, 10.0, 0.0, 10.0, 10.0]);
    }

    #[test]
    fn values_of_statements_are_let_in_nowhere() {
        let (mut admission, mut sink) = (Admission::new("shop-0"), Keeping::default());
        let long = fingerprint::of(&format!("SELECT {} FROM t", "a, ".repeat(100)));
        let about = |subject: &str| LaneSpec::level(names::DB_CALLS, "", Unit::PerSecond).about(subject);
        let told = ["INSERT INTO docs VALUES ('secret…", "SELECT $$secret$$ -- secret", long.as_str()];
        admission.lanes(told.map(about).to_vec(), &mut sink);
        let event = ProbeEvent {
            kind: "db.plan".to_owned(),
            start: 1,
            end: 1,
            labels: vec![(STATEMENT.to_owned(), "SELECT 'secret'".to_owned())],
            value: 0.0,
            others: 0,
        };
        let tick = Tick { seq: 1, at: 1, values: Vec::new(), histograms: Vec::new(), events: vec![event] };
        admission.tick(tick, &|t| MonoNs(t), MonoNs(1), &mut sink);
        let labels = sink.events.iter().flat_map(|e| e.labels.iter().map(|(_, value)| value));
        let words: Vec<&String> = sink.lanes.iter().map(|l| &l.subject).chain(labels).collect();
        assert_eq!(words, ["INSERT INTO docs VALUES (?", "SELECT ?", long.as_str(), "SELECT ?"]);
    }

    #[test]
    fn nobody_but_dyno_speaks_of_machine_clients_and_generator() {
        let (mut admission, mut sink) = (Admission::new("shop-0"), Keeping::default());
        for name in ["host.steal", "client.service", "generator.hiccup", "source.age"] {
            admission.restart();
            admission.lanes(level(name), &mut sink);
        }
        assert!(sink.lanes.is_empty());
        assert!(is_ours("host") && is_ours("gen-0"));
        assert!(!["shop-0", "general-api", "gen-api"].into_iter().any(is_ours));
    }
}
