//! Settling what is attached, before a run's clock starts and its screen stands: who serves the port, and may we look inside?
//!
//! Owns the choice of `auto` and the one question. Installing observers changes the target, if ever so little, so it is done
//! only when the inspector was named on the command line, by `--yes`, or by the answer; the question says, too, where a heap is searched. What is
//! asked for in several ways is read once. A watch may begin before its service: who comes to serve the port is attached then. What remains unseen is
//! told at the end, of all that is attached.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::process::Command;

use profiler::sources::discover::{Process, ProcessError, Runtime, Served, discover};
use profiler::sources::v8::{self, Installed, Place, Readers, Search};
use profiler::sources::{AttachError, check_jvm, look_for_metrics, process};
use scenarios::plan::BaseUrl;
use timeline::metric::Mapping;
use timeline::text::plural;

use super::failed;
use super::wanted::{Attach, Store};
use crate::outcome::UserError;
use crate::run::prepare::local_port;

/// What `auto` says where nothing of all that is attached tells of the target's inside, and no page was looked for ...
const PAGE: &str =
    "if the service has a page of metrics, it can be read, too: --attach auto --attach metrics=URL";
/// ... or none was found.
const NO_PAGE: &str = "no page of metrics was found at /metrics or /actuator/prometheus; one elsewhere can be read, too: \
    --attach auto --attach metrics=URL";

/// What `auto` says where it may not look inside those that serve the port ...
const NOT_INSIDE: &str =
    "not looked inside: `--attach node` or `--yes` lets dyno open the inspector and install observers";
/// ... or will do.
const NOT_INSIDE_LATER: &str = "who comes to serve it is not looked inside: `--attach node` or `--yes` lets dyno open inspectors and install observers";

/// Where the target is, as far as it matters to what is attached.
#[derive(Default)]
pub struct Located<'a> {
    /// Its port, where it is on this machine.
    pub port: Option<u16>,
    /// Where it may be asked for a page of metrics, `http://HOST:PORT`; none where it is not known to speak HTTP there.
    pub http: Option<String>,
    /// What metrics of its own are called.
    pub mappings: &'a [Mapping],
    /// Where nobody serves the port yet: is who comes to serve it waited for?
    pub awaited: bool,
}

impl<'a> Located<'a> {
    /// The one at this address.
    pub fn at(url: &BaseUrl, mappings: &'a [Mapping]) -> Self {
        let port = local_port(url);
        Self { port, http: port.filter(|_| !url.tls).map(|_| url.origin()), mappings, awaited: false }
    }
}

/// May observers be installed in the target?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// It was said.
    Given,
    /// Nobody said so, and somebody can be asked.
    Ask,
    /// Nobody said so, and nobody is there.
    Missing,
}

impl Permission {
    /// `yes`: asked to ask nothing; `named`: the inspector was named on the command line; `ci`: nobody is there.
    pub fn of(yes: bool, named: bool, ci: bool) -> Self {
        let person = !ci && io::stdin().is_terminal() && io::stderr().is_terminal();
        match (yes || named, person) {
            (true, _) => Self::Given,
            (false, true) => Self::Ask,
            (false, false) => Self::Missing,
        }
    }

    /// Asks if need be, once: the answer holds for all that is attached.
    fn granted(&mut self, ask: impl FnOnce() -> bool) -> bool {
        if *self == Self::Ask {
            *self = if ask() { Self::Given } else { Self::Missing };
        }
        *self == Self::Given
    }
}

/// The one question, after the words that say who is meant. A search stops whose heap it is, so it is part of the question; for how long, and
/// of how large a heap, is `v8`'s to bound.
fn question(who: &str, searched: bool) -> String {
    let search = if searched {
        " Heaps are searched, too: each process stands still meanwhile, some 15 ms for each live MB, so up to 2 s (a heap of more than 128 MB is not searched)."
    } else {
        ""
    };
    format!(
        "dyno: {who}.{search} Look inside by its inspector, with observers that are taken back at the end? [y/N] "
    )
}

