//! The V8 source: heap by generations, collections, loop, offload, requests, connections, calls of others, pools, caches and profiles of Node.js, and what Deno and Bun have of that, through the inspector.
//!
//! Owns attaching: who is looked into, and what is said of it; each process is read on a thread of its own (`watcher`). What is installed in the target is
//! `observers.js` with its parts, and nothing else; it is taken back at the end, and takes itself back if nobody reads it for ten seconds. An inspector that dyno
//! opened is closed again, one that was open stays open. Nothing but loopback is spoken to.
//!
//! A process that answers is judged by `batches` and `admit`, like any agent: its word is not trusted further than that.

mod bun;
mod devtools;
mod guard;
mod inspector;
mod joiners;
mod observers;
mod process;
mod profile;
mod readers;
mod watcher;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use timeline::MonoNs;
use timeline::text::plural;

use super::stacks::Stacks;
use super::{AttachError, Attached, Crew, Shared, Sink, discover};
pub use bun::OPTION as BUN_OPTION;
use guard::Guard;
pub use guard::{GuardCommand, guard};
use inspector::Before;
use joiners::Joiners;
use observers::{Runtime, Times};
use process::Process;
pub use readers::Readers;
use watcher::Watcher;

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
    opened: BTreeSet<u32>,
    served: Option<u16>,
    follow: Option<u16>,
    guard: Option<GuardCommand>,
    readers: Readers,
}

/// Can it be looked into? Node.js opens its inspector when it is asked to, Deno and Bun must have been started with one, Bun with one whose path is known.
pub fn reads(process: &discover::Process) -> bool {
    match process.runtime {
        discover::Runtime::Node | discover::Runtime::Deno => true,
        discover::Runtime::Bun => bun::says_where(process.pid),
        _ => false,
    }
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
/// of the whole run. With the primary of a cluster that has to be asked for its inspector come its workers, to which it passes the signal on.
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
    let mut processes: Vec<Process> = Vec::new();
    let mut failed = Vec::new();
    // All are looked at before the first is signalled.
    let Looked { mut pending, further, left_out } = look(places, served);
    let what = || places.first().map_or_else(|| "the target".to_owned(), Place::to_string);
    let watched = pending.iter().chain(&further);
    let mut watchful = guarded(watched, guard).map_err(|why| AttachError::V8 { what: what(), why })?;
    let mut asked = pids(&pending);
    // A cluster's processes take the one port from each other: whoever gets it is attached, and makes way for the next.
    while !pending.is_empty() {
        let starting = if processes.is_empty() { inspector::YOUNG } else { inspector::STARTING };
        let (at, reached) = reach(&pending, served, starting, watchful.as_mut());
        let (place, _) = pending.remove(at);
        let begin = |at| Process::begin(place, at, watchful.as_mut(), readers);
        match reached.and_then(begin) {
            Ok(process) => processes.push(process),
            Err(why) => failed.push((place, why)),
        }
        // Each may take its time, and those that nobody reads meanwhile would remove themselves.
        processes.iter_mut().for_each(Process::start_over);
        if pending.is_empty() {
            let known: BTreeSet<u32> = asked.union(&pids(&further)).copied().collect();
            let room = MAX_PROCESSES.saturating_sub(asked.len());
            pending = forked_meanwhile(&opened(&processes), &known, served, room);
            asked.extend(pids(&pending));
        }
    }
    drop(watchful);
    let failure = failed.iter().find(|(_, why)| !matches!(why, V8Error::ReadAlready(_)));
    if processes.is_empty() && (failure.is_some() || failed.is_empty()) {
        let (what, why) = failure.map_or_else(
            || ("the target".to_owned(), V8Error::NotOpened("no process was found that has one".to_owned())),
            |(place, why)| (place.to_string(), why.clone()),
        );
        return Err(AttachError::V8 { what, why });
    }
    let mut about = about(&processes, &failed, left_out) + &other_services(&processes, served);
    if search == Search::Heap && !processes.is_empty() {
        let mut found = Vec::new();
        for at in 0..processes.len() {
            found.push(processes[at].search());
            processes.iter_mut().for_each(Process::start_over);
        }
        about += &format!("; searched by shape: {}", found.join(", "));
    }
    asked.extend(processes.iter().filter_map(|process| process.about.host));
    let opened = opened(&processes);
    let (follow, readers) = (None, readers.clone());
    Ok(Installed { processes, about, asked, opened, served, follow, guard, readers })
}

