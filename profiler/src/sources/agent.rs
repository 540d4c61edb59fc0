//! The agent source: reads the probe endpoint that a target links in.
//!
//! Owns when to ask whom. One thread keeps the list of instances, and each instance has a thread of
//! its own, so that one that stands still holds up no other. Ticks that were missed meanwhile are
//! fetched afterwards; what the agent no longer keeps is counted. HTTP is `probe_client`'s, checks are `admit`'s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use timeline::clock::ClockOffset;
use timeline::event::kinds;
use timeline::lane::names;
use timeline::probe::{InstanceInfo, Instances, TICK_MS};
use timeline::text::clean;
use timeline::{LaneId, LaneSpec, MonoNs, Unit};

use super::admit::{Admission, believable, plain_name};
use super::probe_client::{Answered, ProbeClient, ProbeError};
use super::{AttachError, Attached, Crew, Shared, Sink, Source, SourceEvent};

/// Name of the source in lanes and notes.
const NAME: &str = "agent";
/// How often the list of instances is asked for and ages are told.
const LIST_PERIOD: Duration = Duration::from_millis(500);
/// How often an instance is asked while it fails.
const RETRY_PERIOD: Duration = Duration::from_millis(500);
/// Most processes watched; an endpoint that makes up names must not cost us threads.
const MAX_INSTANCES: usize = 64;
/// How fast two clocks may drift apart: 50 parts in a million, the worst of common quartz.
const DRIFT_PPM: u64 = 50;

/// Attaches the agent at `url` (`http://HOST:PORT`) and watches all its instances.
///
/// Asks once for the instances before it returns, so a wrong address or token is known at once; later
/// failures are told to the sink, and the connection is taken up again by itself.
///
/// # Errors
/// [`AttachError::Agent`]: the endpoint does not answer as a probe does.
pub fn attach(url: &str, token: &str, sink: Box<dyn Sink>) -> Result<Attached, AttachError> {
    let failed = |why| AttachError::Agent { url: clean(url, 120), why };
    let client = ProbeClient::new(url, token).map_err(failed)?;
    let instances = client.instances().map_err(failed)?;
    let about = format!(
        "agent of {} at {url}: {} process(es)",
        clean(&instances.service, 60),
        instances.instances.len()
    );
    let mut sink = Shared::new(sink);
    sink.note(NAME, &about);
    let crew = Crew::default();
    let mut directory = Directory {
        client,
        crew: crew.clone(),
        shared: sink.clone(),
        watched: BTreeMap::new(),
        troubles: Troubles::default(),
        since: MonoNs::now(),
    };
    directory.watch(&instances, &mut sink);
    crew.run(directory, sink);
    Ok(Attached::new(about, crew))
}

/// What was said already, so that it is said once.
#[derive(Default)]
struct Troubles {
    last: Option<String>,
    said: std::collections::BTreeSet<String>,
}

impl Troubles {
    /// Notes `error` if it has not been noted before. At most a few kinds exist, but their words may vary: bounded.
    fn note(&mut self, who: &str, error: &ProbeError, sink: &mut dyn Sink) {
        let text = format!("{who}: {error}");
        self.last = Some(text.clone());
        if self.said.len() < 16 && self.said.insert(text.clone()) {
            sink.note(NAME, &text);
        }
    }

    fn over(&mut self) -> bool {
        self.last.take().is_some()
    }
}

/// Keeps the list of instances, starts a watcher for each new one, and tells how old their data is.
struct Directory {
    client: ProbeClient,
    crew: Crew,
    shared: Shared,
    watched: BTreeMap<String, Watched>,
    troubles: Troubles,
    since: MonoNs,
}

struct Watched {
    newest: Arc<AtomicU64>,
    age: Option<LaneId>,
    generation: Option<LaneId>,
    deaths: Option<LaneId>,
}

impl Watched {
    fn new(info: &InstanceInfo, newest: Arc<AtomicU64>, sink: &mut dyn Sink) -> Self {
        let own = |lane: &str| LaneSpec::level(lane, &info.name, Unit::Count);
        Self {
            newest,
            age: sink.declare(LaneSpec::level(names::SOURCE_AGE, NAME, Unit::Ns).about(&info.name).worst()),
            generation: sink.declare(own(names::PROCESS_GENERATION).worst()),
            deaths: sink.declare(own(names::PROCESS_DEATHS)),
        }
    }

