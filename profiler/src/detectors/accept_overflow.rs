//! Accept overflow: connections come faster than the target accepts them, and its listen queue overflows.
//!
//! **Claim.** So many connection attempts found a full queue, of so many, at this process. **Reads** `process.listen-queue`, `host.listen-overflows`,
//! `host.listen-drops`, `client.{service,completed,sessions-started}`, `server.handler`, `server.requests`. **Needs** one of the host's counters and the process's queue; the
//! counters speak of the whole network namespace, so alone they prove nothing about the target. **Statistic.** Attempts were lost in
//! two samples of the last 3 s, and the queue has *stood* all the while: its median over 1.5 s is half of its highest. A burst that a
//! healthy process takes in at once loses some, too, but its queue is empty a moment later. **Confirmed** when clients lose their time before
//! the handlers: their p99 is half a second (a lost attempt is repeated after 1 s, RFC 6298) and not the handlers'.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, evidence, plural};
use crate::window;

/// Window for the losses, seconds: six samples of a 2 Hz lane.
const WINDOW_S: f64 = 3.0;
/// Samples of them in which something was lost, and how many attempts.
const LEAST_SAMPLES: usize = 2;
const LEAST_LOST: f64 = 5.0;
/// Seconds over which the queue must stand.
const STANDS_S: f64 = 1.5;
/// Samples of it that are needed, half of what 10 Hz gives.
const LEAST_POINTS: usize = 8;
/// Its median over its highest, and the least of which that is said.
const STANDS: f64 = 0.5;
const LEAST_QUEUE: f64 = 4.0;
/// How far back the highest is looked for.
const HIGHEST_S: f64 = 3.0;
/// p99 of service time at the clients that shows lost attempts, ...
const LOST_TIME_NS: f64 = 0.5e9;
/// ... if handlers take no more than this share of it.
const IN_HANDLERS: f64 = 0.5;
/// Requests for each session that starts, at most, for a connection to carry about one: then who is answered was accepted for it.
const ONE_REQUEST: f64 = 1.5;
/// How far back the onset is looked for, seconds.
const ONSET_S: f64 = 20.0;
/// Nothing lost for so long ends it.
const QUIET: Duration = Duration::from_secs(4);

/// Looks at every process with a listen queue.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let counters = [names::HOST_LISTEN_OVERFLOWS, names::HOST_LISTEN_DROPS];
    let counter = counters.into_iter().find(|n| timeline.has(n));
    let mut missing = Vec::new();
    if counter.is_none() {
        missing.push(names::HOST_LISTEN_OVERFLOWS.to_owned());
    }
    if !timeline.has(names::PROCESS_LISTEN_QUEUE) {
        missing.push(names::PROCESS_LISTEN_QUEUE.to_owned());
    }
    let Some(counter) = counter.filter(|_| missing.is_empty()) else { return Answer::CannotTell(missing) };
    Answer::Looked(look_at(timeline, at, counter).into_iter().collect())
}

/// A queue that stands.
struct Standing<'a> {
    instance: &'a str,
    typical: f64,
    highest: f64,
}

fn standing(timeline: &Timeline, at: RunTime) -> Vec<Standing<'_>> {
    let span = window::last(at, STANDS_S);
    let mut found: Vec<Standing> = timeline
        .named(names::PROCESS_LISTEN_QUEUE)
        .filter_map(|lane| {
            let points = lane.within(span);
            let typical = window::typical_of(lane, span)?;
            let wide = lane.within(window::last(at, HIGHEST_S));
            let highest = wide.iter().map(|p| p.1).fold(0.0, f64::max);
            let stands = points.len() >= LEAST_POINTS && typical >= LEAST_QUEUE.max(STANDS * highest);
            stands.then_some(Standing { instance: &lane.spec.instance, typical, highest })
        })
        .collect();
    found.sort_by(|a, b| b.typical.total_cmp(&a.typical).then(a.instance.cmp(b.instance)));
    found
}

/// Attempts lost in `span`: when first, when last, in how many samples, how many.
fn lost(timeline: &Timeline, counter: &str, span: Span) -> Option<(RunTime, RunTime, usize, f64)> {
    let losses: Vec<(RunTime, RunTime, f64)> =
        timeline.named(counter).flat_map(|s| window::steps(s, span)).filter(|s| s.2 > 0.0).collect();
    let count = losses.iter().map(|(since, at, rate)| rate * at.since(*since).as_secs_f64()).sum();
    Some((losses.first()?.0, losses.last()?.1, losses.len(), count))
}

