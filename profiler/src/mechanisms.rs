//! Mechanisms: what can cause what, and why.
//!
//! Owns the table. Whether a mechanism was at work in a run is decided in [`crate::causes`], by time and by share.

use timeline::FindingKind;
use timeline::FindingKind::*;
use timeline::event::kinds;

use crate::detectors::{long_pause, slow_query};

/// One mechanism: what can cause what, and why.
#[derive(Debug, Clone, Copy)]
pub struct Mechanism {
    /// What comes first.
    pub cause: FindingKind,
    /// What follows from it.
    pub effect: FindingKind,
    /// Why, as the second half of a sentence.
    pub reason: &'static str,
    /// Only where the effect is of one of these sorts ([`crate::detectors::Claim::sort`]); empty for any.
    pub effect_sorts: &'static [&'static str],
    /// Not where the cause is of this sort; empty for none.
    pub except_sort: &'static str,
    /// The effect comes and goes with the cause, so overlap in time is demanded.
    pub together: bool,
    /// Only where both are about the same: one pool, one cache, one service.
    pub of_one: bool,
}

/// The effect comes and goes with the cause.
const fn together(cause: FindingKind, effect: FindingKind, reason: &'static str) -> Mechanism {
    Mechanism { cause, effect, reason, effect_sorts: &[], except_sort: "", together: true, of_one: false }
}

/// The effect gathers, and outlasts the cause.
const fn lasting(cause: FindingKind, effect: FindingKind, reason: &'static str) -> Mechanism {
    Mechanism { together: false, ..together(cause, effect, reason) }
}

impl Mechanism {
    /// Only where the effect is of one of these sorts.
    const fn of_sorts(self, sorts: &'static [&'static str]) -> Self {
        Self { effect_sorts: sorts, ..self }
    }

    /// Not where the cause is of this sort.
    const fn except_by(self, sort: &'static str) -> Self {
        Self { except_sort: sort, ..self }
    }

    /// Only where both are about the same pool, cache or service.
    const fn of_one(self) -> Self {
        Self { of_one: true, ..self }
    }

    /// Can a finding of sort `cause` set off one of sort `effect` in this way? A process that only cannot be asked goes on working.
    #[must_use]
    pub fn holds_for(&self, cause: &str, effect: &str) -> bool {
        cause != long_pause::UNASKED
            && (self.effect_sorts.is_empty() || self.effect_sorts.contains(&effect))
            && (self.except_sort.is_empty() || self.except_sort != cause)
    }
}

