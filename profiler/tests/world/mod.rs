//! A made-up run: lanes and events as sources would deliver them, noisy and seeded.
//!
//! Owns the simulation that detectors are tested on: two processes with a pool each (a real queue, arrival by
//! arrival), a cache, heaps, pauses, a generator and its host. Whoever builds a test decides what goes wrong.
#![allow(dead_code, unused_imports, reason = "each program of tests uses its part of the world")]

mod dice;
mod pool;
pub mod process;
mod said;
pub mod shelf;

pub use dice::Dice;
pub use said::*;

use std::time::Duration;

use dynamometer_profiler::Diagnosis;
use timeline::clock::{RunTime, Span};
use timeline::event::kinds;
use timeline::facts::{LoadModel, PhaseFacts, PlanFacts};
use timeline::histogram::{self, Sparse};
use timeline::lane::names;
use timeline::{Entry, Event, LaneId, LaneSpec, Timeline, Unit};

use pool::Pool;

/// What goes wrong, and the load.
#[derive(Clone)]
pub struct Setup {
    pub seed: u64,
    pub seconds: u64,
    pub phases: Vec<PhaseFacts>,
    /// Requests per second that want the pool, by second of the run.
    pub rate: fn(f64) -> f64,
    /// Sessions in a closed loop instead, and their mean think time in seconds.
    pub closed: Option<(usize, f64)>,
    /// Sessions open, by second of the run.
    pub sessions: fn(f64) -> f64,
    pub hold_ms: f64,
    /// Connections of each process, by second.
    pub capacity: fn(f64) -> usize,
    /// Unprotected key from and to (seconds); it expires every `ttl` seconds, `key_rate` per second ask for it.
    pub stampede: Option<(f64, f64)>,
    pub ttl: f64,
    pub key_rate: f64,
    pub load_ms: f64,
    /// Bytes per second kept from this second on.
    pub leak: Option<(f64, f64)>,
    /// Live bytes, all processes, by second, without leak.
    pub heap: fn(f64) -> f64,
    /// Bytes that requests hold for a moment, all processes, by second.
    pub held: fn(f64) -> f64,
    /// Stops of shop-0: from, to, length ms, period ms.
    pub frozen: Option<(f64, f64, u64, u64)>,
    /// The generator starved: from, to.
    pub starved: Option<(f64, f64)>,
    /// Single hiccups of generator and target alike, with steal.
    pub noisy: bool,
}

pub fn phase(start_s: u64, end_s: u64, from: f64, to: f64, warmup: bool) -> PhaseFacts {
    PhaseFacts {
        name: format!("phase {start_s}"),
        span: Span::new(RunTime::from_ms(start_s * 1_000), RunTime::from_ms(end_s * 1_000)),
        warmup,
        model: LoadModel::Sessions,
        from,
        to,
    }
}

/// The same phases with single requests that wait for nobody.
pub fn open(mut phases: Vec<PhaseFacts>) -> Vec<PhaseFacts> {
    phases.iter_mut().for_each(|p| p.model = LoadModel::Requests);
    phases
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 1,
            seconds: 40,
            phases: vec![phase(0, 5, 0.0, 5_000.0, true), phase(5, 40, 5_000.0, 5_000.0, false)],
            rate: |s| 500.0 * (s / 5.0).min(1.0),
            closed: None,
            sessions: |s| 5_000.0 * (s / 5.0).min(1.0),
            hold_ms: 15.0,
            capacity: |_| 8,
            stampede: None,
            ttl: 2.0,
            key_rate: 400.0,
            load_ms: 200.0,
            leak: None,
            heap: |s| 60e6 + 60e6 * (s / 5.0).min(1.0),
            held: |_| 0.0,
            frozen: None,
            starved: None,
            noisy: false,
        }
    }
}

pub const SHOPS: [&str; 2] = ["shop-0", "shop-1"];

/// Entries in the order in which a recorder would apply them.
pub struct World {
    pub entries: Vec<(RunTime, Entry)>,
    lanes: Vec<LaneSpec>,
    pub plan: PlanFacts,
    seconds: u64,
}

pub fn ms(ms: u64) -> RunTime {
    RunTime::from_ms(ms)
}

pub fn sparse(us: &[f64]) -> Sparse {
    let mut h = histogram::new();
    us.iter().for_each(|&v| h.saturating_record((v as u64).max(1)));
    Sparse::of(&h)
}

impl World {
    pub fn empty(seconds: u64, phases: Vec<PhaseFacts>) -> Self {
        let plan = PlanFacts { phases, steps: vec!["browse".into(), "buy".into()], ..PlanFacts::default() };
        Self { entries: Vec::new(), lanes: Vec::new(), plan, seconds }
    }

