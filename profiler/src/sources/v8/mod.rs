//! The V8 source: heap by generations, collections, loop, offload, requests, connections, calls of others, pools, caches and profiles of Node.js and Deno, through the inspector.
//!
//! Owns attaching and the rhythm of reading: one thread for each process. What is installed in the target is
//! `observers.js` with its parts, and nothing else; it is taken back at the end, and takes itself back if nobody reads it for ten seconds. An inspector that dyno
//! opened is closed again, one that was open stays open. Nothing but loopback is spoken to.
//!
//! A process that answers is judged by `batches` and `admit`, like any agent: its word is not trusted further than that.

mod devtools;
mod guard;
mod inspector;
mod joiners;
mod observers;
mod profile;
mod readers;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use timeline::MonoNs;
use timeline::probe::TICK_MS;

use super::age::Age;
use super::batches::{Answered, Batches};
use super::stacks::Stacks;
use super::troubles::Troubles;
use super::{AttachError, Attached, Crew, Shared, Sink, Source, discover};
use devtools::Session;
use guard::Guard;
pub use guard::{GuardCommand, guard};
use inspector::Before;
use joiners::Joiners;
use observers::{About, Observers};
use profile::{Profiles, Signs};
use readers::Claim;
pub use readers::Readers;

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
    /// The process has left its context behind, and is about to end.
    #[error("the process is about to end")]
    Ending,
    /// Something else than an inspector of V8.
    #[error("what answers is not V8's inspector: {0}")]
    NotInspector(String),
    /// The observers failed in the target, or something else answers in their place.
    #[error("the observers cannot be read: {0}")]
    Observers(String),
    /// It has no inspector, and may not or cannot be given one.
    #[error("its inspector is not open and is not opened: {0}")]
    NotOpened(String),
    /// The process that was asked for runs no more. Another one at its inspector's address is not it.
    #[error("process {0} has ended")]
    Gone(u32),
    /// It was asked for in another way, too.
    #[error("process {0} is read already")]
    ReadAlready(u32),
}

impl V8Error {
    /// One word for the state of the source: what detectors read.
    fn state(&self) -> &'static str {
        match self {
            Self::TimedOut => "silent",
            Self::Unreachable(_) => "refused",
            Self::Ending | Self::Gone(_) | Self::ReadAlready(_) => "gone",
            _ => "failing",
        }
    }

    /// Is there no use in asking again?
    fn is_final(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::ReadAlready(_))
    }
}

/// Processes with the observers in place, not read yet. Dropping it takes them back.
pub struct Installed {
    processes: Vec<Process>,
    about: String,
    asked: BTreeSet<u32>,
    follow: Option<u16>,
    guard: Option<GuardCommand>,
    readers: Readers,
}

/// Whether the heap of a process is searched for pools and caches that are not among its loaded modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// It is not.
    No,
    /// It is, once, before anything is measured: the process stands still for 15 ms for each live MB.
    Heap,
}

