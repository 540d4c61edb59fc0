//! The agent source: reads the probe endpoint that a target links in.
//!
//! Owns when to ask whom. One thread keeps the list of instances, and each instance has a thread of
//! its own, so that one that stands still holds up no other. HTTP is `probe_client`'s; what becomes of an
//! answer (clocks, order, what was lost) is `batches`'.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use timeline::lane::names;
use timeline::probe::{InstanceInfo, Instances, TICK_MS};
use timeline::text::{clean, plural};
use timeline::{LaneId, LaneSpec, MonoNs, Unit};

use super::admit::{is_ours, plain_name};
use super::age::Age;
use super::batches::{Answered, Batches};
use super::fetch;
use super::groups::{self, Has};
use super::patience::patiently;
use super::place::shown;
use super::probe_client::{ProbeClient, ProbeError};
use super::troubles::Troubles;
use super::{AttachError, Attached, Crew, Shared, Sink, Source};

/// Name of the source in lanes and notes.
const NAME: &str = "agent";
/// How often the list of instances is asked for and ages are told.
const LIST_PERIOD: Duration = Duration::from_millis(500);
/// How often an instance is asked while it fails.
const RETRY_PERIOD: Duration = Duration::from_millis(500);
/// How long the processes may take, all together, to say which lanes they have: the run's clock goes on meanwhile, and one that has just begun
/// has its first tick within a third of it.
const LANES_PATIENCE: Duration = Duration::from_millis(300);
/// How often one that has no lanes yet is asked meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// Most processes watched; an endpoint that makes up names must not cost us threads.
const MAX_INSTANCES: usize = 64;

/// Attaches the agent at `url` (`http://HOST:PORT`) and watches all its instances.
///
/// Asks for the instances before it returns, so a wrong address or token is known at once; later
/// failures are told to the sink, and the connection is taken up again by itself.
///
/// # Errors
/// [`AttachError::Agent`]: the endpoint does not answer as a probe does.
pub fn attach(url: &str, token: &str, sink: Box<dyn Sink>) -> Result<Attached, AttachError> {
    let failed = |why| AttachError::Agent { url: shown(url), why };
    let client = ProbeClient::new(url, token).map_err(failed)?;
    let late = ProbeError::Fetch(fetch::LATE);
    let instances = patiently(&late, || client.instances()).map_err(failed)?;
    let about = format!(
        "agent of {} at {url}: {}{}",
        clean(&instances.service, 60),
        plural(instances.instances.len(), "process"),
        told(&client, &instances).unwrap_or_default()
    );
    let mut sink = Shared::new(sink);
    sink.note(NAME, &about);
    let crew = Crew::default();
    let mut directory = Directory {
        client,
        crew: crew.clone(),
        shared: sink.clone(),
        watched: BTreeMap::new(),
        troubles: Troubles::new(NAME),
        since: MonoNs::now(),
    };
    directory.watch(&instances, &mut sink);
    crew.run(directory, sink);
    Ok(Attached::new(about, crew))
}

/// Which groups of lanes the processes tell, as the end of a sentence; none if one of them does not say so in time. More may come: of some
/// things, as of a statement, there are lanes when there is something to tell.
fn told(client: &ProbeClient, list: &Instances) -> Option<String> {
    let begin = MonoNs::now();
    let mut lanes = Vec::new();
    for info in list.instances.iter().filter(|info| plain_name(&info.name)).take(MAX_INSTANCES) {
        lanes.extend(first_lanes(client, &info.name, begin)?);
    }
    let (told, missing) = groups::sorted(|prefix| {
        let has = lanes.iter().any(|lane| lane.name.starts_with(prefix));
        if has { Has::Told } else { Has::Nothing }
    });
    if told.is_empty() {
        return Some("; no figures yet".to_owned());
    }
    let mut text = format!(": {}", told.join(", "));
    if !missing.is_empty() {
        text += &format!("; at the start nothing of {}", missing.join(", "));
    }
    Some(text)
}

/// The lanes of a process; one that has just begun has none before its first tick, which is waited for.
fn first_lanes(client: &ProbeClient, instance: &str, begin: MonoNs) -> Option<Vec<LaneSpec>> {
    loop {
        let left = LANES_PATIENCE.saturating_sub(MonoNs::now().since(begin));
        let lanes = client.lanes(instance, left.max(ASK_AGAIN)).ok()?;
        if !lanes.is_empty() || left.is_zero() {
            return Some(lanes);
        }
        std::thread::sleep(ASK_AGAIN);
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
    age: Age,
    generation: Option<LaneId>,
    deaths: Option<LaneId>,
}

impl Watched {
    fn new(info: &InstanceInfo, newest: Arc<AtomicU64>, sink: &mut dyn Sink) -> Self {
        let own = |lane: &str| LaneSpec::level(lane, &info.name, Unit::Count);
        Self {
            newest,
            age: Age::declare(NAME, &info.name, sink),
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
            if !plain_name(&info.name) || is_ours(&info.name) || self.watched.len() >= MAX_INSTANCES {
                let why = ProbeError::Malformed(
                    "an instance's name is not plain, or there are more than 64".to_owned(),
                );
                self.troubles.say(NAME, &why, sink);
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
            watched.age.tell(MonoNs(watched.newest.load(Ordering::Relaxed)), now, sink);
        }
        match self.client.instances() {
            Ok(list) => {
                self.watch(&list, sink);
            }
            Err(e) => self.troubles.say(NAME, &e, sink),
        }
    }
}

/// Watches one instance.
struct Watcher {
    client: ProbeClient,
    instance: String,
    label: String,
    newest: Arc<AtomicU64>,
    batches: Batches,
    troubles: Troubles,
}

impl Watcher {
    fn new(client: ProbeClient, instance: &str, attached: MonoNs, newest: Arc<AtomicU64>) -> Self {
        Self {
            client,
            instance: instance.to_owned(),
            label: format!("{NAME} {instance}"),
            newest,
            batches: Batches::new(NAME, instance, attached),
            troubles: Troubles::new(NAME),
        }
    }

    fn take(&mut self, answered: Answered, sink: &mut dyn Sink) -> Result<(), ProbeError> {
        let newest = self.batches.take(answered, sink).map_err(ProbeError::Malformed)?;
        if let Some(newest) = newest {
            self.newest.fetch_max(newest.0, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Source for Watcher {
    fn name(&self) -> &str {
        &self.label
    }

    fn period(&self) -> Duration {
        if self.troubles.lasting() { RETRY_PERIOD } else { Duration::from_millis(TICK_MS) }
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        let read = self.client.samples(&self.instance, self.batches.seq()).and_then(|a| self.take(a, sink));
        self.troubles.after(&self.instance, read, ProbeError::state, sink);
    }
}