    pub fn lane(&mut self, spec: LaneSpec) -> LaneId {
        self.lanes.push(spec);
        LaneId(self.lanes.len() as u32 - 1)
    }

    pub fn sample(&mut self, lane: LaneId, at: RunTime, value: f64) {
        self.entries.push((at, Entry::Sample { lane, at, value }));
    }

    pub fn histogram(&mut self, lane: LaneId, from: RunTime, to: RunTime, us: &[f64]) {
        if !us.is_empty() {
            self.entries.push((to, Entry::Histogram { lane, span: Span::new(from, to), cells: sparse(us) }));
        }
    }

    pub fn event(
        &mut self,
        kind: &str,
        instance: &str,
        start: RunTime,
        end: RunTime,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let labels = labels.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let event =
            Event { kind: kind.into(), instance: instance.into(), start, end, labels, value, others: 0 };
        // Told at the agent's next tick.
        self.entries.push((end + Duration::from_millis(60), Entry::Event(event)));
    }

    /// Takes out all that lanes called `name` hold.
    pub fn silence(&mut self, name: &str) {
        self.told_only(name, |_| false);
    }

    /// Leaves of lane `name` what it tells at those instants.
    pub fn told_only(&mut self, name: &str, when: impl Fn(RunTime) -> bool) {
        let lanes = &self.lanes;
        self.entries.retain(|(t, e)| !matches!(e, Entry::Histogram { lane, .. } | Entry::Sample { lane, .. } if lanes[lane.0 as usize].name == name) || when(*t));
    }

    /// The intervals of lane `name` of `instance`, each with its values in microseconds.
    pub fn values(&self, name: &str, instance: &str) -> Vec<(Span, Vec<f64>)> {
        let of = |lane: &LaneId| &self.lanes[lane.0 as usize];
        let expand = |cells: &Sparse| {
            cells.cells.iter().flat_map(|&(v, n)| std::iter::repeat_n(f64::from(v), n as usize)).collect()
        };
        self.entries
            .iter()
            .filter_map(|(_, e)| match e {
                Entry::Histogram { lane, span, cells }
                    if of(lane).name == name && of(lane).instance == instance =>
                {
                    Some((*span, expand(cells)))
                }
                _ => None,
            })
            .collect()
    }

    /// All entries with ticks at 2 Hz, in order.
    pub fn script(&self) -> Vec<Entry> {
        let mut timed: Vec<(RunTime, u8, Entry)> =
            self.entries.iter().map(|(t, e)| (*t, 0, e.clone())).collect();
        timed.extend((1..=self.seconds * 2).map(|i| (ms(i * 500), 1, Entry::Tick(ms(i * 500)))));
        timed.sort_by_key(|e| (e.0, e.1));
        let mut script = vec![Entry::Plan(self.plan.clone())];
        script.extend(self.lanes.iter().enumerate().map(|(i, s)| Entry::Lane(LaneId(i as u32), s.clone())));
        script.extend(timed.into_iter().map(|e| e.2));
        script
    }

    pub fn diagnose(&self) -> Diagnosis {
        replay(&self.script())
    }
}

pub fn replay(script: &[Entry]) -> Diagnosis {
    let (mut timeline, mut diagnosis) = (Timeline::new(), Diagnosis::new());
    for entry in script {
        timeline.apply(entry);
        if let Entry::Tick(at) = entry {
            diagnosis.tick(&timeline, *at);
        }
    }
    diagnosis
}

struct Shop {
    name: &'static str,
    waiters: LaneId,
    in_use: LaneId,
    capacity: LaneId,
    wait: LaneId,
    hold: LaneId,
    hits: LaneId,
    misses: LaneId,
    loads: LaneId,
    coalesced: LaneId,
    load: LaneId,
    used: LaneId,
    old: LaneId,
    promoted: LaneId,
    error: LaneId,
    cpu: LaneId,
    pause: LaneId,
    pool: Pool,
    arrivals: Vec<(f64, f64)>,
}

