//! Attaching sources: from what was asked for to running threads that feed the recorder.

use std::time::Duration;

use profiler::sources::{self, AttachError, Attached, Sink, SourceEvent};
use timeline::histogram::Sparse;
use timeline::recorder::Handle;
use timeline::{Event, LaneId, LaneSpec, MonoNs};

use crate::outcome::UserError;
use crate::secret::TOKEN_VARIABLE;

/// A source that is inside a request when it is stopped is not waited for longer.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// Name of the environment variable that carries the password of a Redis server.
const REDIS_PASSWORD_VARIABLE: &str = "DYNO_REDIS_PASSWORD";

/// What `--attach` takes.
const EXPECTED: &str = "auto, process, agent=http://ADDRESS:PORT, metrics=http://ADDRESS:PORT/PATH, jvm=PID or redis=redis://ADDRESS:PORT";

/// One thing to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attach {
    /// Whatever can be found at the target's port.
    Auto,
    /// The process behind the target's port.
    Process,
    /// An agent's endpoint with its token.
    Agent { url: String, token: String },
    /// A page in the text formats of Prometheus and OpenMetrics.
    Metrics { url: String },
    /// A JVM of this machine by its process id.
    Jvm { pid: u32 },
    /// A Redis server with its password.
    Redis { url: String, password: String },
}

impl Attach {
    /// What `--attach` or a scenario's `attach` says.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let unknown = || UserError::wrong(format!("--attach {text}: expected {EXPECTED}"));
        match text.split_once('=') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "process" => Ok(Self::Process),
            Some(("agent", url)) if url.starts_with("http://") => {
                let token = std::env::var(TOKEN_VARIABLE).unwrap_or_default();
                if token.is_empty() {
                    return Err(UserError::wrong(format!(
                        "--attach {text}: the agent's token is expected in the environment variable {TOKEN_VARIABLE}"
                    )));
                }
                Ok(Self::Agent { url: url.trim_end_matches('/').to_owned(), token })
            }
            Some(("metrics", url)) => Ok(Self::Metrics { url: url.to_owned() }),
            Some(("jvm", pid)) => pid.parse().map(|pid| Self::Jvm { pid }).map_err(|_| unknown()),
            Some(("redis", url)) => {
                let password = std::env::var(REDIS_PASSWORD_VARIABLE).unwrap_or_default();
                Ok(Self::Redis { url: url.to_owned(), password })
            }
            _ => Err(unknown()),
        }
    }
}

/// All sources of a run.
pub struct Sources(Vec<Attached>);

impl Sources {
    /// Attaches what was asked for, and the machine itself. `port` is the target's, where it is on this machine.
    ///
    /// `auto` never fails a run: what it cannot attach it says. What was asked for by name must work.
    pub fn attach(asked: &[Attach], port: Option<u16>, handle: &Handle) -> anyhow::Result<Self> {
        let mut attached = Vec::new();
        let sink = || Box::new(RecorderSink(handle.clone())) as Box<dyn Sink>;
        let runtime = asked.iter().any(|a| matches!(a, Attach::Agent { .. } | Attach::Jvm { .. }));
        for one in asked {
            let result = match (one, port) {
                (Attach::Agent { url, token }, _) => sources::attach_agent(url, token, sink()),
                (Attach::Metrics { url }, _) => sources::attach_metrics(url, runtime, sink()),
                (Attach::Jvm { pid }, _) => sources::attach_jvm(*pid, sink()),
                (Attach::Redis { url, password }, _) => sources::attach_redis(url, password, sink()),
                (Attach::Auto | Attach::Process, Some(port)) => sources::attach_process(port, sink()),
                (Attach::Auto | Attach::Process, None) => Err(AttachError::NotAvailable {
                    what: "process",
                    why: "the target is not on this machine".to_owned(),
                }),
            };
            match result {
                Ok(source) => attached.push(source),
                Err(e) if *one == Attach::Auto => handle.source("process", &format!("not attached: {e}")),
                Err(
                    e @ (AttachError::Agent { .. } | AttachError::Metrics { .. } | AttachError::Redis { .. }),
                ) => {
                    return Err(UserError::unreachable(e));
                }
                Err(e) => return Err(UserError::wrong(e)),
            }
        }
        match sources::attach_host(sink()) {
            Ok(host) => attached.push(host),
            Err(e) => handle.source("host", &format!("not attached: {e}")),
        }
        Ok(Self(attached))
    }

    /// What was attached and what cannot be seen, a line each.
    pub fn about(&self) -> Vec<String> {
        self.0.iter().map(|a| a.about().to_owned()).collect()
    }

    /// Ends them all.
    pub fn stop(self) {
        self.0.iter().for_each(Attached::stop);
        for one in self.0 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_attach_is_read_or_refused_with_what_was_expected() {
        assert_eq!(Attach::parse("auto").unwrap(), Attach::Auto);
        assert_eq!(Attach::parse("process").unwrap(), Attach::Process);
        let metrics = Attach::Metrics { url: "http://127.0.0.1:9/metrics".to_owned() };
        assert_eq!(Attach::parse("metrics=http://127.0.0.1:9/metrics").unwrap(), metrics);
        assert_eq!(Attach::parse("jvm=12").unwrap(), Attach::Jvm { pid: 12 });
        assert!(Attach::parse("jvm=my-service").is_err());
        let error = Attach::parse("everything").unwrap_err().to_string();
        assert_eq!(error, format!("--attach everything: expected {EXPECTED}"));
    }
}
