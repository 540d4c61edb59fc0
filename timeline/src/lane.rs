//! Lanes: numeric series on the shared axis, one vocabulary for every runtime.
//!
//! Owns what a lane declares about itself ([`LaneSpec`]) and the canonical names. The values live in
//! the [`Timeline`](crate::Timeline). A source that lacks a signal declares no lane: *no data* is not zero.

use serde::{Deserialize, Serialize};

use crate::units::Unit;

/// A lane's number inside one timeline; given by the recorder in order of declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LaneId(pub u32);

/// Greatest value of a sample or an event, either way: no unit needs as much, and what is summed over all lanes and instants of a run, or
/// multiplied with another, stays finite.
pub const GREATEST: f64 = 1e100;

/// Can a sample or an event have this value? Neither what is no number nor what lies beyond [`GREATEST`].
#[must_use]
pub fn is_value(value: f64) -> bool {
    value.abs() <= GREATEST
}

/// How the values of a lane are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// The state at the instant of the sample.
    Level,
    /// Mean rate since the previous sample, per second.
    Rate,
    /// One histogram an interval, in microseconds; never a single number.
    Histogram,
}

/// How the same lane of several instances becomes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Combine {
    /// Instances add up (connections, bytes).
    Sum,
    /// The worst instance speaks for all (delays, limits).
    Max,
    /// Histograms merge.
    Merge,
}

/// How far the numbers can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// Counted.
    Exact,
    /// Estimated from a sample, with a known error.
    Sampled,
    /// Concluded from something else.
    Inferred,
}

/// What a lane declares about itself, once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LaneSpec {
    /// Canonical name from [`names`] or of its form: `heap.old.used`, `pool.db.waiters`.
    pub name: String,
    /// What the series is about where one name has several: a step, a route. Empty otherwise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Which process it comes from: `gen-0`, `shop-1`; `host` for the machine.
    pub instance: String,
    /// Unit of the values; histograms always hold microseconds and say [`Unit::Ns`] for display.
    pub unit: Unit,
    /// Level, rate or histogram.
    pub shape: Shape,
    /// How instances add up.
    pub combine: Combine,
    /// Exact, sampled or inferred.
    pub quality: Quality,
}

impl LaneSpec {
    /// A level that adds up over instances, exactly known.
    #[must_use]
    pub fn level(name: impl Into<String>, instance: impl Into<String>, unit: Unit) -> Self {
        Self {
            name: name.into(),
            subject: String::new(),
            instance: instance.into(),
            unit,
            shape: Shape::Level,
            combine: Combine::Sum,
            quality: Quality::Exact,
        }
    }

    /// A rate per second that adds up over instances, exactly known.
    #[must_use]
    pub fn rate(name: impl Into<String>, instance: impl Into<String>, unit: Unit) -> Self {
        Self { shape: Shape::Rate, ..Self::level(name, instance, unit) }
    }

    /// A histogram of durations that merges over instances, exactly known.
    #[must_use]
    pub fn histogram(name: impl Into<String>, instance: impl Into<String>) -> Self {
        Self { shape: Shape::Histogram, combine: Combine::Merge, ..Self::level(name, instance, Unit::Ns) }
    }

    /// The same lane, about `subject`.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// The same lane, of this quality.
    #[must_use]
    pub fn quality(mut self, quality: Quality) -> Self {
        self.quality = quality;
        self
    }

    /// The same lane, the worst instance speaking for all.
    #[must_use]
    pub fn worst(mut self) -> Self {
        self.combine = Combine::Max;
        self
    }

    /// For `pool.db.waiters` with family `pool`: the name `db`. None for other families.
    #[must_use]
    pub fn member<'a>(&'a self, family: &str) -> Option<&'a str> {
        self.name.strip_prefix(family)?.strip_prefix('.')?.rsplit_once('.').map(|(m, _)| m)
    }
}