/// Asks it.
fn ask(question: &str) -> bool {
    let _ = io::stderr().write_all(question.as_bytes()); // whoever does not see it does not say yes
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

/// One thing to attach, ready for it.
pub enum Ready {
    /// An agent's endpoint with its token.
    Agent { url: String, token: String },
    /// The processes of the port.
    Served(Served),
    /// Observers that stand already.
    V8(Installed),
    /// A JVM by its process id; `found` by `auto`, not asked for by name.
    Jvm { pid: u32, found: bool },
    /// A page of metrics; `found` by `auto`, not asked for by name.
    Metrics { url: String, found: bool },
    /// Where metrics of OpenTelemetry are received.
    Otlp(SocketAddr),
    /// A store's server with its password.
    Store { kind: Store, url: String, password: String },
}

impl Ready {
    /// Does it see heap and pauses of the target's processes?
    pub fn sees_runtime(&self) -> bool {
        matches!(self, Self::Agent { .. } | Self::V8(_) | Self::Jvm { .. })
    }

    /// Does it tell what a page of metrics tells, too: pools, requests?
    fn sees_pages(&self) -> bool {
        matches!(self, Self::Agent { .. } | Self::V8(_) | Self::Metrics { .. } | Self::Otlp(_))
    }

    /// Does it tell more of the target than its processes show from outside?
    fn sees_inside(&self) -> bool {
        self.sees_runtime() || self.sees_pages()
    }
}

/// `dyno inspector-guard`, with whom it is for to be said.
fn guard() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("inspector-guard");
    Ok(command)
}

/// Everything to attach, and what there is to say about it already.
#[derive(Default)]
pub struct Settled {
    /// In the order in which it was asked for, but for inspectors of their own place, which come first.
    pub ready: Vec<Ready>,
    /// What `auto` found, and why it did not attach more; a line each.
    pub said: Vec<String>,
    /// That nobody serves the port yet and is waited for: also in `said`, which not every screen shows.
    pub nobody: Option<String>,
    /// Is who comes to serve it waited for?
    awaited: bool,
    /// Whom inspectors read.
    readers: Readers,
    /// Is any heap searched? Who is asked is told so.
    searched: bool,
}

impl Settled {
    /// `auto` never fails a run: what it cannot attach it says. What was asked for by name must work, or can be waited for.
    pub fn of(asked: &[Attach], target: &Located, mut permission: Permission) -> anyhow::Result<Self> {
        let port = target.port;
        let searched = asked.iter().any(|a| matches!(a, Attach::V8(_, Search::Heap)));
        let mut settled = Self { searched, awaited: target.awaited, ..Self::default() };
        // Those of the port are asked for once: by name rather than by `auto`, and with the search if anybody wants it.
        let named = asked.iter().any(|a| matches!(a, Attach::V8(None, _)));
        let search = if asked.contains(&Attach::V8(None, Search::Heap)) { Search::Heap } else { Search::No };
        let mut looked = false;
        for one in in_turn(asked) {
            match one {
                Attach::Nothing => {}
                Attach::Auto => settled.auto(port, named, &mut permission),
                Attach::Process => {
                    let served = settled.served_or_awaited(port).map_err(failed)?;
                    settled.serves(served);
                }
                Attach::V8(None, _) if looked => {}
                Attach::V8(None, _) => {
                    looked = true;
                    settled.v8(None, search, port, &mut permission)?;
                }
                Attach::V8(place, search) => settled.v8(*place, *search, port, &mut permission)?,
                Attach::Jvm(pid) => settled.jvm(*pid, port)?,
                Attach::Agent { url, token } => {
                    settled.ready.push(Ready::Agent { url: url.clone(), token: token.clone() });
                }
                Attach::Metrics { url } => {
                    settled.ready.push(Ready::Metrics { url: url.clone(), found: false });
                }
                Attach::Otlp(address) => settled.ready.push(Ready::Otlp(*address)),
                Attach::Store { kind, url, password } => {
                    let (url, password) = (url.clone(), password.clone());
                    settled.ready.push(Ready::Store { kind: *kind, url, password });
                }
            }
        }
        if asked.contains(&Attach::Auto) {
            settled.page(target);
        }
        Ok(settled)
    }

    /// The page of metrics of the target's own, where nobody tells already what stands on such a page, and somebody is there.
    fn page(&mut self, target: &Located) {
        if self.ready.iter().any(Ready::sees_pages) || self.nobody.is_some() {
            return;
        }
        let found = target.http.as_deref().and_then(|base| look_for_metrics(base, target.mappings));
        match found {
            Some(url) => self.ready.push(Ready::Metrics { url, found: true }),
            None if self.is_outside() => {
                let said = if target.http.is_some() { NO_PAGE } else { PAGE };
                self.said.push(said.to_owned());
            }
            None => {}
        }
    }