/// Installs the observers in the processes at `places`; `served` is the port that they serve, which is not asked for an inspector. Inspectors that
/// have to be opened are closed by a process of `guard`'s should this one die in between; without one they would stay open. `readers` are those
/// of the whole run.
///
/// Apart from attaching because it takes its time: a second for a process that has to open its inspector. Of several processes some may
/// fail, or be read already: that is told with what was attached.
///
/// # Errors
/// [`AttachError::V8`]: none of them could be attached; why the first one could not.
pub fn install(
    places: &[Place],
    served: Option<u16>,
    search: Search,
    guard: Option<GuardCommand>,
    readers: &Readers,
) -> Result<Installed, AttachError> {
    let mut processes = Vec::new();
    let mut failed = Vec::new();
    // All are looked at before the first is signalled.
    let looked: Vec<(Place, Option<Before>)> =
        places.iter().take(MAX_PROCESSES).map(|&place| (place, place.before(served))).collect();
    let what = || places.first().map_or_else(|| "the target".to_owned(), Place::to_string);
    let mut watchful = guarded(&looked, guard).map_err(|why| AttachError::V8 { what: what(), why })?;
    // A cluster's processes take the one port from each other: whoever gets it is attached, and makes way for the next.
    let mut pending = looked;
    while !pending.is_empty() {
        let (at, reached) = reach(&pending, watchful.as_mut());
        let (place, _) = pending.remove(at);
        let begin = |at| Process::begin(place, at, places.len() > 1, watchful.as_mut(), readers);
        match reached.and_then(begin) {
            Ok(process) => processes.push(process),
            Err(why) => failed.push((place, why)),
        }
    }
    drop(watchful);
    let failure = failed.iter().find(|(_, why)| !matches!(why, V8Error::ReadAlready(_)));
    if processes.is_empty() && (failure.is_some() || failed.is_empty()) {
        let (what, why) = failure.map_or_else(
            || {
                (
                    "the target".to_owned(),
                    V8Error::NotOpened("no process of Node.js or Deno was found".to_owned()),
                )
            },
            |(place, why)| (place.to_string(), why.clone()),
        );
        return Err(AttachError::V8 { what, why });
    }
    let mut about = about(&processes, &failed, places.len());
    if search == Search::Heap && !processes.is_empty() {
        let found: Vec<String> = processes.iter_mut().map(Process::search).collect();
        about += &format!("; searched by shape: {}", found.join(", "));
    }
    let mut asked: BTreeSet<u32> =
        places.iter().take(MAX_PROCESSES).filter_map(|place| place.pid()).collect();
    asked.extend(processes.iter().map(|process| process.about.pid));
    Ok(Installed { processes, about, asked, follow: None, guard, readers: readers.clone() })
}

/// Where an inspector is.
#[derive(Debug, Clone, Copy)]
struct Inspector {
    address: SocketAddr,
    /// Did dyno open it?
    opened: bool,
}

/// Which of `pending` (one at least) comes next, and where its inspector is: one that is open, else one that opens when the first is asked to. A
/// cluster's primary hands the signal on, and another process may be quicker to the port that they all want.
fn reach(
    pending: &[(Place, Option<Before>)],
    guard: Option<&mut Guard>,
) -> (usize, Result<Inspector, V8Error>) {
    let there = || {
        pending.iter().enumerate().find_map(|(i, (place, before))| Some((i, place.there(before.as_ref())?)))
    };
    if let Some(found) = there() {
        return found;
    }
    let asked = pending.first().and_then(|(place, _)| place.pid()).map(|pid| inspector::ask(pid, guard));
    if let Some(Err(why)) = asked {
        return (0, Err(why));
    }
    inspector::within(inspector::PATIENCE, there).unwrap_or_else(|| (0, Err(inspector::not_opened())))
}

/// Who closes their inspectors should we die.
fn guarded(
    looked: &[(Place, Option<Before>)],
    command: Option<GuardCommand>,
) -> Result<Option<Guard>, V8Error> {
    let Some(command) = command else { return Ok(None) };
    let theirs: Vec<(u32, &Before)> =
        looked.iter().filter_map(|(place, before)| Some((place.pid()?, before.as_ref()?))).collect();
    Guard::start(&theirs, command)
}

impl Installed {
    /// Attaches processes that come to serve `port` later, too.
    #[must_use]
    pub fn following(self, port: u16) -> Self {
        Self { follow: Some(port), ..self }
    }

    /// Reads them from now on.
    #[must_use]
    pub fn attach(self, sink: Box<dyn Sink>) -> Attached {
        let mut sink = Shared::new(sink);
        let since = MonoNs::now();
        let crew = Crew::default();
        let stacks = Stacks::default();
        for process in self.processes {
            let watcher = Watcher::new(process, since, &mut sink);
            sink.note(watcher.source, &self.about);
            watcher.run(&crew, &stacks, &sink);
        }
        if let Some(port) = self.follow {
            let joiners = Joiners {
                port,
                known: self.asked,
                full: false,
                guard: self.guard,
                readers: self.readers,
                crew: crew.clone(),
                stacks: stacks.clone(),
                sink: sink.clone(),
            };
            crew.run(joiners, sink);
        }
        Attached::new(self.about, crew).sampling(stacks)
    }
}

