//! A made-up cache in two processes: keys that are asked for, loaded, expire, are removed and evicted, request by request.

use std::collections::HashMap;
use std::time::Duration;

use timeline::event::kinds;
use timeline::{LaneId, LaneSpec, Unit};

use super::{Dice, World, ms, phase};

/// From and to, seconds, and a period, seconds.
pub type Spell = (f64, f64, f64);

/// What is asked of the cache, and what goes wrong.
#[derive(Clone)]
pub struct Shelf {
    pub seed: u64,
    pub seconds: u64,
    /// Different things asked for, and look-ups per second of both processes together, by second.
    pub keys: usize,
    pub rate: fn(f64) -> f64,
    /// How keys are drawn: 1 evenly, more prefers the first ones.
    pub skew: f64,
    /// Share of look-ups that go to one key.
    pub hot: f64,
    pub ttl: f64,
    pub jitter: f64,
    pub load_ms: f64,
    /// Loads that a process can do at once.
    pub at_once: usize,
    /// Entries end together at multiples of the period.
    pub together: Option<Spell>,
    /// All is removed at multiples of the period.
    pub emptied: Option<Spell>,
    /// Single entries are removed, so many a second.
    pub changed: f64,
    /// From this second on there is room for so many in each process.
    pub capacity: Option<(f64, usize)>,
    /// Share of look-ups for a hundred things that do not exist, from this second on.
    pub absent: Option<(f64, f64)>,
    /// From and to: it is not remembered that they do not.
    pub forgets: Option<(f64, f64)>,
    /// The second process begins anew, and empty.
    pub reloaded: Option<f64>,
    /// It tells what it holds, and what expires.
    pub tells: bool,
}

impl Default for Shelf {
    fn default() -> Self {
        Self {
            seed: 1,
            seconds: 30,
            keys: 200,
            rate: |s| 500.0 * (s / 4.0).min(1.0),
            skew: 1.0,
            hot: 0.0,
            ttl: 6.0,
            jitter: 0.5,
            load_ms: 80.0,
            at_once: 12,
            together: None,
            emptied: None,
            changed: 0.0,
            capacity: None,
            absent: None,
            forgets: None,
            reloaded: None,
            tells: true,
        }
    }
}

const RATES: [&str; 9] = [
    "hits",
    "misses",
    "loads",
    "coalesced",
    "duplicate-loads",
    "evictions",
    "expired",
    "removed",
    "absent-loads",
];
const HITS: usize = 0;
const MISSES: usize = 1;
const LOADS: usize = 2;
const COALESCED: usize = 3;
const EVICTIONS: usize = 5;
const EXPIRED: usize = 6;
const REMOVED: usize = 7;
const ABSENT_LOADS: usize = 8;

struct Process {
    name: &'static str,
    lanes: Vec<LaneId>,
    absent_hits: LaneId,
    entries: LaneId,
    in_flight: LaneId,
    load: LaneId,
    counts: [f64; 9],
    absent: f64,
    /// Key to its end and its last use, seconds.
    held: HashMap<usize, (f64, f64)>,
    /// Key to begin and end of its load.
    loading: HashMap<usize, (f64, f64)>,
    /// When each of the places for loads is free again.
    places: Vec<f64>,
    took: Vec<f64>,
}

impl Shelf {
    pub fn build(&self) -> World {
        let seconds = self.seconds;
        let phases = vec![phase(0, 4, 0.0, 100.0, true), phase(4, seconds, 100.0, 100.0, false)];
        let mut w = World::empty(seconds, phases);
        let mut dice = Dice::new(self.seed);
        for name in ["shop-0", "shop-1"] {
            let mut p = Process::new(&mut w, name, self.at_once);
            let offset = dice.between(0.0, 90.0) as u64;
            for tick in 1..seconds * 10 {
                self.tick(&mut w, &mut p, tick * 100 + offset, &mut dice);
            }
        }
        w
    }

    fn tick(&self, w: &mut World, p: &mut Process, t_ms: u64, dice: &mut Dice) {
        let from = t_ms as f64 / 1e3 - 0.1;
        if let Some(at) = self.reloaded
            && p.name == "shop-1"
            && (from..from + 0.1).contains(&at)
        {
            p.held.clear();
        }
        let looks = (self.rate)(from) / 20.0;
        let mut t = from;
        loop {
            t += dice.exp(0.1 / looks.max(1e-9));
            if t >= from + 0.1 {
                break;
            }
            self.look_up(w, p, t, dice);
        }
        p.land(w, self, from + 0.1);
        self.keeper(p, from, dice);
        p.tell(w, self, t_ms);
    }

    fn draw(&self, t: f64, dice: &mut Dice) -> usize {
        if self.absent.is_some_and(|(from, share)| t >= from && dice.unit() < share) {
            return 10_000 + (dice.unit() * 100.0) as usize;
        }
        if dice.unit() < self.hot {
            return 0;
        }
        ((dice.unit().powf(self.skew)) * self.keys as f64) as usize
    }

