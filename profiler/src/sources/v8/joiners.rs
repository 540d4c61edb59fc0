//! Joiners: processes that begin to serve the port while it is watched, a cluster's new workers above all.
//!
//! Owns looking for them and attaching them as the others were. One that cannot be attached is said once, and not asked again: what cannot be
//! seen must not pass for healthy.

use std::collections::BTreeSet;
use std::time::Duration;

use timeline::MonoNs;

use super::guard::GuardCommand;
use super::inspector::Before;
use super::{MAX_PROCESSES, Place, Process, V8Error, Watcher};
use crate::sources::discover::{self, Runtime};
use crate::sources::stacks::Stacks;
use crate::sources::{Crew, Shared, Sink, Source};

/// How often one looks: it walks over all processes of the machine.
const PERIOD: Duration = Duration::from_secs(2);

/// Looks who has joined.
pub(super) struct Joiners {
    port: u16,
    known: BTreeSet<u32>,
    guard: Option<GuardCommand>,
    crew: Crew,
    stacks: Stacks,
    sink: Shared,
}

impl Joiners {
    /// Of `port`, all of whose processes in `known` have been asked already.
    pub fn new(
        port: u16,
        known: BTreeSet<u32>,
        guard: Option<GuardCommand>,
        crew: Crew,
        stacks: Stacks,
        sink: Shared,
    ) -> Self {
        Self { port, known, guard, crew, stacks, sink }
    }

    /// Others may join later: each makes way for the next.
    fn begin(&self, place: Place, before: Before) -> Result<Process, V8Error> {
        let one = [(place, Some(before))];
        let mut guard = super::guarded(&one, self.guard)?;
        let (_, reached) = super::reach(&one, guard.as_mut());
        Process::begin(place, reached?, true, guard.as_mut())
    }

    fn attach(&mut self, pid: u32, sink: &mut dyn Sink) {
        let place = Place::Process(pid);
        let since = MonoNs::now();
        match self.begin(place, Before::of(pid, Some(self.port))) {
            Ok(process) => {
                let watcher = Watcher::new(process, since, &mut self.sink);
                sink.note(watcher.source, &format!("{place} has joined and is watched"));
                watcher.run(&self.crew, &self.stacks, &self.sink);
            }
            Err(why) => sink.note("node", &format!("{place} has joined and is not looked into: {why}")),
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
        let new: Vec<u32> = on_v8.map(|p| p.pid).filter(|pid| !self.known.contains(pid)).collect();
        for pid in new {
            if self.known.len() >= MAX_PROCESSES {
                return;
            }
            self.known.insert(pid);
            self.attach(pid, sink);
        }
    }
}