fn look_at(timeline: &Timeline, at: RunTime, counter: &'static str) -> Option<Claim> {
    let span = window::last(at, WINDOW_S);
    let (_, last, samples, count) = lost(timeline, counter, span)?;
    let queues = standing(timeline, at);
    let worst = queues.first()?;
    if samples < LEAST_SAMPLES || count < LEAST_LOST {
        return None;
    }
    let seen = Seen::read(timeline, span, counter, count, &queues);
    let onset = onset(timeline, at, worst.instance);
    Some(Claim {
        kind: FindingKind::AcceptOverflow,
        identity: window::stem(worst.instance).to_owned(),
        subject: worst.instance.to_owned(),
        severity: Severity::Critical,
        status: if seen.before_handlers() { Status::Confirmed } else { Status::Likely },
        onset,
        last: last.min(at),
        quiet: QUIET,
        weight: count,
        claim: seen.sentence(&queues),
        evidence: seen.supporting(&queues),
        contradicting: Vec::new(),
        advice: seen.advice(&queues),
        missing: Vec::new(),
        episodes: vec![Span::new(onset, last.min(at))],
        remedies: Vec::new(),
        sort: "",
    })
}

/// Since when the queue has held anything without a break.
fn onset(timeline: &Timeline, at: RunTime, instance: &str) -> RunTime {
    let Some(lane) = window::of_instance(timeline, names::PROCESS_LISTEN_QUEUE, instance) else { return at };
    let points = lane.within(window::last(at, ONSET_S));
    let since = points.iter().rposition(|p| p.1 < 1.0).map_or(0, |i| i + 1);
    points.get(since).map_or(at, |p| p.0)
}

struct Seen {
    span: Span,
    counter: &'static str,
    lost: f64,
    clients_p99: Option<f64>,
    handlers_p99: Option<f64>,
    /// Connections accepted per second by the processes whose queues stand; known only where each carries about one request.
    accepted: Option<f64>,
}

impl Seen {
    fn read(timeline: &Timeline, span: Span, counter: &'static str, lost: f64, queues: &[Standing]) -> Self {
        let p99 = |name| window::durations(timeline, name, span).quantile_ns(0.99);
        let counted = |name| window::counted(timeline, name, span);
        let one_each = counted(names::COMPLETED)
            .zip(counted(names::SESSIONS_STARTED))
            .is_some_and(|(requests, sessions)| requests <= ONE_REQUEST * sessions);
        let answered = queues
            .iter()
            .filter_map(|q| window::counted_by(timeline, names::SERVER_REQUESTS, q.instance, span))
            .reduce(|a, b| a + b);
        Self {
            span,
            counter,
            lost,
            clients_p99: p99(names::SERVICE),
            handlers_p99: p99(names::SERVER_HANDLER),
            accepted: answered.map(|n| n / window::seconds(span)).filter(|&rate| one_each && rate > 0.0),
        }
    }

    fn before_handlers(&self) -> bool {
        self.clients_p99
            .zip(self.handlers_p99)
            .is_some_and(|(c, h)| c >= LOST_TIME_NS && h <= IN_HANDLERS * c)
    }

    fn sentence(&self, queues: &[Standing]) -> String {
        let names: Vec<&str> = queues.iter().take(3).map(|q| q.instance).collect();
        let waiting: f64 = queues.iter().map(|q| q.typical).sum();
        format!(
            "{} to {} were lost in {WINDOW_S:.0} s because the listen queue is full since {ONSET}: {:.0} wait there to be accepted",
            plural(self.lost, "connection attempt"),
            names.join(" and "),
            waiting
        )
    }

    fn supporting(&self, queues: &[Standing]) -> Vec<Evidence> {
        let span = self.span;
        let text = format!("{} in {WINDOW_S:.0} s", plural(self.lost, "lost attempt"));
        let mut list = vec![evidence(text, self.counter, span, self.lost, Unit::Count)];
        for q in queues.iter().take(3) {
            let text = format!(
                "{:.0} connections stand in the listen queue of {}, {:.0} at the highest",
                q.typical, q.instance, q.highest
            );
            list.push(evidence(text, names::PROCESS_LISTEN_QUEUE, span, q.typical, Unit::Count));
        }
        if let Some(c) = self.clients_p99 {
            let handlers = self
                .handlers_p99
                .map_or(String::new(), |h| format!(", of which handlers take {} at p99", Unit::Ns.show(h)));
            let text = format!("clients wait {} at p99{handlers}", Unit::Ns.show(c));
            list.push(evidence(text, names::SERVICE, span, c, Unit::Ns));
        }
        list
    }

    fn advice(&self, queues: &[Standing]) -> Vec<String> {
        let waiting: f64 = queues.iter().map(|q| q.typical).sum();
        let mut list = vec![
            "Accept in a loop that does nothing else: what has to be known of a client (a ban, its TLS handshake, its limits) is looked up in a task of its own."
                .to_owned(),
        ];
        let bursts = "A longer queue (listen backlog, net.core.somaxconn) helps against bursts only";
        if let Some(rate) = self.accepted {
            let extra = self.lost / WINDOW_S;
            list.push(format!(
                "About {} get through and up to {} (attempts are repeated) do not: accept that much faster, or add processes.",
                Unit::PerSecond.show(rate),
                Unit::PerSecond.show(extra)
            ));
            list.push(format!(
                "{bursts}: the {waiting:.0} that wait are {} of accepting already.",
                Unit::Ns.show(waiting / rate * 1e9)
            ));
        } else if let Some(p99) = self.clients_p99 {
            list.push(format!("{bursts}: clients wait {} at p99 already.", Unit::Ns.show(p99)));
        }
        list
    }
}
