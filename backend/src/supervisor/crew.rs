//! The worker processes: started, given orders, listened to, and started again when they die.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use timeline::MonoNs;
use timeline::fault::{FaultKind, FaultOrder};
use timeline::probe::InstanceInfo;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};

use super::truths::Truths;
use crate::error::BackendError;
use crate::http::told;
use crate::settings::ShopSettings;
use crate::wire::{Order, Report, WorkerSettings, line};
use crate::worker::GRACE;

/// A worker that was told to end is killed after this: its own grace, and time to leave.
pub const END_PATIENCE: Duration = GRACE.saturating_add(Duration::from_millis(1_000));
/// A worker that dies again at once is started after ever longer pauses, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// One that has lived this long was well; its next start is not delayed.
const LIVED: Duration = Duration::from_secs(5);
/// Orders on their way to a worker. A stopped worker reads none; then new ones are refused.
const ORDERS: usize = 16;
/// How long workers may take to say that faults are ended.
const ENDED_PATIENCE: Duration = Duration::from_secs(1);

/// What all workers have in common.
pub struct Origin {
    /// Arguments that make this executable a worker.
    pub args: Vec<String>,
    /// The shop's address.
    pub listen: SocketAddr,
    /// Token of the probes.
    pub token: String,
    /// The database.
    pub database: PathBuf,
    /// Figures of the shop.
    pub shop: ShopSettings,
}

/// All workers.
pub struct Crew {
    origin: Origin,
    members: Vec<Member>,
    truths: Arc<Truths>,
    /// Faults that are on, until when: a worker that is started again gets what is left of them.
    active: Mutex<Vec<(FaultOrder, MonoNs)>>,
    ended: Mutex<u64>,
}

/// One worker's name, whichever process is behind it now.
struct Member {
    name: String,
    /// Written by its keeper alone.
    life: watch::Sender<Life>,
}

/// The process behind a name.
#[derive(Clone, Default)]
struct Life {
    generation: u32,
    /// None while there is no process.
    process: Option<Process>,
    /// The last [`Order::EndFaults`] that it answered.
    ended: u64,
    /// Why the first start failed, if it did.
    failed: Option<String>,
}

#[derive(Clone)]
struct Process {
    pid: u32,
    orders: mpsc::Sender<Order>,
    /// Set when it is ready.
    probe: Option<SocketAddr>,
}

/// One worker in the ready line.
#[derive(Serialize)]
pub struct WorkerLine {
    name: String,
    pid: u32,
}

impl Crew {
    /// `count` workers, none of them started.
    pub fn new(origin: Origin, count: usize, truths: Arc<Truths>) -> Self {
        let member =
            |index| Member { name: format!("shop-{index}"), life: watch::channel(Life::default()).0 };
        Self {
            origin,
            members: (0..count).map(member).collect(),
            truths,
            active: Mutex::default(),
            ended: Mutex::default(),
        }
    }

    /// Keeps one worker alive until `stop` becomes true, then ends it. Dropping the future kills it.
    pub async fn keep(self: Arc<Self>, index: usize, stop: watch::Receiver<bool>) {
        let mut pause = FIRST_PAUSE;
        for generation in 0.. {
            let began = MonoNs::now();
            let died = self.one_life(index, generation, stop.clone()).await;
            let never_ready =
                self.members[index].life.borrow().process.as_ref().is_none_or(|p| p.probe.is_none());
            self.members[index].life.send_modify(|life| {
                life.process = None;
                if generation == 0 && never_ready {
                    life.failed.get_or_insert_with(|| died.clone());
                }
            });
            if *stop.borrow() {
                return;
            }
            eprintln!("backend: {} {died}; it is started again", self.members[index].name);
            pause =
                if MonoNs::now().since(began) >= LIVED { FIRST_PAUSE } else { (pause * 2).min(LAST_PAUSE) };
            let mut stop = stop.clone();
            let stopped = tokio::time::timeout(pause, told(&mut stop)).await.is_ok();
            if stopped {
                return;
            }
        }
    }

    /// From start to death; gives what it died of, as the end of a sentence.
    async fn one_life(&self, index: usize, generation: u32, mut stop: watch::Receiver<bool>) -> String {
        let member = &self.members[index];
        let (mut child, mut input, mut output) = match self.start() {
            Ok(parts) => parts,
            Err(e) => return format!("cannot be started: {e}"),
        };
        let pid = child.id().unwrap_or(0);
        let (orders, mut ordered) = mpsc::channel(ORDERS);
        let process = Process { pid, orders: orders.clone(), probe: None };
        member.life.send_modify(|life| (life.generation, life.process) = (generation, Some(process)));
        let _ = orders.try_send(Order::Settings(self.settings(member, generation)));
        for order in self.remaining() {
            let _ = orders.try_send(Order::Arm(order));
        }
        drop(orders);
        let mut stopping = false;
        loop {
            tokio::select! {
                ended = child.wait() => return died(ended),
                Some(order) = ordered.recv() => {
                    // An error means that it is about to be seen dead.
                    let _ = input.write_all(line(&order).as_bytes()).await;
                }
                Ok(Some(text)) = output.next_line() => self.hear(member, &text),
                () = told(&mut stop), if !stopping => {
                    stopping = true;
                    // It may be stopped by a fault or by hand, and must be able to hear this.
                    member.signal(Signal::CONT);
                    let _ = input.write_all(line(&Order::Drain).as_bytes()).await;
                }
            }
        }
    }

    fn start(&self) -> std::io::Result<(Child, ChildStdin, Lines<BufReader<ChildStdout>>)> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(&self.origin.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().expect("its input was asked for");
        let output = child.stdout.take().expect("its output was asked for");
        Ok((child, input, BufReader::new(output).lines()))
    }

