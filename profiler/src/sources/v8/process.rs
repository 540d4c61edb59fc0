//! One process with its observers in place: from installing them over each reading to taking them back.
//!
//! Owns the session with its inspector, which is opened anew when it breaks. What is read is `observers`' to understand, and `watcher`'s to tell.

use std::net::SocketAddr;
use std::time::Duration;

use timeline::MonoNs;

use super::devtools::Session;
use super::guard::Guard;
use super::observers::{About, Observers};
use super::readers::{Claim, Who};
use super::{Inspector, Place, Readers, V8Error, inspector};
use crate::sources::batches::Answered;
use crate::sources::discover::{self, Runtime};
use crate::sources::patience::patiently;
use crate::sources::place::deadline;

/// From one clearing of the inspector's list of console messages to the next, in a process whose inspector dyno opened: it keeps what was logged.
const CLEAR_EVERY: Duration = Duration::from_secs(5);

/// One process with its observers in place, which are taken back when it is dropped.
pub(super) struct Process {
    pub(super) place: Place,
    pub(super) address: SocketAddr,
    session: Option<Session>,
    pub(super) observers: Observers,
    pub(super) about: About,
    /// What it is called.
    pub(super) instance: String,
    readers: Readers,
    claim: Option<Claim>,
    /// Something was found by searching its heap.
    pub(super) searched: bool,
    /// The inspector's list of console messages was last cleared.
    cleared: MonoNs,
}

impl Process {
    /// Installs the observers by way of its inspector, which makes way for others that may want its port if dyno opened it.
    pub(super) fn begin(
        place: Place,
        Inspector { address, opened }: Inspector,
        guard: Option<&mut Guard>,
        readers: &Readers,
    ) -> Result<Self, V8Error> {
        let observers = Observers::new(opened);
        // Asked again, it finds the same observers, which may have come to stand meanwhile.
        let (session, (about, claim)) = patiently(&V8Error::TimedOut, || {
            let mut session = Session::open(address)?;
            stand(place, address, &observers, &mut session, readers).map(|stood| (session, stood))
        })?;
        if let (Some(guard), Some(pid)) = (guard, place.pid()) {
            guard.stands(pid);
        }
        let instance = claim.name.clone();
        let (session, readers, claim) = (Some(session), readers.clone(), Some(claim));
        let (searched, cleared) = (false, MonoNs::now());
        let mut process =
            Self { place, address, session, observers, about, instance, readers, claim, searched, cleared };
        if let (true, Some(pid)) = (opened, place.pid()) {
            process.make_way(pid);
        }
        Ok(process)
    }

    /// Node.js opens every inspector on the same port, and stays silent where that is taken, also by one that another dyno reads: who has it goes to
    /// a free one. Who cannot go in time, since its loop stands still or somebody else is connected, stays, and is read there.
    fn make_way(&mut self, pid: u32) {
        let Some(mut session) = self.session.take() else { return };
        let before = inspector::listening(pid);
        let until = deadline(inspector::GOING);
        let told = self.observers.move_on(&mut session, inspector::aside(pid), until);
        // It goes once nobody is connected.
        drop(session);
        // Who has not answered may have heard it all the same.
        if matches!(told, Ok(()) | Err(V8Error::TimedOut)) {
            self.address = inspector::moved(pid, self.address, &before).unwrap_or(self.address);
        }
        self.session = Session::open(self.address).ok();
    }

    /// Has it forget what it has measured so far, and wait on. What has failed is told once it is read.
    pub(super) fn start_over(&mut self) {
        if let Some(mut session) = self.session.take()
            && self.observers.begin(&mut session).is_ok()
        {
            self.session = Some(session);
        }
    }

    /// Searches its heap; says in words what came of it.
    pub(super) fn search(&mut self) -> String {
        let pid = self.about.pid;
        if self.session.is_none() {
            self.session = Session::open(self.address).ok();
        }
        let found = self.session.as_mut().map(|session| self.observers.search(session));
        self.searched |= matches!(found, Some(Ok(1..)));
        match found {
            Some(Ok(n)) => format!("{n} found (pools, caches and clients) in process {pid}"),
            Some(Err(why)) => format!("nothing in process {pid} ({why})"),
            None => format!("nothing in process {pid}"),
        }
    }

    /// What happened after tick `since`, and whether the observers had to be installed anew for it.
    pub(super) fn read(&mut self, since: u64) -> Result<(Answered, bool), V8Error> {
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
            let (about, claim) =
                stand(self.place, self.address, &self.observers, &mut session, &self.readers)?;
            (self.about, self.claim) = (about, Some(claim));
            anew = true;
            answered = self.observers.read(&mut session, 0)?;
        }
        let answered =
            answered.ok_or_else(|| V8Error::Observers("they are gone as soon as installed".to_owned()))?;
        self.clear_console(&mut session)?;
        self.session = Some(session);
        Ok((answered, anew))
    }

    /// While an inspector is open it keeps the last thousand messages of the console with all that they hold on to.
    fn clear_console(&mut self, session: &mut Session) -> Result<(), V8Error> {
        let now = MonoNs::now();
        if !self.observers.opened || now.since(self.cleared) < CLEAR_EVERY {
            return Ok(());
        }
        self.cleared = now;
        session.tell("Runtime.discardConsoleEntries", serde_json::json!({}))
    }
}

/// Has the observers stand in a process that nobody reads yet; in one that is read already they are not left.
fn stand(
    place: Place,
    address: SocketAddr,
    observers: &Observers,
    session: &mut Session,
    readers: &Readers,
) -> Result<(About, Claim), V8Error> {
    let mut about = observers.install(session)?;
    let who = Who { pid: about.pid, born: about.born.clone() };
    // In a container a process knows itself by another id than we do.
    let itself = |pid: &u32| inspector::is_behind(*pid, address);
    about.host = place.pid().or_else(|| Some(about.pid).filter(itself));
    about.pid = about.host.unwrap_or(about.pid);
    let (short, whole) = names(&about, address);
    if let Some(claim) = readers.claim(who, &short, &whole) {
        return Ok((about, claim));
    }
    let _ = observers.remove(session); // unread, they would go by themselves
    Err(V8Error::ReadAlready(about.pid))
}

/// What it is called, and where another is called that: who runs here by its id, as other sources do; who runs elsewhere not by the id of one that
/// may be read here.
fn names(about: &About, address: SocketAddr) -> (String, String) {
    let short = format!("pid-{}", about.pid);
    let whole = format!("{short}-{address}").replace(['[', ']', ':'], "-");
    let is_ours = || matches!(discover::runtime_of(about.pid), Runtime::Node | Runtime::Deno | Runtime::Bun);
    match about.host {
        Some(_) => (short.clone(), short),
        None if is_ours() => (whole.clone(), whole),
        None => (short, whole),
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
