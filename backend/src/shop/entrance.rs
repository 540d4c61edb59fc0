//! The way in: from which listening sockets this worker takes connections, and whom it lets in.
//!
//! Each worker has a socket of its own, and the first one those of the others, too, for the fault `uneven-workers`. Addresses
//! that are banned are turned away; whether the list is looked up in the database or in memory is the choice
//! between the fault `accept-overflow` and its cure.

use std::collections::HashSet;
use std::future::{pending, poll_fn};
use std::io;
use std::net::{IpAddr, TcpListener as StdTcpListener};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;

use agent::{Agent, Gauge};
use timeline::Unit;
use timeline::fault::FaultKind;
use timeline::lane::names;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Shop;
use crate::faults::accept_overflow;
use crate::http::{self, BACKLOG};
use crate::store::{Database, StoreError};

/// Which sockets are taken from, and how long their queues may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Which sockets.
    pub from: From,
    /// Connections that may wait in this worker's own socket.
    pub queue: u32,
}

/// Sockets that a worker takes connections from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Its own.
    Own,
    /// Its own and those of all other workers.
    All,
    /// None.
    Nobody,
}

/// What the shop knows of its entrance.
pub struct Entrance {
    way: watch::Sender<Way>,
    banned: RwLock<HashSet<IpAddr>>,
    connections: Gauge,
}

impl Entrance {
    /// Which lets everybody in until [`Self::read_banned`].
    pub fn new(agent: &Agent) -> Self {
        Self {
            way: watch::channel(Way { from: From::Own, queue: BACKLOG }).0,
            banned: RwLock::default(),
            connections: agent.gauge(names::SERVER_CONNECTIONS, Unit::Count),
        }
    }

    /// Changes the way in, at once.
    pub fn change(&self, change: impl FnOnce(&mut Way)) {
        self.way.send_modify(change);
    }

    /// Reads the list of those who are banned.
    ///
    /// # Errors
    /// Of the database; the old list stays.
    pub async fn read_banned(&self, database: &Database) -> Result<(), StoreError> {
        let rows = database.rows("SELECT address FROM banned", Vec::new()).await?;
        let mut banned = HashSet::with_capacity(rows.len());
        for row in &rows {
            banned.extend(row.get::<String>(0)?.parse::<IpAddr>());
        }
        *self.banned.write().unwrap_or_else(PoisonError::into_inner) = banned;
        Ok(())
    }

    /// Is `address` on the list, as it was read last?
    pub fn bans(&self, address: IpAddr) -> bool {
        self.banned.read().unwrap_or_else(PoisonError::into_inner).contains(&address)
    }
}

/// The sockets, while connections are taken from them.
pub struct Door {
    own: TcpListener,
    /// Those of the other workers; only the first one has them.
    others: Vec<TcpListener>,
    shop: Arc<Shop>,
    way: watch::Receiver<Way>,
    /// How long the own socket's queue may be now.
    queue: u32,
}

impl Door {
    /// Over `listeners`, the own one first.
    ///
    /// # Errors
    /// Of the system.
    pub fn new(listeners: Vec<StdTcpListener>, shop: Arc<Shop>) -> io::Result<Self> {
        let mut all = Vec::new();
        for listener in listeners {
            listener.set_nonblocking(true)?;
            all.push(TcpListener::from_std(listener)?);
        }
        let others = all.split_off(1);
        let own = all.pop().ok_or_else(|| io::Error::other("there is no socket"))?;
        // The socket outlives its workers: the one before may have died while its queue was short.
        set_queue(&own, BACKLOG)?;
        shop.agent.watch_listener(&own);
        Ok(Self { own, others, way: shop.entrance.way.subscribe(), shop, queue: BACKLOG })
    }

    /// Where a worker's own queue stands and how long it may be.
    pub fn queue(&self) -> (&TcpListener, u32) {
        (&self.own, self.queue)
    }

    /// The next connection of `from`. Dropping it loses none.
    async fn next(&self, from: From) -> io::Result<TcpStream> {
        match from {
            From::Own => Ok(self.own.accept().await?.0),
            From::Nobody => pending().await,
            From::All => {
                poll_fn(|context| {
                    for (nth, listener) in [&self.own].into_iter().chain(&self.others).enumerate() {
                        if let Poll::Ready(accepted) = listener.poll_accept(context) {
                            if nth > 0 {
                                self.shop.faults[FaultKind::UnevenWorkers].took_effect();
                            }
                            return Poll::Ready(accepted.map(|(stream, _)| stream));
                        }
                    }
                    Poll::Pending
                })
                .await
            }
        }
    }
}

impl http::Entrance for Door {
    type Guest = Guest;

    async fn accept(&mut self) -> io::Result<TcpStream> {
        loop {
            let way = *self.way.borrow_and_update();
            if way.queue != self.queue {
                set_queue(&self.own, way.queue)?;
                self.queue = way.queue;
            }
            let mut changed = self.way.clone();
            tokio::select! {
                accepted = self.next(way.from) => return accepted,
                Ok(()) = changed.changed() => {}
            }
        }
    }

    async fn admit(&mut self, client: &TcpStream) -> Option<Guest> {
        let address = client.peer_addr().ok()?.ip();
        let banned = accept_overflow::is_banned(&self.shop, self.queue(), address).await;
        (!banned).then(|| Guest::new(&self.shop.entrance.connections))
    }
}

/// So many connections may wait in `socket` from now on. Whoever waits already stays.
fn set_queue(socket: &TcpListener, most: u32) -> io::Result<()> {
    Ok(rustix::net::listen(socket, i32::try_from(most).unwrap_or(i32::MAX))?)
}

/// A connection that is open; dropping it counts it out.
pub struct Guest(Gauge);

impl Guest {
    fn new(connections: &Gauge) -> Self {
        connections.add(1.0);
        Self(connections.clone())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.add(-1.0);
    }
}