    fn settings(&self, member: &Member, generation: u32) -> WorkerSettings {
        WorkerSettings {
            name: member.name.clone(),
            generation,
            supervisor: std::process::id(),
            listen: self.origin.listen,
            token: self.origin.token.clone(),
            database: self.origin.database.clone(),
            shop: self.origin.shop.clone(),
        }
    }

    fn hear(&self, member: &Member, text: &str) {
        match serde_json::from_str(text) {
            Ok(Report::Ready(probe)) => member.life.send_modify(|life| {
                if let Some(process) = &mut life.process {
                    process.probe = Some(probe);
                }
            }),
            Ok(Report::Truth(truth)) => self.truths.write(truth),
            Ok(Report::Ended(ticket)) => member.life.send_modify(|life| life.ended = ticket),
            Ok(Report::Failed(why)) => member.life.send_modify(|life| life.failed = Some(why)),
            Err(_) => eprintln!("backend: {} said something that is no report", member.name),
        }
    }

    /// Waits until every worker is ready.
    ///
    /// # Errors
    /// As soon as one has failed.
    pub async fn all_ready(&self) -> Result<(), BackendError> {
        for member in &self.members {
            let mut life = member.life.subscribe();
            let settled = life.wait_for(|l| l.failed.is_some() || l.probe().is_some()).await;
            let life = settled.expect("the sender lives as long as the crew");
            if let Some(why) = &life.failed {
                return Err(BackendError::Worker { name: member.name.clone(), why: why.clone() });
            }
        }
        Ok(())
    }

    /// Which worker has not become ready in time.
    pub fn late(&self) -> BackendError {
        let late = self.members.iter().find(|m| m.life.borrow().probe().is_none());
        let name = late.map_or_else(String::new, |m| m.name.clone());
        BackendError::Worker { name, why: "it said nothing for too long".to_owned() }
    }

    /// The workers as the ready line names them.
    pub fn lines(&self) -> Vec<WorkerLine> {
        self.instances().into_iter().map(|i| WorkerLine { name: i.name, pid: i.pid }).collect()
    }

    /// The workers that run now.
    pub fn instances(&self) -> Vec<InstanceInfo> {
        let info = |member: &Member| {
            let life = member.life.borrow();
            let pid = life.process.as_ref()?.pid;
            Some(InstanceInfo { name: member.name.clone(), pid, generation: life.generation })
        };
        self.members.iter().filter_map(info).collect()
    }

    /// Where the probe of worker `name` is. `None` for a name that is none; `Some(None)` while it is being started.
    pub fn probe(&self, name: &str) -> Option<Option<SocketAddr>> {
        self.members.iter().find(|m| m.name == name).map(|m| m.life.borrow().probe())
    }

    /// The first worker's name, which stands for `one of them` wherever one is to suffer.
    pub fn first(&self) -> &str {
        &self.members[0].name
    }

    /// Sends a signal to the process behind `name`, if there is one.
    pub fn signal(&self, name: &str, signal: Signal) -> bool {
        self.members.iter().find(|m| m.name == name).is_some_and(|m| m.signal(signal))
    }

    /// Hands a fault to every worker. Says whether all could take it.
    pub fn arm(&self, order: &FaultOrder) -> bool {
        let until = MonoNs(MonoNs::now().0.saturating_add(order.for_ms.saturating_mul(1_000_000)));
        let mut active = self.active();
        active.retain(|(other, _)| other.name != order.name);
        active.push((order.clone(), until));
        drop(active);
        self.tell_all(&Order::Arm(order.clone()))
    }

    /// Ends all faults of all workers, and waits a moment until their truth is here.
    pub async fn end_faults(&self) {
        self.active().clear();
        let ticket = {
            let mut last = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            *last += 1;
            *last
        };
        self.tell_all(&Order::EndFaults(ticket));
        let all = async {
            for member in &self.members {
                let mut life = member.life.subscribe();
                // A worker that dies meanwhile has no faults any more.
                let _ = life.wait_for(|l| l.ended >= ticket || l.process.is_none()).await;
            }
        };
        let _ = tokio::time::timeout(ENDED_PATIENCE, all).await;
    }

    /// Faults that are on, each with what is left of its span.
    fn remaining(&self) -> Vec<FaultOrder> {
        let now = MonoNs::now();
        let mut active = self.active();
        active.retain(|(_, until)| *until > now);
        let left = |(order, until): &(FaultOrder, MonoNs)| FaultOrder {
            for_ms: until.since(now).as_millis() as u64,
            ..order.clone()
        };
        // The supervisor itself stops workers.
        active.iter().filter(|(order, _)| order.name != FaultKind::Frozen).map(left).collect()
    }

    fn tell_all(&self, order: &Order) -> bool {
        let tell = |member: &Member| {
            let life = member.life.borrow();
            // Without a process: it gets what is left of the faults when it starts.
            life.process.as_ref().is_none_or(|p| p.orders.try_send(order.clone()).is_ok())
        };
        self.members.iter().filter(|m| !tell(m)).count() == 0
    }

    fn active(&self) -> MutexGuard<'_, Vec<(FaultOrder, MonoNs)>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// The pid is of our child until its keeper has seen it dead, so it can be nobody else's.
    fn signal(&self, signal: Signal) -> bool {
        let life = self.life.borrow();
        let pid = life.process.as_ref().and_then(|p| Pid::from_raw(p.pid as i32));
        pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }
}

impl Life {
    fn probe(&self) -> Option<SocketAddr> {
        self.process.as_ref().and_then(|p| p.probe)
    }
}

fn died(ended: std::io::Result<std::process::ExitStatus>) -> String {
    match ended {
        Ok(status) => format!("has ended with {status}"),
        Err(e) => format!("cannot be waited for: {e}"),
    }
}