/// A process and how it was before anybody was signalled.
type Candidate = (Place, Option<Before>);

/// Who is to be attached.
struct Looked {
    pending: Vec<Candidate>,
    /// Workers for which there is no room, and whose inspectors open all the same.
    further: Vec<Candidate>,
    /// How many are not attached for want of room.
    left_out: usize,
}

/// Looks at all `places`, and at the workers of those that have to be signalled.
fn look(places: &[Place], served: Option<u16>) -> Looked {
    let candidate = |place: Place| (place, place.before(served));
    let mut pending: Vec<Candidate> = places.iter().copied().map(candidate).collect();
    let closed = pending.iter().filter(|(_, before)| before.as_ref().is_some_and(|b| b.open.is_none()));
    let closed: BTreeSet<u32> = closed.filter_map(|(place, _)| place.pid()).collect();
    let workers = discover::workers_of(&closed);
    let unasked = workers.iter().map(|&pid| Place::Process(pid)).filter(|place| !places.contains(place));
    pending.extend(unasked.map(candidate));
    let mut further = pending.split_off(pending.len().min(MAX_PROCESSES));
    let left_out = further.len();
    further.retain(|(place, _)| place.pid().is_some_and(|pid| workers.contains(&pid)));
    Looked { pending, further, left_out }
}

/// Workers that were forked while their primaries, `opened`, were signalled: these have passed the signal on to them, too.
fn forked_meanwhile(
    opened: &BTreeSet<u32>,
    known: &BTreeSet<u32>,
    served: Option<u16>,
    room: usize,
) -> Vec<Candidate> {
    let new = discover::workers_of(opened).into_iter().filter(|pid| !known.contains(pid));
    let looked = new.map(|pid| (pid, Before::of(pid, served)));
    let open = looked.filter(|(_, before)| before.open.is_some()).take(room);
    open.map(|(pid, before)| (Place::Process(pid), Some(before.passed_on()))).collect()
}

/// Those whose inspectors dyno opened.
fn opened(processes: &[Process]) -> BTreeSet<u32> {
    processes.iter().filter(|process| process.observers.opened).filter_map(|p| p.place.pid()).collect()
}

fn pids(candidates: &[Candidate]) -> BTreeSet<u32> {
    candidates.iter().filter_map(|(place, _)| place.pid()).collect()
}

/// Where an inspector is.
#[derive(Debug, Clone, Copy)]
struct Inspector {
    address: SocketAddr,
    /// Did dyno open it?
    opened: bool,
}

/// Which of `pending` (one at least) comes next, and where its inspector is: one that is open, else one that opens when the first is asked to. A
/// cluster's primary hands the signal on, and another process may be quicker to the port that they all want. One that is starting is waited for, for
/// as long as `starting`.
fn reach(
    pending: &[Candidate],
    served: Option<u16>,
    starting: Duration,
    guard: Option<&mut Guard>,
) -> (usize, Result<Inspector, V8Error>) {
    let there = || {
        pending.iter().enumerate().find_map(|(i, (place, before))| Some((i, place.there(before.as_ref())?)))
    };
    if let Some(found) = there() {
        return found;
    }
    let first = pending.first();
    let opened = match first.and_then(|(place, _)| place.pid()) {
        Some(pid) => inspector::ask(pid, starting, guard).and_then(|()| {
            inspector::within(inspector::PATIENCE, there).ok_or_else(|| inspector::not_opened(pid))
        }),
        None => Err(V8Error::Unreachable("nobody can be asked to open it".to_owned())),
    };
    opened.unwrap_or_else(|why| {
        // One that was open, and stood still when it was looked at, has not answered then; it opens no other.
        let late = first.and_then(|(_, before)| before.as_ref()?.answering(served));
        (0, late.map(|address| Inspector { address, opened: false }).ok_or(why))
    })
}

