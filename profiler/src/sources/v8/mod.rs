//! The V8 source: heap by generations, collections, loop and offload of Node.js and Deno, through the inspector.
//!
//! Owns attaching and the rhythm of reading: one thread for each process. What is installed in the target is
//! `observers.js`, and nothing else; it is taken back at the end, and takes itself back if nobody reads it for ten seconds. An inspector that dyno
//! opened is closed again, one that was open stays open. Nothing but loopback is spoken to.
//!
//! A process that answers is judged by `batches` and `admit`, like any agent: its word is not trusted further than that.

mod devtools;
mod inspector;
mod observers;

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use timeline::lane::names;
use timeline::probe::TICK_MS;
use timeline::{LaneId, LaneSpec, MonoNs, Unit};

use super::batches::Batches;
use super::troubles::Troubles;
use super::{AttachError, Attached, Crew, Shared, Sink, Source};
use devtools::Session;
use observers::{About, Observers};

/// How often a process is asked while it fails.
const RETRY_PERIOD: Duration = Duration::from_millis(500);
/// Most processes that are attached: a cluster has as many as the machine has cores, and each costs us a thread.
const MAX_PROCESSES: usize = 64;

/// Which process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// This one of this machine. Its inspector is opened by SIGUSR1 if it is not open.
    Process(u32),
    /// The one whose inspector listens here; loopback only.
    At(SocketAddr),
}

/// Why an inspector is of no use.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum V8Error {
    /// An inspector runs whatever code it is sent: one that others can reach is no place for that.
    #[error(
        "{0} is not on loopback; an inspector elsewhere is reached through a tunnel (ssh -L) of your own"
    )]
    NotLoopback(SocketAddr),
    /// Nobody listens, or the connection broke.
    #[error("nobody answers ({0})")]
    Unreachable(String),
    /// No whole answer in time.
    #[error("no answer within 2 s")]
    TimedOut,
    /// Something else than an inspector of V8.
    #[error("what answers is not V8's inspector: {0}")]
    NotInspector(String),
    /// The observers failed in the target, or something else answers in their place.
    #[error("the observers cannot be read: {0}")]
    Observers(String),
    /// It has no inspector, and may not or cannot be given one.
    #[error("its inspector is not open and is not opened: {0}")]
    NotOpened(String),
}

impl V8Error {
    /// One word for the state of the source: what detectors read.
    fn state(&self) -> &'static str {
        match self {
            Self::TimedOut => "silent",
            Self::Unreachable(_) => "refused",
            _ => "failing",
        }
    }
}

/// Attaches the processes at `places`; `served` is the port that they serve, which is not asked for an inspector.
///
/// Observers are installed before it returns. Of several processes some may fail: that is noted, and the others are read.
///
/// # Errors
/// [`AttachError::V8`]: none of them could be attached; why the first one could not.
pub fn attach(places: &[Place], served: Option<u16>, sink: Box<dyn Sink>) -> Result<Attached, AttachError> {
    let mut sink = Shared::new(sink);
    let since = MonoNs::now();
    let mut attached: Vec<Watcher> = Vec::new();
    let mut failed: Vec<(Place, V8Error)> = Vec::new();
    for (i, &place) in places.iter().take(MAX_PROCESSES).enumerate() {
        match begin(place, served, i + 1 < places.len()) {
            Ok(begun) => attached.push(Watcher::new(begun, since, &mut sink)),
            Err(why) => failed.push((place, why)),
        }
    }
    let about = about(&attached, &failed, places.len());
    let Some(first) = attached.first() else {
        let (place, why) = failed.into_iter().next().unwrap_or_else(|| {
            (Place::Process(0), V8Error::NotOpened("no process of Node.js or Deno was found".to_owned()))
        });
        return Err(AttachError::V8 { what: place.to_string(), why });
    };
    sink.note(first.source, &about);
    let crew = Crew::default();
    for watcher in attached {
        crew.run(watcher, sink.clone());
    }
    Ok(Attached::new(about, crew))
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process(pid) => write!(f, "process {pid}"),
            Self::At(address) => write!(f, "{address}"),
        }
    }
}

/// One process with its observers in place.
struct Begun {
    address: SocketAddr,
    session: Option<Session>,
    observers: Observers,
    about: About,
}

