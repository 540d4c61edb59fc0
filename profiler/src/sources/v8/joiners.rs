//! Joiners: processes that begin to serve the port while it is watched, a cluster's new workers above all.
//!
//! Owns looking for them and attaching them as the others were. One that was met at a bad moment, as a machine that is busy has many, is asked
//! again at the next looks. One that cannot be attached is said once, and not asked again: what cannot be seen must not pass for healthy.
//! Those that have ended are forgotten: workers that end and are started again and again have as many ids as one likes, and theirs may come
//! again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use timeline::MonoNs;

use super::guard::{Guard, GuardCommand};
use super::inspector::{self, Before};
use super::{MAX_PROCESSES, Place, Process, Readers, V8Error, Watcher};
use crate::sources::discover;
use crate::sources::stacks::Stacks;
use crate::sources::{Crew, Shared, Sink, Source};

/// How often one looks: it walks over all processes of the machine.
const PERIOD: Duration = Duration::from_secs(2);
/// At so many looks one is asked that does not answer, over eight seconds at least.
const TRIES: u32 = 5;

/// Looks who has joined.
pub(super) struct Joiners {
    pub port: u16,
    /// Those that run and have been asked.
    pub known: BTreeSet<u32>,
    /// Those that have been asked and are asked again.
    pub late: BTreeMap<u32, Late>,
    /// Those whose inspectors dyno opened: as primaries they pass the signal on to each worker that is forked then.
    pub opened: BTreeSet<u32>,
    /// It was said that there are too many.
    pub full: bool,
    pub guard: Option<GuardCommand>,
    pub readers: Readers,
    pub crew: Crew,
    pub stacks: Stacks,
    pub sink: Shared,
}

/// One that has joined and is not read yet.
#[derive(Default)]
pub(super) struct Late {
    /// How often it has been asked.
    tries: u32,
    signalled: Option<Signalled>,
}

/// One that was sent the signal and is not read yet. Where it has a handler of its own for it, once is enough: what comes of it is waited for.
struct Signalled {
    /// How it was before: the inspector that is open since was opened for us.
    before: Before,
    guard: Option<Guard>,
    /// Was its inspector there?
    came: bool,
}

impl Late {
    /// Is it worth asking it once more?
    fn may_pass(&self, pid: u32, why: &V8Error) -> bool {
        let passes = match why {
            V8Error::TimedOut | V8Error::Unreachable(_) | V8Error::Observers(_) => true,
            // So it looks, too, while a process that has just been started has no context yet, or its inspector moves.
            V8Error::NotInspector(_) => true,
            V8Error::NotOpened(_) => inspector::may_open(pid),
            _ => false,
        };
        passes && self.tries < TRIES
    }
}

impl Joiners {
    fn begin(&self, pid: u32, late: &mut Late) -> Result<Process, V8Error> {
        if !discover::runs(pid) {
            return Err(V8Error::Gone(pid));
        }
        let (place, served) = (Place::Process(pid), Some(self.port));
        // An inspector that came and was closed again, since the observers could not stay, is asked for anew.
        let closed = |s: &Signalled| s.came && s.before.opened(pid).is_none();
        let signalled = late.signalled.take().filter(|s| !closed(s));
        let mut sent = signalled.is_some();
        let (mut before, guard) = match signalled {
            Some(Signalled { before, guard, .. }) => (before.again(served), Some(guard)),
            None => (Before::of(pid, served), None),
        };
        if discover::parent(pid).is_some_and(|parent| self.opened.contains(&parent)) {
            before = before.passed_on();
        }
        let mut guard = match (guard, self.guard) {
            (Some(guard), _) => guard,
            (None, Some(command)) => Guard::start(&[(pid, &before)], command)?,
            (None, None) => None,
        };
        let there = || place.there(Some(&before));
        let reached = match there() {
            Some(reached) => reached,
            None if sent => Err(inspector::not_opened(pid)),
            None => {
                inspector::ask(pid, inspector::STARTING, guard.as_mut())?;
                sent = true;
                inspector::within(inspector::PATIENCE, there)
                    .unwrap_or_else(|| Err(inspector::not_opened(pid)))
            }
        };
        let came = reached.is_ok();
        let process = reached.and_then(|at| Process::begin(place, at, guard.as_mut(), &self.readers));
        if sent && process.is_err() {
            late.signalled = Some(Signalled { before, guard, came });
        }
        process
    }

    fn attach(&mut self, pid: u32, late: &mut Late, sink: &mut dyn Sink) -> Result<(), V8Error> {
        let since = MonoNs::now();
        late.tries += 1;
        let process = self.begin(pid, late)?;
        if process.observers.opened {
            self.opened.insert(pid);
        }
        let watcher = Watcher::new(process, since, &mut self.sink);
        sink.note(watcher.source, &format!("{} has joined and is watched", Place::Process(pid)));
        watcher.say_who_serves(Some(self.port), sink);
        watcher.run(&self.crew, &self.stacks, &self.sink);
        Ok(())
    }
}

