//! Joiners: processes that begin to serve the port while it is watched, a cluster's new workers above all.
//!
//! Owns looking for them and attaching them as the others were. One that cannot be attached is said once, and not asked again: what cannot be
//! seen must not pass for healthy. Those that have ended are forgotten: workers that end and are started again and again have as many ids
//! as one likes, and theirs may come again.

use std::collections::BTreeSet;
use std::time::Duration;

use timeline::MonoNs;

use super::guard::GuardCommand;
use super::inspector::Before;
use super::{MAX_PROCESSES, Place, Process, Readers, V8Error, Watcher};
use crate::sources::discover::{self, Runtime};
use crate::sources::stacks::Stacks;
use crate::sources::{Crew, Shared, Sink, Source};

/// How often one looks: it walks over all processes of the machine.
const PERIOD: Duration = Duration::from_secs(2);

/// Looks who has joined.
pub(super) struct Joiners {
    pub port: u16,
    /// Those that run and have been asked.
    pub known: BTreeSet<u32>,
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

impl Joiners {
    /// Others may join later: each makes way for the next.
    fn begin(&self, place: Place, before: Before) -> Result<Process, V8Error> {
        let one = [(place, Some(before))];
        let mut guard = super::guarded(one.iter(), self.guard)?;
        let (_, reached) = super::reach(&one, guard.as_mut());
        Process::begin(place, reached?, true, guard.as_mut(), &self.readers)
    }

    fn attach(&mut self, pid: u32, sink: &mut dyn Sink) {
        let place = Place::Process(pid);
        let since = MonoNs::now();
        let mut before = Before::of(pid, Some(self.port));
        if discover::parent(pid).is_some_and(|parent| self.opened.contains(&parent)) {
            before = before.passed_on();
        }
        match self.begin(place, before) {
            Ok(process) => {
                if process.observers.opened {
                    self.opened.insert(pid);
                }
                let watcher = Watcher::new(process, since, &mut self.sink);
                sink.note(watcher.source, &format!("{place} has joined and is watched"));
                watcher.run(&self.crew, &self.stacks, &self.sink);
            }
            Err(V8Error::ReadAlready(_)) => {} // it was asked for by name, too
            Err(why) => sink.remark("node", &format!("{place} has joined and is not looked into: {why}")),
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
        // While nobody serves the port there is nobody to attach.
        let Ok(served) = discover::discover(self.port) else { return };
        let on_v8 = served.processes.iter().filter(|p| matches!(p.runtime, Runtime::Node | Runtime::Deno));
        for pid in self.joined(on_v8.map(|p| p.pid), sink) {
            self.attach(pid, sink);
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
}
