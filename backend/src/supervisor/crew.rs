//! The worker processes: what they have in common, what they are told, and what they say.
//!
//! Owns who is behind each name now. That somebody is lies with [`keeper`](super::keeper).

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use timeline::MonoNs;
use timeline::fault::{FaultKind, FaultOrder, Truth, TruthPoint};
use timeline::probe::InstanceInfo;
use tokio::sync::{mpsc, oneshot, watch};

use super::keeper::{Keeper, Relief};
use super::process::Running;
use super::truths::Truths;
use crate::error::BackendError;
use crate::remedies::{Hold, is_cured};
use crate::say::say;
use crate::settings::{CacheSettings, ShopSettings};
use crate::store::Place;
use crate::wire::{Broker, CachePlace, Order, Report, Role, WorkerSettings};
use crate::worker::GRACE;

/// A worker that was told to end is killed after this: its own grace, and time to leave.
pub const END_PATIENCE: Duration = GRACE.saturating_add(Duration::from_millis(1_000));
/// How long workers may take to say that faults are ended: a loop that is starved comes to it late. Shorter than the
/// patience of whoever asks, who is to hear that it took too long.
const ENDED_PATIENCE: Duration = Duration::from_secs(10);
/// Name of the process of the services.
const SERVICES: &str = "services-0";

/// What all workers have in common.
pub struct Origin {
    /// Arguments that make this executable a worker.
    pub args: Vec<String>,
    /// Token of the probes.
    pub token: String,
    /// Key of the customers' tokens.
    pub signing_key: String,
    /// The database.
    pub database: Place,
    /// The cache.
    pub cache: CachePlace,
    /// The broker.
    pub broker: Broker,
    /// Where the services listen.
    pub services: SocketAddr,
    /// Figures of the shop.
    pub shop: ShopSettings,
}

/// All workers.
pub struct Crew {
    origin: Origin,
    members: Vec<Member>,
    truths: Arc<Truths>,
    /// How the cache works now, which may be changed while it runs.
    cache: Mutex<CacheSettings>,
    /// Settings held against faults: a worker that is started again holds them, too.
    holds: Mutex<Vec<Hold>>,
    /// Faults that are on, until when: a worker that is started again gets what is left of them.
    active: Mutex<Vec<(FaultOrder, MonoNs)>>,
    ended: Mutex<u64>,
}

/// One worker's name, whichever process is behind it now.
struct Member {
    name: String,
    role: Role,
    /// On which all processes of this name listen, one after the other; none when the backend ends.
    listener: Mutex<Option<TcpListener>>,
    reliefs: mpsc::Sender<Relief>,
    /// Taken by its keeper.
    relieved: Mutex<Option<mpsc::Receiver<Relief>>>,
    /// Written by its keeper alone.
    life: watch::Sender<Life>,
    /// Faults of which a process of this name, by its generation, has told the beginning and not yet the end.
    begun: Mutex<BTreeSet<(u32, FaultKind)>>,
}

/// The process behind a name.
#[derive(Clone, Default)]
pub struct Life {
    /// How often the name was started before.
    pub generation: u32,
    /// How often a process of the name has died unasked.
    deaths: u32,
    /// None while there is no process.
    process: Option<Process>,
    /// The last [`Order::EndFaults`] that it answered.
    ended: u64,
    /// Generations that have been relieved, and have not said yet that their faults are over.
    leaving: BTreeSet<u32>,
    /// Why the first start failed, if it did.
    failed: Option<String>,
}

/// A process that can be given orders.
#[derive(Clone)]
pub struct Process {
    pid: u32,
    orders: mpsc::Sender<Order>,
    /// Set when it is ready.
    probe: Option<SocketAddr>,
}

impl Process {
    /// With this process id; `orders` reach it.
    pub fn new(pid: u32, orders: mpsc::Sender<Order>) -> Self {
        Self { pid, orders, probe: None }
    }
}

/// One worker in the ready line.
#[derive(Serialize)]
pub struct WorkerLine {
    name: String,
    pid: u32,
}

impl Crew {
    /// A worker of the shop for each listener in `shop`, and one for the services; none of them started.
    pub fn new(origin: Origin, services: TcpListener, shop: Vec<TcpListener>, truths: Arc<Truths>) -> Self {
        let named = |(index, listener)| Member::new(format!("shop-{index}"), Role::Shop, listener);
        let services = Member::new(SERVICES.to_owned(), Role::Services, services);
        Self {
            cache: Mutex::new(origin.shop.cache),
            origin,
            members: shop.into_iter().enumerate().map(named).chain([services]).collect(),
            truths,
            holds: Mutex::default(),
            active: Mutex::default(),
            ended: Mutex::default(),
        }
    }