    fn look_up(&self, w: &mut World, p: &mut Process, t: f64, dice: &mut Dice) {
        p.land(w, self, t);
        let key = self.draw(t, dice);
        let absent = key >= 10_000;
        match p.held.get_mut(&key) {
            Some((end, used)) if *end > t => {
                *used = t;
                p.counts[HITS] += 1.0;
                p.absent += f64::from(u8::from(absent));
                return;
            }
            Some(_) => {
                p.held.remove(&key);
                p.counts[EXPIRED] += 1.0;
            }
            None => {}
        }
        p.counts[MISSES] += 1.0;
        if p.loading.contains_key(&key) {
            p.counts[COALESCED] += 1.0;
            return;
        }
        p.counts[LOADS] += 1.0;
        p.counts[ABSENT_LOADS] += f64::from(u8::from(absent));
        let place = p.places.iter_mut().min_by(|a, b| a.total_cmp(b)).expect("there are places");
        let end = place.max(t) + self.load_ms / 1e3 * dice.between(0.9, 1.1);
        *place = end;
        p.loading.insert(key, (t, end));
    }

    /// When what is loaded at `t` ends.
    fn end(&self, key: usize, t: f64) -> f64 {
        if let Some((from, to, period)) = self.together
            && (from - period..to).contains(&t)
        {
            let next = ((t / period).floor() + 1.0) * period;
            return if next < from { from } else { next };
        }
        // A draw that the key and the instant make: no dice, so that both processes differ.
        let drawn = Dice::new((key as u64) << 20 | (t * 1e3) as u64).unit();
        t + self.ttl * (1.0 - self.jitter * drawn)
    }

    fn keeper(&self, p: &mut Process, from: f64, dice: &mut Dice) {
        let now = from + 0.1;
        if let Some((a, ..)) = self.together
            && from <= a
            && a < now
        {
            // What is there already ends with the others.
            p.held.values_mut().for_each(|e| e.0 = e.0.min(a));
        }
        if let Some((a, b, period)) = self.emptied
            && now >= a
            && now < b
            && (now / period).floor() > (from / period).floor()
        {
            p.counts[REMOVED] += p.held.len() as f64;
            p.held.clear();
        }
        if dice.unit() < self.changed / 20.0
            && let Some(&key) = p.held.keys().min()
        {
            p.held.remove(&key);
            p.counts[REMOVED] += 1.0;
        }
        // It tidies up once a second.
        if now.fract() < 0.1 {
            let before = p.held.len();
            p.held.retain(|_, e| e.0 > now);
            p.counts[EXPIRED] += (before - p.held.len()) as f64;
        }
        if let Some((_, most)) = self.capacity.filter(|c| now >= c.0) {
            while p.held.len() > most {
                let oldest = *p
                    .held
                    .iter()
                    .min_by(|a, b| a.1.1.total_cmp(&b.1.1).then(a.0.cmp(b.0)))
                    .expect("more than none")
                    .0;
                p.held.remove(&oldest);
                p.counts[EVICTIONS] += 1.0;
            }
        }
    }
}

impl Process {
    fn new(w: &mut World, name: &'static str, at_once: usize) -> Self {
        let rate = |w: &mut World, part: &str| {
            w.lane(LaneSpec::rate(format!("cache.products.{part}"), name, Unit::PerSecond))
        };
        let lanes = RATES.iter().map(|part| rate(w, part)).collect();
        let absent_hits = rate(w, "absent-hits");
        let level = |w: &mut World, part: &str| {
            w.lane(LaneSpec::level(format!("cache.products.{part}"), name, Unit::Count))
        };
        Self {
            name,
            lanes,
            absent_hits,
            entries: level(w, "entries"),
            in_flight: level(w, "loads-in-flight"),
            load: w.lane(LaneSpec::histogram("cache.products.load", name)),
            counts: [0.0; 9],
            absent: 0.0,
            held: HashMap::new(),
            loading: HashMap::new(),
            places: vec![0.0; at_once],
            took: Vec::new(),
        }
    }

    /// Loads that have ended by `t` are kept.
    fn land(&mut self, w: &mut World, shelf: &Shelf, t: f64) {
        let mut done: Vec<(usize, f64, f64)> =
            self.loading.iter().filter(|l| l.1.1 <= t).map(|(&k, &(a, b))| (k, a, b)).collect();
        done.sort_by_key(|d| d.0);
        for (key, begun, end) in done {
            self.loading.remove(&key);
            self.took.push((end - begun) * 1e6);
            let name = format!("product:{key}");
            let span = (ms((begun * 1e3) as u64), ms((end * 1e3) as u64));
            w.event(
                kinds::CACHE_REFRESH,
                self.name,
                span.0,
                span.1,
                &[("cache", "products"), ("key", &name)],
                1.0,
            );
            let forgotten = shelf.forgets.is_some_and(|(a, b)| end >= a && end < b);
            if key < 10_000 || !forgotten {
                self.held.insert(key, (shelf.end(key, end), end));
            }
        }
    }

    fn tell(&mut self, w: &mut World, shelf: &Shelf, t_ms: u64) {
        let at = ms(t_ms);
        for (i, count) in std::mem::take(&mut self.counts).into_iter().enumerate() {
            if shelf.tells || (i != EXPIRED && i != EVICTIONS) {
                w.sample(self.lanes[i], at, count * 10.0);
            }
        }
        w.sample(self.absent_hits, at, std::mem::take(&mut self.absent) * 10.0);
        if shelf.tells {
            w.sample(self.entries, at, self.held.len() as f64);
        }
        w.sample(self.in_flight, at, self.loading.len() as f64);
        let from = ms(t_ms - 100);
        let took = std::mem::take(&mut self.took);
        w.histogram(self.load, from, from + Duration::from_millis(100), &took);
    }
}