/// The whole world of a [`Setup`].
pub fn build(setup: &Setup) -> World {
    let mut w = World::empty(setup.seconds, setup.phases.clone());
    let mut dice = Dice::new(setup.seed);
    let mut shops: Vec<Shop> = SHOPS.iter().map(|n| shop(&mut w, n)).collect();
    for s in &mut shops {
        arrivals(s, setup, &mut dice);
    }
    if let Some((from, to)) = setup.stampede {
        stampede(&mut w, &mut shops, setup, from, to);
    }
    let healthy_until = setup.stampede.map_or(setup.seconds as f64, |s| s.0);
    for s in &shops {
        refreshes(&mut w, s.name, setup, 0.5, healthy_until, &mut dice);
        if let Some((_, to)) = setup.stampede {
            refreshes(&mut w, s.name, setup, to + setup.ttl, setup.seconds as f64, &mut dice);
        }
    }
    for s in &mut shops {
        s.arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
        target_lanes(&mut w, s, setup, &mut dice);
    }
    frozen(&mut w, setup);
    generator(&mut w, setup, &mut dice);
    w
}

fn shop(w: &mut World, name: &'static str) -> Shop {
    let mut level = |lane: &str, unit| w.lane(LaneSpec::level(lane, name, unit));
    let (waiters, in_use, capacity) = (
        level("pool.db.waiters", Unit::Count),
        level("pool.db.in-use", Unit::Count),
        level("pool.db.capacity", Unit::Count),
    );
    let (used, old, error) = (
        level(names::HEAP_USED, Unit::Bytes),
        level(names::HEAP_OLD, Unit::Bytes),
        level(names::HEAP_ERROR, Unit::Ratio),
    );
    let (cpu, pause) = (level(names::PROCESS_CPU, Unit::Cores), level(names::PAUSE, Unit::Ns));
    let mut rate = |lane: &str, unit| w.lane(LaneSpec::rate(lane, name, unit));
    let promoted = rate(names::HEAP_PROMOTED, Unit::BytesPerSecond);
    let (hits, misses) =
        (rate("cache.products.hits", Unit::PerSecond), rate("cache.products.misses", Unit::PerSecond));
    let (loads, coalesced) =
        (rate("cache.products.loads", Unit::PerSecond), rate("cache.products.coalesced", Unit::PerSecond));
    let mut histogram = |lane: &str| w.lane(LaneSpec::histogram(lane, name));
    let (wait, hold, load) =
        (histogram("pool.db.wait"), histogram("pool.db.hold"), histogram("cache.products.load"));
    Shop {
        name,
        waiters,
        in_use,
        capacity,
        wait,
        hold,
        hits,
        misses,
        loads,
        coalesced,
        load,
        used,
        old,
        promoted,
        error,
        cpu,
        pause,
        pool: Pool::new(),
        arrivals: Vec::new(),
    }
}

fn arrivals(s: &mut Shop, setup: &Setup, dice: &mut Dice) {
    // Thinning: arrivals at a rate that is never exceeded, of which the due share is kept.
    let most = 1_000.0;
    let mut t = 0.0;
    while t < setup.seconds as f64 {
        t += dice.exp(1.0 / most);
        if dice.unit() < (setup.rate)(t) / SHOPS.len() as f64 / most {
            s.arrivals.push((t * 1e3, dice.exp(setup.hold_ms).max(0.2)));
        }
    }
}

/// At each expiry every request for the key loads it until the first load is done; each load takes a connection.
fn stampede(w: &mut World, shops: &mut [Shop], setup: &Setup, from: f64, to: f64) {
    let mut t = from;
    while t < to {
        let n = (setup.key_rate / SHOPS.len() as f64 * setup.load_ms / 1e3).round() as usize + 1;
        for s in shops.iter_mut() {
            for i in 0..n {
                s.arrivals.push((t * 1e3 + i as f64 * setup.load_ms / n as f64, setup.load_ms));
            }
            // With `c` connections the last load ends when all rounds are through.
            let rounds = (n as f64 / (setup.capacity)(t) as f64).ceil();
            let start = RunTime::from_secs_f64(t);
            let end = RunTime::from_secs_f64(t + rounds * setup.load_ms / 1e3);
            w.event(
                kinds::CACHE_REFRESH,
                s.name,
                start,
                end,
                &[("cache", "products"), ("key", "product:7")],
                n as f64,
            );
        }
        t += setup.ttl;
    }
}

/// Single flight: one load each.
fn refreshes(w: &mut World, name: &str, setup: &Setup, from: f64, to: f64, dice: &mut Dice) {
    for key in ["product:7", "product:8", "product:9", "front"] {
        let mut t = from + dice.unit() * setup.ttl;
        while t < to {
            let start = RunTime::from_secs_f64(t);
            let end = RunTime::from_secs_f64(t + setup.load_ms / 1e3);
            w.event(kinds::CACHE_REFRESH, name, start, end, &[("cache", "products"), ("key", key)], 1.0);
            t += setup.ttl + setup.load_ms / 1e3;
        }
    }
}

