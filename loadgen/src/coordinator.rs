//! The coordinator: starts worker processes, gives each its segment, and brings home what they say.
//!
//! Owns the processes (none outlives it), the handshake with its clock offset, the word to begin and the fan-out of amendments. A worker that is
//! lost is said so once; the others go on. What the figures mean is `lanes`'s business.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use scenarios::plan::{BaseUrl, RunPlan};
use timeline::clock::ClockOffset;
use timeline::frame::{self, BadFrame};
use timeline::{Amendment, MonoNs, RunClock, RunTime, text};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::LoadError;
use crate::protocol::{
    Amended, BadMessage, Counters, Done, FromWorker, Hello, Histograms, Segment, ToWorker,
};
use crate::reach::reach_from;
use crate::sizing;
use crate::{journey, tls};

/// How far ahead a run's origin should lie when a crew begins, so that all workers have heard of it by then.
pub const LEAD: Duration = Duration::from_millis(300);
/// How far ahead of now an amendment applies, so that it reaches all workers before.
const AMENDMENT_LEAD: Duration = Duration::from_millis(200);
/// How long a worker may take to say hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to understand its part: tables of data are tens of megabytes.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long the target may take to accept the first connection.
const REACH_WITHIN: Duration = Duration::from_secs(5);
/// How long a worker whose output has closed may take to be gone: on a machine that is busy with others that is no matter of a moment.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// How long the reading of what a worker wrote to stderr may take once it is gone, for the same reason.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// Updates that wait for the caller; when full, workers' pipes fill and they keep their figures.
const UPDATES: usize = 256;
/// Amendments that wait for a worker.
const ORDERS: usize = 16;
/// Characters kept of what a lost worker wrote to stderr.
const LAST_WORDS: usize = 400;

/// What a coordinator needs.
#[derive(Debug, Clone)]
pub struct CoordinatorOptions {
    /// What to run.
    pub plan: RunPlan,
    /// Where.
    pub url: BaseUrl,
    /// The program that is a worker.
    pub worker_exe: PathBuf,
    /// Its arguments.
    pub worker_args: Vec<String>,
    /// How many; see [`workers_needed`](crate::workers_needed).
    pub workers: usize,
    /// Cores that workers are bound to; none: any.
    pub cpus: Option<Vec<usize>>,
}

/// What becomes known of the load. Workers are numbered from 0.
#[derive(Debug, Clone, PartialEq)]
pub enum LoadUpdate {
    /// A worker is ready.
    Joined {
        /// Which.
        worker: usize,
        /// Its process.
        pid: u32,
        /// How its clock relates to ours.
        offset: ClockOffset,
    },
    /// A worker's counters, every 100 ms.
    Counters(usize, Box<Counters>),
    /// What finished at a worker within a second.
    Histograms(usize, Histograms),
    /// A worker is gone before its segment was done. The others go on with theirs.
    Lost {
        /// Which.
        worker: usize,
        /// When that was noticed.
        at: RunTime,
        /// Why.
        why: String,
        /// What of its figures went with it.
        loss: Loss,
    },
    /// A worker's segment is done.
    Done(usize, Done),
    /// The load was changed.
    Amended {
        /// When it applies.
        at: RunTime,
        /// How.
        what: Amendment,
    },
}

/// What is not known of a worker that is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss {
    /// When its last counters were read, run time in ns: what happened since then is not known at all.
    pub counted_at: u64,
    /// Steps that had finished by then.
    pub finished: u64,
    /// Steps that are in a histogram.
    pub timed: u64,
    /// How many workers there were: each has an exact segment of the plan, so one of so many parts of it was not carried
    /// out from then on.
    pub workers: usize,
}

impl Loss {
    /// Steps that are counted, but whose times are lost: the interval in which they finished was not over.
    #[must_use]
    pub fn untimed(&self) -> u64 {
        self.finished.saturating_sub(self.timed)
    }

    /// Keeps what an update says.
    fn learn(&mut self, heard: &FromWorker) {
        match heard {
            FromWorker::Counters(c) => (self.counted_at, self.finished) = (c.at, c.completed),
            FromWorker::Histograms(h) => {
                // What a journey times inside its steps is in no total.
                self.timed += h.steps.iter().filter(|s| !s.is_inside()).map(|s| s.finished).sum::<u64>();
            }
            FromWorker::Hello(_) | FromWorker::Ready | FromWorker::Done(_) | FromWorker::Failed(_) => {}
        }
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "of {} steps that it had finished by {} the last {} have no times, nothing later is known, and its part of the plan, 1 of {}, \
             was not carried out from then on",
            self.finished,
            RunTime(self.counted_at),
            self.untimed(),
            self.workers
        )
    }
}

