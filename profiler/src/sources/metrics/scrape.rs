//! From one reading of a page to the next: levels, increases, and what lanes become of them.
//!
//! Owns the counters' last values (a counter that fell was reset: it counts from zero again), the sums over a lane's
//! series, who of two dialects fills a lane, what a page tells of and what it does not, and every bound on what a page can make us keep.
//! How a histogram's buckets become a lane's cells is `buckets`' business; that a counter fell because another process answered, `several`'s:
//! then nothing is told any more.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use timeline::event::LABEL_MAX;
use timeline::text::{clean, plural};
use timeline::{Combine, LaneId, LaneSpec, MonoNs, Quality, Shape, Unit};

use super::buckets::Buckets;
use super::dialects::{self, Whose};
use super::line::Line;
use super::own::Own;
use super::rules::{Met, Part, Rule, Take};
use super::several::{Course, Several};
use crate::sources::groups::{self, Has};
use crate::sources::{Agreement, Sink, SourceEvent};

/// Most lanes of one page: a shop with 50 routes and 20 pools fills a third.
const MAX_LANES: usize = 512;
/// Most series that are kept in mind: all buckets of all routes of a large service.
const MAX_SERIES: usize = 16_384;
/// Most pauses of one reading that become events of their own; the rest is counted.
const MAX_PAUSES: u64 = 8;
/// What comes so soon after a reading is a part of it: what is new in it has not begun since. Nothing is read so often.
const AT_ONCE: Duration = Duration::from_millis(50);
/// Longest member of a family.
const MEMBER_MAX: usize = 60;

