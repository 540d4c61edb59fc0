//! Two processes tick by tick: what their loops, offload pools and heaps show, as a test says.
//!
//! Owns the healthy tick and the lanes; whoever builds a test changes ticks.

use timeline::lane::names;
use timeline::{LaneId, LaneSpec, Unit};

use super::{Dice, SHOPS, World, ms, phase};

/// What one process shows in 100 ms.
pub struct Tick {
    /// ms since whoever read it read it before.
    pub since: u64,
    pub busy: f64,
    /// Delays of the loop's wakes, us.
    pub late: Vec<f64>,
    pub cpu: f64,
    /// Requests that end: route and time in handler, us.
    pub ended: Vec<(&'static str, f64)>,
    pub in_flight: f64,
    /// Stalls of the loop: start and end, ms of the run; its thread had a core all the time, unless `coreless`.
    pub stalls: Vec<(u64, u64)>,
    /// ms of each stall in which the loop's thread had no core.
    pub coreless: u64,
    /// Other events: kind, start and end.
    pub pauses: Vec<(&'static str, u64, u64)>,
    /// Threads, busy ones, tasks that wait, waits and runs in us.
    pub offload: (f64, f64, f64, Vec<f64>, Vec<f64>),
    pub allocated: f64,
    pub used: f64,
    pub resident: f64,
    /// Share of the host's CPU in use; that of the first process counts.
    pub host: f64,
}

impl Tick {
    /// Everyday life: some 45 requests a second of three routes, in each process.
    pub fn healthy(dice: &mut Dice) -> Self {
        let mut ended = Vec::new();
        for (route, per_tick, us) in
            [("/list", 2.0, 11_500.0), ("/item", 2.0, 135_000.0), ("/page", 0.5, 800.0)]
        {
            let mut left = per_tick * 2.0 * dice.unit();
            while left > dice.unit() {
                ended.push((route, us * dice.between(0.95, 1.2)));
                left -= 1.0;
            }
        }
        let capacity = 24.0;
        Self {
            since: 100,
            busy: dice.between(0.03, 0.12),
            late: (0..10).map(|_| 900.0 + dice.exp(400.0)).collect(),
            cpu: dice.between(0.05, 0.11),
            ended,
            in_flight: dice.between(0.0, 4.0).floor(),
            stalls: Vec::new(),
            coreless: 0,
            pauses: Vec::new(),
            offload: (capacity, dice.between(2.0, 8.0).floor(), 0.0, vec![10.0; 4], vec![130_000.0; 4]),
            allocated: dice.between(2e6, 8e6),
            used: 5.5e6 + dice.between(0.0, 1e6),
            resident: 10e6 + dice.between(0.0, 1e6),
            host: dice.between(0.3, 0.7),
        }
    }

    /// One more request of `route`.
    pub fn request(&mut self, route: &'static str, us: f64) {
        self.ended.push((route, us));
    }
}

struct Lanes {
    busy: LaneId,
    late: LaneId,
    cpu: LaneId,
    handlers: Vec<(&'static str, LaneId)>,
    in_flight: LaneId,
    offload: [LaneId; 5],
    allocated: LaneId,
    used: LaneId,
    resident: LaneId,
}

/// All routes that ticks may speak of.
pub const ROUTES: [&str; 5] = ["/list", "/item", "/page", "/login", "/import"];

fn lanes(w: &mut World, name: &str) -> Lanes {
    let level = |w: &mut World, lane: &str, unit| w.lane(LaneSpec::level(lane, name, unit));
    let histogram = |w: &mut World, lane: &str| w.lane(LaneSpec::histogram(lane, name));
    Lanes {
        busy: level(w, names::LOOP_UTILISATION, Unit::Ratio),
        late: histogram(w, names::LOOP_DELAY),
        cpu: level(w, names::PROCESS_CPU, Unit::Cores),
        handlers: ROUTES
            .iter()
            .map(|r| (*r, w.lane(LaneSpec::histogram(names::SERVER_HANDLER, name).about(*r))))
            .collect(),
        in_flight: level(w, names::SERVER_IN_FLIGHT, Unit::Count),
        offload: [
            level(w, names::OFFLOAD_CAPACITY, Unit::Count),
            level(w, names::OFFLOAD_BUSY, Unit::Count),
            level(w, names::OFFLOAD_QUEUED, Unit::Count),
            histogram(w, names::OFFLOAD_WAIT),
            histogram(w, names::OFFLOAD_RUN),
        ],
        allocated: w.lane(LaneSpec::rate(names::HEAP_ALLOCATED, name, Unit::BytesPerSecond)),
        used: level(w, names::HEAP_USED, Unit::Bytes),
        resident: level(w, names::HEAP_RESIDENT, Unit::Bytes),
    }
}

/// A run of `seconds` at the same load from the third second on; `change` is told the tick, the process and the instant, ms.
pub fn run(seed: u64, seconds: u64, mut change: impl FnMut(&mut Tick, usize, u64, &mut Dice)) -> World {
    let mut w =
        World::empty(seconds, vec![phase(0, 3, 0.0, 200.0, true), phase(3, seconds, 200.0, 200.0, false)]);
    let mut dice = Dice::new(seed);
    let shops: Vec<(&str, Lanes)> = SHOPS.iter().map(|n| (*n, lanes(&mut w, n))).collect();
    let host = w.lane(LaneSpec::level(names::HOST_CPU, "host", Unit::Ratio));
    let cores = w.lane(LaneSpec::level(names::HOST_CORES, "host", Unit::Count));
    let sessions = w.lane(LaneSpec::level(names::OPEN_SESSIONS, "gen-0", Unit::Count));
    for i in 1..seconds * 10 {
        let t = i * 100;
        for (n, (name, lanes)) in shops.iter().enumerate() {
            let mut tick = Tick::healthy(&mut dice);
            change(&mut tick, n, t, &mut dice);
            if n == 0 {
                w.sample(host, ms(t), tick.host);
                w.sample(cores, ms(t), 2.0);
                w.sample(sessions, ms(t), 200.0);
            }
            tell(&mut w, name, lanes, t, &tick);
        }
    }
    w
}

fn tell(w: &mut World, name: &str, lanes: &Lanes, t: u64, tick: &Tick) {
    let (from, at) = (ms(t - tick.since), ms(t));
    w.sample(lanes.busy, at, tick.busy);
    w.histogram(lanes.late, from, at, &tick.late);
    w.sample(lanes.cpu, at, tick.cpu);
    for (route, lane) in &lanes.handlers {
        let times: Vec<f64> = tick.ended.iter().filter(|e| e.0 == *route).map(|e| e.1).collect();
        w.histogram(*lane, from, at, &times);
    }
    w.sample(lanes.in_flight, at, tick.in_flight);
    let (capacity, busy, queued, waits, runs) = &tick.offload;
    for (lane, value) in lanes.offload.iter().zip([capacity, busy, queued]) {
        w.sample(*lane, at, *value);
    }
    w.histogram(lanes.offload[3], from, at, waits);
    w.histogram(lanes.offload[4], from, at, runs);
    w.sample(lanes.allocated, at, tick.allocated);
    w.sample(lanes.used, at, tick.used);
    w.sample(lanes.resident, at, tick.resident);
    for &(start, end) in &tick.stalls {
        w.event(
            timeline::event::kinds::PAUSE_WORKER_STALL,
            name,
            ms(start),
            ms(end),
            &[],
            tick.coreless as f64 * 1e6,
        );
    }
    for &(kind, start, end) in &tick.pauses {
        w.event(kind, name, ms(start), ms(end), &[], 0.0);
    }
}

impl World {
    /// The same world without the lanes called `name`: as if no source had told them.
    pub fn without(mut self, name: &str) -> Self {
        for spec in self.lanes.iter_mut().filter(|s| s.name == name) {
            spec.name = "something.else".to_owned();
        }
        self
    }
}