    /// How the processes of this name have fared.
    fn tell(&self, info: &InstanceInfo, now: MonoNs, sink: &mut dyn Sink) {
        for (lane, value) in [(self.generation, info.generation), (self.deaths, info.deaths)] {
            if let Some(lane) = lane {
                sink.sample(lane, now, f64::from(value));
            }
        }
    }
}

impl Directory {
    fn watch(&mut self, list: &Instances, sink: &mut dyn Sink) {
        let now = MonoNs::now();
        for info in &list.instances {
            if let Some(watched) = self.watched.get(&info.name) {
                watched.tell(info, now, sink);
                continue;
            }
            if !plain_name(&info.name) || self.watched.len() >= MAX_INSTANCES {
                let why = ProbeError::Malformed(
                    "an instance's name is not plain, or there are more than 64".to_owned(),
                );
                self.troubles.note(NAME, &why, sink);
                continue;
            }
            let newest = Arc::new(AtomicU64::new(MonoNs::now().0));
            let watcher = Watcher::new(self.client.clone(), &info.name, self.since, Arc::clone(&newest));
            self.crew.run(watcher, self.shared.clone());
            let watched = Watched::new(info, newest, sink);
            watched.tell(info, now, sink);
            self.watched.insert(info.name.clone(), watched);
        }
    }
}

impl Source for Directory {
    fn name(&self) -> &str {
        NAME
    }

    fn period(&self) -> Duration {
        LIST_PERIOD
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        let now = MonoNs::now();
        for watched in self.watched.values() {
            if let Some(lane) = watched.age {
                let age = now.0.saturating_sub(watched.newest.load(Ordering::Relaxed));
                sink.sample(lane, now, age as f64);
            }
        }
        match self.client.instances() {
            Ok(list) => {
                self.troubles.over();
                self.watch(&list, sink);
            }
            Err(e) => self.troubles.note(NAME, &e, sink),
        }
    }
}

/// Watches one instance.
struct Watcher {
    client: ProbeClient,
    instance: String,
    label: String,
    attached: MonoNs,
    newest: Arc<AtomicU64>,
    pid: Option<u32>,
    seq: u64,
    lost: u64,
    clock: Option<Clock>,
    admission: Admission,
    troubles: Troubles,
    said_refused: usize,
}

/// The best offset so far and when it was measured.
#[derive(Clone, Copy)]
struct Clock {
    offset: ClockOffset,
    at: MonoNs,
}

impl Clock {
    /// The better of the known estimate, with its drift, and a new one. Clocks that cannot be told
    /// apart are one clock: processes of one host share it, and then nothing need be moved.
    fn better(known: Option<Self>, new: ClockOffset, at: MonoNs) -> Self {
        let new = Self { offset: new, at };
        let Some(known) = known else { return new };
        let drift = at.since(known.at).as_nanos() as u64 / 1_000_000 * DRIFT_PPM;
        if new.offset.error_ns <= known.offset.error_ns.saturating_add(drift) { new } else { known }
    }

    fn to_ours(self, theirs: u64) -> MonoNs {
        if self.is_ours() { MonoNs(theirs) } else { self.offset.to_ours(MonoNs(theirs)) }
    }

    fn is_ours(self) -> bool {
        self.offset.offset_ns.unsigned_abs() <= self.offset.error_ns
    }
}

impl Watcher {
    fn new(client: ProbeClient, instance: &str, attached: MonoNs, newest: Arc<AtomicU64>) -> Self {
        Self {
            client,
            instance: instance.to_owned(),
            label: format!("{NAME} {instance}"),
            attached,
            newest,
            pid: None,
            seq: 0,
            lost: 0,
            clock: None,
            admission: Admission::new(instance),
            troubles: Troubles::default(),
            said_refused: 0,
        }
    }

