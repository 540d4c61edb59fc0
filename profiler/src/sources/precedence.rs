//! Precedence: what several sources count of the same thing is told by one of them, because instances add up.
//!
//! Owns which lanes speak of the same thing, and who goes before whom. Whether a source tells of a thing shows only once it does (the
//! inspector knows statements of `pg` alone): from then on the others are silent about it, and each says so. Heap and pauses are
//! `agreement`'s: there the others are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use timeline::histogram::Sparse;
use timeline::lane::names;
use timeline::{LaneId, LaneSpec, MonoNs};

use super::{Sink, SourceEvent, locked};

/// From where a source sees what it tells; the first goes before the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// From the target's process itself: an agent, an inspector, the system's figures of it.
    Inside,
    /// From a store's server, which counts whoever asks it.
    Server,
    /// From what somebody else has counted and shows or sends.
    Page,
}

impl Rank {
    const fn words(self) -> &'static str {
        match self {
            Self::Inside => "who sees the process itself",
            Self::Server => "the server itself",
            Self::Page => "another page",
        }
    }
}

/// Who tells of what. Clones share it.
#[derive(Clone, Default)]
pub struct Precedence(Arc<Mutex<BTreeMap<String, Rank>>>);

impl Precedence {
    /// Lets through to `sink` what nobody tells who goes before `rank`.
    #[must_use]
    pub fn of(&self, rank: Rank, sink: Box<dyn Sink>) -> Box<dyn Sink> {
        let (precedence, lanes, said) = (self.clone(), BTreeMap::new(), BTreeSet::new());
        Box::new(Ranked { precedence, rank, lanes, said, sink })
    }

    /// One of `rank` tells of `thing`. Gives the first who does.
    fn tells(&self, thing: &str, rank: Rank) -> Rank {
        let mut all = locked(&self.0);
        let first = all.entry(thing.to_owned()).or_insert(rank);
        *first = rank.min(*first);
        *first
    }
}

/// What a lane speaks of, where others may speak of it, too.
fn thing(lane: &str, rank: Rank) -> Option<String> {
    match lane {
        names::SERVER_REQUESTS | names::SERVER_HANDLER => return Some("requests".to_owned()),
        names::DB_CALLS | names::DB_ROWS | names::DB_TIME => return Some("statements".to_owned()),
        _ => {}
    }
    let of_cache = lane.strip_prefix("cache.");
    if let Some((cache, "hits" | "misses")) = of_cache.and_then(|rest| rest.rsplit_once('.')) {
        return Some(format!("look-ups in cache {cache}"));
    }
    // What a process does with a store beyond that (it removes keys, it publishes) is not what the server counts of itself.
    let alone = rank == Rank::Inside && ["cache.", "db.", "broker."].iter().any(|f| lane.starts_with(f));
    let shared = ["cache.", "db.", "broker.", "process.", names::SERVER_IN_FLIGHT];
    (!alone && shared.iter().any(|f| lane.starts_with(f))).then(|| lane.to_owned())
}

/// Hands on what its source is the first to tell.
struct Ranked {
    precedence: Precedence,
    rank: Rank,
    /// Of what those of its lanes speak that others may have, too.
    lanes: BTreeMap<LaneId, (String, String)>,
    said: BTreeSet<String>,
    sink: Box<dyn Sink>,
}

impl Ranked {
    fn may_tell(&mut self, thing: &str, instance: &str) -> bool {
        let first = self.precedence.tells(thing, self.rank);
        if first < self.rank && self.said.insert(thing.to_owned()) {
            let line = format!("{instance}: {thing} left out: {} tells them", first.words());
            self.sink.note(instance, &line);
        }
        first >= self.rank
    }

    fn passes(&mut self, lane: LaneId) -> bool {
        let Some((thing, instance)) = self.lanes.get(&lane).cloned() else { return true };
        self.may_tell(&thing, &instance)
    }
}

impl Sink for Ranked {
    fn declare(&mut self, spec: LaneSpec) -> Option<LaneId> {
        let Some(thing) = thing(&spec.name, self.rank) else { return self.sink.declare(spec) };
        let instance = spec.instance.clone();
        if !self.may_tell(&thing, &instance) {
            return None;
        }
        let id = self.sink.declare(spec)?;
        self.lanes.insert(id, (thing, instance));
        Some(id)
    }

    fn sample(&mut self, lane: LaneId, at: MonoNs, value: f64) {
        if self.passes(lane) {
            self.sink.sample(lane, at, value);
        }
    }

