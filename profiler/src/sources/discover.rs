//! Discovery: whose port is this, and on what do they run?
//!
//! Owns the walk from a port to the processes that serve it, and the recognition of their runtime by their executable. Node.js's
//! cluster workers hold no listening socket: their primary hands them connections, so they are found as its children. Who only forwards the
//! port to another place (a container's proxy, a tunnel) is none who serves it. What to attach to whom is for whoever asked to say.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;

use super::AttachError;
use super::sockets;
use thiserror::Error;
use timeline::text::clean;

/// Executables that hold a port for a service elsewhere: in a container (Docker's, Podman's and their networks'), behind a tunnel, in a cluster.
/// `pasta` is a link to `passt`.
const FORWARDERS: [&str; 8] =
    ["docker-proxy", "rootlesskit", "rootlessport", "passt", "pasta", "slirp4netns", "ssh", "kubectl"];

/// What a process runs on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Runtime {
    /// Node.js.
    Node,
    /// Deno.
    Deno,
    /// Bun.
    Bun,
    /// A Java virtual machine.
    Java,
    /// Something else: the name of its executable.
    Other(String),
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Deno => "deno",
            Self::Bun => "bun",
            Self::Java => "java",
            Self::Other(name) => name,
        })
    }
}

/// Why nobody is found behind a port.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ProcessError {
    /// This system does not tell.
    #[error("this system has no /proc/net/tcp; attach an agent instead")]
    Untold,
    /// It is nobody's, or not any more.
    #[error("nobody on this machine listens on it")]
    Nobody,
    /// We may not see whose it is.
    #[error("its process belongs to somebody else, or runs in another container: no permission to see it")]
    Hidden,
    /// The service is elsewhere: who hands on what comes.
    #[error("it is forwarded by {0}: the service is elsewhere")]
    Forwarded(String),
}

/// A process that serves the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// What it runs on.
    pub runtime: Runtime,
    /// Does another process of the port hand it its connections?
    pub worker: bool,
}

/// Who serves a port of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The port.
    pub port: u16,
    /// Its processes: those that listen, then their workers, each in order of their ids.
    pub processes: Vec<Process>,
    /// Processes that listen as well and hand what comes to a service elsewhere.
    pub forwarders: Vec<Process>,
    /// Listening sockets of the port whose process we may not see.
    pub hidden: usize,
    /// Do some of them listen on addresses that have nothing in common? Then they need not be one service.
    pub apart: bool,
}

impl Served {
    /// Nobody serves `port`, yet.
    #[must_use]
    pub fn nobody(port: u16) -> Self {
        Self { port, processes: Vec::new(), forwarders: Vec::new(), hidden: 0, apart: false }
    }
}

/// Finds the processes that serve `port`.
///
/// # Errors
/// [`AttachError::Process`]: nobody listens there, we may not see who, the port is only forwarded, or this system does not tell.
pub fn discover(port: u16) -> Result<Served, AttachError> {
    let not = |why| AttachError::Process { port, why };
    let found = sockets::listeners(port).map_err(not)?;
    let listening: BTreeSet<u32> = found.pids.iter().copied().collect();
    let all = found.pids.iter().map(|&pid| of(pid, false)).collect();
    let (mut processes, forwarders) = served_here(all).map_err(not)?;
    if processes.iter().any(|p| p.runtime == Runtime::Node) {
        let workers = workers_of(&listening).into_iter().filter(|pid| !listening.contains(pid));
        processes.extend(workers.map(|pid| of(pid, true)));
    }
    Ok(Served { port, processes, forwarders, hidden: found.hidden, apart: found.apart })
}

/// Those who serve, and those who only forward; an error if there are none but these: theirs is not the service's CPU and memory.
fn served_here(listening: Vec<Process>) -> Result<(Vec<Process>, Vec<Process>), ProcessError> {
    let (forwarders, processes): (Vec<Process>, Vec<Process>) =
        listening.into_iter().partition(|p| forwards(&p.runtime));
    if processes.is_empty() {
        let by: Vec<String> = forwarders.iter().map(|p| format!("{} (pid {})", p.runtime, p.pid)).collect();
        return Err(ProcessError::Forwarded(by.join(" and ")));
    }
    Ok((processes, forwarders))
}