fn stopped(setup: &Setup, name: &str, at_ms: u64) -> bool {
    name == SHOPS[0] && stops(setup).iter().any(|&(a, b)| (a..b).contains(&at_ms))
}

fn stops(setup: &Setup) -> Vec<(u64, u64)> {
    let Some((from, to, length, period)) = setup.frozen else { return Vec::new() };
    let mut list = Vec::new();
    let mut t = (from * 1e3) as u64;
    while t < (to * 1e3) as u64 {
        list.push((t, t + length));
        t += period;
    }
    list
}

fn expiry_at(setup: &Setup, t_ms: f64) -> bool {
    setup.stampede.is_some_and(|(from, to)| {
        let s = t_ms / 1e3;
        s >= from && s < to && (s - from) % setup.ttl < setup.load_ms / 1e3
    })
}

fn target_lanes(w: &mut World, s: &mut Shop, setup: &Setup, dice: &mut Dice) {
    let mut next = 0;
    let offset = dice.between(0.0, 90.0) as u64;
    let mut before = 0;
    let mut breathing = 0.0;
    if let Some((n, think)) = setup.closed {
        s.arrivals.clear();
        s.pool.thinking =
            (0..n / SHOPS.len()).map(|_| std::cmp::Reverse((dice.exp(think) * 1e6) as u64)).collect();
    }
    for i in 1..setup.seconds * 10 {
        let t_ms = i * 100 + offset;
        let (t, at) = (t_ms as f64 / 1e3, ms(t_ms));
        let capacity = (setup.capacity)(t);
        while next < s.arrivals.len() && s.arrivals[next].0 <= t_ms as f64 {
            let (came, hold) = s.arrivals[next];
            s.pool.arrive(came, hold, capacity);
            next += 1;
        }
        if let Some((_, think)) = setup.closed {
            s.pool.closed(before, t_ms, think * 1e3, setup.hold_ms, capacity, dice);
        }
        s.pool.advance(t_ms as f64, capacity);
        if stopped(setup, s.name, t_ms) {
            continue; // a stopped process says nothing, and has nothing to catch up
        }
        let from = ms(before);
        before = t_ms;
        w.sample(s.waiters, at, s.pool.waiting.len() as f64);
        w.sample(s.in_use, at, s.pool.out.len() as f64);
        w.sample(s.capacity, at, capacity as f64);
        let (waits, holds) = (std::mem::take(&mut s.pool.waits), std::mem::take(&mut s.pool.holds));
        w.histogram(s.wait, from, at, &waits);
        w.histogram(s.hold, from, at, &holds);
        cache_lanes(w, s, setup, t_ms, from, dice);
        breathing = 0.9 * breathing + dice.normal(0.0, 250_000.0);
        heap_lanes(w, s, setup, t, breathing, dice);
        w.sample(s.cpu, at, dice.normal(0.6, 0.1).clamp(0.0, 1.0));
        w.sample(s.pause, at, dice.exp(2e6).min(40e6));
    }
}

fn cache_lanes(w: &mut World, s: &Shop, setup: &Setup, t_ms: u64, from: RunTime, dice: &mut Dice) {
    let at = ms(t_ms);
    let bad = expiry_at(setup, t_ms as f64);
    let missed = if bad { setup.key_rate / 2.0 } else { dice.between(1.0, 4.0) };
    w.sample(s.hits, at, if bad { 50.0 } else { 300.0 });
    w.sample(s.misses, at, missed);
    w.sample(s.loads, at, if bad { missed } else { 2.0 });
    w.sample(s.coalesced, at, if bad { 0.0 } else { 20.0 });
    w.histogram(s.load, from, at, &[setup.load_ms * 1e3, setup.load_ms * 1.1e3]);
}

fn heap_lanes(w: &mut World, s: &Shop, setup: &Setup, t: f64, breathing: f64, dice: &mut Dice) {
    let at = RunTime::from_secs_f64(t);
    let share = 1.0 / SHOPS.len() as f64;
    let leaked = |t: f64| setup.leak.map_or(0.0, |(from, rate)| (t - from).max(0.0) * rate * share);
    let base = ((setup.heap)(t) + (setup.held)(t)) * share;
    w.sample(s.used, at, base + leaked(t) + 2e6 + breathing);
    let old = (setup.heap)((t - 5.0).max(0.0)) * share + leaked(t - 5.0);
    w.sample(s.old, at, (old * 0.95 + dice.normal(0.0, 150_000.0)).max(0.0));
    let promoted =
        ((setup.heap)((t - 5.0).max(0.0)) - (setup.heap)((t - 5.1).max(0.0))).max(0.0) * share * 10.0;
    let leaking = setup.leak.map_or(0.0, |(from, rate)| if t - 5.0 > from { rate * share } else { 0.0 });
    w.sample(s.promoted, at, promoted + leaking + dice.between(0.0, 200_000.0));
    w.sample(s.error, at, 0.05);
}