impl Place {
    fn before(self, served: Option<u16>) -> Option<Before> {
        match self {
            Self::Process(pid) => Some(Before::of(pid, served)),
            Self::At(_) => None,
        }
    }

    /// Its inspector, if one is open by now; an error if it can be none of ours.
    fn there(self, before: Option<&Before>) -> Option<Result<Inspector, V8Error>> {
        let at = |address, opened| Ok(Inspector { address, opened });
        match (self, before) {
            (Self::At(address), _) if address.ip().is_loopback() => Some(at(address, false)),
            (Self::At(address), _) => Some(Err(V8Error::NotLoopback(address))),
            (Self::Process(_), Some(Before { open: Some(address), .. })) => Some(at(*address, false)),
            (Self::Process(pid), before) => Some(at(before?.opened(pid)?, true)),
        }
    }

    fn pid(self) -> Option<u32> {
        match self {
            Self::Process(pid) => Some(pid),
            Self::At(_) => None,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process(pid) => write!(f, "process {pid}"),
            Self::At(address) => write!(f, "{address}"),
        }
    }
}

/// One process with its observers in place, which are taken back when it is dropped.
struct Process {
    place: Place,
    address: SocketAddr,
    session: Option<Session>,
    observers: Observers,
    about: About,
    readers: Readers,
    claim: Option<Claim>,
}

impl Process {
    /// Installs the observers by way of its inspector. `others`: there are some, who may need the port that this one got.
    fn begin(
        place: Place,
        Inspector { address, opened }: Inspector,
        others: bool,
        guard: Option<&mut Guard>,
        readers: &Readers,
    ) -> Result<Self, V8Error> {
        let observers = Observers::new(opened);
        let mut session = Session::open(address)?;
        let (about, claim) = stand(&observers, &mut session, readers)?;
        if let (Some(guard), Some(pid)) = (guard, place.pid()) {
            guard.stands(pid);
        }
        let (session, readers, claim) = (Some(session), readers.clone(), Some(claim));
        let mut process = Self { place, address, session, observers, about, readers, claim };
        if let (true, true, Place::Process(pid)) = (opened, others, place) {
            process.make_way(pid)?;
        }
        Ok(process)
    }

    /// Node.js opens every inspector on the same port, and stays silent where that is taken: who has it goes to a free one.
    fn make_way(&mut self, pid: u32) -> Result<(), V8Error> {
        if let Some(mut session) = self.session.take() {
            self.observers.move_on(&mut session)?;
        }
        self.address = inspector::moved(pid, self.address)?;
        self.session = Some(Session::open(self.address)?);
        Ok(())
    }

    /// Searches its heap; says in words what came of it.
    fn search(&mut self) -> String {
        let pid = self.about.pid;
        let found = self.session.as_mut().map(|session| self.observers.search(session));
        match found {
            Some(Ok(n)) => format!("{n} pool(s) and clients in process {pid}"),
            Some(Err(why)) => format!("nothing in process {pid} ({why})"),
            None => format!("nothing in process {pid}"),
        }
    }

    /// What happened after tick `since`, and whether the observers had to be installed anew for it.
    fn read(&mut self, since: u64) -> Result<(Answered, bool), V8Error> {
        self.ask(since).map_err(|why| match self.place {
            Place::Process(pid) if !discover::runs(pid) => V8Error::Gone(pid),
            _ => why,
        })
    }

    /// The same, whoever is behind the address. A connection that is broken, or slow beyond bearing, is given up, and the next turn takes a new one.
    fn ask(&mut self, since: u64) -> Result<(Answered, bool), V8Error> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::open(self.address)?,
        };
        let mut anew = false;
        let mut answered = self.observers.read(&mut session, since)?;
        if answered.is_none() {
            // Nobody read for so long that they removed themselves, or another process is behind the address: whoever it is was asked for by
            // its address alone.
            if let Place::Process(pid) = self.place
                && !inspector::is_of(pid, self.address)
            {
                return Err(V8Error::Unreachable("another process listens there now".to_owned()));
            }
            self.claim = None;
            let (about, claim) = stand(&self.observers, &mut session, &self.readers)?;
            (self.about, self.claim) = (about, Some(claim));
            anew = true;
            answered = self.observers.read(&mut session, 0)?;
        }
        let answered =
            answered.ok_or_else(|| V8Error::Observers("they are gone as soon as installed".to_owned()))?;
        self.session = Some(session);
        Ok((answered, anew))
    }
}

