//! Age: how old the newest sample is that a source has delivered of one thing it reads.
//!
//! Owns the lane `source.age`. What counts as delivered is the source's to say.

use timeline::lane::names;
use timeline::{LaneId, LaneSpec, MonoNs, Unit};

use super::Sink;

/// The lane of one thing that is read.
pub(super) struct Age(Option<LaneId>);

impl Age {
    /// Of what `source` reads of `instance`.
    pub fn declare(source: &str, instance: &str, sink: &mut dyn Sink) -> Self {
        Self(sink.declare(LaneSpec::level(names::SOURCE_AGE, source, Unit::Ns).about(instance).worst()))
    }

    /// The newest sample is of `newest`; before the first one: when it was attached.
    pub fn tell(&self, newest: MonoNs, now: MonoNs, sink: &mut dyn Sink) {
        if let Some(lane) = self.0 {
            sink.sample(lane, now, now.since(newest).as_nanos() as f64);
        }
    }
}