fn forwards(runtime: &Runtime) -> bool {
    let Runtime::Other(name) = runtime else { return false };
    // So is called what `passt` starts in its own place where the processor has these instructions.
    FORWARDERS.contains(&name.strip_suffix(".avx2").unwrap_or(name))
}

/// The cluster workers that one of `primaries` has started, in order of their ids.
pub(super) fn workers_of(primaries: &BTreeSet<u32>) -> Vec<u32> {
    if primaries.is_empty() {
        return Vec::new();
    }
    let mut workers: Vec<u32> = sockets::pids()
        .filter(|&pid| parent(pid).is_some_and(|p| primaries.contains(&p)) && is_cluster_worker(pid))
        .collect();
    workers.sort_unstable();
    workers
}

fn of(pid: u32, worker: bool) -> Process {
    Process { pid, runtime: runtime_of(pid), worker }
}

/// What `pid` runs on, by the executable that it truly is: a link's name may lie.
pub(super) fn runtime_of(pid: u32) -> Runtime {
    let path = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // So it reads once the file was replaced, by an update for instance.
    let name = name.strip_suffix(" (deleted)").unwrap_or(&name);
    match name {
        name if is_node(name) => Runtime::Node,
        "deno" => Runtime::Deno,
        // Its npm package calls it so on every system.
        "bun" | "bun.exe" | "bun-profile" => Runtime::Bun,
        "java" => Runtime::Java,
        "" => Runtime::Other("unknown".to_owned()),
        other => Runtime::Other(clean(other, 40)),
    }
}

/// Is an executable of this name Node.js? Distributions that have several versions put the version behind it: `node-22`, `node22`.
fn is_node(name: &str) -> bool {
    let behind = name.strip_prefix("nodejs").or_else(|| name.strip_prefix("node"));
    behind.is_some_and(|behind| {
        let version = behind.strip_prefix('-').unwrap_or(behind);
        behind.is_empty() || (!version.is_empty() && version.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// Does `pid` still run? One that has ended, and whose parent has not looked yet, does not.
pub(super) fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// Who has started it. The fourth word of `stat`, counted from behind the name, which may hold anything.
pub(super) fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Node.js gives each worker its number by this variable. Its environment is looked at for that name alone.
fn is_cluster_worker(pid: u32) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    runtime_of(pid) == Runtime::Node
        && environment.split(|b| *b == 0).any(|v| v.starts_with(b"NODE_UNIQUE_ID="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_only_forwards_a_port_is_not_its_service() {
        let of = |(pid, name): (u32, &str)| Process {
            pid,
            runtime: if name == "node" { Runtime::Node } else { Runtime::Other(name.to_owned()) },
            worker: false,
        };
        let told = |all: &[(u32, &str)]| served_here(all.iter().copied().map(of).collect());
        for name in FORWARDERS {
            let why = told(&[(5, name)]).unwrap_err().to_string();
            assert_eq!(why, format!("it is forwarded by {name} (pid 5): the service is elsewhere"));
        }
        let why = told(&[(5, "docker-proxy"), (6, "passt.avx2")]).unwrap_err().to_string();
        assert!(why.contains("by docker-proxy (pid 5) and passt.avx2 (pid 6): "), "{why}");
        // Proxies that answer by themselves serve.
        for name in ["nginx", "haproxy", "envoy", "sshd", "node", "unknown"] {
            assert_eq!(told(&[(5, name)]), Ok((vec![of((5, name))], Vec::new())));
        }
        let both = told(&[(5, "ssh"), (6, "node")]);
        assert_eq!(both, Ok((vec![of((6, "node"))], vec![of((5, "ssh"))])));
    }

    #[test]
    fn node_is_recognised_with_its_version_behind_its_name() {
        for name in ["node", "nodejs", "node-22", "node22", "nodejs-18", "nodejs20"] {
            assert!(is_node(name), "{name}");
        }
        for name in ["node-", "node_exporter", "node-red", "node22-x", "nodes", "nodejsx", "deno", ""] {
            assert!(!is_node(name), "{name}");
        }
    }
}