/// What is kept of a page between two readings.
pub(in crate::sources) struct Scrape {
    source: &'static str,
    instance: String,
    /// Last values of counters, by the series they belong to.
    last: HashMap<u64, Last>,
    slots: Vec<Slot>,
    index: HashMap<SlotKey, usize>,
    /// Which dialect fills a lane.
    owners: HashMap<(String, String), usize>,
    turn: u64,
    own: Arc<Own>,
    /// Where another source tells heap and pauses: theirs are compared, and not told.
    beside: Option<Agreement>,
    /// Was there a whole reading before?
    read_before: bool,
    /// When this reading began, and the one before it. A reading's parts come at once.
    reading: Option<MonoNs>,
    before: Option<MonoNs>,
    /// Of a sender, whose requests need not hold all that it tells: what there is to know of them. None of a page.
    requests: Option<Requests>,
    /// Counts of what has certain labels, whose metric is there in this reading, by dialect, metric and lane: are the labels, too?
    rows: HashMap<(usize, &'static str, &'static str), bool>,
    /// Is it an exporter's page, on which the runtime's own figures are not the target's?
    exporter: bool,
    several: Several,
    /// How many dialects, and which groups, there were when it was said last.
    said: (usize, String),
    /// What was turned away, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Copy)]
struct Last {
    value: f64,
    turn: u64,
    course: Course,
}

impl Last {
    fn new(value: f64, turn: u64) -> Self {
        Self { value, turn, course: Course::default() }
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct SlotKey {
    dialect: usize,
    lane: String,
    subject: String,
    pause: &'static str,
}

/// A lane of one dialect, and what this reading has given it so far.
struct Slot {
    key: SlotKey,
    /// The first that filled it.
    rule: &'static Rule,
    take: Take,
    combine: Combine,
    id: Option<LaneId>,
    declared: bool,
    /// The page has it.
    seen: bool,
    /// When it had it last, and since when that told of it. One reading may come in parts, milliseconds apart.
    read: Option<(MonoNs, Option<MonoNs>)>,
    /// Of its counters only what they have grown by is sent.
    grown: bool,
    /// It has something to compare with.
    moved: bool,
    /// Of durations: their sum is there.
    summed: bool,
    total: f64,
    buckets: Buckets,
}

/// What is known of a sender's requests.
#[derive(Default)]
struct Requests {
    /// When the last one came.
    received: Option<MonoNs>,
    /// The first turn of this reading.
    first: u64,
    /// In which turn a metric was first told of, by its name.
    names: HashMap<u64, u64>,
}

/// A counter's movement since the last reading.
enum Moved {
    By(f64),
    /// There is nothing to compare with.
    Unknown,
}

impl Scrape {
    /// With `beside`, heap and pauses are another source's to tell.
    pub fn new(source: &'static str, instance: &str, beside: Option<Agreement>, own: Arc<Own>) -> Self {
        Self {
            source,
            beside,
            own,
            instance: instance.to_owned(),
            last: HashMap::new(),
            slots: Vec::new(),
            index: HashMap::new(),
            owners: HashMap::new(),
            turn: 0,
            read_before: false,
            reading: None,
            before: None,
            requests: None,
            rows: HashMap::new(),
            exporter: false,
            several: Several::default(),
            said: (0, String::new()),
            refused: BTreeMap::new(),
        }
    }

    /// Begins a reading.
    pub fn begin(&mut self) {
        self.turn += 1;
        self.several.begin();
        self.rows.clear();
        for slot in &mut self.slots {
            slot.seen = false;
            slot.moved = false;
            slot.summed = false;
            slot.total = 0.0;
            slot.buckets.clear();
        }
    }

    /// Begins with a request that came then: a reading, or a part of the one that has just been.
    pub fn begin_request(&mut self, received: MonoNs) {
        self.begin();
        let requests = self.requests.get_or_insert_with(Requests::default);
        let before = requests.received.replace(received);
        if before.is_none_or(|before| received.since(before) >= AT_ONCE) {
            requests.first = self.turn;
        }
    }

    /// The page tells that the process began then, seconds of Unix time.
    pub fn began(&mut self, seconds: f64) {
        self.several.began(seconds);
    }

    /// There was no reading where there should have been one.
    pub fn interrupted(&mut self) {
        self.several.interrupted();
    }

    /// Do several processes answer in turn? Then nothing is told any more.
    pub fn several(&self) -> bool {
        self.several.noticed()
    }

    /// All rules that a metric's name meets.
    pub fn lookup(&self, name: &str) -> Vec<Met> {
        self.own.lookup(name)
    }

    /// Takes a line whose name met `met`.
    pub fn take(&mut self, met: &[Met], line: &Line<'_>) {
        let mut moved = None;
        for one in met {
            let fits = one.rule.fits(line);
            if one.rule.take == Take::Level(Unit::Count) && !one.rule.when.is_empty() {
                *self.rows.entry((one.dialect, one.rule.stem, one.rule.lane)).or_default() |= fits;
            }
            if !fits {
                continue;
            }
            // An exporter's names have no prefix: an application that has put its own before one writes no exporter's page.
            self.exporter |= whose(one) == Whose::Another && !one.prefixed;
            if let Take::Level(_) = one.rule.take {
                if line.grown {
                    return self.refuse("levels of which only the changes are sent");
                }
                if moved.is_none() && self.twice(line) {
                    return;
                }
                moved = Some(Moved::Unknown);
                self.level(one, line);
                continue;
            }
            if moved.is_none() {
                let Some(m) = self.counter(met, line) else { return };
                moved = Some(m);
            }
            self.counted(one, line, moved.as_ref());
        }
    }

    fn level(&mut self, met: &Met, line: &Line<'_>) {
        // A figure that is not there is written as NaN or -1; by some as 0: prom-client's lag of an interval without a look, and a limit that
        // is none.
        let none = line.value < 0.0 || met.rule.never_zero && line.value == 0.0;
        if !line.value.is_finite() || none {
            return;
        }
        let value = line.value * met.scale;
        let Some(slot) = self.slot(met, line) else { return };
        slot.total = match slot.combine {
            Combine::Max => slot.total.max(value),
            _ => slot.total + value,
        };
        slot.seen = true;
    }

    fn counted(&mut self, met: &Met, line: &Line<'_>, moved: Option<&Moved>) {
        let le = match met.part {
            Part::Bucket => {
                match line.label("le").and_then(|l| l.parse::<f64>().ok()).filter(|l| !l.is_nan()) {
                    Some(le) => Some(le * met.scale),
                    None => return self.refuse("buckets without a limit"),
                }
            }
            _ => None,
        };
        let Some(slot) = self.slot(met, line) else { return };
        slot.seen = true;
        slot.grown = line.grown;
        slot.moved |= matches!(moved, Some(Moved::By(_)));
        let increase = if let Some(Moved::By(increase)) = moved { *increase } else { 0.0 };
        match (met.part, le) {
            (Part::Bucket, Some(le)) => slot.buckets.bucket(le, increase),
            (Part::Sum, _) => {
                slot.summed = true;
                slot.buckets.sum += increase * met.scale;
            }
            (Part::Count, _) if !matches!(slot.take, Take::Calls) => slot.buckets.counted(increase),
            _ => slot.total += increase * met.scale,
        }
    }

    /// By how much a counter has grown; none if it is none, or is there twice.
    fn counter(&mut self, met: &[Met], line: &Line<'_>) -> Option<Moved> {
        if !line.value.is_finite() || line.value < 0.0 {
            self.refuse("counters that are no positive number");
            return None;
        }
        if line.grown {
            return Some(Moved::By(line.value));
        }
        let exported = met.iter().any(|m| whose(m) == Whose::Another);
        // What an exporter counts of itself is not told, and says nothing of what is.
        let told = !self.exporter || met.iter().any(|m| whose(m) != Whose::Exporters);
        let (turn, born) = (self.turn, self.told_before(line) && !exported);
        let full = self.last.len() >= MAX_SERIES;
        match self.last.entry(series(line)) {
            Entry::Occupied(mut known) => {
                let last = known.get_mut();
                let before = *last;
                if before.turn == turn {
                    // The first counts: what the next reading is compared with is what this one told.
                    self.refuse("series that are there twice");
                    return None;
                }
                (last.value, last.turn) = (line.value, turn);
                if told {
                    self.several.step(&mut last.course, before.value, line.value);
                }
                let increase =
                    if line.value >= before.value { line.value - before.value } else { line.value };
                Some(Moved::By(increase))
            }
            Entry::Vacant(_) if full => {
                self.refuse("series for which there is no room (16384)");
                None
            }
            Entry::Vacant(place) => {
                place.insert(Last::new(line.value, turn));
                // Libraries write a series from its first event on: it began at zero since the last reading. An exporter
                // may list the greatest only, and then one that comes up has a past.
                Some(if born { Moved::By(line.value) } else { Moved::Unknown })
            }
        }
    }

    /// Was the metric told of in an earlier reading, so that a series of it that is new has begun since? Of a page each reading is whole. A
    /// sender may tell of a metric later than of others, and then with its past.
    fn told_before(&mut self, line: &Line<'_>) -> bool {
        let Some(requests) = &mut self.requests else { return self.read_before };
        let full = requests.names.len() >= MAX_SERIES;
        match requests.names.entry(number_of(&line.name)) {
            Entry::Occupied(first) => *first.get() < requests.first,
            Entry::Vacant(_) if full => false,
            Entry::Vacant(place) => {
                place.insert(self.turn);
                false
            }
        }
    }

    /// Was this level read already in this turn? Also where there is no room to know.
    fn twice(&mut self, line: &Line<'_>) -> bool {
        let turn = self.turn;
        let full = self.last.len() >= MAX_SERIES;
        let why = match self.last.entry(series(line)) {
            Entry::Occupied(mut known) => {
                (known.insert(Last::new(0.0, turn)).turn == turn).then_some("series that are there twice")
            }
            Entry::Vacant(_) if full => Some("series for which there is no room (16384)"),
            Entry::Vacant(place) => {
                place.insert(Last::new(0.0, turn));
                None
            }
        };
        why.inspect(|w| self.refuse(w)).is_some()
    }

    fn slot(&mut self, met: &Met, line: &Line<'_>) -> Option<&mut Slot> {
        let key = key(met, line);
        let known = self.index.get(&key).copied();
        if let Some(at) = known {
            return self.slots.get_mut(at);
        }
        if self.slots.len() >= MAX_LANES {
            self.refuse("lanes beyond 512");
            return None;
        }
        self.index.insert(key.clone(), self.slots.len());
        self.slots.push(Slot {
            key,
            rule: met.rule,
            take: met.rule.take,
            combine: met.rule.combine,
            id: None,
            declared: false,
            seen: false,
            read: None,
            grown: false,
            moved: false,
            summed: false,
            total: 0.0,
            buckets: Buckets::default(),
        });
        self.slots.last_mut()
    }

    /// Ends a reading and hands over what it gave. `since` is when the last one was, if there was one.
    pub fn end(&mut self, since: Option<MonoNs>, at: MonoNs, sink: &mut dyn Sink) {
        self.read_before = true;
        // Levels neither: those of one process after those of another read as the ups and downs of one.
        if self.several.end(self.last.values().map(|last| &last.course)) {
            return;
        }
        self.empty_rows();
        let before = self.reading_before(since, at);
        let mut order: Vec<usize> = (0..self.slots.len()).filter(|&i| self.slots[i].seen).collect();
        order.sort_by_key(|&i| self.slots[i].key.dialect);
        let mut pauses: BTreeMap<usize, (LaneId, f64)> = BTreeMap::new();
        for i in order {
            let slot = &mut self.slots[i];
            if exporters_own(self.exporter, &slot.key) {
                continue;
            }
            // Told without those that took longest it would pass for quicker than it is.
            if slot.buckets.are_there() && !slot.buckets.are_whole() {
                self.refuse("histograms without the bucket +Inf and without a count");
                continue;
            }
            let lane = (slot.key.lane.clone(), slot.key.subject.clone());
            if *self.owners.entry(lane).or_insert(slot.key.dialect) != slot.key.dialect {
                continue;
            }
            let rested = slot.rested(before);
            let since = slot.since(before, at);
            if let Some(agreement) = self.beside.as_ref().filter(|_| self_told(&slot.key)) {
                slot.compare(since, at, agreement);
                continue;
            }
            // How many there were is not how long they took.
            if slot.take == Take::Durations && !slot.summed && !slot.buckets.are_there() {
                continue;
            }
            slot.declare(&self.instance, sink);
            // A sum of figures near the greatest may be beyond it.
            let Some(id) = slot.id.filter(|_| slot.total.is_finite()) else { continue };
            let since = since.filter(|_| slot.moved);
            match (slot.take, since) {
                (Take::Level(_), _) => sink.sample(id, at, slot.total),
                (_, None) => {}
                (Take::Rate(_) | Take::Calls, Some(since)) => {
                    if let Some(rested) = rested {
                        sink.sample(id, rested, 0.0);
                    }
                    sink.sample(id, at, slot.total / at.since(since).as_secs_f64().max(1e-3));
                }
                (Take::Durations, Some(since)) => sink.histogram(id, since, at, slot.buckets.cells()),
                (Take::Pauses(kind), Some(since)) => {
                    let longest = slot.pauses(kind, &self.instance, since, at, sink);
                    let known = pauses.entry(slot.key.dialect).or_insert((id, 0.0));
                    known.1 = known.1.max(longest);
                }
            }
        }
        for (id, longest) in pauses.into_values() {
            sink.sample(id, at, longest);
        }
        if let Some(agreement) = &self.beside {
            agreement.read(&self.instance, at, self.source, sink);
        }
    }

    /// When the reading before this one began; `since` is when whatever came last did.
    fn reading_before(&mut self, since: Option<MonoNs>, at: MonoNs) -> Option<MonoNs> {
        if since.is_none_or(|since| at.since(since) >= AT_ONCE) {
            self.before = self.reading.replace(at);
        }
        self.before
    }

    /// Exporters list what there is: where a page has rows of a metric, and none with the labels that a count wants, there is nothing of it.
    /// A request may hold some of the rows only.
    fn empty_rows(&mut self) {
        if self.requests.is_some() {
            return;
        }
        for slot in self.slots.iter_mut().filter(|slot| !slot.seen && !slot.rule.never_zero) {
            let row = (slot.key.dialect, slot.rule.stem, slot.rule.lane);
            slot.seen = self.rows.get(&row) == Some(&false);
        }
    }

    /// Is there anything on the page that fills a lane?
    pub fn knows_any(&self) -> bool {
        !self.slots.is_empty()
    }

    /// How many lanes have got values so far.
    pub fn lanes(&self) -> usize {
        self.slots.iter().filter(|s| s.id.is_some()).count()
    }

    /// Names of the libraries whose metrics fill lanes.
    pub fn dialects(&self) -> Vec<&'static str> {
        let mut found: Vec<usize> =
            self.slots.iter().filter(|s| s.id.is_some()).map(|s| s.key.dialect).collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|d| dialects::ALL[d].about).collect()
    }

