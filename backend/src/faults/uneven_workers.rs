//! Uneven workers, and its cure: whose listening sockets a worker takes connections from.
//!
//! The system spreads connections over the sockets of all workers. The fault: the first worker takes them from all of
//! these, and the others from none, so it gets every new connection; what is open stays where it is. None is
//! lost, because sockets outlast who takes from them. The cure: each takes from its own.

use timeline::fault::FaultKind;

use super::Lever;
use crate::shop::entrance::From;

/// The entrance is changed.
pub const LEVER: Lever = Lever::new(
    FaultKind::UnevenWorkers,
    |shop, _| {
        let from = if shop.first { From::All } else { From::Nobody };
        shop.entrance.change(|way| way.from = from);
    },
    |shop| shop.entrance.change(|way| way.from = From::Own),
);
