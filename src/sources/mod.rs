//! Attaching sources: from what was asked for to running threads that feed the recorder.
//!
//! What can be asked for is `wanted`'s, what `auto` makes of it and whether it may is `settle`'s.

mod settle;
mod wanted;

use std::time::Duration;

use profiler::sources::{self, AttachError, Attached, Sink, SourceEvent};
use timeline::histogram::Sparse;
use timeline::recorder::Handle;
use timeline::{Event, LaneId, LaneSpec, MonoNs};

use crate::outcome::UserError;
use settle::Ready;
pub use settle::{Permission, Settled};
pub use wanted::Attach;
use wanted::Store;

/// A source that is inside a request when it is stopped is not waited for longer.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// All sources of a run. Dropping it ends them, and what they installed in the target is taken back.
pub struct Sources {
    attached: Vec<Attached>,
    said: Vec<String>,
}

impl Sources {
    /// Attaches what was settled, and the machine itself.
    pub fn attach(settled: Settled, handle: &Handle) -> anyhow::Result<Self> {
        let mut all = Self { attached: Vec::new(), said: settled.said };
        let sink = || Box::new(RecorderSink(handle.clone())) as Box<dyn Sink>;
        let runtime = settled.ready.iter().any(Ready::sees_runtime);
        let agent = settled.ready.iter().any(|r| matches!(r, Ready::Agent { .. }));
        for one in settled.ready {
            let result = match one {
                Ready::Agent { url, token } => sources::attach_agent(&url, &token, sink()),
                Ready::Served(served, unseen) => sources::attach_served(&served, unseen, sink()),
                Ready::V8(installed) => Ok(installed.attach(sink())),
                Ready::Jvm(pid) => sources::attach_jvm(pid, sink()),
                Ready::Metrics { url } => sources::attach_metrics(&url, runtime, sink()),
                Ready::Store { kind, url, password } => match kind {
                    // An agent times statements where they are waited for; counted twice they would be twice as many.
                    Store::Postgres => sources::attach_postgres(&url, &password, !agent, sink()),
                    Store::Redis => sources::attach_redis(&url, &password, sink()),
                    Store::RabbitMq => sources::attach_rabbitmq(&url, &password, sink()),
                },
            };
            match result {
                Ok(source) => all.attached.push(source),
                Err(
                    e @ (AttachError::Agent { .. }
                    | AttachError::Metrics { .. }
                    | AttachError::Postgres { .. }
                    | AttachError::RabbitMq { .. }
                    | AttachError::Redis { .. }),
                ) => {
                    return Err(UserError::unreachable(e));
                }
                Err(e) => return Err(UserError::wrong(e)),
            }
        }
        match sources::attach_host(sink()) {
            Ok(host) => all.attached.push(host),
            Err(e) => handle.source("host", &format!("not attached: {e}")),
        }
        all.said.iter().for_each(|line| handle.source("auto", line));
        Ok(all)
    }

    /// What was attached and what cannot be seen, a line each.
    pub fn about(&self) -> Vec<String> {
        let attached = self.attached.iter().map(|a| a.about().to_owned());
        self.said.iter().cloned().chain(attached).collect()
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        self.attached.iter().for_each(Attached::stop);
        for one in self.attached.drain(..) {
            // One that is still inside a request ends by itself when that times out.
            let _ = one.join(STOP_GRACE);
        }
    }
}

/// Hands readings to the recorder.
struct RecorderSink(Handle);

impl Sink for RecorderSink {
    fn declare(&mut self, spec: LaneSpec) -> Option<LaneId> {
        self.0.declare(spec)
    }

    fn sample(&mut self, lane: LaneId, at: MonoNs, value: f64) {
        self.0.sample(lane, at, value);
    }

    fn histogram(&mut self, lane: LaneId, from: MonoNs, to: MonoNs, cells: Sparse) {
        self.0.histogram(lane, from, to, cells);
    }

    fn event(&mut self, event: SourceEvent) {
        self.0.event(Event {
            kind: event.kind,
            instance: event.instance,
            start: self.0.at(event.start),
            end: self.0.at(event.end),
            labels: event.labels,
            value: event.value,
            others: event.others,
        });
    }

    fn note(&mut self, source: &str, text: &str) {
        self.0.source(source, text);
    }
}
