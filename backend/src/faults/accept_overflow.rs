//! Accept overflow, and its cure: where the entrance looks up whether a client is banned.
//!
//! The fault asks the database, and takes no other client before that has answered: a worker accepts no more
//! connections a second than a round trip allows. Those that come faster fill the listen queue, which is short as
//! it used to be by default; the system then drops what comes, and clients try again after a second. The cure knows
//! the list and accepts at once.

use std::net::IpAddr;

use timeline::fault::FaultKind;
use tokio::net::TcpListener;

use super::{Lever, whole};
use crate::http::BACKLOG;
use crate::shop::Shop;
use crate::store::values;

/// The listen queue becomes short; where clients are looked up, the switch is looked at.
pub const LEVER: Lever = Lever::new(
    FaultKind::AcceptOverflow,
    |shop, order| shop.entrance.change(|way| way.queue = whole(order, "queue") as u32),
    |shop| shop.entrance.change(|way| way.queue = BACKLOG),
);

/// Is `address` banned? `own` is the worker's socket, and how many may wait there.
pub async fn is_banned(shop: &Shop, own: (&TcpListener, u32), address: IpAddr) -> bool {
    let switch = &shop.faults[FaultKind::AcceptOverflow];
    if !switch.is_on() {
        return shop.entrance.bans(address);
    }
    let found = shop.database.row(FIND, values![address.to_string()]).await;
    let (socket, most) = own;
    // The system lets one more wait than it was told.
    if agent::listen_queue(socket).is_some_and(|waiting| waiting > u64::from(most)) {
        switch.took_effect();
    }
    // Who cannot be looked up is let in.
    matches!(found, Ok(Some(_)))
}

const FIND: &str = "SELECT 1 FROM banned WHERE address = ?1";
