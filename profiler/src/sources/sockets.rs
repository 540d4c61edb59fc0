//! Sockets: which processes listen on a port, and where a process listens.
//!
//! Owns the walk from `/proc/net/tcp` and `tcp6` (port to inode) to `/proc/PID/fd` (inode to process), and the way back; and how old a process is,
//! since who has just been started may not be yet what it is to become. Linux only; elsewhere those files do not exist and the answer says so.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::discover::ProcessError;

/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";
/// Ticks of `/proc` in a second, on every Linux (`USER_HZ`).
const TICKS: f64 = 100.0;
/// A child that is to become another program has its parent's sockets until it does, which takes milliseconds. Who is younger than this is looked at
/// again ...
const YOUNG: Duration = Duration::from_secs(1);
/// ... after so long.
const AGAIN: Duration = Duration::from_millis(50);

/// What was found behind a port.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listeners {
    /// Process ids, ascending.
    pub pids: Vec<u32>,
    /// Listening sockets of the port whose process we may not see.
    pub hidden: usize,
    /// Do some of them listen on addresses that have nothing in common? Then they need not be one service.
    pub apart: bool,
}

/// Processes that listen on `port`.
///
/// # Errors
/// [`ProcessError`]: no such files here, nobody listens, or we may not see who.
pub(super) fn listeners(port: u16) -> Result<Listeners, ProcessError> {
    let sockets = sockets_of(port)?;
    let links: Vec<String> = sockets.iter().map(|(inode, _)| format!("socket:[{inode}]")).collect();
    let mut found = Listeners::default();
    let mut seen = BTreeSet::new();
    let mut addresses: Vec<BTreeSet<IpAddr>> = Vec::new();
    for (pid, held) in holders(&links, YOUNG, || std::thread::sleep(AGAIN)) {
        found.pids.push(pid);
        addresses.push(held.iter().map(|&i| sockets[i].1).collect());
        seen.extend(held);
    }
    found.apart = are_apart(&addresses);
    found.pids.sort_unstable();
    found.hidden = links.len() - seen.len();
    if found.pids.is_empty() {
        // Who has ended meanwhile is not seen, either, but listens no more.
        let now = sockets_of(port)?;
        let still = now.iter().any(|socket| sockets.contains(socket));
        return Err(if still { ProcessError::Hidden } else { ProcessError::Nobody });
    }
    Ok(found)
}

/// Inodes and addresses of the sockets that listen on `port`, each once; an error if there are none.
fn sockets_of(port: u16) -> Result<Vec<(String, IpAddr)>, ProcessError> {
    let tables: Vec<String> =
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|p| fs::read_to_string(p).ok()).collect();
    if tables.is_empty() {
        return Err(ProcessError::Untold);
    }
    let mut sockets: Vec<(String, IpAddr)> = tables.iter().flat_map(|t| on_port(t, port)).collect();
    sockets.sort();
    sockets.dedup();
    if sockets.is_empty() { Err(ProcessError::Nobody) } else { Ok(sockets) }
}

/// Does anybody listen on `port`?
pub(super) fn is_taken(port: u16) -> bool {
    sockets_of(port).is_ok()
}

/// Where `pid` listens and can be reached over loopback, loopback's own sockets first: its own network's tables are read.
pub(super) fn listening(pid: u32) -> Vec<SocketAddr> {
    let tables =
        ["tcp", "tcp6"].map(|t| fs::read_to_string(format!("/proc/{pid}/net/{t}")).unwrap_or_default());
    let sockets: Vec<(SocketAddr, String)> = tables.iter().flat_map(|t| listening_in(t)).collect();
    let links: Vec<String> = sockets.iter().map(|(_, inode)| format!("socket:[{inode}]")).collect();
    let mut held = held(pid, &links);
    held.sort_unstable();
    held.dedup();
    let mut own: Vec<SocketAddr> = held.into_iter().map(|i| sockets[i].0).collect();
    own.sort_by_key(|a| !a.ip().is_loopback());
    own.into_iter().filter_map(over_loopback).collect()
}

/// The address by which a listening socket is reached over loopback, if it is.
fn over_loopback(address: SocketAddr) -> Option<SocketAddr> {
    let ip = match address.ip() {
        ip if ip.is_loopback() => ip,
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, address.port()))
}

/// Are there two that no address leads to both of?
fn are_apart(all: &[BTreeSet<IpAddr>]) -> bool {
    let everywhere = |of: &BTreeSet<IpAddr>| of.iter().any(IpAddr::is_unspecified);
    let alone: Vec<&BTreeSet<IpAddr>> = all.iter().filter(|of| !everywhere(of)).collect();
    alone.iter().enumerate().any(|(n, one)| alone[..n].iter().any(|other| one.is_disjoint(other)))
}

/// Inodes and addresses of the sockets that listen on `port`.
fn on_port(table: &str, port: u16) -> impl Iterator<Item = (String, IpAddr)> + '_ {
    let those = listening_in(table).filter(move |(address, _)| address.port() == port);
    those.map(|(address, inode)| (inode, address.ip()))
}

/// Listening sockets and their inodes. A line reads `sl local:port remote:port state ... inode`.
fn listening_in(table: &str) -> impl Iterator<Item = (SocketAddr, String)> + '_ {
    table.lines().skip(1).filter_map(move |line| {
        let mut words = line.split_ascii_whitespace();
        let local = words.nth(1)?;
        let state = words.nth(1)?;
        let inode = words.nth(5)?;
        let (ip, port) = local.rsplit_once(':')?;
        let address = SocketAddr::new(address(ip)?, u16::from_str_radix(port, 16).ok()?);
        (state == LISTEN && inode != "0").then(|| (address, inode.to_owned()))
    })
}

