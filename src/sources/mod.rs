//! Attaching sources: from what was asked for to running threads that feed the recorder.
//!
//! What can be asked for is `wanted`'s, what `auto` makes of it and whether it may is `settle`'s.

mod settle;
mod wanted;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use profiler::sources::discover::ProcessError;
use profiler::sources::jvm::JvmError;
use profiler::sources::metrics::MetricsError;
use profiler::sources::postgres::PostgresError;
use profiler::sources::rabbitmq::RabbitMqError;
use profiler::sources::redis::RedisError;
use profiler::sources::v8::V8Error;
use profiler::sources::{
    self, Agreement, AttachError, Attached, Naming, Precedence, ProbeError, Rank, Sink, SourceEvent,
};
use timeline::histogram::Sparse;
use timeline::metric::Mapping;
use timeline::recorder::Handle;
use timeline::{Event, LaneId, LaneSpec, MonoNs};

use crate::outcome::UserError;
use crate::run::stop;
use settle::Ready;
pub use settle::{Located, Permission, Settled};
pub use wanted::Attach;
use wanted::Store;

/// A source that is inside a request when it is stopped is not waited for longer.
const STOP_GRACE: Duration = Duration::from_millis(500);
/// One that has installed something in the target takes it back first, which the target has to answer: a reading under way ends within 2 s,
/// and what comes after it is given up after 2 s more. The rest is for a busy machine.
const TAKE_BACK_GRACE: Duration = Duration::from_secs(5);
/// Said where the end was asked for twice, and sources had not ended a moment later.
const LEFT_INSIDE: &str =
    "the end was asked for twice: sources were not waited for; observers in V8 remove themselves within 10 s";
/// Most remarks on sources in a report; each is said once, and a source has a few kinds of trouble.
const MAX_REMARKS: usize = 32;

/// What sources had to remark, for the report.
type Remarks = Arc<Mutex<Vec<String>>>;

/// Of which process a profile is whose stacks begin with theirs; one of a second source has a number.
const SAMPLED: &str = "sampled";

/// All sources of a run. Dropping it ends them, and what they installed in the target is taken back.
pub struct Sources {
    /// Each with the longest time that its end is waited for.
    attached: Vec<(Attached, Duration)>,
    said: Vec<String>,
    remarks: Remarks,
}

impl Sources {
    /// Attaches what was settled, and the machine itself. `mappings` name metrics that dyno does not know.
    pub fn attach(settled: Settled, mappings: &[Mapping], handle: &Handle) -> anyhow::Result<Self> {
        let remarks = Remarks::default();
        let unseen = settled.unseen();
        let mut all = Self { attached: Vec::new(), said: settled.said, remarks: Arc::clone(&remarks) };
        let (naming, precedence) = (Naming::default(), Precedence::default());
        let sink = || -> Box<dyn Sink> {
            let (handle, remarks, naming) = (handle.clone(), Arc::clone(&remarks), naming.clone());
            Box::new(RecorderSink { handle, remarks, naming })
        };
        // Heap and pauses are told by one source alone; what others say of them is compared with it.
        let inside = settled.ready.iter().any(Ready::sees_runtime).then(Agreement::default);
        let exact = || inside.as_ref().map_or_else(sink, |agreement| agreement.exact(sink()));
        // Whoever goes before others speaks first, so that these need not fall silent.
        let mut ready = settled.ready;
        ready.sort_by_key(rank);
        for one in ready {
            let (rank, grace) = (rank(&one), grace(&one));
            let once = |sink| precedence.of(rank, sink);
            let found = matches!(one, Ready::Jvm { found: true, .. } | Ready::Metrics { found: true, .. });
            let result = match one {
                Ready::Agent { url, token } => sources::attach_agent(&url, &token, once(exact())),
                Ready::Served(served) => sources::attach_served(&served, unseen, once(sink())),
                Ready::V8(installed) => Ok(installed.attach(once(exact()))),
                Ready::Jvm { pid, .. } => sources::attach_jvm(pid, once(exact())),
                Ready::Metrics { url, .. } => {
                    sources::attach_metrics(&url, inside.clone(), mappings, once(sink()))
                }
                Ready::Otlp(address) => sources::attach_otlp(address, inside.clone(), mappings, once(sink())),
                Ready::Store { kind, url, password } => match kind {
                    Store::Postgres => sources::attach_postgres(&url, &password, once(sink())),
                    Store::Redis => sources::attach_redis(&url, &password, once(sink())),
                    Store::RabbitMq => sources::attach_rabbitmq(&url, &password, once(sink())),
                },
            };
            match result {
                Ok(source) => all.attached.push((source, grace)),
                // It could be read a moment ago; what nobody asked for by name fails no run.
                Err(e) if found => all.said.push(format!("not looked inside: {e}")),
                Err(e) => return Err(failed(e)),
            }
        }
        match sources::attach_host(sink()) {
            Ok(host) => all.attached.push((host, STOP_GRACE)),
            Err(e) => handle.source("host", &format!("not attached: {e}")),
        }
        all.said.iter().for_each(|line| handle.source("auto", line));
        Ok(all)
    }