/// Runs a load. Dropped, it kills its workers.
#[derive(Debug)]
pub struct Coordinator {
    clock: RunClock,
    updates: mpsc::Receiver<LoadUpdate>,
    own_updates: std::collections::VecDeque<LoadUpdate>,
    orders: Vec<mpsc::Sender<ToWorker>>,
    tasks: JoinSet<()>,
}

/// Workers that have their parts of a plan and wait for the word to begin. Dropped, it ends them.
pub struct Crew {
    workers: Vec<Hired>,
}

/// One of them.
struct Hired {
    worker: Worker,
    pid: u32,
    offset: ClockOffset,
}

impl Crew {
    /// Starts the workers and gives each its part; they are ready when this returns, however much there was to read. On Linux workers
    /// die with the *thread* that started them, so it must live as long as the run: the main thread does.
    ///
    /// # Errors
    /// [`LoadError`]: the plan does not suit the target, the target cannot be reached, or a worker not be started. It leaves nothing
    /// running.
    pub async fn hire(options: CoordinatorOptions) -> Result<Self, LoadError> {
        if options.workers == 0 {
            return Err(LoadError::NoWorkers);
        }
        journey::check(&options.plan, &options.url).map_err(LoadError::Journey)?;
        if options.url.tls {
            // Each worker will say the same, but not as clearly.
            tls::Client::new(&options.plan.transport.tls, &options.url, tls::HTTP1)
                .map_err(LoadError::Tls)?;
        }
        let sources = &options.plan.transport.sources;
        let address = reach_from(&options.url, sources, REACH_WITHIN).await?;
        let needed = sizing::workers_needed(&options.plan, &sizing::Resources::of_host(None));
        let sources = sizing::sources(address.ip(), needed.addresses, sources)?;
        let mut started = Vec::with_capacity(options.workers);
        for worker in 0..options.workers {
            started.push(Worker::start(&options, worker)?);
        }
        let mut workers = Vec::with_capacity(options.workers);
        for mut worker in started {
            let (pid, offset) = worker.greet().await.map_err(|why| options.failed(worker.number, why))?;
            let segment = Segment {
                plan: options.plan.clone(),
                worker: worker.number as u32,
                workers: options.workers as u32,
                url: options.url.clone(),
                address,
                sources: sources.clone(),
            };
            let said = worker.say(&ToWorker::Segment(Box::new(segment))).await;
            said.map_err(|why| options.failed(worker.number, why))?;
            workers.push(Hired { worker, pid, offset });
        }
        // They read their parts at the same time.
        for Hired { worker, .. } in &mut workers {
            worker.is_ready().await.map_err(|why| options.failed(worker.number, why))?;
        }
        Ok(Self { workers })
    }

    /// Begins the run at the origin of its clock, which should lie [`LEAD`] ahead.
    pub async fn begin(self, clock: RunClock) -> Coordinator {
        let (sender, updates) = mpsc::channel(UPDATES);
        let (mut orders, mut tasks) = (Vec::new(), JoinSet::new());
        let mut own_updates = std::collections::VecDeque::new();
        let workers = self.workers.len();
        for Hired { mut worker, pid, offset } in self.workers {
            own_updates.push_back(LoadUpdate::Joined { worker: worker.number, pid, offset });
            // One that is gone by now shows as the end of its output.
            let _ = worker.say(&ToWorker::Begin(theirs(clock.origin(), offset))).await;
            let (order, ordered) = mpsc::channel(ORDERS);
            orders.push(order);
            let loss = Loss { workers, ..Loss::default() };
            tasks.spawn(worker.attend(ordered, sender.clone(), clock, loss));
        }
        Coordinator { clock, updates, own_updates, orders, tasks }
    }
}

impl Coordinator {
    /// Hires a crew, and begins [`LEAD`] after it is ready.
    ///
    /// # Errors
    /// [`LoadError`], as of [`Crew::hire`].
    pub async fn start(options: CoordinatorOptions) -> Result<Self, LoadError> {
        let crew = Crew::hire(options).await?;
        Ok(crew.begin(RunClock::with_origin(MonoNs(MonoNs::now().0 + LEAD.as_nanos() as u64))).await)
    }