/// An address as the kernel prints it: words of four bytes, each in the machine's own order.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |i: usize| {
        let word = u32::from_str_radix(hex.get(i * 8..i * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (i, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(i)?);
            }
            let ip = Ipv6Addr::from(bytes);
            Some(ip.to_ipv4_mapped().map_or(ip.into(), Into::into))
        }
        _ => None,
    }
}

/// All processes that we may list.
pub(super) fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok())
}

/// Processes that have some of these `links` open, and the indices of those. Who is younger than `young` counts if it still has them after `wait`,
/// which is not called if there is nobody.
fn holders(links: &[String], young: Duration, wait: impl FnOnce()) -> Vec<(u32, Vec<usize>)> {
    let look = |pid| Some((pid, held(pid, links))).filter(|(_, held)| !held.is_empty());
    let is_young = |pid| age(pid).is_some_and(|age| age < young);
    let (to_see, mut all): (Vec<_>, Vec<_>) = pids().filter_map(look).partition(|(pid, _)| is_young(*pid));
    if !to_see.is_empty() {
        wait();
        all.extend(to_see.into_iter().filter_map(|(pid, _)| look(pid)));
    }
    all
}

/// How long ago `pid` was started.
pub(super) fn age(pid: u32) -> Option<Duration> {
    age_of(&stat(pid)?, &fs::read_to_string("/proc/uptime").ok()?)
}

/// The same by its `stat` and the system's `uptime`.
fn age_of(stat: &str, uptime: &str) -> Option<Duration> {
    let now: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64((now - started_of(stat)? as f64 / TICKS).max(0.0)).ok()
}

/// When `pid` was started, in the kernel's ticks since its own start: nobody else who has that id was started then.
pub(super) fn started(pid: u32) -> Option<u64> {
    started_of(&stat(pid)?)
}

/// The same by its `stat`: the 22nd word, counted from behind the name, which may hold anything.
fn started_of(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn stat(pid: u32) -> Option<String> {
    Some(String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?).into_owned())
}

/// Indices of those `links` that `pid` has open.
fn held(pid: u32, links: &[String]) -> Vec<usize> {
    let dir = format!("/proc/{pid}/fd");
    fs::read_dir(Path::new(&dir))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| {
            let target = fs::read_link(e.path()).ok()?;
            links.iter().position(|l| target.as_os_str() == l.as_str())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0\n   \
            1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0\n   \
            2: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4713 1 0\nbroken\n";
        let inodes: Vec<String> = on_port(table, 8080).map(|(inode, _)| inode).collect();
        assert_eq!(inodes, ["4711"]);
    }

    #[test]
    fn who_shares_an_address_or_listens_on_all_is_not_apart() {
        let of = |all: &[&str]| all.iter().map(|a| a.parse().unwrap()).collect::<BTreeSet<IpAddr>>();
        let (four, six, all) = (&["127.0.0.1"][..], &["::1"][..], &["::"][..]);
        let both = &["127.0.0.1", "::1"][..];
        let apart = |those: &[&[&str]]| are_apart(&those.iter().map(|all| of(all)).collect::<Vec<_>>());
        assert!(apart(&[four, both, six]));
        for together in [&[four, four][..], &[four, both, all], &[all, six], &[four], &[]] {
            assert!(!apart(together), "{together:?}");
        }
    }

    #[test]
    fn addresses_are_read_as_the_kernel_prints_them() {
        let of = |hex: &str| address(hex).map(|a| a.to_string());
        assert_eq!(of(&format!("{:08X}", u32::from_ne_bytes([127, 0, 0, 1]))).unwrap(), "127.0.0.1");
        let one = format!("{:08X}", u32::from_ne_bytes([0, 0, 0, 1]));
        assert_eq!(of(&format!("000000000000000000000000{one}")).unwrap(), "::1");
        assert_eq!(of("xyz"), None);
    }

    /// A child that another test starts has our sockets, too, until it is another program.
    fn soon(is: impl Fn() -> bool) -> bool {
        (0..3_000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            is()
        })
    }

    #[test]
    fn our_own_listener_is_found_and_a_closed_port_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(soon(|| listeners(port).unwrap().pids == [std::process::id()]));
        assert!(listening(std::process::id()).contains(&listener.local_addr().unwrap()));
        drop(listener);
        assert!(soon(|| listeners(port) == Err(ProcessError::Nobody)));
    }

    #[test]
    fn who_is_young_counts_if_it_still_has_the_socket_a_moment_later() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
        let links = [link.to_str().unwrap().to_owned()];
        let theirs = OwnedFd::from(listener.try_clone().unwrap());
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::from(theirs)).spawn().unwrap();
        let (me, it) = (std::process::id(), child.id());
        let have = |all: Vec<(u32, Vec<usize>)>| [me, it].map(|pid| all.iter().any(|(p, _)| *p == pid));
        assert_eq!(have(holders(&links, Duration::ZERO, || panic!("nobody is that young"))), [true; 2]);
        assert_eq!(have(holders(&links, Duration::MAX, || {})), [true; 2]);
        let end = || {
            child.kill().unwrap();
            child.wait().unwrap();
        };
        assert_eq!(have(holders(&links, Duration::MAX, end)), [true, false]);
    }

    #[test]
    fn an_age_is_counted_from_the_start_whatever_the_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 11 0 12345 999 99 1";
        assert_eq!(age_of(stat, "125.45 300.10\n"), Some(Duration::from_secs(2)));
        // Clocks that do not agree.
        assert_eq!(age_of(stat, "1.00 1.00\n"), Some(Duration::ZERO));
        assert_eq!(age_of("7 (a", "1.00 1.00\n"), None);
        assert!(age(std::process::id()).is_some());
    }
}