    /// Gives the recording where the target's CPU went since `from`, if a source sampled it.
    pub fn keep_profile(&self, from: MonoNs, handle: &Handle) {
        let sampled = self.attached.iter().filter_map(|(one, _)| one.stacks());
        for (n, pprof) in (1..).zip(sampled.filter_map(|stacks| stacks.pprof())) {
            let name = if n == 1 { SAMPLED.to_owned() } else { format!("{SAMPLED}-{n}") };
            handle.profile(&name, from, MonoNs::now(), pprof);
        }
    }

    /// Ends them. Whoever is `hurried` does not wait for a target that is slow to answer: observers remove themselves when nobody reads them.
    /// Says so then.
    pub fn end(self, hurried: impl Fn() -> bool) -> Option<String> {
        let begun = std::thread::Builder::new().name("parting".to_owned()).spawn(move || drop(self));
        // Where there is no thread, they have ended with what it was to do.
        let thread = begun.ok()?;
        stop::wait_briefly(thread, hurried).is_none().then(|| LEFT_INSIDE.to_owned())
    }

    /// What was attached and what cannot be seen, a line each: at the end of a run some say more than at its beginning.
    pub fn about(&self) -> Vec<String> {
        let attached = self.attached.iter().map(|(one, _)| one.about());
        self.said.iter().cloned().chain(attached).collect()
    }

    /// What sources had to remark so far: failures, disagreements, that they have waited in vain; a line each.
    pub fn remarks(&self) -> Vec<String> {
        let told = self.remarks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        told.into_iter().chain(self.lacks()).collect()
    }

    /// What sources wait for to this moment, a line each.
    pub fn lacks(&self) -> Vec<String> {
        self.attached.iter().filter_map(|(one, _)| one.lack()).collect()
    }
}

/// Who does not answer, or is not there any more, is told from what was asked for wrongly: they end with codes of their own.
fn failed(error: AttachError) -> anyhow::Error {
    let silent = match &error {
        AttachError::Agent { why, .. } => matches!(why, ProbeError::Fetch(_) | ProbeError::Gone(_)),
        AttachError::Postgres { why, .. } => match why {
            // Classes of SQLSTATE: it is short of something, or it starts or stops.
            PostgresError::Refused(code) => code.starts_with("53") || code.starts_with("57"),
            PostgresError::Unreachable(_) | PostgresError::TimedOut | PostgresError::TooLong => true,
            PostgresError::BadAddress(_)
            | PostgresError::Password
            | PostgresError::NotPostgres
            | PostgresError::TooOld(_) => false,
        },
        AttachError::RabbitMq { why, .. } => matches!(why, RabbitMqError::Fetch(_)),
        AttachError::Redis { why, .. } => match why {
            // It is about to be there.
            RedisError::Refused(word) => word == "LOADING",
            RedisError::Unreachable(_) | RedisError::TimedOut | RedisError::TooLong => true,
            RedisError::BadAddress(_) | RedisError::Password | RedisError::NotRedis => false,
        },
        AttachError::Process { why, .. } => matches!(why, ProcessError::Nobody),
        AttachError::Metrics { why, .. } => matches!(why, MetricsError::Fetch(_)),
        AttachError::Jvm { why, .. } => matches!(why, JvmError::NoProcess(_) | JvmError::Gone(_)),
        AttachError::V8 { why, .. } => {
            matches!(why, V8Error::Unreachable(_) | V8Error::TimedOut | V8Error::Ending | V8Error::Gone(_))
        }
        AttachError::Otlp { .. } | AttachError::NotAvailable { .. } => false,
    };
    if silent { UserError::unreachable(error) } else { UserError::wrong(error) }
}