/// What came of asking `pid`: it is `late` and asked again, or it is said why it is not.
fn settle(
    pid: u32,
    one: Late,
    asked: Result<(), V8Error>,
    late: &mut BTreeMap<u32, Late>,
    sink: &mut dyn Sink,
) {
    match asked {
        Ok(()) | Err(V8Error::ReadAlready(_)) => {} // it was asked for by name, too
        Err(why) if one.may_pass(pid, &why) => {
            late.insert(pid, one);
        }
        Err(why) => {
            let text = format!("{} has joined and is not looked into: {why}", Place::Process(pid));
            sink.remark("node", &text);
        }
    }
}

impl Source for Joiners {
    fn name(&self) -> &str {
        "node joiners"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        let mut due = std::mem::take(&mut self.late);
        // While nobody serves the port there is nobody new to attach.
        if let Ok(served) = discover::discover(self.port) {
            let read = served.processes.iter().filter(|p| super::reads(p));
            let new = self.joined(read.map(|p| p.pid), sink);
            due.extend(new.into_iter().map(|pid| (pid, Late::default())));
        }
        for (pid, mut one) in due {
            let asked = self.attach(pid, &mut one, sink);
            settle(pid, one, asked, &mut self.late, sink);
        }
    }
}

impl Joiners {
    /// Which of those that serve are new; they are known from now on. There is room for so many at a time.
    fn joined(&mut self, serving: impl Iterator<Item = u32>, sink: &mut dyn Sink) -> Vec<u32> {
        self.known.retain(|pid| discover::runs(*pid));
        let unknown: Vec<u32> = serving.filter(|pid| !self.known.contains(pid)).collect();
        let room = MAX_PROCESSES.saturating_sub(self.known.len());
        if unknown.len() > room && !std::mem::replace(&mut self.full, true) {
            let text = format!(
                "port {} has more than {MAX_PROCESSES} processes: those that join are not looked into until others have ended",
                self.port
            );
            sink.remark("node", &text);
        }
        let new: Vec<u32> = unknown.into_iter().take(room).collect();
        self.known.extend(&new);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::testing::Keeping;

    /// Nobody has such an id: the system's go to four millions at most.
    const GONE: u32 = 1 << 30;

    #[test]
    fn who_has_ended_makes_room_and_too_many_are_said_once() {
        let mut joiners = Joiners {
            port: 1,
            known: (0..MAX_PROCESSES as u32).map(|n| GONE + n).collect(),
            late: BTreeMap::new(),
            opened: BTreeSet::new(),
            full: false,
            guard: None,
            readers: Readers::default(),
            crew: Crew::default(),
            stacks: Stacks::default(),
            sink: Shared::new(Box::new(Keeping::default())),
        };
        let (me, mut said) = (std::process::id(), Keeping::default());
        assert_eq!(joiners.joined([me].into_iter(), &mut said), [me], "those that are known have ended");
        assert!(joiners.joined([me].into_iter(), &mut said).is_empty(), "it is known, and runs");
        // As many as one likes may come and go.
        for round in 0..10 {
            let some = GONE + round * 1_000..GONE + round * 1_000 + 60;
            assert_eq!(joiners.joined(some, &mut said).len(), 60);
        }
        assert_eq!((said.notes.len(), said.remarks.len()), (0, 0));
        for round in 0..3 {
            let many = GONE + round * 1_000..GONE + round * 1_000 + 100;
            assert_eq!(joiners.joined(many, &mut said).len(), MAX_PROCESSES - 1, "one of them is me");
        }
        assert_eq!((said.notes.len(), said.remarks.len()), (0, 1));
    }

    #[test]
    fn who_does_not_answer_is_asked_some_times_and_then_said_once() {
        let (me, mut late, mut said) = (std::process::id(), BTreeMap::new(), Keeping::default());
        let mut told = |tries, why: V8Error| {
            settle(me, Late { tries, signalled: None }, Err(why), &mut late, &mut said);
            (late.remove(&me).is_some(), said.remarks.len())
        };
        for tries in 1..TRIES {
            assert_eq!(told(tries, V8Error::TimedOut), (true, 0), "{tries}");
        }
        assert_eq!(told(TRIES, V8Error::TimedOut), (false, 1));
        assert_eq!(told(1, V8Error::Unreachable(String::new())), (true, 1));
        assert_eq!(told(1, V8Error::Observers(String::new())), (true, 1));
        assert_eq!(told(1, V8Error::NotInspector(String::new())), (true, 1));
        // These stay as they are: it has ended, and this process is no Node.js.
        assert_eq!(told(1, V8Error::Gone(me)), (false, 2));
        assert_eq!(told(1, V8Error::NotOpened(String::new())), (false, 3));
        // It is read, by another.
        assert_eq!(told(1, V8Error::ReadAlready(me)), (false, 3));
    }
}