    /// What is told by now, and what not; none before anything is known.
    pub fn found(&self) -> Option<String> {
        let known = self.dialects();
        if known.is_empty() {
            return None;
        }
        Some(format!("{} of {}: {}", plural(self.lanes(), "lane"), known.join(", "), self.groups()))
    }

    /// The same, if it is more than when it was asked for last.
    pub fn found_more(&mut self) -> Option<String> {
        let now = (self.dialects().len(), self.groups());
        if now == self.said {
            return None;
        }
        self.said = now;
        self.found()
    }

    /// `heap, pool; nothing of pauses`. What is there and another source tells is neither.
    fn groups(&self) -> String {
        let ours = |slot: &&Slot| !exporters_own(self.exporter, &slot.key);
        let (told, missing) = groups::sorted(|prefix| {
            let here = |slot: &&Slot| slot.key.lane.starts_with(prefix);
            let slots: Vec<&Slot> = self.slots.iter().filter(here).filter(ours).collect();
            if slots.iter().any(|slot| slot.id.is_some()) {
                Has::Told
            } else if slots.is_empty() {
                Has::Nothing
            } else {
                Has::Elsewhere
            }
        });
        let mut text = told.join(", ");
        if !missing.is_empty() {
            text += &format!("; nothing of {}", missing.join(", "));
        }
        text
    }

