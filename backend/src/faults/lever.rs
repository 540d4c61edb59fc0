//! What switches the faults of a worker: each one's effect on the shop, beside its switch.

use std::sync::Arc;

use timeline::fault::{FaultKind, FaultOrder};

use super::{Faults, LEVERS, missing_index};
use crate::remedies::{Hold, Holds};
use crate::settings::CacheSettings;
use crate::shop::Shop;
use crate::wire::Role;

/// What a fault does to the shop when it begins and when it ends, beyond its switch.
pub struct Lever {
    kind: FaultKind,
    /// The processes whose switch it is.
    of: &'static [Role],
    begin: fn(&Arc<Shop>, &FaultOrder),
    end: fn(&Arc<Shop>),
}

impl Lever {
    /// Where the cure would run, in the shop, the switch is looked at; there is nothing else to do.
    pub const fn switch_only(kind: FaultKind) -> Self {
        Self::new(kind, |_, _| {}, |_| {})
    }

    /// The switch is looked at by the services alone.
    pub const fn of_services(kind: FaultKind) -> Self {
        Self { of: &[Role::Services], ..Self::switch_only(kind) }
    }

    /// The switch is looked at by the shop and by the services, each at its end of a call.
    pub const fn of_both_ends(kind: FaultKind) -> Self {
        Self { of: &[Role::Shop, Role::Services], ..Self::switch_only(kind) }
    }

    /// `begin` puts the fault in place, `end` the cure.
    pub const fn new(kind: FaultKind, begin: fn(&Arc<Shop>, &FaultOrder), end: fn(&Arc<Shop>)) -> Self {
        Self { kind, of: &[Role::Shop], begin, end }
    }
}

/// All levers, with the shop that they move.
pub struct Levers {
    faults: Arc<Faults>,
    /// None in the process of the services.
    pub shop: Option<Arc<Shop>>,
    holds: Holds,
}

impl Levers {
    /// Of this shop, or of the services.
    pub fn new(faults: Arc<Faults>, shop: Option<Arc<Shop>>, holds: Vec<Hold>) -> Self {
        let levers = Self { faults, shop, holds: Holds::default() };
        holds.into_iter().for_each(|hold| levers.hold(hold));
        levers
    }

    /// Holds a setting from now on, over whatever a lever does. A fault that runs ends where its cure comes to be held.
    pub fn hold(&self, hold: Hold) {
        let cure = if let Hold::Cure(fault) = hold { Some(fault) } else { None };
        self.holds.add(hold, self.shop.as_deref());
        if let Some(fault) = cure.filter(|fault| self.holds.cures(*fault, self.role())) {
            self.end(fault, None);
        }
    }

    /// Begins a fault, unless its cure is held. Gives the number with which its timer may end it; none if it is not this process's.
    pub fn arm(&self, order: &FaultOrder) -> Option<u64> {
        let lever = self.find(order.name)?;
        if self.holds.cures(lever.kind, self.role()) {
            return Some(self.faults[lever.kind].arm_in_vain(order));
        }
        let number = self.faults[lever.kind].arm(order);
        if let Some(shop) = &self.shop {
            (lever.begin)(shop, order);
            self.holds.put_in_place(shop);
        }
        Some(number)
    }

    /// Ends a fault, unless it has ended or begun anew since `number` was given.
    pub fn end(&self, kind: FaultKind, number: Option<u64>) {
        if self.faults[kind].end(number)
            && let Some(lever) = self.find(kind)
            && let Some(shop) = &self.shop
        {
            (lever.end)(shop);
            self.holds.put_in_place(shop);
        }
    }

    /// How the cache works from now on, but for what is held.
    pub fn set_cache(&self, settings: CacheSettings) {
        if let Some(shop) = &self.shop {
            shop.products.set(settings);
            self.holds.put_in_place(shop);
        }
    }

    /// Sees to it that what all workers share is as the switches say: the process before this one may have died between the two.
    pub fn settle(&self) {
        if let Some(shop) = &self.shop
            && !self.faults[FaultKind::MissingIndex].is_on()
        {
            missing_index::settle(shop);
        }
    }

    /// Ends all that are on.
    pub fn end_all(&self) {
        for lever in LEVERS {
            self.end(lever.kind, None);
        }
    }

    fn find(&self, kind: FaultKind) -> Option<&'static Lever> {
        LEVERS.iter().find(|l| l.kind == kind && l.of.contains(&self.role()))
    }

    fn role(&self) -> Role {
        if self.shop.is_some() { Role::Shop } else { Role::Services }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_but_the_supervisor_s_and_the_twin_s_has_one_lever() {
        for kind in FaultKind::ALL {
            let levers = LEVERS.iter().filter(|l| l.kind == *kind).count();
            let elsewhere = crate::supervisor::is_inflicted(*kind) || kind.of_twin_alone();
            assert_eq!(levers, usize::from(!elsewhere), "{}", kind.name());
        }
    }
}
