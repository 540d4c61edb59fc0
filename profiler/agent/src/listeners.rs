//! Connections that wait to be accepted, in the listen queues of the sockets that the target names.
//!
//! Owns the lane `process.listen-queue`. The system tells it in `/proc/net/tcp`, where listening sockets stand first. What
//! stands behind them is not read, and not looked for either: to find the next connection the system walks a table of half a
//! million places, milliseconds where it is nearly empty. Where there is no such file, there is no lane.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

use rustix::net::AddressFamily;
use timeline::lane::{LaneSpec, names};
use timeline::units::Unit;

use crate::draft::{Collect, Draft, LaneNo};
use crate::tally::lock;

/// Sockets that can be named; more are not looked at.
const MOST: usize = 64;
/// State of a listening socket.
const LISTEN: &str = "0A";
/// Bytes of a line. The system looks for as many lines as it is asked for bytes, so it is asked for one at a time.
const LINE: usize = 150;

/// A socket, as the system's tables know it.
#[derive(Debug, Clone, Copy)]
struct Place {
    table: &'static str,
    inode: u64,
}

impl Place {
    fn of(socket: &impl AsFd) -> Option<Self> {
        let inode = rustix::fs::fstat(socket).ok()?.st_ino;
        let family = rustix::net::getsockname(socket).ok()?.address_family();
        let table = if family == AddressFamily::INET6 { "/proc/self/net/tcp6" } else { "/proc/self/net/tcp" };
        Some(Self { table, inode })
    }
}

/// The sockets.
#[derive(Debug, Default)]
pub(crate) struct ListenerState(Mutex<Vec<Place>>);

impl ListenerState {
    /// Looks at `socket` from now on, also when it is closed: then nothing waits there.
    pub(crate) fn watch(&self, socket: &impl AsFd) {
        let Some(place) = Place::of(socket) else { return };
        let mut all = lock(&self.0);
        if all.len() < MOST {
            all.push(place);
        }
    }
}

/// The lane.
pub(crate) struct Listeners {
    state: Arc<ListenerState>,
    lane: Option<LaneNo>,
}

impl Listeners {
    pub(crate) const fn new(state: Arc<ListenerState>) -> Self {
        Self { state, lane: None }
    }
}

impl Collect for Listeners {
    fn collect(&mut self, draft: &mut Draft<'_>) {
        let sockets = lock(&self.state.0).clone();
        if sockets.is_empty() {
            return;
        }
        let Some(waiting) = waiting_at(&sockets) else { return };
        let lane = *self.lane.get_or_insert_with(|| {
            draft.lanes.declare(LaneSpec::level(names::PROCESS_LISTEN_QUEUE, "", Unit::Count))
        });
        draft.level(lane, waiting as f64);
    }
}

/// How many connections wait to be accepted at `socket`, which listens; none where the system does not say.
#[must_use]
pub fn listen_queue(socket: &impl AsFd) -> Option<u64> {
    waiting_at(&[Place::of(socket)?])
}

/// The same for several.
fn waiting_at(sockets: &[Place]) -> Option<u64> {
    let of_table = |group: &[Place]| {
        let inodes: Vec<u64> = group.iter().map(|p| p.inode).collect();
        let table = File::open(group.first()?.table).ok()?;
        Some(waiting(BufReader::with_capacity(LINE, table), inodes))
    };
    let (six, four): (Vec<Place>, Vec<Place>) = sockets.iter().partition(|p| p.table.ends_with('6'));
    [four, six].iter().filter_map(|group| of_table(group)).reduce(|a, b| a + b)
}

/// How many connections wait at `sockets`; reads no further than to the last of them. A line reads
/// `sl local remote state tx_queue:rx_queue ... inode`, with the number waiting as `rx_queue`, in hexadecimal.
fn waiting(table: impl BufRead, mut sockets: Vec<u64>) -> u64 {
    let mut sum = 0;
    let mut lines = table.lines().skip(1);
    while !sockets.is_empty()
        && let Some(Ok(line)) = lines.next()
    {
        let mut words = line.split_ascii_whitespace().skip(3);
        if words.next() != Some(LISTEN) {
            break;
        }
        let queue = words.next().and_then(|w| u64::from_str_radix(w.split_once(':')?.1, 16).ok());
        let inode = words.nth(4).and_then(|w| w.parse::<u64>().ok());
        if let (Some(queue), Some(inode)) = (queue, inode)
            && let Some(at) = sockets.iter().position(|s| *s == inode)
        {
            sockets.swap_remove(at);
            sum += queue;
        }
    }
    sum
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn only_named_sockets_count_and_what_follows_the_listening_ones_is_not_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F90 00000000:0000 0A 00000000:0000000C 00:00000000 00000000  1000        0 4711 1 0\n   \
            1: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000  1000        0 4712 1 0\n   \
            2: 0100007F:1F90 0100007F:D431 01 00000000:00000001 00:00000000 00000000  1000        0 4711 1 0\n";
        assert_eq!(waiting(table.as_bytes(), vec![4711]), 12);
        assert_eq!(waiting(table.as_bytes(), vec![4711, 4712]), 15);
        assert_eq!(waiting(&b"broken\n\n"[..], vec![1]), 0);
    }

    #[test]
    fn a_connection_waits_until_it_is_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = ListenerState::default();
        state.watch(&listener);
        let look = || listen_queue(&listener).unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        assert_eq!(look(), 3);
        let _accepted = listener.accept().unwrap();
        assert_eq!(look(), 2);
        assert_eq!(waiting_at(&lock(&state.0)), Some(2));
        drop(clients);
    }
}