    pub fn refuse(&mut self, why: &'static str) {
        *self.refused.entry(why).or_default() += 1;
    }
}

impl Slot {
    /// Where only growth is sent: when the reading was that had none of it. What has come has come since then, however long it was quiet.
    fn rested(&self, before: Option<MonoNs>) -> Option<MonoNs> {
        let (last, _) = self.read.filter(|_| self.grown)?;
        before.filter(|before| last < *before)
    }

    /// Since when what this reading gave has come; `before` is when another reading was. A second part has come since the first one did.
    fn since(&mut self, before: Option<MonoNs>, at: MonoNs) -> Option<MonoNs> {
        let since = match self.read {
            Some((last, since)) if at.since(last) < AT_ONCE => since,
            Some((last, _)) => self.rested(before).or(Some(last)),
            None => before,
        };
        self.read = Some((at, since));
        since
    }

    /// Hands what this reading gave to the comparison.
    fn compare(&self, since: Option<MonoNs>, at: MonoNs, agreement: &Agreement) {
        let passed = since.filter(|_| self.moved).map(|since| at.since(since).as_secs_f64().max(1e-3));
        match (self.take, passed) {
            _ if !self.total.is_finite() => {}
            (Take::Level(unit), _) => agreement.level(&self.key.lane, unit, self.total),
            (Take::Rate(unit), Some(s)) => agreement.level(&self.key.lane, unit, self.total / s),
            (Take::Pauses(kind), Some(_)) => agreement.pauses(kind, self.buckets.cells().count() as f64),
            _ => {}
        }
    }