    /// The next update; none once all workers are done or lost. Dropped, it loses nothing.
    pub async fn next(&mut self) -> Option<LoadUpdate> {
        if let Some(update) = self.own_updates.pop_front() {
            return Some(update);
        }
        let update = self.updates.recv().await;
        if update.is_none() {
            while self.tasks.join_next().await.is_some() {}
        }
        update
    }

    /// No new arrivals; open sessions end after their current step, within the plan's grace.
    pub fn stop(&mut self) {
        self.amend(Amendment::Stop, Duration::ZERO);
    }

    /// Everything ends at once.
    pub fn abort(&mut self) {
        self.amend(Amendment::Abort, Duration::ZERO);
    }

    /// From a moment from now on, rates and counts are `factor` times what the plan says; not finite or negative changes nothing.
    pub fn scale(&mut self, factor: f64) {
        if factor.is_finite() && factor >= 0.0 {
            self.amend(Amendment::Scale(factor), AMENDMENT_LEAD);
        }
    }

    /// From a moment from now on nothing starts, or all goes on where it stood: arrivals of the time between do not exist,
    /// open sessions keep their connections and wait as much longer as the halt has lasted.
    pub fn halt(&mut self, halted: bool) {
        self.amend(if halted { Amendment::Halt } else { Amendment::GoOn }, AMENDMENT_LEAD);
    }

    fn amend(&mut self, what: Amendment, lead: Duration) {
        let at = self.clock.now() + lead;
        for order in &self.orders {
            // Full only if a worker has not read for a long time; closed if it is gone.
            let _ = order.try_send(ToWorker::Amendment(Amended { at: at.0, what }));
        }
        self.own_updates.push_back(LoadUpdate::Amended { at, what });
    }
}

impl CoordinatorOptions {
    fn failed(&self, worker: usize, why: impl ToString) -> LoadError {
        let why = text::clean(&why.to_string(), LAST_WORDS);
        LoadError::Start { worker, exe: self.worker_exe.display().to_string(), why }
    }
}

/// The instant `ours` on the worker's clock. On one host both are the same clock: an offset within its error is none.
fn theirs(ours: MonoNs, offset: ClockOffset) -> MonoNs {
    if offset.offset_ns.unsigned_abs() <= offset.error_ns {
        ours
    } else {
        MonoNs((ours.0 as i64 - offset.offset_ns).max(0) as u64)
    }
}

/// A worker process and the pipes to it.
struct Worker {
    number: usize,
    child: Child,
    input: tokio::process::ChildStdin,
    output: Frames<ChildStdout>,
    /// Reads what it writes to stderr, which would stop it if nobody did.
    errors: JoinSet<Vec<u8>>,
}

impl Worker {
    fn start(options: &CoordinatorOptions, number: usize) -> Result<Self, LoadError> {
        let mut child = Command::new(&options.worker_exe)
            .args(&options.worker_args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: what a terminal sends to all of ours on Ctrl-C is for us to hear, who let it drain.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| options.failed(number, e))?;
        if let (Some(cpus), Some(pid)) = (&options.cpus, child.id()) {
            bind(pid, cpus).map_err(|e| options.failed(number, format!("its cores {cpus:?}: {e}")))?;
        }
        let input = child.stdin.take().expect("stdin is piped");
        let output = Frames::new(child.stdout.take().expect("stdout is piped"));
        let mut errors = JoinSet::new();
        errors.spawn(end_of(child.stderr.take().expect("stderr is piped")));
        Ok(Self { number, child, input, output, errors })
    }

    async fn say(&mut self, message: &ToWorker) -> Result<(), String> {
        self.input.write_all(&message.pack()).await.map_err(|e| e.to_string())
    }

    async fn greet(&mut self) -> Result<(u32, ClockOffset), String> {
        let sent = MonoNs::now();
        self.say(&ToWorker::Hello(Hello::now())).await?;
        match self.hear(HELLO_WITHIN).await? {
            FromWorker::Hello(hello) => {
                Ok((hello.pid, ClockOffset::from_exchange(sent, hello.now, MonoNs::now())))
            }
            _ => Err(self.last_words().await),
        }
    }

    async fn is_ready(&mut self) -> Result<(), String> {
        match self.hear(READY_WITHIN).await? {
            FromWorker::Ready => Ok(()),
            _ => Err(self.last_words().await),
        }
    }