/// Has the observers stand in a process that nobody reads yet; in one that is read already they are not left.
fn stand(observers: &Observers, session: &mut Session, readers: &Readers) -> Result<(About, Claim), V8Error> {
    let about = observers.install(session)?;
    match readers.claim(about.pid) {
        Ok(claim) => Ok((about, claim)),
        Err(why) => {
            let _ = observers.remove(session); // unread, they would go by themselves
            Err(why)
        }
    }
}

impl Drop for Process {
    /// A target that cannot be reached any more takes them back itself.
    fn drop(&mut self) {
        let session = self.session.take().map_or_else(|| Session::open(self.address), Ok);
        if let Ok(mut session) = session {
            let _ = self.observers.remove(&mut session);
        }
    }
}

/// What was attached and what cannot be seen, one line.
fn about(attached: &[Process], failed: &[(Place, V8Error)], asked: usize) -> String {
    let Some(first) = attached.first() else {
        let all: Vec<String> = failed.iter().map(|(_, why)| why.to_string()).collect();
        return all.join("; ");
    };
    let pids: Vec<String> = attached.iter().map(|p| p.about.pid.to_string()).collect();
    let opened = if attached.iter().any(|p| p.observers.opened) {
        "opened for this and closed at the end"
    } else {
        "open before and left so"
    };
    let seen = if first.about.collections {
        "heap by generations, collections, loop and who blocks it, offload, requests, connections, calls of others, profiles, pools and caches of known libraries; \
         not seen: other pools and caches, worker threads"
    } else {
        "heap by generations, delay of the loop; not available in this runtime: collections, use of the loop, offload, requests; \
         not seen: pools, caches, worker threads"
    };
    let mut text = format!(
        "{} {} by its inspector ({opened}): pid {}: {seen}",
        first.about.runtime.name(),
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
    process: Process,
    batches: Batches,
    troubles: Troubles,
    age: Age,
    newest: MonoNs,
    signs: Signs,
    over: bool,
}

impl Watcher {
    fn new(process: Process, since: MonoNs, sink: &mut dyn Sink) -> Self {
        let source = process.about.runtime.name();
        let instance = format!("pid-{}", process.about.pid);
        Self {
            source,
            label: format!("{source} {}", process.about.pid),
            process,
            batches: Batches::new(source, &instance, since),
            troubles: Troubles::new(source),
            age: Age::declare(source, &instance, sink),
            newest: since,
            signs: Signs::default(),
            over: false,
            instance,
        }
    }

    /// Reads it on a thread, and has it profiled on another.
    fn run(self, crew: &Crew, stacks: &Stacks, sink: &Shared) {
        let Process { place, address, .. } = self.process;
        let profiles = Profiles::new(place, address, &self.instance, &self.signs, stacks.clone());
        crew.run(self, sink.clone());
        crew.run(profiles, sink.clone());
    }

    fn read(&mut self, sink: &mut dyn Sink) -> Result<(), V8Error> {
        let (answered, anew) = self.process.read(self.batches.seq())?;
        if anew {
            self.batches.begin_anew();
        }
        self.signs.see(&answered.batch);
        let newest = self.batches.take(answered, sink).map_err(V8Error::Observers)?;
        self.newest = self.newest.max(newest.unwrap_or(self.newest));
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
        let read = self.read(sink);
        self.over = read.as_ref().is_err_and(V8Error::is_final);
        if self.over || matches!(read, Err(V8Error::Ending)) {
            self.signs.end();
        }
        self.troubles.after(&self.instance, read, V8Error::state, sink);
        self.age.tell(self.newest, MonoNs::now(), sink);
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
