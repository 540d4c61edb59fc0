//! A worker process: speaks the protocol on stdin and stdout, and runs its segment on one thread.
//!
//! Owns the process: its end with its parent's, its limits, the two threads that move messages (so that pipes never
//! block the loop), the runtime. What is run is `release`'s business. The end of stdin means: abort.

use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use thiserror::Error;
use timeline::frame::{self, BadFrame};
use tokio::sync::mpsc;

use crate::program::BadPlan;
use crate::protocol::{BadMessage, FromWorker, Hello, Segment, ToWorker};
use crate::release::{Commands, Release};
use crate::schedule::Schedule;
use crate::shard::Shard;

/// Messages that wait for the coordinator to read: more than 5 s of counters, ten a second, and histograms, one.
const OUTBOX: usize = 64;
/// Messages that wait for the loop.
const INBOX: usize = 16;
/// Bytes read from stdin at a time.
const PORTION: usize = 64 << 10;
/// Tasks that run between two looks at sockets: enough that looking costs little, few enough (about 1 ms of work)
/// that the timer stays true.
const EVENT_INTERVAL: u32 = 128;

/// Why a worker cannot do its work.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// The coordinator said something that makes no sense.
    #[error("what the coordinator says cannot be read: {0}")]
    Message(#[from] BadMessage),
    /// It did not say hello, what to do and when.
    #[error(
        "the coordinator left before it had said what to do; this command is started by `dyno run`, not by hand"
    )]
    NothingToDo,
    /// The plan cannot be run.
    #[error("the plan cannot be run: {0}")]
    Plan(#[from] BadPlan),
    /// The segment is inconsistent.
    #[error("this is worker {worker} of {workers}, which does not exist")]
    Segment {
        /// Its number.
        worker: u32,
        /// How many there are.
        workers: u32,
    },
    /// The system refused what a worker needs.
    #[error("a worker could not be set up: {0}")]
    System(#[from] std::io::Error),
}

/// The main function of a worker process. Returns when the segment is done, or when the coordinator is gone.
///
/// # Errors
/// [`WorkerError`]; the coordinator was told as well if it could be.
pub fn worker_main() -> Result<(), WorkerError> {
    die_with_parent();
    let descriptors = raise_descriptor_limit();
    let (outbox, writer) = Outbox::to(std::io::stdout())?;
    let outcome = converse(&outbox, descriptors);
    if let Err(e) = &outcome {
        outbox.send(FromWorker::Failed(e.to_string()));
    }
    drop(outbox);
    // It ends once all is written, or the pipe is broken.
    let _ = writer.join();
    outcome
}

fn converse(outbox: &Outbox, descriptors: u64) -> Result<(), WorkerError> {
    let (heard, mut commands) = mpsc::channel(INBOX);
    let listener = std::thread::Builder::new().name("stdin".to_owned());
    // Not joined: it ends with stdin, or with the process.
    listener.spawn(move || listen(std::io::stdin(), &heard))?;
    match commands.blocking_recv() {
        Some(Ok(ToWorker::Hello(_))) => outbox.send(FromWorker::Hello(Hello::now())),
        Some(Err(e)) => return Err(e.into()),
        _ => return Err(WorkerError::NothingToDo),
    }
    let segment = match commands.blocking_recv() {
        Some(Ok(ToWorker::Segment(segment))) => *segment,
        Some(Err(e)) => return Err(e.into()),
        _ => return Err(WorkerError::NothingToDo),
    };
    run(segment, descriptors, outbox.clone(), commands)
}

fn run(
    segment: Segment,
    descriptors: u64,
    outbox: Outbox,
    mut commands: Commands,
) -> Result<(), WorkerError> {
    let Segment { worker, workers, .. } = segment;
    if worker >= workers {
        return Err(WorkerError::Segment { worker, workers });
    }
    let mut shard = Shard::new(&segment, descriptors)?;
    outbox.send(FromWorker::Ready);
    match commands.blocking_recv() {
        Some(Ok(ToWorker::Begin(origin))) => shard.begin(origin),
        Some(Err(e)) => return Err(e.into()),
        _ => return Err(WorkerError::NothingToDo),
    }
    let shard = Rc::new(shard);
    let schedule = Schedule::new(&segment.plan, worker, workers);
    let grace = segment.plan.grace_ns;
    drop(segment);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .build_local(tokio::runtime::LocalOptions::default())?;
    let done =
        runtime.block_on(Release::new(Rc::clone(&shard), schedule, grace, outbox.clone(), commands).run());
    // Sessions that are still open end here.
    drop(runtime);
    outbox.send(FromWorker::Done(done));
    Ok(())
}

/// Where a worker's messages go; a thread writes them.
#[derive(Debug, Clone)]
pub struct Outbox {
    queue: SyncSender<FromWorker>,
}

impl Outbox {
    /// An outbox whose messages are written to `out` by a thread that ends when the outbox is dropped.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn to(out: impl Write + Send + 'static) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (queue, messages) = sync_channel(OUTBOX);
        let writer = std::thread::Builder::new().name("stdout".to_owned());
        Ok((Self { queue }, writer.spawn(move || write_all(out, &messages))?))
    }

    /// Waits until there is room. Without a reader the message is lost, and stdin's end will tell.
    pub fn send(&self, message: FromWorker) {
        let _ = self.queue.send(message);
    }

    /// Gives the message back if there is no room.
    ///
    /// # Errors
    /// The message itself.
    #[expect(clippy::result_large_err, reason = "the error is the message, which the caller keeps")]
    pub fn try_send(&self, message: FromWorker) -> Result<(), FromWorker> {
        match self.queue.try_send(message) {
            Err(TrySendError::Full(message)) => Err(message),
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }
}

fn write_all(mut out: impl Write, messages: &Receiver<FromWorker>) {
    for message in messages {
        if out.write_all(&message.pack()).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

/// Reads frames until the stream ends or the loop is gone; the first unreadable one ends it too.
fn listen(mut from: impl Read, heard: &mpsc::Sender<Result<ToWorker, BadMessage>>) {
    let (mut bytes, mut portion) = (Vec::new(), vec![0; PORTION]);
    loop {
        loop {
            let message = match frame::unpack(&bytes) {
                Ok((frame, length)) => {
                    bytes.drain(..length);
                    ToWorker::unpack(&frame)
                }
                Err(BadFrame::Incomplete) => break,
                Err(e) => Err(e.into()),
            };
            let bad = message.is_err();
            if heard.blocking_send(message).is_err() || bad {
                return;
            }
        }
        match from.read(&mut portion) {
            Ok(0) => return,
            Ok(n) => bytes.extend_from_slice(&portion[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// The parent's death is this process's too, even where a pipe would stay open.
fn die_with_parent() {
    #[cfg(target_os = "linux")]
    {
        // Without it the end of stdin does the same, a moment later.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    }
}

/// Raises the soft limit of descriptors to the hard one; says what it is then.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum && setrlimit(Resource::Nofile, raised).is_ok() {
        return limit.maximum.unwrap_or(u64::MAX);
    }
    limit.current.unwrap_or(u64::MAX)
}