    /// Those who keep the workers alive, one for each name.
    pub fn keepers(self: &Arc<Self>, stop: &watch::Receiver<bool>) -> Vec<Keeper> {
        let keeper = |(index, member): (usize, &Member)| {
            let relieved = member.relieved.lock().unwrap_or_else(PoisonError::into_inner).take()?;
            Some(Keeper::new(self.clone(), index, relieved, stop.clone()))
        };
        self.members.iter().enumerate().filter_map(keeper).collect()
    }

    /// The name of the worker of this number.
    pub fn name(&self, index: usize) -> &str {
        &self.members[index].name
    }

    /// Who is behind a name, as it changes.
    pub fn life(&self, index: usize) -> watch::Receiver<Life> {
        self.members[index].life.subscribe()
    }

    /// Starts a process for a name.
    pub fn start(&self, index: usize) -> std::io::Result<Running> {
        // That of the first worker may have to take the place of all others.
        let others = if index == 0 { &self.members[1..] } else { &[] };
        let others = others.iter().filter(|m| m.role == Role::Shop);
        let mut listeners = Vec::new();
        for member in [&self.members[index]].into_iter().chain(others) {
            let listener = member.listener.lock().unwrap_or_else(PoisonError::into_inner);
            let listener = listener.as_ref().ok_or_else(|| std::io::Error::other("the backend ends"))?;
            listeners.push(listener.try_clone()?);
        }
        Running::start(&self.origin.args, &listeners)
    }

