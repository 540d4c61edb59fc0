//! TCP's counters of the network namespace: connections that found a full listen queue, segments sent again.
//!
//! Owns reading `/proc/net/netstat` and `/proc/net/snmp`. What they mean for a target is the detectors' to say.

use std::fs;

/// Counted since the namespace began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct NetCounters {
    /// Connections that were complete, and found no room in the listen queue.
    pub overflows: u64,
    /// Attempts to connect that were dropped, the former among them.
    pub drops: u64,
    /// Segments sent again.
    pub retransmits: u64,
}

impl NetCounters {
    /// None where the system does not tell them.
    pub(super) fn read() -> Option<Self> {
        let extended = fs::read_to_string("/proc/net/netstat").ok()?;
        let plain = fs::read_to_string("/proc/net/snmp").ok()?;
        Self::parse(&extended, &plain)
    }

    fn parse(extended: &str, plain: &str) -> Option<Self> {
        Some(Self {
            overflows: counter(extended, "TcpExt:", "ListenOverflows")?,
            drops: counter(extended, "TcpExt:", "ListenDrops")?,
            retransmits: counter(plain, "Tcp:", "RetransSegs")?,
        })
    }
}

/// Of two lines that begin with `group`, the first names what the second counts.
fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|l| l.strip_prefix(group));
    let nth = lines.next()?.split_ascii_whitespace().position(|word| word == name)?;
    lines.next()?.split_ascii_whitespace().nth(nth)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_name() {
        let extended = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 333\nIpExt: InNoRoutes\nIpExt: 4\n";
        let plain = "Ip: Forwarding\nIp: 2\nTcp: MaxConn RetransSegs\nTcp: -1 7\n";
        let all = NetCounters { overflows: 22, drops: 333, retransmits: 7 };
        assert_eq!(NetCounters::parse(extended, plain), Some(all));
        assert_eq!(NetCounters::parse(plain, extended), None);
        assert_eq!(NetCounters::parse("TcpExt: ListenOverflows\n", plain), None);
    }
}