fn frozen(w: &mut World, setup: &Setup) {
    for (from, to) in stops(setup) {
        w.event(kinds::PAUSE_HICCUP, SHOPS[0], ms(from + 3), ms(to), &[], 0.0);
        w.event(kinds::PAUSE_WORKER_STALL, SHOPS[0], ms(from + 5), ms(to + 1), &[], 0.0);
    }
}

fn generator(w: &mut World, setup: &Setup, dice: &mut Dice) {
    let lanes: Vec<_> = ["gen-0", "gen-1"]
        .iter()
        .map(|n| {
            (
                w.lane(LaneSpec::level(names::OPEN_SESSIONS, *n, Unit::Count)),
                w.lane(LaneSpec::level(names::GENERATOR_HICCUP, *n, Unit::Ns).worst()),
                w.lane(LaneSpec::level(names::GENERATOR_CPU, *n, Unit::Cores)),
                w.lane(LaneSpec::histogram(names::LATENESS, *n)),
                w.lane(LaneSpec::histogram(names::SERVICE, *n).about("browse")),
                w.lane(LaneSpec::rate(names::COMPLETED, *n, Unit::PerSecond)),
            )
        })
        .collect();
    let steal = w.lane(LaneSpec::level(names::HOST_STEAL, "host", Unit::Ratio).worst());
    let shakes: Vec<u64> = if setup.noisy {
        (0..setup.seconds / 6).map(|i| i * 6_000 + dice.between(0.0, 5_000.0) as u64).collect()
    } else {
        Vec::new()
    };
    // Told by the first sample after it, and by the second in which it lay.
    let shaken = |t: u64| shakes.iter().any(|&s| t >= s + 300 && t < s + 400);
    let spoiled = |t: u64| shakes.iter().any(|&s| t >= s + 300 && t < s + 1_300);
    for &s in &shakes {
        // The whole machine stands still for 300 ms: target and generator alike.
        w.event(kinds::PAUSE_HICCUP, SHOPS[(s % 2) as usize], ms(s), ms(s + 300), &[], 0.0);
    }
    let stops = stops(setup);
    for i in 1..setup.seconds * 10 {
        let (t_ms, t) = (i * 100, i as f64 / 10.0);
        let starved = setup.starved.is_some_and(|(a, b)| t >= a && t < b);
        for (sessions, hiccup, cpu, lateness, service, completed) in &lanes {
            w.sample(*sessions, ms(t_ms), (setup.sessions)(t) / 2.0 + dice.between(-3.0, 3.0));
            let own = if starved {
                dice.between(120e6, 400e6)
            } else if shaken(t_ms) {
                300e6
            } else {
                dice.exp(1e6).min(60e6)
            };
            w.sample(*hiccup, ms(t_ms), own);
            w.sample(*cpu, ms(t_ms), if starved { 0.98 } else { 0.5 });
            w.sample(*completed, ms(t_ms), (setup.rate)(t) / 2.0);
            if i % 10 == 0 {
                let late: Vec<f64> = (0..400)
                    .map(|_| {
                        if starved {
                            dice.between(1e3, 300e3)
                        } else if spoiled(t_ms) && dice.unit() < 0.3 {
                            dice.between(0.0, 300e3)
                        } else {
                            dice.exp(500.0)
                        }
                    })
                    .collect();
                w.histogram(*lateness, ms(t_ms - 1_000), ms(t_ms), &late);
                let caught = stops
                    .iter()
                    .filter(|s| s.1 <= t_ms && s.1 + 1_000 > t_ms)
                    .map(|s| (s.1 - s.0) as f64 * 0.95e3);
                let served: Vec<f64> = (0..200).map(|_| dice.exp(20e3)).chain(caught).collect();
                w.histogram(*service, ms(t_ms - 1_000), ms(t_ms), &served);
            }
        }
        if i % 5 == 0 {
            let share = if shakes.iter().any(|&s| t_ms >= s + 150 && t_ms < s + 650) {
                0.6
            } else {
                dice.exp(0.01).min(0.1)
            };
            w.sample(steal, ms(t_ms), share);
        }
    }
}