    /// What of the target's processes remains unseen by all that is attached.
    pub fn unseen(&self) -> &'static str {
        if self.is_outside() { process::UNSEEN } else { "" }
    }

    /// Does nothing tell of the target's inside?
    fn is_outside(&self) -> bool {
        !self.ready.iter().any(Ready::sees_inside)
    }

    /// Says which of the bundled backend's servers could be watched, too, and are not.
    pub fn offer(&mut self, stores: &backend::Stores) {
        let (database, cache, broker) = (&stores.database, &stores.cache, &stores.broker);
        let server = |url: &backend::StoreUrl| {
            let shown = url.to_string();
            let place = shown.split_once("://").map_or("", |(_, place)| place);
            place
                .split_once('/')
                .map_or((place.to_owned(), String::new()), |(p, path)| (p.to_owned(), path.to_owned()))
        };
        let mut offered = Vec::new();
        if let backend::DatabaseUrl::Postgres(url) = database {
            let (place, name) = server(url);
            offered.push((Store::Postgres, "database", format!("postgres=postgres://USER@{place}/{name}")));
        }
        if let backend::CacheUrl::Redis(url) = cache {
            offered.push((Store::Redis, "cache", format!("redis=redis://{}", server(url).0)));
        }
        if let backend::BrokerUrl::Rabbit(url) = broker {
            let (place, _) = server(url);
            let host = place.rsplit_once(':').map_or(place.as_str(), |(host, _)| host);
            let what = format!("rabbitmq=http://USER@{host}:15672");
            offered.push((Store::RabbitMq, "broker (if it has the management plugin)", what));
        }
        let watched =
            |kind| self.ready.iter().any(|r| matches!(r, Ready::Store { kind: k, .. } if *k == kind));
        offered.retain(|(kind, ..)| !watched(*kind));
        self.said.extend(offered.into_iter().map(|(kind, what, how)| {
            let variable = kind.password_variable();
            format!("the backend's {what} can be watched, too: --attach {how} (its password in {variable})")
        }));
    }

    /// Who serves the port. Whether all of them are the target is doubted once.
    fn served(&mut self, port: Option<u16>) -> Result<Served, AttachError> {
        let served = served(port)?;
        for doubt in doubts(&served) {
            if !self.said.contains(&doubt) {
                self.said.push(doubt);
            }
        }
        Ok(served)
    }

    /// The same, without anybody where nobody listens yet and who comes is waited for; that is said once.
    fn served_or_awaited(&mut self, port: Option<u16>) -> Result<Served, AttachError> {
        match self.served(port) {
            Err(AttachError::Process { port, why: ProcessError::Nobody }) if self.awaited => {
                if self.nobody.is_none() {
                    let said = awaited(port);
                    self.said.push(said.clone());
                    self.nobody = Some(said);
                }
                Ok(Served::nobody(port))
            }
            found => found,
        }
    }

    /// `named`: the inspectors of the port are asked for by name, too.
    fn auto(&mut self, port: Option<u16>, named: bool, permission: &mut Permission) {
        let served = match self.served_or_awaited(port) {
            Ok(served) => served,
            Err(e) => return self.said.push(format!("process not attached: {e}")),
        };
        if !served.processes.is_empty() {
            let all: Vec<&Process> = served.processes.iter().collect();
            self.said.push(format!("port {} is served by {}", served.port, described(&all)));
        }
        let jvms: Vec<u32> = on(&served, |r| *r == Runtime::Java).iter().map(|p| p.pid).collect();
        self.found(&jvms);
        if !named {
            self.inside(&served, permission);
        }
        self.serves(served);
    }

    /// Looks inside those that run on V8, or will do.
    fn inside(&mut self, served: &Served, permission: &mut Permission) {
        let (inside, is_early) = (on_v8(served), served.processes.is_empty());
        if inside.is_empty() && !is_early {
            return;
        }
        if !permission.granted(|| ask(&question(&serving(&inside, served.port), self.searched))) {
            let why = if is_early { NOT_INSIDE_LATER } else { NOT_INSIDE };
            return self.said.push(why.to_owned());
        }
        if is_early {
            return self.awaits(served.port);
        }
        match v8::install(&places(&inside), Some(served.port), Search::No, Some(guard), &self.readers) {
            Ok(installed) => self.ready.push(Ready::V8(installed.following(served.port))),
            Err(e) => self.said.push(format!("not looked inside: {e}")),
        }
    }

    /// Looks inside those on V8 that come to serve the port.
    fn awaits(&mut self, port: u16) {
        self.ready.push(Ready::V8(Installed::awaiting(port, Some(guard), &self.readers)));
    }

    /// JVMs that nobody has named. Each keeps its counters in a file of its own accord: reading them changes nothing there.
    fn found(&mut self, pids: &[u32]) {
        for &pid in pids {
            match check_jvm(pid) {
                Ok(()) => self.jvm_once(pid, true),
                Err(e) => self.said.push(format!("not looked inside: {e}")),
            }
        }
    }

    fn jvm(&mut self, pid: Option<u32>, port: Option<u16>) -> anyhow::Result<()> {
        if let Some(pid) = pid {
            self.jvm_once(pid, false);
            return Ok(());
        }
        let served = self.served(port).map_err(failed)?;
        let jvms = on(&served, |r| *r == Runtime::Java);
        if jvms.is_empty() {
            return Err(not_on("jvm", &served, "by a JVM"));
        }
        jvms.iter().for_each(|p| self.jvm_once(p.pid, false));
        Ok(())
    }

    fn jvm_once(&mut self, pid: u32, found: bool) {
        let known = self.ready.iter_mut().find_map(|r| match r {
            Ready::Jvm { pid: known, found } if *known == pid => Some(found),
            _ => None,
        });
        match known {
            // Who is named must work, also where `auto` has found it.
            Some(before) => *before &= found,
            None => self.ready.push(Ready::Jvm { pid, found }),
        }
    }

    /// The processes of the port, once.
    fn serves(&mut self, served: Served) {
        if !self.ready.iter().any(|r| matches!(r, Ready::Served(_))) {
            self.ready.push(Ready::Served(served));
        }
    }

    fn v8(
        &mut self,
        place: Option<Place>,
        search: Search,
        port: Option<u16>,
        permission: &mut Permission,
    ) -> anyhow::Result<()> {
        let (places, follow, who) = match place {
            Some(place) => (vec![place], None, format!("the scenario attaches {place}")),
            None => {
                // A heap is searched before anything is measured, so its process has to be there.
                let found =
                    if search == Search::Heap { self.served(port) } else { self.served_or_awaited(port) };
                let served = found.map_err(failed)?;
                let inside = on_v8(&served);
                if inside.is_empty() && !served.processes.is_empty() {
                    return Err(not_on(
                        "node, deno or bun",
                        &served,
                        &format!(
                            "by Node.js, Deno, or a Bun whose inspector is at a known path ({})",
                            v8::BUN_OPTION
                        ),
                    ));
                }
                (places(&inside), Some(served.port), serving(&inside, served.port))
            }
        };
        if !permission.granted(|| ask(&question(&who, self.searched))) {
            return Err(UserError::wrong(
                "the scenario attaches the inspector of its target: that installs observers there, so say --yes or --attach node",
            ));
        }
        if let (true, Some(port)) = (places.is_empty(), follow) {
            self.awaits(port);
            return Ok(());
        }
        let installed = v8::install(&places, port, search, Some(guard), &self.readers).map_err(failed)?;
        self.ready.push(Ready::V8(match follow {
            Some(port) => installed.following(port),
            None => installed,
        }));
        Ok(())
    }
}