/// Who closes their inspectors should we die.
fn guarded<'a>(
    looked: impl Iterator<Item = &'a Candidate>,
    command: Option<GuardCommand>,
) -> Result<Option<Guard>, V8Error> {
    let Some(command) = command else { return Ok(None) };
    let theirs: Vec<(u32, &Before)> =
        looked.filter_map(|(place, before)| Some((place.pid()?, before.as_ref()?))).collect();
    Guard::start(&theirs, command)
}

impl Installed {
    /// Nobody yet: those that come to serve `port` and can be looked into are attached from then on; `guard` and `readers` are as with [`install`].
    #[must_use]
    pub fn awaiting(port: u16, guard: Option<GuardCommand>, readers: &Readers) -> Self {
        Self {
            processes: Vec::new(),
            about: format!(
                "node at port {port}: nobody at first; who comes to serve it is looked into by its inspector"
            ),
            asked: BTreeSet::new(),
            opened: BTreeSet::new(),
            served: Some(port),
            follow: Some(port),
            guard,
            readers: readers.clone(),
        }
    }

    /// Attaches processes that come to serve `port` later, too.
    #[must_use]
    pub fn following(self, port: u16) -> Self {
        Self { follow: Some(port), ..self }
    }

    /// Reads them from now on.
    #[must_use]
    pub fn attach(self, sink: Box<dyn Sink>) -> Attached {
        let mut sink = Shared::new(sink);
        let crew = Crew::default();
        let stacks = Stacks::default();
        if let Some(first) = self.processes.first() {
            sink.note(first.about.runtime.name(), &self.about);
        }
        for mut process in self.processes {
            process.start_over();
            let since = MonoNs::now();
            let watcher = Watcher::new(process, since, &mut sink);
            watcher.say_who_serves(self.served, &mut sink);
            watcher.run(&crew, &stacks, &sink);
        }
        if let Some(port) = self.follow {
            let joiners = Joiners {
                port,
                known: self.asked,
                late: BTreeMap::new(),
                opened: self.opened,
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

/// What was attached and what cannot be seen, one line.
fn about(attached: &[Process], failed: &[(Place, V8Error)], left_out: usize) -> String {
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
         not seen: HTTP/2, other pools and caches, marking steps of the collector, worker threads"
    } else if first.about.runtime == Runtime::Bun {
        "heap, delay of the loop; not available in this runtime: generations, collections, use of the loop, offload, profiles; \
         not seen: requests, pools, caches, worker threads"
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
    text += match attached.iter().map(|process| process.about.times).max() {
        Some(Times::Process) => {
            "; a loop that is blocked is told from one that stands still by the CPU time of all threads together"
        }
        Some(Times::Unknown) => {
            "; a loop that is blocked is not told from one that stands still: no CPU time is known here"
        }
        Some(Times::Thread) | None => "",
    };
    for (place, why) in failed.iter().take(3) {
        text += &format!("; {place} not attached: {why}");
    }
    if left_out > 0 {
        text += &format!("; {} not attached", plural(left_out, "further process"));
    }
    text
}

/// Primaries that listen beside `served`, as a process manager's does for all of its services: whose their workers are is not known.
fn other_services(attached: &[Process], served: Option<u16>) -> String {
    let mut text = String::new();
    let parents: BTreeSet<u32> = attached.iter().filter_map(|p| discover::parent(p.place.pid()?)).collect();
    for process in attached {
        let Some(pid) = process.place.pid().filter(|pid| parents.contains(pid)) else { continue };
        let known = [served, Some(process.address.port())];
        let ports: BTreeSet<u16> = inspector::listening(pid).iter().map(SocketAddr::port).collect();
        let others = ports.iter().filter(|port| !known.contains(&Some(**port)));
        let others: Vec<String> = others.map(u16::to_string).collect();
        if served.is_some() && !others.is_empty() {
            text += &format!(
                "; process {pid} listens on other ports, too ({}): workers of other services may be among these",
                others.join(", ")
            );
        }
    }
    text
}
