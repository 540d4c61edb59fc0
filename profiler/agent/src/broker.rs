//! A broker's topic: what is published to it, what waits, who consumes, and how old it is by then.
//!
//! Owns the meter that producers and consumers call, and its lanes `broker.NAME.*`. A process that only publishes knows
//! neither depth nor consumers; what nobody has said is not shown. It carries nothing itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use timeline::lane::{LaneSpec, names};
use timeline::units::Unit;

use crate::draft::{Collect, Counter, Draft, LaneNo};
use crate::registry::Registry;
use crate::tally::Tally;

/// What a topic's meter remembers.
#[derive(Debug)]
pub(crate) struct BrokerState {
    published: Counter,
    refused: Counter,
    consumed: Counter,
    /// Negative while nobody has said.
    depth: AtomicI64,
    /// The same.
    consumers: AtomicI64,
    age: Tally,
}

impl Default for BrokerState {
    fn default() -> Self {
        Self {
            published: Counter::default(),
            refused: Counter::default(),
            consumed: Counter::default(),
            depth: AtomicI64::new(-1),
            consumers: AtomicI64::new(-1),
            age: Tally::default(),
        }
    }
}

/// A topic's meter; clones speak of the same topic.
#[derive(Debug, Clone)]
pub struct BrokerMeter {
    state: Arc<BrokerState>,
}

impl BrokerMeter {
    pub(crate) const fn new(state: Arc<BrokerState>) -> Self {
        Self { state }
    }

    /// The broker has taken this many messages.
    pub fn published(&self, messages: u64) {
        self.state.published.add(messages);
    }

    /// The broker has not taken this many messages: it was full, or away.
    pub fn refused(&self, messages: u64) {
        self.state.refused.add(messages);
    }

    /// This many messages wait for a consumer now.
    pub fn set_depth(&self, messages: u64) {
        self.state.depth.store(i64::try_from(messages).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// There are this many consumers now.
    pub fn set_consumers(&self, consumers: u64) {
        self.state.consumers.store(i64::try_from(consumers).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// A consumer begins with a message that was published `age` ago.
    pub fn consumed(&self, age: Duration) {
        self.state.consumed.add(1);
        self.state.age.record_ns(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX));
    }
}

struct BrokerLanes {
    state: Arc<BrokerState>,
    depth: LaneNo,
    consumers: LaneNo,
    age: LaneNo,
    published: LaneNo,
    refused: LaneNo,
    consumed: LaneNo,
}

/// The lanes of all topics.
pub(crate) struct Brokers {
    registry: Arc<Registry<BrokerState>>,
    known: Vec<BrokerLanes>,
}

impl Brokers {
    pub(crate) const fn new(registry: Arc<Registry<BrokerState>>) -> Self {
        Self { registry, known: Vec::new() }
    }

    fn declare(name: &str, state: Arc<BrokerState>, draft: &mut Draft<'_>) -> BrokerLanes {
        let of = |part| names::of(names::BROKER, name, part);
        let lanes = &mut draft.lanes;
        let mut level = |part| lanes.declare(LaneSpec::level(of(part), "", Unit::Count));
        let (depth, consumers) = (level("depth"), level("consumers"));
        let age = lanes.declare(LaneSpec::histogram(of("age"), ""));
        let mut rate = |part| lanes.declare(LaneSpec::rate(of(part), "", Unit::PerSecond));
        let (published, refused, consumed) = (rate("published"), rate("refused"), rate("consumed"));
        BrokerLanes { state, depth, consumers, age, published, refused, consumed }
    }
}

impl Collect for Brokers {
    fn collect(&mut self, draft: &mut Draft<'_>) {
        for (name, state) in self.registry.after(self.known.len()) {
            self.known.push(Self::declare(&name, state, draft));
        }
        for topic in &self.known {
            let state = &topic.state;
            for (lane, level) in [(topic.depth, &state.depth), (topic.consumers, &state.consumers)] {
                let said = level.load(Ordering::Relaxed);
                if said >= 0 {
                    draft.level(lane, said as f64);
                }
            }
            draft.histogram(topic.age, &state.age);
            draft.count(topic.published, &state.published);
            draft.count(topic.refused, &state.refused);
            draft.count(topic.consumed, &state.consumed);
        }
    }
}