/// Is `instance` a process of the generator: `gen-` and its number? Whatever else begins like that is the target's: `gen-api`, `general-api`.
#[must_use]
pub fn is_generator(instance: &str) -> bool {
    let number = instance.strip_prefix("gen-").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

/// The subject of [`names::ERRORS`] for steps that fail by this status: `status 503`.
#[must_use]
pub fn status_error(status: u16) -> String {
    format!("{STATUS_KIND} {status}")
}

/// The status in such a subject; none in that of another kind of error.
#[must_use]
pub fn error_status(subject: &str) -> Option<u16> {
    subject.strip_prefix(STATUS_KIND)?.strip_prefix(' ')?.parse().ok()
}

/// The kind of error that statuses are.
pub const STATUS_KIND: &str = "status";

/// Canonical names. `NAME` in a family's lane (pool, cache) is chosen by the target: see [`names::of`].
pub mod names {
    /// Planned starts of the schedule per second (rate; per worker).
    pub const OFFERED: &str = "client.offered";
    /// Starts that happened per second.
    pub const ACHIEVED: &str = "client.achieved";
    /// Steps finished per second, errors among them.
    pub const COMPLETED: &str = "client.completed";
    /// Steps that failed per second; subject: kind of error, those of a status in lanes of their own ([`status_error`](super::status_error)).
    pub const ERRORS: &str = "client.errors";
    /// Steps that failed per second; subject: step.
    pub const STEP_ERRORS: &str = "client.step-errors";
    /// Steps that failed before any contact with the target, so that they are in no histogram, per second; subject: step.
    pub const STEP_UNTIMED: &str = "client.step-untimed";
    /// Starts later than 10 ms, per second.
    pub const LATE: &str = "client.late";
    /// Sessions open now.
    pub const OPEN_SESSIONS: &str = "client.open-sessions";
    /// The same by kind; subject: kind of session.
    pub const SESSIONS_BY_KIND: &str = "client.sessions-by-kind";
    /// Sessions started per second; subject: kind of session.
    pub const SESSIONS_STARTED: &str = "client.sessions-started";
    /// Most sessions that were open at once since the sample before: between two looks one may begin and end.
    pub const MOST_SESSIONS: &str = "client.most-sessions";
    /// Connections open now.
    pub const OPEN_CONNECTIONS: &str = "client.open-connections";
    /// Response time (finished - intended), histogram; subject: step.
    pub const RESPONSE: &str = "client.response";
    /// Service time (finished - started), histogram; subject: step.
    pub const SERVICE: &str = "client.service";
    /// Until an answer's first byte, as goose times it, histogram; subject: step. Never a service time.
    pub const FIRST_BYTE: &str = "client.first-byte";
    /// Exchanges that a coded journey timed itself, histogram; subject: step.
    pub const EXCHANGE: &str = "client.exchange";
    /// Started - intended, histogram.
    pub const LATENESS: &str = "client.lateness";
    /// Planned starts that never happened, per second.
    pub const DROPPED: &str = "client.dropped";
    /// Requests per second that were sent again, since the target had reset, refused or dropped them unanswered. They are no errors.
    pub const RETRIED: &str = "client.retried";
    /// Bytes received per second.
    pub const RECEIVED: &str = "client.received";
    /// Bytes sent per second.
    pub const SENT: &str = "client.sent";
    /// WebSocket messages and events of event streams pushed by the server, per second.
    pub const PUSHED: &str = "client.pushed";
    /// Payload bytes of what is pushed, per second.
    pub const PUSHED_BYTES: &str = "client.pushed-bytes";
    /// Age of pushed messages and events that carry a timestamp (read - stamped), histogram.
    pub const PUSH_AGE: &str = "client.push-age";
    /// Pushed messages and events whose timestamp could not be used, per second.
    pub const PUSH_UNSTAMPED: &str = "client.push-unstamped";
    /// Round trip of WebSocket pings, histogram.
    pub const PING_RTT: &str = "client.ping-rtt";
    /// WebSocket pings sent per second.
    pub const PINGS: &str = "client.pings";
    /// WebSockets open now.
    pub const OPEN_WEBSOCKETS: &str = "client.open-websockets";
    /// WebSockets opened per second.
    pub const WS_OPENED: &str = "client.ws-opened";
    /// WebSockets closed per second; subject: the close code, 1005 without one, 1006 if lost without a close frame.
    pub const WS_CLOSES: &str = "client.ws-closes";
    /// Event streams (server-sent events) open now.
    pub const OPEN_EVENT_STREAMS: &str = "client.open-event-streams";
    /// Event streams opened per second, those opened again among them.
    pub const SSE_OPENED: &str = "client.sse-opened";
    /// Attempts to open an event stream again, per second.
    pub const SSE_RECONNECTS: &str = "client.sse-reconnects";
    /// CPU of a generator process, in cores.
    pub const GENERATOR_CPU: &str = "generator.cpu";
    /// Longest hiccup of a generator process in the interval, ns.
    pub const GENERATOR_HICCUP: &str = "generator.hiccup";
    /// Release error of the schedule's timer, histogram.
    pub const RELEASE_ERROR: &str = "generator.release-error";
    /// Share of the machine's CPU time that the hypervisor gave to others, 0 to 1.
    pub const HOST_STEAL: &str = "host.steal";
    /// Cores of the machine.
    pub const HOST_CORES: &str = "host.cores";
    /// Share of the machine's CPU time in use, 0 to 1.
    pub const HOST_CPU: &str = "host.cpu";
    /// Connections that found a full listen queue, per second, of the whole network namespace.
    pub const HOST_LISTEN_OVERFLOWS: &str = "host.listen-overflows";
    /// Connection attempts that were not taken, per second: overflows among them, of the whole network namespace.
    pub const HOST_LISTEN_DROPS: &str = "host.listen-drops";
    /// TCP segments sent again, per second, of the whole network namespace.
    pub const HOST_RETRANSMITS: &str = "host.retransmits";
    /// Threads of the machine that run or wait for a core at the instant of the sample, whoever's: the one of dyno that looks is among
    /// them.
    pub const HOST_RUN_QUEUE: &str = "host.run-queue";
    /// Live bytes younger than the age threshold.
    pub const HEAP_YOUNG: &str = "heap.young.used";
    /// Live bytes that outlived the age threshold.
    pub const HEAP_OLD: &str = "heap.old.used";
    /// The old generation as the last major collection left it (before the first: as it was at the start); only where there
    /// is a collector. What lies in the old generation beyond it may be garbage.
    pub const HEAP_LIVE: &str = "heap.live";
    /// Live bytes, all ages.
    pub const HEAP_USED: &str = "heap.used";
    /// Objects of V8 that are too large to be moved, bytes; part of the old generation.
    pub const HEAP_LARGE: &str = "heap.large.used";
    /// Bytes that a collector has for its heap now, used or not.
    pub const HEAP_CAPACITY: &str = "heap.capacity";
    /// Bytes beyond which it will not grow.
    pub const HEAP_LIMIT: &str = "heap.limit";
    /// Bytes of the heap resident in memory.
    pub const HEAP_RESIDENT: &str = "heap.resident";
    /// Bytes of those pages on which something lives: what of them is not live lies in holes.
    pub const HEAP_ACTIVE: &str = "heap.active";
    /// Address space the allocator keeps for later.
    pub const HEAP_RETAINED: &str = "heap.retained";
    /// Bytes allocated per second.
    pub const HEAP_ALLOCATED: &str = "heap.allocated";
    /// Bytes per second that crossed the age threshold.
    pub const HEAP_PROMOTED: &str = "heap.promoted";
    /// Relative standard error of the sampled heap lanes, 0 to 1.
    pub const HEAP_ERROR: &str = "heap.sampling-error";
    /// Threads that the target's runtime knows of, its own among them.
    pub const RUNTIME_THREADS: &str = "runtime.threads";
    /// Longest pause of any kind in the interval, ns.
    pub const PAUSE: &str = "pause.longest";
    /// Share of the time in which a collector stopped the process, 0 to 1, with all that is too short to be told as an event.
    pub const PAUSE_COLLECTING: &str = "pause.collecting";
    /// Collections per second, with all that are too short to be told as events; subject: `minor` or `major`, as events name them.
    pub const PAUSE_COLLECTIONS: &str = "pause.collections";
    /// Threads of the offload pool.
    pub const OFFLOAD_CAPACITY: &str = "offload.capacity";
    /// Tasks that run on the offload pool now.
    pub const OFFLOAD_BUSY: &str = "offload.busy";
    /// Tasks that wait for a thread of the offload pool.
    pub const OFFLOAD_QUEUED: &str = "offload.queued";
    /// Wait for a thread of the offload pool, histogram.
    pub const OFFLOAD_WAIT: &str = "offload.wait";
    /// Time on a thread of the offload pool, histogram.
    pub const OFFLOAD_RUN: &str = "offload.run";
    /// Delay of the async loop, histogram.
    pub const LOOP_DELAY: &str = "loop.delay";
    /// Longest delay of the async loop in the interval, ns, where the target tells no histogram.
    pub const LOOP_DELAY_LONGEST: &str = "loop.delay.longest";
    /// 99th percentile of it, ns, as the target works it out, over an interval of its own choice.
    pub const LOOP_DELAY_P99: &str = "loop.delay.p99";
    /// Share of time the loop was busy, 0 to 1.
    pub const LOOP_UTILISATION: &str = "loop.utilisation";
    /// What keeps the loop alive now; subject: kind of resource, as the runtime names it.
    pub const LOOP_RESOURCES: &str = "loop.resources";
    /// Requests inside handlers now.
    pub const SERVER_IN_FLIGHT: &str = "server.in-flight";
    /// Time in handler, histogram; subject: route.
    pub const SERVER_HANDLER: &str = "server.handler";
    /// What clients wait for outside of the handlers, before and after: mean service time less mean time in handler of the same second, ns.
    /// Only where both sides count the same requests.
    pub const SERVER_BEFORE_HANDLER: &str = "server.before-handler";
    /// Requests finished per second; subject: route.
    pub const SERVER_REQUESTS: &str = "server.requests";
    /// Statements that requests sent and waited for, per second; subject: route. A batch that is sent in one go counts
    /// as one.
    pub const SERVER_DB_STATEMENTS: &str = "server.db.statements";
    /// Those of them whose fingerprint the same request had waited for before, per second; subject: route.
    pub const SERVER_DB_REPEATED: &str = "server.db.repeated";
    /// Connections that requests took from a pool, per second; subject: route.
    pub const SERVER_DB_CHECKOUTS: &str = "server.db.checkouts";
    /// For each request the times from asking for a connection to giving it back, added up, histogram; subject: route.
    pub const SERVER_DB_TIME: &str = "server.db.time";
    /// For each request the time in which at least one of those was under way, histogram; subject: route. As long as
    /// [`SERVER_DB_TIME`] where one was awaited after another.
    pub const SERVER_DB_WALL: &str = "server.db.wall";
    /// HTTP connections open now; one that has become a WebSocket counts there.
    pub const SERVER_CONNECTIONS: &str = "server.connections";
    /// Bytes that wait in the target to be sent to WebSockets, all of them together.
    pub const SERVER_SEND_QUEUE: &str = "server.send-queue";
    /// Bytes that wait in the target for the WebSocket that is furthest behind.
    pub const SERVER_SEND_QUEUE_LONGEST: &str = "server.send-queue.longest";
    /// WebSocket connections open now.
    pub const SERVER_WEBSOCKETS: &str = "server.websockets";
    /// Sessions that the target itself holds.
    pub const SERVER_SESSIONS: &str = "server.sessions";
    /// CPU of the process, in cores.
    pub const PROCESS_CPU: &str = "process.cpu";
    /// Resident memory of the process.
    pub const PROCESS_RESIDENT: &str = "process.resident";
    /// Open file descriptors.
    pub const PROCESS_DESCRIPTORS: &str = "process.descriptors";
    /// Limit of open file descriptors.
    pub const PROCESS_DESCRIPTOR_LIMIT: &str = "process.descriptor-limit";
    /// Connections that wait in the process's listen queues to be accepted.
    pub const PROCESS_LISTEN_QUEUE: &str = "process.listen-queue";
    /// How often a process of this name was started before: it rises when one dies, and when one is relieved.
    pub const PROCESS_GENERATION: &str = "process.generation";
    /// How many processes of this name have ended without being asked to.
    pub const PROCESS_DEATHS: &str = "process.deaths";
    /// Threads.
    pub const PROCESS_THREADS: &str = "process.threads";
    /// Voluntary context switches per second: a thread gave its core up because it had to wait. Of threads that still run when it is read.
    pub const PROCESS_VOLUNTARY_SWITCHES: &str = "process.voluntary-switches";
    /// Involuntary context switches per second: a core was taken from a thread that could have gone on. Of the same threads.
    pub const PROCESS_INVOLUNTARY_SWITCHES: &str = "process.involuntary-switches";
    /// Share of the time in which the process's control group had used up its CPU quota and was held back, 0 to 1.
    pub const PROCESS_THROTTLED: &str = "process.throttled";
    /// Statements sent per second; subject: fingerprint.
    pub const DB_CALLS: &str = "db.calls";
    /// From sending a statement to its answer, as the client sees it, histogram; subject: fingerprint. A statement of a batch
    /// has the batch's time. Where a server tells only sums: its own time in the statement, each call of an interval counted at
    /// the interval's mean (inferred).
    pub const DB_TIME: &str = "db.time";
    /// Statements that failed or were given up, per second; subject: fingerprint.
    pub const DB_FAILURES: &str = "db.failures";
    /// Rows that statements gave, per second; subject: fingerprint.
    pub const DB_ROWS: &str = "db.rows";
    /// Rows that statements stepped over in scans of whole tables, per second; subject: fingerprint. Only where the store
    /// tells it of a statement.
    pub const DB_SCANNED: &str = "db.scanned";
    /// Scans of whole tables begun per second, as the database's server counts them; subject: table.
    pub const DB_TABLE_SCANS: &str = "db.table-scans";
    /// Rows read by those, per second; subject: table.
    pub const DB_TABLE_SCANNED: &str = "db.table-scanned";
    /// Rows of a table fetched by way of one of its indexes, per second, as the database's server counts them, whether they were wanted or not;
    /// subject: table.
    pub const DB_TABLE_FETCHED: &str = "db.table-fetched";
    /// Connections that the database's server has, anybody's.
    pub const DB_CONNECTIONS: &str = "db.connections";
    /// Connections that it takes at most.
    pub const DB_CONNECTION_LIMIT: &str = "db.connection-limit";
    /// Those of its connections that run a statement now.
    pub const DB_ACTIVE: &str = "db.active";
    /// Those of them that wait for a lock.
    pub const DB_WAITING: &str = "db.waiting";
    /// Those of its connections that have begun a transaction and do nothing in it now.
    pub const DB_IDLE_IN_TRANSACTION: &str = "db.idle-in-transaction";
    /// Age of the oldest transaction that is under way, ns; 0 without one.
    pub const DB_LONGEST_TRANSACTION: &str = "db.longest-transaction";
    /// Transactions committed in the database per second, those of whoever watches among them.
    pub const DB_COMMITS: &str = "db.commits";
    /// Transactions rolled back in the database per second.
    pub const DB_ROLLBACKS: &str = "db.rollbacks";
    /// Deadlocks that the server broke in the database, per second.
    pub const DB_DEADLOCKS: &str = "db.deadlocks";
    /// Share of the blocks asked for since the previous sample that the server had in its own memory, 0 to 1.
    pub const DB_BUFFER_HITS: &str = "db.buffer-hits";
    /// Bytes that statements wrote to temporary files per second: sorts and joins that did not fit into memory.
    pub const DB_TEMPORARY: &str = "db.temporary";
    /// Checkpoints begun by the server per second, of all its databases.
    pub const DB_CHECKPOINTS: &str = "db.checkpoints";
    /// Age of the newest sample that a source has delivered, ns; instance: the source.
    pub const SOURCE_AGE: &str = "source.age";

    /// Last parts of `pool.NAME.*`: levels `capacity`, `in-use`, `idle`, `waiters`; histograms `wait`,
    /// `hold`; rates `timeouts`, `opened`, `acquired`.
    pub const POOL: &str = "pool";
    /// Last parts of `heap.NAME.*`, generations that the target manages itself: levels `young`, `old`, `garbage`; rate `promoted`
    /// (bytes that became old).
    pub const HEAP: &str = "heap";
    /// Last parts of `cache.NAME.*`: rates `hits`, `misses`, `loads`, `coalesced`, `duplicate-loads`,
    /// `early-refreshes`, `evictions` (to make room), `expired`, `removed` (by whoever uses it: changed, or emptied),
    /// `absent-loads` and `absent-hits` (loads and hits that say that there is no such thing); levels `loads-in-flight`,
    /// `entries`; histograms `load` and `time` (a command's way to a store elsewhere and back, as the client sees it). A store elsewhere tells neither `entries` nor `expired`. Of its server's own figures: rate
    /// `commands`; levels `memory`, `memory-limit` (bytes), `connections`, `blocked` (clients that wait in a command), `pause` (ns: what held its
    /// one thread longest since the sample before, by its latency monitor).
    pub const CACHE: &str = "cache";
    /// Last parts of `broker.NAME.*`: levels `depth` (messages that wait for a consumer), `consumers`; histogram `age`
    /// (from publishing to a consumer's beginning); rates `published`, `refused`, `consumed`. Of its server's own figures: levels
    /// `unacknowledged` (given to consumers that are not done with them), `utilisation` (share of time in which consumers could take more, 0
    /// to 1), rate `acknowledged`; of the server as a whole, under its own name: levels `connections`, `channels`, `blocked` (connections that are
    /// held back), `memory`, `memory-limit`, `disk-free`, `disk-limit` (bytes), `alarms`.
    pub const BROKER: &str = "broker";
    /// Last parts of `downstream.NAME.*`: level `in-flight`; histogram `time`; rates `calls`, `failures`, `retries`.
    pub const DOWNSTREAM: &str = "downstream";

    /// `pool.db.waiters` from family, member and last part.
    #[must_use]
    pub fn of(family: &str, member: &str, part: &str) -> String {
        format!("{family}.{member}.{part}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_what_is_told_of_it() {
        assert_eq!(error_status(&status_error(503)), Some(503));
        assert_eq!(["status", "timeout", "status code"].map(error_status), [None; 3]);
    }

    #[test]
    fn a_member_is_named_between_family_and_part() {
        let spec = LaneSpec::level("pool.db.waiters", "shop-0", Unit::Count);
        assert_eq!(spec.member("pool"), Some("db"));
        assert_eq!(spec.member("cache"), None);
    }

    #[test]
    fn a_target_whose_name_begins_as_the_generators_do_is_a_target() {
        assert!(["gen-0", "gen-17"].into_iter().all(is_generator));
        for target in ["general-api", "gen-api", "gen-", "gen-1-api", "gen", "shop-0", ""] {
            assert!(!is_generator(target), "{target}");
        }
    }
}