/// Who goes before whom where several tell of the same thing.
fn rank(ready: &Ready) -> Rank {
    match ready {
        Ready::Agent { .. } | Ready::Served(..) | Ready::V8(_) | Ready::Jvm { .. } => Rank::Inside,
        Ready::Store { .. } => Rank::Server,
        Ready::Metrics { .. } | Ready::Otlp(_) => Rank::Page,
    }
}

/// How long the end of a source is waited for.
fn grace(ready: &Ready) -> Duration {
    if matches!(ready, Ready::V8(_)) { TAKE_BACK_GRACE } else { STOP_GRACE }
}

impl Drop for Sources {
    fn drop(&mut self) {
        self.attached.iter().for_each(|(one, _)| one.stop());
        for (one, grace) in self.attached.drain(..) {
            // One that is still inside a request ends by itself when that times out.
            let _ = one.join(grace);
        }
    }
}

/// Hands readings to the recorder.
struct RecorderSink {
    handle: Handle,
    remarks: Remarks,
    naming: Naming,
}

impl Sink for RecorderSink {
    fn declare(&mut self, spec: LaneSpec) -> Option<LaneId> {
        self.handle.declare(spec)
    }

    fn sample(&mut self, lane: LaneId, at: MonoNs, value: f64) {
        self.handle.sample(lane, at, value);
    }

    fn histogram(&mut self, lane: LaneId, from: MonoNs, to: MonoNs, cells: Sparse) {
        self.handle.histogram(lane, from, to, cells);
    }

    fn event(&mut self, event: SourceEvent) {
        self.handle.event(Event {
            kind: event.kind,
            instance: event.instance,
            start: self.handle.at(event.start),
            end: self.handle.at(event.end),
            labels: event.labels,
            value: event.value,
            others: event.others,
        });
    }

    fn note(&mut self, source: &str, text: &str) {
        self.handle.source(source, text);
    }

    fn remark(&mut self, source: &str, text: &str) {
        // That is a line of the log, too.
        self.note(source, text);
        let line = format!("{source}: {text}");
        let mut remarks = self.remarks.lock().unwrap_or_else(PoisonError::into_inner);
        if remarks.len() < MAX_REMARKS {
            remarks.push(timeline::text::clean(&line, 400));
        }
    }

    fn instance(&mut self, short: &str, whole: &str) -> String {
        self.naming.unique(short, whole)
    }
}

#[cfg(test)]
mod tests {
    use profiler::sources::v8::{Place, Readers, Search, install};
    use profiler::sources::{FetchError, check_jvm};

    use super::*;
    use crate::outcome::error_code;
    use crate::run::testing::{log, recorder};

    #[test]
    fn what_a_source_remarks_is_a_line_of_the_log_its_state_and_in_the_report_once_each() {
        let (recorder, remarks) = (recorder(), Remarks::default());
        let (handle, naming) = (recorder.handle(), Naming::default());
        let mut sink = RecorderSink { handle, remarks: Arc::clone(&remarks), naming };
        sink.remark("postgres", "nobody answers");
        sink.note("postgres", "answers again");
        drop(sink);
        let published = recorder.handle().published();
        assert_eq!(log(recorder), "postgres: nobody answers\npostgres: answers again\n");
        let sources = published.get().sources.clone();
        assert_eq!(sources.len(), 1, "{sources:?}");
        assert_eq!((sources[0].name.as_str(), sources[0].state.as_str()), ("postgres", "answers again"));
        assert_eq!(*remarks.lock().unwrap(), ["postgres: nobody answers"]);
    }