    fn histogram(&mut self, lane: LaneId, from: MonoNs, to: MonoNs, cells: Sparse) {
        if self.passes(lane) {
            self.sink.histogram(lane, from, to, cells);
        }
    }

    fn event(&mut self, event: SourceEvent) {
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
    use timeline::Unit;

    use super::*;

    /// Keeps what comes through: `lane of instance`, a sample each; and notes.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<(Vec<LaneSpec>, Vec<String>)>>);

    impl Sink for Kept {
        fn declare(&mut self, spec: LaneSpec) -> Option<LaneId> {
            let lanes = &mut locked(&self.0).0;
            lanes.push(spec);
            Some(LaneId(lanes.len() as u32 - 1))
        }
        fn sample(&mut self, lane: LaneId, _: MonoNs, _: f64) {
            let mut kept = locked(&self.0);
            let spec = &kept.0[lane.0 as usize];
            let line = format!("{} of {}", spec.name, spec.instance);
            kept.1.push(line);
        }
        fn histogram(&mut self, lane: LaneId, _: MonoNs, to: MonoNs, _: Sparse) {
            self.sample(lane, to, 0.0);
        }
        fn event(&mut self, _: SourceEvent) {}
        fn note(&mut self, _: &str, text: &str) {
            locked(&self.0).1.push(text.to_owned());
        }
    }

    impl Kept {
        fn taken(&self) -> Vec<String> {
            std::mem::take(&mut locked(&self.0).1)
        }
    }

    fn tell(sink: &mut dyn Sink, lane: &str, instance: &str) {
        if let Some(id) = sink.declare(LaneSpec::rate(lane, instance, Unit::PerSecond)) {
            sink.sample(id, MonoNs(1), 1.0);
        }
    }

    fn all(kept: &Kept) -> [Box<dyn Sink>; 3] {
        let precedence = Precedence::default();
        [Rank::Inside, Rank::Server, Rank::Page].map(|rank| precedence.of(rank, Box::new(kept.clone())))
    }

    #[test]
    fn requests_statements_and_look_ups_are_counted_once() {
        for lanes in [
            &[names::SERVER_REQUESTS, names::SERVER_HANDLER][..],
            &[names::DB_CALLS, names::DB_ROWS, names::DB_TIME],
            &["cache.redis.hits", "cache.redis.misses"],
        ] {
            let kept = Kept::default();
            let [mut inside, mut server, mut page] = all(&kept);
            // Who is the only one tells, whoever it is.
            let early = server.declare(LaneSpec::rate(lanes[0], "redis-6379", Unit::PerSecond)).unwrap();
            server.sample(early, MonoNs(1), 1.0);
            tell(&mut *page, lanes[1], "metrics-9100");
            assert_eq!(kept.taken()[0], format!("{} of redis-6379", lanes[0]));
            for lane in lanes {
                tell(&mut *inside, lane, "pid-7");
            }
            assert_eq!(kept.taken(), lanes.iter().map(|l| format!("{l} of pid-7")).collect::<Vec<_>>());
            server.sample(early, MonoNs(2), 1.0);
            for lane in lanes {
                tell(&mut *server, lane, "redis-6379");
                tell(&mut *page, lane, "metrics-9100");
            }
            let told = kept.taken();
            assert!(
                told.len() == 1 && told[0].contains("who sees the process itself tells them"),
                "{told:?}"
            );
        }
    }

    #[test]
    fn what_only_the_server_counts_of_itself_is_no_double() {
        let kept = Kept::default();
        let [mut inside, mut server, mut page] = all(&kept);
        for sink in [&mut inside, &mut server, &mut page] {
            tell(&mut **sink, "cache.redis.evictions", "x");
            tell(&mut **sink, "pool.db.opened", "x");
        }
        let told = kept.taken();
        let of = |lane: &str| told.iter().filter(|l| l.starts_with(lane)).count();
        assert_eq!((of("cache.redis.evictions of"), of("pool.db.opened of")), (2, 3), "{told:?}");
        assert!(told.iter().any(|l| l == "x: cache.redis.evictions left out: the server itself tells them"));
    }

    #[test]
    fn two_of_a_kind_add_up() {
        let (kept, precedence) = (Kept::default(), Precedence::default());
        for instance in ["metrics-1", "metrics-2"] {
            tell(&mut *precedence.of(Rank::Page, Box::new(kept.clone())), names::SERVER_REQUESTS, instance);
        }
        assert_eq!(kept.taken().len(), 2);
    }
}
