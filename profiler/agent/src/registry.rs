//! Meters by name, a bounded number of them.
//!
//! Owns [`Registry`]: the same name gives the same meter, and names past the bound share one called
//! `other`, so that a target that makes names from user input cannot fill its memory.

use std::sync::{Arc, Mutex};

use timeline::text::clean;

use crate::tally::lock;

/// Most meters of one kind, besides `other`.
const MOST: usize = 32;
/// Most characters of a meter's name.
const NAME_MAX: usize = 40;
/// Name of the meter that all surplus names share.
const OTHER: &str = "other";

/// Meters of one kind.
#[derive(Debug)]
pub(crate) struct Registry<T> {
    members: Mutex<Vec<(String, Arc<T>)>>,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self { members: Mutex::new(Vec::new()) }
    }
}

impl<T> Registry<T> {
    /// The meter called `name`, made on first use; the shared `other` if there are too many.
    pub(crate) fn get(&self, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let mut members = lock(&self.members);
        let full = members.len() >= MOST;
        let name = clean(name, NAME_MAX);
        let find = |members: &[(String, Arc<T>)], name: &str| {
            members.iter().find(|(n, _)| n == name).map(|(_, m)| Arc::clone(m))
        };
        if let Some(found) = find(&members, &name) {
            return found;
        }
        let name = if full { OTHER.to_owned() } else { name };
        if let Some(found) = find(&members, &name) {
            return found;
        }
        let made = Arc::new(make());
        members.push((name, Arc::clone(&made)));
        made
    }

    /// Those from number `known` on; a collector asks for the ones that it has not declared yet.
    pub(crate) fn after(&self, known: usize) -> Vec<(String, Arc<T>)> {
        lock(&self.members)[known..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_is_one_meter_and_surplus_names_share_one() {
        let registry = Registry::default();
        let first = registry.get("db", || 1);
        assert!(Arc::ptr_eq(&first, &registry.get("db", || 2)));
        for n in 0..100 {
            registry.get(&format!("p{n}"), || n);
        }
        let all = registry.after(0);
        assert_eq!(all.len(), MOST + 1);
        assert_eq!(all[MOST].0, OTHER);
        assert!(Arc::ptr_eq(&registry.get("yet another", || 0), &all[MOST].1));
    }
}