    fn declare(&mut self, instance: &str, sink: &mut dyn Sink) {
        if std::mem::replace(&mut self.declared, true) {
            return;
        }
        let from_buckets = if self.buckets.are_there() { Quality::Sampled } else { Quality::Inferred };
        let (shape, unit, quality) = match self.take {
            // A time as a level is somebody's percentile or maximum.
            Take::Level(Unit::Ns) => (Shape::Level, Unit::Ns, Quality::Sampled),
            Take::Level(unit) => (Shape::Level, unit, Quality::Exact),
            Take::Rate(unit) => (Shape::Rate, unit, Quality::Exact),
            Take::Calls => (Shape::Rate, Unit::PerSecond, Quality::Exact),
            Take::Durations => (Shape::Histogram, Unit::Ns, from_buckets),
            Take::Pauses(_) => (Shape::Level, Unit::Ns, from_buckets),
        };
        let combine = if shape == Shape::Histogram { Combine::Merge } else { self.combine };
        self.id = sink.declare(LaneSpec {
            name: self.key.lane.clone(),
            subject: self.key.subject.clone(),
            instance: instance.to_owned(),
            unit,
            shape,
            combine,
            quality,
        });
    }

    /// Pauses of this reading as events, spread evenly: when in the interval they were is not known. One that is as long as the interval
    /// fills it, because the page is only served when it is over. Returns the longest, ns.
    fn pauses(&self, kind: &str, instance: &str, since: MonoNs, at: MonoNs, sink: &mut dyn Sink) -> f64 {
        let cells = self.buckets.cells();
        let n = cells.count();
        let step = at.since(since) / u32::try_from(n).unwrap_or(u32::MAX).max(1);
        let longest_first =
            cells.cells.iter().rev().flat_map(|&(us, n)| (0..n.min(MAX_PAUSES as u32)).map(move |_| us));
        for (i, us) in longest_first.take(MAX_PAUSES as usize).enumerate() {
            let end = MonoNs(at.0.saturating_sub(step.as_nanos() as u64 * i as u64));
            let start = MonoNs(end.0.saturating_sub(u64::from(us) * 1_000)).max(MonoNs(since.0.min(end.0)));
            sink.event(SourceEvent {
                kind: kind.to_owned(),
                instance: instance.to_owned(),
                start,
                end,
                labels: vec![("placed".to_owned(), within(at.since(since)))],
                value: 0.0,
                others: if i == 0 { n.saturating_sub(MAX_PAUSES) } else { 0 },
            });
        }
        cells.max_ns().unwrap_or(0.0)
    }
}

/// Is it what a source inside the process, or at its runtime's counters, tells exactly?
fn self_told(key: &SlotKey) -> bool {
    key.lane.starts_with("heap.") || key.lane.starts_with("pause.")
}

fn whose(met: &Met) -> Whose {
    dialects::ALL[met.dialect].whose
}

/// Does it speak of the exporter that serves the page, and not of the target?
fn exporters_own(exporter: bool, key: &SlotKey) -> bool {
    exporter && dialects::ALL[key.dialect].whose == Whose::Exporters
}

fn within(interval: Duration) -> String {
    format!("anywhere within {}", Unit::Ns.show(interval.as_nanos() as f64))
}

fn key(met: &Met, line: &Line<'_>) -> SlotKey {
    let first = |labels: &[&str]| labels.iter().find_map(|l| line.label(l)).filter(|v| !v.is_empty());
    let member = first(met.rule.member).or(met.rule.member.last().copied());
    let lane = match member {
        Some(member) => met.rule.lane.replace('*', &clean(member, MEMBER_MAX).replace(' ', "-")),
        None => met.rule.lane.to_owned(),
    };
    SlotKey {
        dialect: met.dialect,
        lane,
        subject: clean(first(met.rule.subject).unwrap_or(met.rule.otherwise), LABEL_MAX),
        pause: if let Take::Pauses(kind) = met.rule.take { kind } else { "" },
    }
}

/// A metric by its name.
fn number_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// A series by name and labels. Two with one number of 64 bits among 16384 come once in ten billion pages.
fn series(line: &Line<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    line.name.hash(&mut hasher);
    for (name, value) in &line.labels {
        name.hash(&mut hasher);
        value.hash(&mut hasher);
    }
    hasher.finish()
}