/// What is asked for, inspectors of a place of their own first: who is read already by way of the port would not be read as he was asked for.
fn in_turn(asked: &[Attach]) -> impl Iterator<Item = &Attach> {
    let placed = asked.iter().filter(|one| is_placed(one));
    placed.chain(asked.iter().filter(|one| !is_placed(one)))
}

fn is_placed(one: &Attach) -> bool {
    matches!(one, Attach::V8(Some(_), _))
}

fn served(port: Option<u16>) -> Result<Served, AttachError> {
    let elsewhere =
        AttachError::NotAvailable { what: "process", why: "the target is not on this machine".to_owned() };
    discover(port.ok_or(elsewhere)?)
}

/// What there is to say of processes that may not be one service.
fn doubts(served: &Served) -> Vec<String> {
    let port = served.port;
    let mut doubts = Vec::new();
    if served.apart {
        doubts.push(format!(
            "port {port} is served on different addresses by different processes: some of them may not be the target"
        ));
    }
    if !served.forwarders.is_empty() {
        let all: Vec<&Process> = served.forwarders.iter().collect();
        doubts.push(format!(
            "port {port} is forwarded to a service elsewhere, too, by {}, which is not watched",
            described(&all)
        ));
    }
    doubts
}

fn on(served: &Served, runtime: fn(&Runtime) -> bool) -> Vec<&Process> {
    served.processes.iter().filter(|p| runtime(&p.runtime)).collect()
}

