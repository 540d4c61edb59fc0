//! Breakdown: where the response time of requests goes, before a finding began and since.
//!
//! Owns the shape. The profiler computes it from lanes; reports only show it.

use serde::{Deserialize, Serialize};

use crate::clock::Span;
use crate::lane::names;
use crate::units::Unit;

/// Mean times of a request, split, over two stretches of the same load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Breakdown {
    /// The finding that divides before from after: `F1`.
    pub finding: String,
    /// Settled load before it.
    pub before: Span,
    /// The time in which it was seen.
    pub after: Span,
    /// Requests that ended in `before`, as the client counts them.
    pub requests_before: u64,
    /// Requests that ended in `after`.
    pub requests_after: u64,
    /// Requests that handlers finished in `before`, as the target counts them; 0 where it tells of none. Where they are far from the client's,
    /// parts inside of handlers are means over the larger count.
    #[serde(default)]
    pub handled_before: u64,
    /// Requests that handlers finished in `after`.
    #[serde(default)]
    pub handled_after: u64,
    /// Mean response time before, ns.
    pub response_before: f64,
    /// Mean response time after, ns.
    pub response_after: f64,
    /// Mean service time before, ns.
    pub service_before: f64,
    /// Mean service time after, ns.
    pub service_after: f64,
    /// Parts that exclude one another and add up to the response time, in the order in which a request meets them.
    pub parts: Vec<Part>,
    /// Times that lie inside of those parts: cache loads, loop delay, pauses.
    pub inside: Vec<Part>,
    /// Little's law for whatever shows both sides of it: do the lanes agree with one another?
    pub laws: Vec<Law>,
    /// Signals without which a part cannot be told.
    pub missing: Vec<String>,
}

impl Breakdown {
    /// Response time added to a request, ns; negative where it fell.
    #[must_use]
    pub fn added(&self) -> f64 {
        self.response_after - self.response_before
    }

    /// Service time added to a request, ns: without the time in which it was due and not sent, because its session waited for the
    /// answer before. Where a generator keeps up, that wait only repeats what the target added.
    #[must_use]
    pub fn added_service(&self) -> f64 {
        self.service_after - self.service_before
    }

    /// Was the target's time not set beside the client's, because handlers finished other requests than clients count?
    #[must_use]
    pub fn counts_differ(&self) -> bool {
        // Without the split, all of the service time is one part.
        self.handled_before.min(self.handled_after) > 0 && self.parts.iter().any(|p| p.lane == names::SERVICE)
    }

    /// What the finding's own parts added, as a share of the service time added, 0 to 1; none where it has no part of its
    /// own or nothing was added.
    #[must_use]
    pub fn explained(&self) -> Option<f64> {
        let own = self.parts.iter().chain(&self.inside).filter(|p| p.own);
        let sum = own.map(Part::added).reduce(|a, b| a + b)?;
        let added = self.added_service();
        (added > 0.0).then(|| (sum / added).clamp(0.0, 1.0))
    }
}

/// One part of the response time: mean ns of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What it is, as people call it: `waiting for a connection of a pool`.
    pub what: String,
    /// Lanes that it was read from.
    pub lane: String,
    /// Before the onset, ns.
    pub before: f64,
    /// Since, ns.
    pub after: f64,
    /// It is what the finding is about.
    pub own: bool,
    /// Concluded from other figures instead of measured.
    pub inferred: bool,
}

impl Part {
    /// What was added, ns; negative where it fell.
    #[must_use]
    pub fn added(&self) -> f64 {
        self.after - self.before
    }
}

/// A law that two independent readings must agree by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Law {
    /// What is checked, in words, figures included.
    pub text: String,
    /// The lane that was counted.
    pub lane: String,
    /// Over which stretch.
    pub span: Span,
    /// What the law says.
    pub expected: f64,
    /// What was seen.
    pub seen: f64,
    /// Unit of both.
    pub unit: Unit,
    /// They agree within their error.
    pub closes: bool,
}
