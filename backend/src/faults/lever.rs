//! What switches the faults of a worker: each one's effect on the shop, beside its switch.

use std::sync::Arc;

use timeline::fault::{FaultKind, FaultOrder};

use super::{Faults, LEVERS};
use crate::shop::Shop;

/// What a fault does to the shop when it begins and when it ends, beyond its switch.
pub struct Lever {
    kind: FaultKind,
    begin: fn(&Arc<Shop>, &FaultOrder),
    end: fn(&Arc<Shop>),
}

impl Lever {
    /// Where the cure would run, the switch is looked at; there is nothing else to do.
    pub const fn switch_only(kind: FaultKind) -> Self {
        Self { kind, begin: |_, _| {}, end: |_| {} }
    }

    /// `begin` puts the fault in place, `end` the cure.
    pub const fn new(kind: FaultKind, begin: fn(&Arc<Shop>, &FaultOrder), end: fn(&Arc<Shop>)) -> Self {
        Self { kind, begin, end }
    }
}

/// All levers, with the shop that they move.
pub struct Levers {
    faults: Arc<Faults>,
    /// None in the process of the services, which has no faults of its own yet.
    pub shop: Option<Arc<Shop>>,
}

impl Levers {
    /// Of this shop.
    pub fn new(faults: Arc<Faults>, shop: Option<Arc<Shop>>) -> Self {
        Self { faults, shop }
    }

    /// Begins a fault. Gives the number with which its timer may end it; none if it is not a worker's.
    pub fn arm(&self, order: &FaultOrder) -> Option<u64> {
        let shop = self.shop.as_ref()?;
        let lever = LEVERS.iter().find(|l| l.kind == order.name)?;
        let number = self.faults[lever.kind].arm(order);
        (lever.begin)(shop, order);
        Some(number)
    }

    /// Ends a fault, unless it has ended or begun anew since `number` was given.
    pub fn end(&self, kind: FaultKind, number: Option<u64>) {
        if let Some(shop) = &self.shop
            && self.faults[kind].end(number)
            && let Some(lever) = LEVERS.iter().find(|l| l.kind == kind)
        {
            (lever.end)(shop);
        }
    }

    /// Ends all that are on.
    pub fn end_all(&self) {
        for lever in LEVERS {
            self.end(lever.kind, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_but_the_supervisor_s_has_one_lever() {
        for kind in FaultKind::ALL {
            let levers = LEVERS.iter().filter(|l| l.kind == *kind).count();
            assert_eq!(levers, usize::from(!crate::supervisor::is_inflicted(*kind)), "{}", kind.name());
        }
    }
}