fn on_v8(served: &Served) -> Vec<&Process> {
    served.processes.iter().filter(|p| v8::reads(p)).collect()
}

fn not_on(word: &str, served: &Served, wanted: &str) -> anyhow::Error {
    let all: Vec<&Process> = served.processes.iter().collect();
    UserError::wrong(format!(
        "--attach {word}: port {} is served by {}, not {wanted}",
        served.port,
        described(&all)
    ))
}

fn places(processes: &[&Process]) -> Vec<Place> {
    processes.iter().map(|p| Place::Process(p.pid)).collect()
}

fn serving(processes: &[&Process], port: u16) -> String {
    if processes.is_empty() {
        return format!("nobody serves port {port} yet, and what comes may have an inspector");
    }
    format!("{} serves port {port}", described(processes))
}

/// What is said where nobody is there yet.
fn awaited(port: u16) -> String {
    format!(
        "port {port}: nobody on this machine listens on it yet: who comes to serve it is watched from then on; \
        a JVM's counters and a page of metrics are found only where it listens at the start"
    )
}

/// `node (pid 5) with 2 cluster workers (6, 7)`.
fn described(processes: &[&Process]) -> String {
    let pids = |of: &[&&Process]| of.iter().map(|p| p.pid.to_string()).collect::<Vec<_>>().join(", ");
    let (workers, listening): (Vec<&&Process>, Vec<&&Process>) = processes.iter().partition(|p| p.worker);
    let mut runtimes: Vec<String> = listening.iter().map(|p| p.runtime.to_string()).collect();
    runtimes.sort_unstable();
    runtimes.dedup();
    let mut text = format!("{} (pid {})", runtimes.join(" and "), pids(&listening));
    if !workers.is_empty() {
        text += &format!(" with {} ({})", plural(workers.len(), "cluster worker"), pids(&workers));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_the_bundled_backend_are_offered_without_their_secrets() {
        let stores = backend::Stores {
            database: "postgres://me:pa55@db:5432/shop".parse().unwrap(),
            cache: "redis://:pa55@127.0.0.1:6379/1".parse().unwrap(),
            broker: "amqp://me:pa55@mq:5672/%2f".parse().unwrap(),
        };
        let watched = Ready::Store { kind: Store::Redis, url: String::new(), password: String::new() };
        let mut settled = Settled { ready: vec![watched], ..Settled::default() };
        settled.offer(&stores);
        insta::assert_snapshot!(settled.said.join("\n"), @r"
        the backend's database can be watched, too: --attach postgres=postgres://USER@db:5432/shop (its password in DYNO_POSTGRES_PASSWORD)
        the backend's broker (if it has the management plugin) can be watched, too: --attach rabbitmq=http://USER@mq:15672 (its password in DYNO_RABBITMQ_PASSWORD)
        ");
    }

    #[test]
    fn who_serves_a_port_is_told_in_one_line() {
        let of = |pid, runtime, worker| Process { pid, runtime, worker };
        let cluster = [of(5, Runtime::Node, false), of(6, Runtime::Node, true), of(7, Runtime::Node, true)];
        let all: Vec<&Process> = cluster.iter().collect();
        assert_eq!(described(&all), "node (pid 5) with 2 cluster workers (6, 7)");
        assert_eq!(described(&[&of(9, Runtime::Other("nginx".to_owned()), false)]), "nginx (pid 9)");
    }

    #[test]
    fn processes_on_different_addresses_of_a_port_are_doubted_to_be_one_service() {
        let four = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = four.local_addr().unwrap().port();
        let mut settled = Settled::default();
        let served = settled.served(Some(port)).unwrap();
        assert!(!served.apart && settled.said.is_empty(), "it is one process: {served:?}");
        let tunnel = Process { pid: 5, runtime: Runtime::Other("ssh".to_owned()), worker: false };
        let doubted = doubts(&Served { apart: true, forwarders: vec![tunnel], ..served });
        assert_eq!(doubted.len(), 2, "{doubted:?}");
        assert!(doubted[0].contains("may not be the target"), "{doubted:?}");
        assert!(doubted[1].contains("by ssh (pid 5), which is not watched"), "{doubted:?}");
    }

    /// Of `asked` at a port; nobody is given port 1.
    fn settled(
        asked: &[Attach],
        port: Option<u16>,
        awaited: bool,
        permission: Permission,
    ) -> anyhow::Result<Settled> {
        Settled::of(asked, &Located { port, awaited, ..Located::default() }, permission)
    }

    #[test]
    fn where_nobody_listens_yet_who_comes_is_waited_for_if_that_makes_sense() {
        let auto = |port, awaited| settled(&[Attach::Auto], port, awaited, Permission::Missing).unwrap();
        let told = auto(Some(1), true);
        let line = told.nobody.unwrap();
        assert!(line.starts_with("port 1: nobody on this machine listens on it yet: "), "{line}");
        assert_eq!(told.said, [line, NOT_INSIDE_LATER.to_owned()], "no page is spoken of");
        assert!(
            matches!(&told.ready[..], [Ready::Served(served)] if *served == Served::nobody(1)),
            "it is joined later"
        );
        let run = auto(Some(1), false);
        assert!(run.said[0].starts_with("process not attached: ") && run.nobody.is_none(), "{:?}", run.said);
        assert!(run.ready.is_empty());
        let elsewhere = auto(None, true);
        assert!(elsewhere.said[0].starts_with("process not attached: "), "{:?}", elsewhere.said);
        assert_eq!(elsewhere.nobody, None);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(auto(Some(listener.local_addr().unwrap().port()), true).nobody, None);
    }

    #[test]
    fn an_inspector_is_waited_for_with_permission_and_by_name() {
        let node = Attach::V8(None, Search::No);
        for (asked, processes) in
            [(&[Attach::Auto][..], 1), (&[Attach::Auto, node.clone()][..], 1), (&[node.clone()][..], 0)]
        {
            let told = settled(asked, Some(1), true, Permission::Given).unwrap();
            let of = |which: fn(&Ready) -> bool| told.ready.iter().filter(|one| which(one)).count();
            assert_eq!(of(|one| matches!(one, Ready::V8(_))), 1, "{asked:?}");
            assert_eq!(of(|one| matches!(one, Ready::Served(_))), processes, "{asked:?}");
            assert_eq!(told.said, [told.nobody.clone().unwrap()], "{asked:?}");
        }
        let refused = |asked: Attach, awaited| {
            let error = settled(&[asked], Some(1), awaited, Permission::Given).map(drop).unwrap_err();
            assert_eq!(crate::outcome::error_code(&error), 6, "{error}");
        };
        // These are to be there: a run's target, a heap to be searched, a JVM.
        refused(node, false);
        refused(Attach::Process, false);
        refused(Attach::V8(None, Search::Heap), true);
        refused(Attach::Jvm(None), true);
    }

    #[test]
    fn who_is_named_is_asked_before_those_of_the_port() {
        let one = Attach::V8(Some(Place::Process(7)), Search::Heap);
        let asked = [Attach::Auto, Attach::V8(None, Search::No), one.clone(), Attach::Process];
        let turns: Vec<&Attach> = in_turn(&asked).collect();
        assert_eq!(turns, [&one, &Attach::Auto, &Attach::V8(None, Search::No), &Attach::Process]);
    }

    #[test]
    fn nobody_looks_inside_unasked() {
        assert_eq!(Permission::of(false, false, true), Permission::Missing);
        assert_eq!(Permission::of(true, false, true), Permission::Given);
        let unasked = || -> bool { panic!("nobody is there to be asked") };
        assert!(!Permission::of(false, false, true).granted(unasked));
        assert!(Permission::of(false, true, true).granted(unasked));
    }

    #[test]
    fn who_is_asked_is_told_that_a_heap_is_searched() {
        let who = "node (pid 5) serves port 80";
        assert_eq!(
            question(who, false),
            "dyno: node (pid 5) serves port 80. Look inside by its inspector, with observers that are taken back at the end? [y/N] "
        );
        let told = question(who, true);
        assert!(told.contains("stands still meanwhile, some 15 ms for each live MB, so up to 2 s"), "{told}");
        assert!(told.ends_with("? [y/N] "), "{told}");
    }

    #[test]
    fn one_question_is_asked_at_most() {
        for answer in [true, false] {
            let (mut permission, mut asked) = (Permission::Ask, 0);
            for _ in 0..3 {
                let granted = permission.granted(|| {
                    asked += 1;
                    answer
                });
                assert_eq!(granted, answer);
            }
            assert_eq!(asked, 1);
        }
    }

    #[test]
    fn a_jvm_that_tells_nothing_fails_nothing_unless_it_was_named() {
        let (me, mut settled) = (std::process::id(), Settled::default());
        settled.found(&[me]);
        assert!(settled.ready.is_empty(), "nothing that would leave out what pages tell of heap and pauses");
        let said = &settled.said[0];
        assert!(said.starts_with("not looked inside: cannot attach the JVM of process"), "{said}");
        assert!(said.contains("-XX:-UsePerfData"), "{said}");
        for found in [true, true, false] {
            settled.jvm_once(me, found);
        }
        assert!(matches!(settled.ready[..], [Ready::Jvm { found: false, .. }]), "once, as it was named");
    }

    #[test]
    fn the_processes_of_a_port_are_read_once_and_not_said_to_be_unseen_where_they_are_seen() {
        let served = || {
            Ready::Served(Served { port: 1, processes: vec![], forwarders: vec![], hidden: 0, apart: false })
        };
        let store = || Ready::Store { kind: Store::Redis, url: String::new(), password: String::new() };
        let inside: [fn() -> Ready; 4] = [
            || Ready::Agent { url: String::new(), token: String::new() },
            || Ready::Jvm { pid: 1, found: true },
            || Ready::Metrics { url: String::new(), found: true },
            || Ready::Otlp(SocketAddr::from(([127, 0, 0, 1], 4318))),
        ];
        let unseen = |ready| Settled { ready, ..Settled::default() }.unseen();
        for one in inside {
            for ready in [vec![served(), one()], vec![one(), store(), served()]] {
                assert_eq!(unseen(ready), "");
            }
        }
        assert_eq!(unseen(vec![served(), store()]), process::UNSEEN);
        let mut settled = Settled::default();
        for _ in 0..2 {
            let Ready::Served(processes) = served() else { panic!("these are processes") };
            settled.serves(processes);
        }
        assert!(matches!(settled.ready[..], [Ready::Served(_)]));
    }

    #[test]
    fn a_page_is_spoken_of_where_auto_finds_nothing_that_tells_of_the_inside() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = Some(listener.local_addr().unwrap().port());
        let page = Attach::Metrics { url: "http://127.0.0.1:1/metrics".to_owned() };
        let target = Located { port, ..Located::default() };
        let settled = |asked: &[Attach]| Settled::of(asked, &target, Permission::Missing).unwrap();
        for (asked, spoken_of) in [
            (&[Attach::Auto][..], true),
            (&[Attach::Auto, page.clone()][..], false),
            (&[page, Attach::Auto][..], false),
            (&[Attach::Process][..], false),
        ] {
            let settled = settled(asked);
            let spoken = settled.said.iter().any(|line| line == PAGE);
            assert_eq!(spoken, spoken_of, "{asked:?}: {:?}", settled.said);
            assert_eq!(settled.unseen().is_empty(), asked.len() > 1, "{asked:?}");
        }
    }

    #[test]
    fn a_page_is_looked_for_where_the_target_is_here_and_speaks_plainly() {
        let http = |url: &str| Located::at(&scenarios::base_url(url).unwrap(), &[]).http;
        assert_eq!(http("http://127.0.0.1:3000/api").as_deref(), Some("http://127.0.0.1:3000"));
        assert_eq!(http("http://[::1]:3000").as_deref(), Some("http://[::1]:3000"));
        assert_eq!(http("https://127.0.0.1:3000"), None);
        assert_eq!(http("http://192.0.2.1:3000"), None);
    }
}