    /// What it says next, before the run.
    async fn hear(&mut self, within: Duration) -> Result<FromWorker, String> {
        match tokio::time::timeout(within, self.output.next()).await {
            Ok(Ok(Some(FromWorker::Failed(why)))) => Err(why),
            Ok(Ok(Some(heard))) => Ok(heard),
            Ok(Ok(None)) => Err(self.last_words().await),
            Ok(Err(e)) => Err(e.to_string()),
            Err(_) => Err("it said nothing".to_owned()),
        }
    }

    /// Reads what the worker says and passes on orders, to its end.
    async fn attend(
        mut self,
        mut orders: mpsc::Receiver<ToWorker>,
        updates: mpsc::Sender<LoadUpdate>,
        clock: RunClock,
        mut loss: Loss,
    ) {
        let worker = self.number;
        let lost = loop {
            let heard = tokio::select! {
                heard = self.output.next() => heard,
                Some(order) = orders.recv() => {
                    // A broken pipe shows as the end of the output, too.
                    let _ = self.say(&order).await;
                    continue;
                }
            };
            if let Ok(Some(heard)) = &heard {
                loss.learn(heard);
            }
            let update = match heard {
                Ok(Some(FromWorker::Counters(counters))) => LoadUpdate::Counters(worker, counters),
                Ok(Some(FromWorker::Histograms(histograms))) => LoadUpdate::Histograms(worker, histograms),
                Ok(Some(FromWorker::Done(done))) => {
                    let _ = updates.send(LoadUpdate::Done(worker, done)).await;
                    let _ = self.child.wait().await;
                    return;
                }
                Ok(Some(FromWorker::Hello(_) | FromWorker::Ready)) => continue,
                Ok(Some(FromWorker::Failed(why))) => break text::clean(&why, LAST_WORDS),
                Ok(None) => break self.last_words().await,
                Err(e) => break e.to_string(),
            };
            if updates.send(update).await.is_err() {
                return;
            }
        };
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
        let _ = updates.send(LoadUpdate::Lost { worker, at: clock.now(), why: lost, loss }).await;
    }

    /// How the process ended, and the end of what it wrote to stderr.
    async fn last_words(&mut self) -> String {
        let ended = match tokio::time::timeout(GONE_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            _ => "it closed its output but runs on".to_owned(),
        };
        // Its own children may hold its stderr open.
        let read = tokio::time::timeout(READ_WITHIN, self.errors.join_next()).await;
        let said = read.ok().flatten().and_then(Result::ok).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let last = said.trim().lines().last().unwrap_or_default();
        let last = if last.is_empty() { String::new() } else { format!(": {last}") };
        text::clean(&format!("{ended}{last}"), LAST_WORDS)
    }
}

/// The end of what `errors` yields until it closes; the rest is read and dropped.
async fn end_of(mut errors: impl AsyncRead + Unpin) -> Vec<u8> {
    /// Bytes kept, or up to twice as many.
    const KEPT: usize = 4 << 10;
    let (mut end, mut portion) = (Vec::new(), [0; KEPT]);
    while let Ok(n @ 1..) = errors.read(&mut portion).await {
        end.extend_from_slice(&portion[..n]);
        let surplus = end.len().saturating_sub(KEPT);
        if surplus > KEPT {
            end.drain(..surplus);
        }
    }
    end
}

/// Binds a process that was just started, with all threads it will start, to some cores.
fn bind(pid: u32, cpus: &[usize]) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_setaffinity};
        let mut set = CpuSet::new();
        cpus.iter().for_each(|&cpu| set.set(cpu));
        let pid = rustix::process::Pid::from_raw(pid as i32);
        sched_setaffinity(pid, &set)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (pid, cpus);
    Ok(())
}

/// Messages from a byte stream.
struct Frames<R> {
    from: R,
    bytes: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    fn new(from: R) -> Self {
        Self { from, bytes: Vec::new() }
    }

    /// The next message; none at the stream's end. Dropped, it loses nothing.
    async fn next(&mut self) -> Result<Option<FromWorker>, BadMessage> {
        loop {
            match frame::unpack(&self.bytes) {
                Ok((frame, length)) => {
                    self.bytes.drain(..length);
                    return FromWorker::unpack(&frame).map(Some);
                }
                Err(BadFrame::Incomplete) => {}
                Err(e) => return Err(e.into()),
            }
            match self.from.read_buf(&mut self.bytes).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
    }
}