    #[test]
    fn who_does_not_answer_ends_a_run_with_another_code_than_who_cannot_be_read() {
        let code = |error| error_code(&failed(error));
        // Nobody is given that port.
        let nobody = "127.0.0.1:1".parse().unwrap();
        let inspector = |at| install(&[Place::At(at)], None, Search::No, None, &Readers::default());
        assert_eq!(inspector(nobody).map(drop).map_err(code), Err(6));
        assert_eq!(check_jvm(999_999_999).map_err(code), Err(6));
        assert_eq!(inspector("192.0.2.1:9229".parse().unwrap()).map(drop).map_err(code), Err(2));
        assert_eq!(check_jvm(std::process::id()).map_err(code), Err(2), "it runs, and is no JVM");
        let v8 = |why| code(AttachError::V8 { what: "process 7".to_owned(), why });
        for silent in [V8Error::TimedOut, V8Error::Gone(7)] {
            assert_eq!(v8(silent), 6);
        }
        for wrong in [V8Error::NotInspector("a page".to_owned()), V8Error::NotOpened("Bun".to_owned())] {
            assert_eq!(v8(wrong), 2);
        }
        let process = |why| code(AttachError::Process { port: 1, why });
        assert_eq!(process(ProcessError::Nobody), 6);
        for wrong in [ProcessError::Hidden, ProcessError::Forwarded("ssh".to_owned()), ProcessError::Untold] {
            assert_eq!(process(wrong), 2);
        }
    }

    #[test]
    fn a_server_that_refuses_or_is_none_ends_a_run_with_another_code_than_one_that_does_not_answer() {
        let (url, what) = (|| "x://h".to_owned(), || "what".to_owned());
        let agent = |why| AttachError::Agent { url: url(), why };
        let postgres = |why| AttachError::Postgres { url: url(), why };
        let rabbitmq = |why| AttachError::RabbitMq { url: url(), why };
        let redis = |why| AttachError::Redis { url: url(), why };
        for (error, ends) in [
            (agent(ProbeError::Fetch(FetchError::TimedOut(Duration::from_secs(2)))), 6),
            (agent(ProbeError::Gone(404)), 6),
            (agent(ProbeError::Token(401)), 2),
            (agent(ProbeError::BadAddress(what())), 2),
            (agent(ProbeError::Credentials), 2),
            (agent(ProbeError::Malformed(what())), 2),
            (postgres(PostgresError::Unreachable(what())), 6),
            (postgres(PostgresError::TimedOut), 6),
            (postgres(PostgresError::Refused("57P03".to_owned())), 6),
            (postgres(PostgresError::Refused("28P01".to_owned())), 2),
            (postgres(PostgresError::BadAddress(what())), 2),
            (postgres(PostgresError::Password), 2),
            (postgres(PostgresError::NotPostgres), 2),
            (postgres(PostgresError::TooOld(what())), 2),
            (rabbitmq(RabbitMqError::Fetch(FetchError::Unreachable(what()))), 6),
            (rabbitmq(RabbitMqError::Refused(401)), 2),
            (rabbitmq(RabbitMqError::BadAddress(what())), 2),
            (rabbitmq(RabbitMqError::Password), 2),
            (rabbitmq(RabbitMqError::NotRabbitMq), 2),
            (redis(RedisError::Unreachable(what())), 6),
            (redis(RedisError::TimedOut), 6),
            (redis(RedisError::Refused("LOADING".to_owned())), 6),
            (redis(RedisError::Refused("NOAUTH".to_owned())), 2),
            (redis(RedisError::BadAddress(what())), 2),
            (redis(RedisError::Password), 2),
            (redis(RedisError::NotRedis), 2),
        ] {
            let said = error.to_string();
            assert_eq!(error_code(&failed(error)), ends, "{said}");
        }
    }
}