    fn take(&mut self, answered: Answered, sink: &mut dyn Sink) -> Result<(), ProbeError> {
        let Answered { batch, sent, received } = answered;
        if !believable(batch.now.0) {
            return Err(ProbeError::Malformed("its clock reads a century of uptime".to_owned()));
        }
        if self.pid.is_some_and(|p| p != batch.pid) {
            self.restarted(batch.pid, sink);
            return Ok(()); // its ticks count from 1 again: ask anew
        }
        self.measure_clock(ClockOffset::from_exchange(sent, batch.now, received), received, batch.pid, sink);
        self.count_lost(batch.lost, sink);
        self.admission.lanes(batch.lanes, sink);
        let Some(clock) = self.clock else { return Ok(()) };
        for tick in batch.ticks {
            if tick.seq <= self.seq {
                continue;
            }
            self.seq = tick.seq;
            if believable(tick.at) {
                let at = clock.to_ours(tick.at);
                if at < self.attached {
                    continue; // from before we looked: no part of this run
                }
                self.newest.fetch_max(at.0.min(received.0), Ordering::Relaxed);
            }
            self.admission.tick(tick, &|t| clock.to_ours(t), received, sink);
        }
        self.say_refused(sink);
        Ok(())
    }

    fn restarted(&mut self, pid: u32, sink: &mut dyn Sink) {
        self.pid = Some(pid);
        self.seq = 0;
        self.admission.restart();
        self.tell("restarted", sink);
        sink.note(NAME, &format!("{}: another process is behind the name now (pid {pid})", self.instance));
    }

    fn measure_clock(&mut self, offset: ClockOffset, at: MonoNs, pid: u32, sink: &mut dyn Sink) {
        let first = self.clock.is_none();
        let clock = Clock::better(self.clock, offset, at);
        self.clock = Some(clock);
        self.pid = Some(pid);
        if first {
            let error = Unit::Ns.show(clock.offset.error_ns as f64);
            let how = if clock.is_ours() {
                format!("shares our clock (told apart to {error})")
            } else {
                format!(
                    "clock {} from ours, give or take {error}",
                    Unit::Ns.show(clock.offset.offset_ns as f64)
                )
            };
            sink.note(NAME, &format!("{} (pid {pid}): {how}", self.instance));
        }
    }

    /// Says the total each time it doubles.
    fn count_lost(&mut self, lost: u64, sink: &mut dyn Sink) {
        // A first look may well come when the agent has run for longer than it keeps ticks.
        if lost == 0 || self.seq == 0 {
            return;
        }
        let before = self.lost;
        self.lost = self.lost.saturating_add(lost);
        if before == 0 || self.lost / 2 >= before {
            sink.note(NAME, &format!("{}: {} ticks lost, asked for too late", self.instance, self.lost));
        }
    }

    fn say_refused(&mut self, sink: &mut dyn Sink) {
        if self.admission.refused.len() > self.said_refused {
            self.said_refused = self.admission.refused.len();
            let reasons: Vec<&str> = self.admission.refused.keys().copied().collect();
            sink.note(NAME, &format!("{}: not taken: {}", self.instance, reasons.join("; ")));
        }
    }

    fn tell(&self, what: &str, sink: &mut dyn Sink) {
        let now = MonoNs::now();
        sink.event(SourceEvent {
            kind: kinds::SOURCE.to_owned(),
            instance: self.instance.clone(),
            start: now,
            end: now,
            labels: vec![("source".to_owned(), NAME.to_owned()), ("what".to_owned(), what.to_owned())],
            value: 0.0,
            others: 0,
        });
    }
}

impl Source for Watcher {
    fn name(&self) -> &str {
        &self.label
    }

    fn period(&self) -> Duration {
        if self.troubles.last.is_some() { RETRY_PERIOD } else { Duration::from_millis(TICK_MS) }
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        let result = self.client.samples(&self.instance, self.seq).and_then(|a| self.take(a, sink));
        match result {
            Ok(()) => {
                if self.troubles.over() {
                    self.tell("back", sink);
                    sink.note(NAME, &format!("{}: answers again", self.instance));
                }
            }
            Err(e) => {
                if self.troubles.last.is_none() {
                    self.tell(e.state(), sink);
                }
                let who = self.instance.clone();
                self.troubles.note(&who, &e, sink);
            }
        }
    }
}