/// Finds or opens the inspector and installs the observers. `more`: others follow, who may need the port that this one got.
fn begin(place: Place, served: Option<u16>, more: bool) -> Result<Begun, V8Error> {
    let (address, opened) = match place {
        Place::At(address) if address.ip().is_loopback() => (address, false),
        Place::At(address) => return Err(V8Error::NotLoopback(address)),
        Place::Process(pid) => inspector::of_process(pid, served)?,
    };
    let observers = Observers::new(opened);
    let mut session = Session::open(address)?;
    let about = observers.install(&mut session)?;
    let mut begun = Begun { address, session: Some(session), observers, about };
    if let (true, true, Place::Process(pid)) = (opened, more, place) {
        make_way(&mut begun, pid)?;
    }
    Ok(begun)
}

/// Node.js opens every inspector on the same port, and stays silent where that is taken: who has it goes to a free one.
fn make_way(begun: &mut Begun, pid: u32) -> Result<(), V8Error> {
    if let Some(mut session) = begun.session.take() {
        begun.observers.move_on(&mut session)?;
    }
    begun.address = inspector::moved(pid, begun.address)?;
    begun.session = Some(Session::open(begun.address)?);
    Ok(())
}

fn about(attached: &[Watcher], failed: &[(Place, V8Error)], asked: usize) -> String {
    let Some(first) = attached.first() else { return String::new() };
    let pids: Vec<String> = attached.iter().map(|w| w.about.pid.to_string()).collect();
    let opened = if attached.iter().any(|w| w.observers.opened) {
        ", which dyno opened and closes at the end"
    } else {
        ", which was open"
    };
    let seen = if first.about.collections {
        "heap by generations, collections, loop, offload; not seen: pools, caches, statements"
    } else {
        "heap by generations, loop; not available in this runtime: collections, use of the loop, offload; not seen: pools, caches, statements"
    };
    let mut text = format!(
        "{} {} through its inspector{opened}: pid {}: {seen}",
        first.source,
        first.about.version,
        pids.join(", ")
    );
    for (place, why) in failed.iter().take(3) {
        text += &format!("; {place} not attached: {why}");
    }
    if asked > MAX_PROCESSES {
        text += &format!("; {} further process(es) not attached", asked - MAX_PROCESSES);
    }
    text
}

/// Reads one process.
struct Watcher {
    source: &'static str,
    instance: String,
    label: String,
    address: SocketAddr,
    session: Option<Session>,
    observers: Observers,
    about: About,
    batches: Batches,
    troubles: Troubles,
    age: Option<LaneId>,
    newest: MonoNs,
}

impl Watcher {
    fn new(begun: Begun, since: MonoNs, sink: &mut dyn Sink) -> Self {
        let Begun { address, session, observers, about } = begun;
        let source = about.runtime.name();
        let instance = format!("pid-{}", about.pid);
        let age = LaneSpec::level(names::SOURCE_AGE, source, Unit::Ns).about(&instance).worst();
        Self {
            source,
            label: format!("{source} {}", about.pid),
            address,
            session,
            observers,
            batches: Batches::new(source, &instance, since),
            troubles: Troubles::new(source),
            age: sink.declare(age),
            newest: since,
            about,
            instance,
        }
    }

    /// Asks once; a connection that is broken, or slow beyond bearing, is given up, and the next turn takes a new one.
    fn read(&mut self, sink: &mut dyn Sink) -> Result<(), V8Error> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::open(self.address)?,
        };
        let answered = match self.observers.read(&mut session, self.batches.seq())? {
            Some(answered) => answered,
            None => {
                // The process behind the address is another one, or nobody read for so long that they removed themselves.
                self.about = self.observers.install(&mut session)?;
                self.batches.begin_anew();
                match self.observers.read(&mut session, 0)? {
                    Some(answered) => answered,
                    None => return Err(V8Error::Observers("they are gone as soon as installed".to_owned())),
                }
            }
        };
        let newest = self.batches.take(answered, sink).map_err(V8Error::Observers)?;
        self.newest = self.newest.max(newest.unwrap_or(self.newest));
        self.session = Some(session);
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
        match self.read(sink) {
            Ok(()) => self.troubles.over(&self.instance, sink),
            Err(e) => self.troubles.began(&self.instance, e.state(), &e, sink),
        }
        let now = MonoNs::now();
        if let Some(age) = self.age {
            sink.sample(age, now, now.since(self.newest).as_nanos() as f64);
        }
    }

    /// A target that cannot be reached any more takes the observers back itself.
    fn end(&mut self) {
        let session = self.session.take().map_or_else(|| Session::open(self.address), Ok);
        if let Ok(mut session) = session {
            let _ = self.observers.remove(&mut session);
        }
    }
}