/// What can cause what.
pub const MECHANISMS: &[Mechanism] = &[
    together(CacheStampede, PoolSaturated, "the loads of one key take the connections"),
    together(
        LongPause,
        PoolSaturated,
        "connections stay checked out while the process stands still, and the requests that piled up ask for them at once",
    ),
    lasting(HeapLeak, LongPause, "the collector walks an ever larger old generation")
        .of_sorts(&[kinds::PAUSE_MAJOR]),
    lasting(PoolSaturated, HeapLeak, "requests that wait for a connection hold their memory"),
    // Pools and database.
    together(PoolLeak, PoolSaturated, "the connections that were lost are missing to those who wait")
        .of_one(),
    together(SlowQuery, PoolSaturated, "each connection is held for as long as the scan takes"),
    together(
        QueryFanOut,
        PoolSaturated,
        "each request holds its connection for all its round trips in a row",
    ),
    together(ConnectionChurn, PoolSaturated, "each use waits until its connection is opened").of_one(),
    together(
        ConnectionChurn,
        SlowQuery,
        "a new connection knows no plan and no table, and learns both within its first statement",
    )
    .of_sorts(&[slow_query::BY_TIME]),
    together(SlowQuery, CpuSaturated, "reading whole tables takes the cores"),
    together(SlowQuery, LongPause, "reading whole tables takes the cores from the process itself")
        .of_sorts(&[kinds::PAUSE_HICCUP]),
    together(ConnectionChurn, CpuSaturated, "opening connections takes the cores"),
    together(QueryFanOut, CpuSaturated, "each row costs a statement of its own"),
    // Caches: what makes many keys be loaded, and what the loads then crowd.
    together(
        CacheAvalanche,
        PoolSaturated,
        "the keys that expired together are loaded at once and take the connections",
    ),
    together(CacheCold, PoolSaturated, "what was removed is loaded anew and takes the connections"),
    together(CachePenetration, PoolSaturated, "each request for what does not exist takes a connection"),
    together(CacheThrash, PoolSaturated, "what was evicted is loaded again and takes the connections"),
    together(
        CacheAvalanche,
        CacheStampede,
        "popular keys are among those that expired, and all who want one load it",
    )
    .of_one(),
    together(
        CacheCold,
        CacheStampede,
        "popular keys are among those that were removed, and all who want one load it",
    )
    .of_one(),
    together(CacheThrash, CacheStampede, "popular keys are evicted too, and all who want one load it")
        .of_one(),
    together(CacheThrash, CacheCold, "a cache that gets less room removes at once what no longer fits")
        .of_one(),
    lasting(
        CacheCold,
        CacheAvalanche,
        "what is loaded at once after an emptying expires at once a time to live later",
    )
    .of_one(),
    // Services: what is called, and who waits for it.
    together(
        RetryStorm,
        DownstreamCascade,
        "calls that are made again fill the service, and who waits for it waits longer",
    )
    .of_one(),
    together(
        RetryStorm,
        PoolSaturated,
        "requests that ask the service again and again hold their connections meanwhile",
    ),
    together(
        DownstreamCascade,
        PoolSaturated,
        "requests hold their connections while they wait for the service",
    ),
    // Loop, offload, memory and CPU.
    together(LoopBlocked, LongPause, "what blocks the loop is what keeps its workers from coming back")
        .of_sorts(&[kinds::PAUSE_WORKER_STALL]),
    together(
        LoopStarved,
        LongPause,
        "the loop comes back only when the task that starves it lets it, and it leaves no core to others",
    ),
    // A collection stands for itself: it only takes longer where it waits for a core.
    together(CpuSaturated, LongPause, "threads that wait for a core do not come back either")
        .of_sorts(&[kinds::PAUSE_HICCUP, kinds::PAUSE_WORKER_STALL]),
    together(
        LoopBlocked,
        LoopStarved,
        "work done in one go, one request after the other, leaves no time for input",
    ),
    together(LoopBlocked, PoolSaturated, "connections stay checked out while the loop does not turn"),
    together(LoopStarved, PoolSaturated, "connections stay checked out until the loop looks for input"),
    together(CpuSaturated, PoolSaturated, "connections stay checked out while requests wait for a core"),
    together(LoopBlocked, CpuSaturated, "the work done in one go takes the core"),
    together(LoopBlocked, HeapChurn, "what is done in one go builds large objects for it"),
    together(LoopBlocked, HeapBloat, "what is done in one go is in memory as a whole"),
    together(
        HeapBloat,
        LongPause,
        "the collector walks and moves what is held while the target stands still",
    )
    .of_sorts(&[kinds::PAUSE_MAJOR]),
    together(
        HeapChurn,
        LoopStarved,
        "allocating, touching and collecting what each request drops leaves no time for input",
    ),
    together(HeapBloat, LoopStarved, "taking apart what was read as a whole leaves no time for input"),
    together(LoopBlocked, OffloadSaturated, "tasks are handed over in bursts after each stall"),
    together(CpuSaturated, OffloadSaturated, "tasks last for longer while they wait for a core"),
    together(
        OffloadSaturated,
        PoolSaturated,
        "requests that wait for a thread hold connections, and ask for them at once when threads are free",
    ),
    together(
        HeapFragmented,
        LoopBlocked,
        "the many small allocations that leave holes are made and dropped in one go",
    ),
    together(
        HeapFragmented,
        HeapBloat,
        "the many small allocations that leave holes live together while a request lasts",
    ),
    together(
        HeapFragmented,
        HeapChurn,
        "the many small allocations that leave holes are dropped after the request",
    ),
    lasting(
        HeapFragmented,
        HeapLeak,
        "the few pieces that keep the pages from being given back are kept, and they are what grows",
    ),
    together(HeapChurn, LongPause, "the collector is called as often as what is dropped fills its room")
        .of_sorts(&[kinds::PAUSE_MINOR]),
    together(HeapChurn, CpuSaturated, "allocating, touching and dropping memory takes the CPU"),
    // A collector that stands still over what requests hold copies nothing that stays.
    together(LongPause, HeapBloat, "what lives is copied while the target stands still")
        .except_by(kinds::PAUSE_MAJOR),
    // Processes and network: what follows from a lost, a favoured or a full process, and what keeps one from accepting.
    lasting(
        WorkerLost,
        UnevenWorkers,
        "the clients of the lost process connect again to those that are there",
    ),
    together(WorkerLost, LongPause, "a process that has ended says nothing until its successor speaks")
        .of_sorts(&[kinds::PAUSE_HICCUP, kinds::PAUSE_WORKER_STALL, long_pause::UNASKED]),
    together(WorkerLost, CacheCold, "its successor begins with an empty cache"),
    together(
        WorkerLost,
        PoolSaturated,
        "its siblings take its requests, and its successor opens its connections anew",
    ),
    together(WorkerLost, AcceptOverflow, "nobody accepts from its queue until its successor is there"),
    together(UnevenWorkers, PoolSaturated, "one process's pool serves what the pools of all should"),
    together(UnevenWorkers, CpuSaturated, "one process does the work of all, on its one core"),
    together(UnevenWorkers, AcceptOverflow, "one process accepts the connections of all"),
    lasting(SlowConsumer, HeapLeak, "what waits for clients that do not read is kept in memory"),
    lasting(SlowConsumer, HeapBloat, "what waits for clients that do not read is kept in memory"),
    lasting(FdExhausted, AcceptOverflow, "no connection is accepted without a descriptor"),
    together(FdExhausted, LongPause, "without a descriptor it takes no connection of whoever asks how it is")
        .of_sorts(&[long_pause::UNASKED]),
    together(LongPause, AcceptOverflow, "nobody accepts while the process stands still"),
    together(LoopBlocked, AcceptOverflow, "nobody accepts while the loop does not turn"),
    together(LoopStarved, AcceptOverflow, "the loop does not come to accept"),
    together(CpuSaturated, AcceptOverflow, "the process does not come to accept"),
    lasting(LoopBlocked, SlowConsumer, "the loop does not come to send"),
    lasting(CpuSaturated, SlowConsumer, "the process does not come to send"),
    // Seen from the client alone: what clients feel hangs under whatever else is known.
    together(AcceptOverflow, ThroughputKnee, "connections wait to be accepted before anything is asked"),
    together(AcceptOverflow, ConnectionsRefused, "attempts that are lost often enough are given up"),
    together(AcceptOverflow, LongTail, "a lost attempt is repeated after a second, then after two more"),
    lasting(FdExhausted, ConnectionsRefused, "no connection is accepted without a descriptor"),
    together(WorkerLost, ConnectionsRefused, "connections of a process break when it ends"),
    lasting(WorkerLost, PeriodicStalls, "each time it ends, its clients must connect again"),
    lasting(LongPause, PeriodicStalls, "nothing is answered while the process stands still"),
    together(LongPause, LongTail, "requests that meet a pause wait for its end"),
    together(CpuSaturated, ThroughputKnee, "there is no CPU time for more"),
    together(ThroughputKnee, LongTail, "what is asked beyond the knee waits"),
    lasting(ThroughputKnee, ConnectionsRefused, "queues that only grow end in refusals"),
    together(PeriodicStalls, LongTail, "requests that meet a stall wait for its end"),
    together(SlowStart, LongTail, "the first requests are slow"),
];

#[cfg(test)]
mod tests {
    use super::MECHANISMS;

    #[test]
    fn no_mechanism_is_listed_twice_and_none_causes_itself() {
        for (i, m) in MECHANISMS.iter().enumerate() {
            assert_ne!(m.cause, m.effect);
            assert!(MECHANISMS[i + 1..].iter().all(|n| (n.cause, n.effect) != (m.cause, m.effect)));
        }
    }
}