    /// What a process is told first.
    pub fn settings(&self, index: usize, generation: u32) -> WorkerSettings {
        let origin = &self.origin;
        WorkerSettings {
            name: self.members[index].name.clone(),
            role: self.members[index].role,
            generation,
            supervisor: std::process::id(),
            token: origin.token.clone(),
            signing_key: origin.signing_key.clone(),
            database: origin.database.clone(),
            cache: origin.cache.clone(),
            broker: origin.broker.clone(),
            services: origin.services,
            shop: ShopSettings { cache: *self.cache(), ..origin.shop.clone() },
            holds: self.holds.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// A process has the name from now on. Gives what it is to be told before any other order: what is left of the
    /// faults. One that is ready has its settings from before, and what was changed since went to the process that it
    /// relieves; so it is told that first.
    pub fn take_over(
        &self,
        index: usize,
        generation: u32,
        process: Process,
        probe: Option<SocketAddr>,
    ) -> Vec<Order> {
        let mut first = Vec::new();
        if probe.is_some() {
            first.push(Order::Cache(*self.cache()));
            let holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
            first.extend(holds.iter().cloned().map(Order::Hold));
        }
        first.extend(self.remaining().into_iter().map(Order::Arm));
        if generation > 0 {
            // Last, so that it knows which faults are on.
            first.push(Order::Settle);
        }
        self.members[index].life.send_modify(|life| {
            if life.process.is_some() {
                life.leaving.insert(life.generation);
            }
            life.generation = generation;
            life.process = Some(Process { probe, ..process });
        });
        first
    }

    /// The process behind a name has died, and its faults with it. At the backend's end all do, and nobody asks any more.
    pub fn buried(&self, index: usize, generation: u32, died: &str) {
        self.end_of(index, generation);
        self.members[index].life.send_modify(|life| {
            let never_ready = life.probe().is_none();
            life.process = None;
            life.deaths += 1;
            if generation == 0 && never_ready {
                life.failed.get_or_insert_with(|| died.to_owned());
            }
        });
    }

    /// A process that was relieved has no faults any more: it has said so, or has died.
    pub fn left(&self, index: usize, generation: u32) {
        self.end_of(index, generation);
        self.members[index].life.send_if_modified(|life| life.leaving.remove(&generation));
    }

    /// Writes down the end of all faults whose beginning a process has told, and whose end it tells no more.
    fn end_of(&self, index: usize, generation: u32) {
        let member = &self.members[index];
        member.begun().retain(|(of, fault)| {
            if *of == generation {
                let (fault, instance) = (*fault, member.name.clone());
                self.truths.write(Truth { fault, instance, what: TruthPoint::Ended, at: MonoNs::now() });
            }
            *of != generation
        });
    }

    /// Takes what a process said. Gives the address of its probe when it is ready.
    pub fn hear(&self, index: usize, generation: u32, text: &str) -> Option<SocketAddr> {
        let member = &self.members[index];
        // A process that has been relieved, or does not yet have the name, says nothing about it.
        let current = |change: &dyn Fn(&mut Life)| {
            member.life.send_if_modified(|life| {
                let is_it = life.generation == generation;
                if is_it {
                    change(life);
                }
                is_it
            });
        };
        match serde_json::from_str(text) {
            Ok(Report::Ready(probe)) => {
                current(&|life| {
                    if let Some(process) = &mut life.process {
                        process.probe = Some(probe);
                    }
                });
                return Some(probe);
            }
            Ok(Report::Truth(truth)) => {
                let life = (generation, truth.fault);
                match truth.what {
                    // What it was ordered in vain never begins there, and so has no end.
                    TruthPoint::Armed if self.is_cured(truth.fault, member.role) => {}
                    TruthPoint::Armed => {
                        member.begun().insert(life);
                    }
                    TruthPoint::Ended => {
                        member.begun().remove(&life);
                    }
                    TruthPoint::Onset => {}
                }
                self.truths.write(truth);
            }
            Ok(Report::PriceChanged(change)) => {
                self.tell_others(index, generation, &Order::PriceChanged(change))
            }
            Ok(Report::Left) => self.left(index, generation),
            Ok(Report::Ended(ticket)) => current(&|life| life.ended = ticket.max(life.ended)),
            Ok(Report::Failed(why)) => current(&|life| life.failed = Some(why.clone())),
            Err(_) => say(format_args!("backend: {} said something that is no report", member.name)),
        }
        None
    }

    /// Relieves every worker of the shop by a new process, one after the other.
    ///
    /// # Errors
    /// Which one could not be, and why; those after it are left as they are.
    pub async fn reload(&self) -> Result<(), String> {
        for member in self.members.iter().filter(|m| m.role == Role::Shop) {
            let (answer, relieved) = oneshot::channel();
            let asked = member.reliefs.send(answer).await.is_ok();
            let done = if asked { relieved.await.ok() } else { None };
            done.unwrap_or_else(|| Err("the backend ends".to_owned()))
                .map_err(|why| format!("{}: {why}", member.name))?;
        }
        Ok(())
    }

    /// Holds a setting in all workers. Says whether all could be told.
    pub fn hold(&self, hold: Hold) -> bool {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).push(hold.clone());
        self.tell_all(&Order::Hold(hold))
    }

    fn is_cured(&self, fault: FaultKind, role: Role) -> bool {
        is_cured(&self.holds.lock().unwrap_or_else(PoisonError::into_inner), fault, role)
    }

    /// Changes how the cache works, in all workers. Says whether all could be told.
    pub fn set_cache(&self, settings: CacheSettings) -> bool {
        *self.cache() = settings;
        self.tell_all(&Order::Cache(settings))
    }

    /// How the cache works now.
    pub fn cache(&self) -> MutexGuard<'_, CacheSettings> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is the cache one that all workers share?
    pub fn shares_cache(&self) -> bool {
        self.origin.cache != CachePlace::Memory
    }

    /// Where the services listen.
    pub fn services(&self) -> SocketAddr {
        self.origin.services
    }

    /// Nobody is to connect any more.
    pub fn close(&self) {
        for member in &self.members {
            member.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
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

    /// The workers of the shop as the ready line names them.
    pub fn lines(&self) -> Vec<WorkerLine> {
        let mut instances = self.instances();
        instances.retain(|i| i.name != SERVICES);
        instances.into_iter().map(|i| WorkerLine { name: i.name, pid: i.pid }).collect()
    }

    /// The processes that run now, the services' among them.
    pub fn instances(&self) -> Vec<InstanceInfo> {
        let info = |member: &Member| {
            let life = member.life.borrow();
            let pid = life.process.as_ref()?.pid;
            let (generation, deaths) = (life.generation, life.deaths);
            Some(InstanceInfo { name: member.name.clone(), pid, generation, deaths })
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

    /// Ends all faults of all workers, and waits until their truth is here. Gives the name of one that did not tell it
    /// in time.
    pub async fn end_faults(&self) -> Option<&str> {
        self.active().clear();
        let ticket = {
            let mut last = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            *last += 1;
            *last
        };
        // Before they are told: one that is started later has none of these faults, and is not told to end them.
        let told: Vec<_> = self.members.iter().map(|m| (m, m.life.borrow().generation)).collect();
        self.tell_all(&Order::EndFaults(ticket));
        // A worker that dies meanwhile has no faults any more.
        let is_over = |life: &Life, generation: u32| {
            let current = life.ended >= ticket || life.process.is_none() || life.generation != generation;
            current && life.leaving.is_empty()
        };
        let all = async {
            for (member, generation) in &told {
                let mut life = member.life.subscribe();
                let _ = life.wait_for(|l| is_over(l, *generation)).await;
            }
        };
        let _ = tokio::time::timeout(ENDED_PATIENCE, all).await;
        let late = told.iter().find(|(member, generation)| !is_over(&member.life.borrow(), *generation));
        late.map(|(member, _)| member.name.as_str())
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
        active.iter().map(left).collect()
    }

    /// Says whether all could be told.
    fn tell_all(&self, order: &Order) -> bool {
        self.members.iter().filter(|m| !m.tell(order)).count() == 0
    }

    /// Hands an order of one process on to all others of the shop; one that cannot take it goes without.
    fn tell_others(&self, index: usize, generation: u32, order: &Order) {
        for (n, member) in self.members.iter().enumerate().filter(|(_, m)| m.role == Role::Shop) {
            // One that has been relieved tells its successor, too.
            if n != index || member.life.borrow().generation != generation {
                member.tell(order);
            }
        }
    }

    fn active(&self) -> MutexGuard<'_, Vec<(FaultOrder, MonoNs)>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    fn new(name: String, role: Role, listener: TcpListener) -> Self {
        let (reliefs, relieved) = mpsc::channel(1);
        Self {
            name,
            role,
            listener: Mutex::new(Some(listener)),
            reliefs,
            relieved: Mutex::new(Some(relieved)),
            life: watch::channel(Life::default()).0,
            begun: Mutex::default(),
        }
    }

    fn begun(&self) -> MutexGuard<'_, BTreeSet<(u32, FaultKind)>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether it could take the order. One without a process gets what is left of the faults when it starts.
    fn tell(&self, order: &Order) -> bool {
        let life = self.life.borrow();
        life.process.as_ref().is_none_or(|p| p.orders.try_send(order.clone()).is_ok())
    }

    /// The pid is of our child until its keeper has seen it dead, so it can be nobody else's.
    fn signal(&self, signal: Signal) -> bool {
        let life = self.life.borrow();
        let pid = life.process.as_ref().and_then(|p| Pid::from_raw(p.pid as i32));
        pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }
}

impl Life {
    /// Where its probe is, when it is ready.
    pub fn probe(&self) -> Option<SocketAddr> {
        self.process.as_ref().and_then(|p| p.probe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    use TruthPoint::{Armed, Ended, Onset};

    /// One worker and the services, none of them started.
    fn crew() -> Crew {
        let listener = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let services = listener();
        let origin = Origin {
            args: Vec::new(),
            token: String::new(),
            signing_key: String::new(),
            database: Place::Sqlite { file: "none".into() },
            cache: CachePlace::Memory,
            broker: Broker::Services,
            services: services.local_addr().unwrap(),
            shop: ShopSettings::default(),
        };
        Crew::new(origin, services, vec![listener()], Arc::default())
    }

    #[test]
    fn one_that_relieves_another_is_told_what_was_changed_while_it_started() {
        let crew = crew();
        let process = || Process::new(7, mpsc::channel(1).0);
        let changed = CacheSettings { ttl_ms: 7, ..CacheSettings::default() };
        assert!(crew.set_cache(changed) && crew.hold(Hold::PoolCapacity(3)));
        for kind in FaultKind::ALL {
            assert!(crew.arm(&FaultOrder { name: *kind, for_ms: 60_000, knobs: Default::default() }));
        }
        let all_arms = |orders: &[Order]| orders.iter().all(|o| matches!(o, Order::Arm(_)));
        let first = crew.take_over(0, 1, process(), Some(crew.services()));
        let [Order::Cache(cache), Order::Hold(hold), arms @ .., Order::Settle] = &first[..] else {
            panic!("{} orders of other kinds", first.len());
        };
        assert_eq!((cache, hold), (&changed, &Hold::PoolCapacity(3)));
        assert!(all_arms(arms) && arms.len() == FaultKind::ALL.len());
        // What is not ready yet reads the rest in its settings, which come after.
        let first = crew.take_over(0, 2, process(), None);
        let [arms @ .., Order::Settle] = &first[..] else { panic!("it is to settle last") };
        assert!(all_arms(arms) && arms.len() == FaultKind::ALL.len());
    }

    /// One whose process has been started, with what that is told.
    fn crew_at_work() -> (Crew, mpsc::Receiver<Order>) {
        let (crew, (orders, ordered)) = (crew(), mpsc::channel(1));
        crew.take_over(0, 0, Process::new(7, orders), None);
        (crew, ordered)
    }

    #[tokio::test]
    async fn faults_are_ended_when_the_slowest_worker_has_said_so() {
        let (crew, mut ordered) = crew_at_work();
        let slow = async {
            let Some(Order::EndFaults(ticket)) = ordered.recv().await else { panic!("another order") };
            // As long as a starved loop may need, and some.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            crew.hear(0, 0, crate::wire::line(&Report::Ended(ticket)).trim_end());
        };
        let ((), late) = tokio::join!(slow, crew.end_faults());
        assert_eq!(late, None);
        assert_eq!(crew.life(0).borrow().ended, 1, "it was waited for");
    }

    #[tokio::test]
    async fn one_that_was_relieved_is_waited_for_until_its_faults_are_over() {
        let (crew, _ordered) = crew_at_work();
        let (orders, mut ordered) = mpsc::channel(1);
        crew.take_over(0, 1, Process::new(8, orders), Some(crew.services()));
        let said = |what| crate::wire::line(&what);
        let slow = async {
            let Some(Order::EndFaults(ticket)) = ordered.recv().await else { panic!("another order") };
            crew.hear(0, 1, said(Report::Ended(ticket)).trim_end());
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert_eq!(crew.life(0).borrow().leaving, BTreeSet::from([0]));
            crew.hear(0, 0, said(Report::Left).trim_end());
        };
        let ((), late) = tokio::join!(slow, async {
            let late = crew.end_faults().await;
            assert!(crew.life(0).borrow().leaving.is_empty(), "it was waited for");
            late
        });
        assert_eq!(late, None);
    }

    /// Process `generation` of the one worker tells something of its leak.
    fn tell(crew: &Crew, generation: u32, what: TruthPoint) {
        let truth = Truth { fault: FaultKind::Leak, instance: "shop-0".into(), what, at: MonoNs::now() };
        crew.hear(0, generation, crate::wire::line(&Report::Truth(truth)).trim_end());
    }

    fn told(crew: &Crew) -> Vec<TruthPoint> {
        let lines = crew.truths.since(0).lines;
        assert!(lines.iter().all(|l| (l.fault, l.instance.as_str()) == (FaultKind::Leak, "shop-0")));
        lines.iter().map(|l| l.what).collect()
    }

    #[tokio::test]
    async fn the_faults_of_a_process_end_with_it_and_only_its_own() {
        let (crew, _ordered) = crew_at_work();
        tell(&crew, 0, Armed);
        tell(&crew, 0, Onset);
        crew.take_over(0, 1, Process::new(8, mpsc::channel(1).0), Some(crew.services()));
        tell(&crew, 1, Armed);
        // The one that was relieved dies before it has said that its faults are over.
        crew.left(0, 0);
        assert_eq!(told(&crew), [Armed, Onset, Armed, Ended]);
        crew.buried(0, 1, "has ended");
        assert_eq!(told(&crew), [Armed, Onset, Armed, Ended, Ended]);
        // What a process has ended itself, or was ordered in vain, has no end after that.
        crew.take_over(0, 2, Process::new(9, mpsc::channel(1).0), None);
        tell(&crew, 2, Armed);
        tell(&crew, 2, Ended);
        crew.hold(Hold::Cure(FaultKind::Leak));
        tell(&crew, 2, Armed);
        crew.buried(0, 2, "has ended");
        assert_eq!(told(&crew)[5..], [Armed, Ended, Armed]);
    }

    #[tokio::test]
    async fn nobody_waits_for_the_end_of_faults_of_a_process_that_was_started_after_the_order() {
        let (crew, mut ordered) = crew_at_work();
        let dies = async {
            ordered.recv().await;
            // Nobody looks in between.
            crew.buried(0, 0, "has ended");
            crew.take_over(0, 1, Process::new(8, mpsc::channel(1).0), None);
        };
        let both = async { tokio::join!(dies, crew.end_faults()) };
        let ((), late) = tokio::time::timeout(ENDED_PATIENCE / 2, both).await.expect("it is not waited for");
        assert_eq!(late, None);
    }
}
