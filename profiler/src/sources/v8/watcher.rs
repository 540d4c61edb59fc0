//! Reads one process, tick by tick, and tells what it read.
//!
//! Owns the rhythm, and what is said of a process that fails. What was read is judged by `batches`.

use std::time::Duration;

use timeline::MonoNs;
use timeline::probe::TICK_MS;

use super::process::Process;
use super::profile::{Profiles, Signs};
use super::{V8Error, inspector};
use crate::sources::age::Age;
use crate::sources::batches::Batches;
use crate::sources::stacks::Stacks;
use crate::sources::troubles::Troubles;
use crate::sources::{Crew, Shared, Sink, Source};

/// How often a process is asked while it fails.
const RETRY_PERIOD: Duration = Duration::from_millis(500);

/// Reads one process.
pub(super) struct Watcher {
    pub(super) source: &'static str,
    instance: String,
    label: String,
    pub(super) process: Process,
    batches: Batches,
    troubles: Troubles,
    age: Age,
    newest: MonoNs,
    signs: Signs,
    over: bool,
}

impl Watcher {
    pub(super) fn new(process: Process, since: MonoNs, sink: &mut dyn Sink) -> Self {
        let source = process.about.runtime.name();
        let instance = process.instance.clone();
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

    /// Says so where the process listens at the port that is `served` and its main thread does not: who is seen is not who serves.
    pub(super) fn say_who_serves(&self, served: Option<u16>, sink: &mut dyn Sink) {
        let Process { place, about, .. } = &self.process;
        let (Some(port), Some(pid), Some(ports)) = (served, place.pid(), &about.ports) else { return };
        let listens = inspector::listening(pid).iter().any(|address| address.port() == port);
        if listens && !ports.contains(&port) {
            let text = format!(
                "{}: port {port} is served by a worker thread, or by native code: loop, heap, requests and connections here are the main thread's",
                self.instance
            );
            sink.remark(self.source, &text);
        }
    }

    /// Reads it on a thread, and has it profiled on another.
    pub(super) fn run(self, crew: &Crew, stacks: &Stacks, sink: &Shared) {
        let Process { place, address, .. } = self.process;
        let profiles = Profiles::new(place, address, &self.instance, &self.signs, stacks.clone());
        crew.run(self, sink.clone());
        crew.run(profiles, sink.clone());
    }

    fn read(&mut self, sink: &mut dyn Sink) -> Result<(), V8Error> {
        let (answered, anew) = self.process.read(self.batches.seq())?;
        if anew {
            self.batches.begin_anew();
            if std::mem::take(&mut self.process.searched) {
                let text = format!(
                    "{}: what was found by searching its heap is seen no more: its observers had to be installed anew",
                    self.instance
                );
                sink.remark(self.source, &text);
            }
        }
        self.signs.see(&answered.batch, self.process.about.host);
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
