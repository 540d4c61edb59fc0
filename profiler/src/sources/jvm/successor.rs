//! Successor: the JVM that serves the port of one that has ended, because the service was started again.
//!
//! Owns remembering on which ports a JVM listened and looking who does now. Where several JVMs share a port each is watched by a source of its own;
//! which of them a new one stands for is not known, so that port is left out.

use crate::sources::discover::{Runtime, runtime_of};
use crate::sources::sockets;

/// Most ports that are remembered: each costs a walk over all processes.
const MAX_PORTS: usize = 4;

/// The ports of one JVM.
#[derive(Debug, Default)]
pub(super) struct Successor {
    ports: Vec<u16>,
}

impl Successor {
    /// Of `pid`: the ports on which it is the only JVM. None if it listens nowhere.
    pub fn of(pid: u32) -> Self {
        let mut ports: Vec<u16> = sockets::listening(pid).iter().map(|address| address.port()).collect();
        ports.sort_unstable();
        ports.dedup();
        ports.truncate(MAX_PORTS);
        ports.retain(|port| jvms(*port) == [pid]);
        Self { ports }
    }

    /// A JVM that listens on one of them now and is not `before`.
    pub fn find(&self, before: u32) -> Option<u32> {
        self.ports.iter().find_map(|port| jvms(*port).into_iter().find(|pid| *pid != before))
    }
}

/// The JVMs that listen on `port`.
fn jvms(port: u16) -> Vec<u32> {
    let mut pids = sockets::listeners(port).map(|found| found.pids).unwrap_or_default();
    pids.retain(|pid| runtime_of(*pid) == Runtime::Java);
    pids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_no_jvm_has_no_successor_and_is_none() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(Successor::of(std::process::id()).ports.is_empty());
        assert_eq!(Successor { ports: vec![port] }.find(1), None);
    }
}
