//! Readers: a process is read by one of them, however often and by whatever name it is asked for. Read twice it would count twice.
//!
//! Owns who is read, by what processes say of themselves: whoever is behind an address says its own id. In a container that may be 1, and only its
//! beginning tells it from the 1 of another. And what each is called, so that no two share their lanes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::sources::locked;

/// Who a process says it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who {
    /// Its id as it sees it itself.
    pub pid: u32,
    /// When it began, in its own words; empty where it does not say, and then its id has to do.
    pub born: String,
}

/// All processes that are read, and what they are called. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readers(Arc<Mutex<BTreeMap<Who, String>>>);

impl Readers {
    /// The process that is `who` for one reader; none if it has one. It is called `short` if nobody else is, else `whole`.
    pub(super) fn claim(&self, who: Who, short: &str, whole: &str) -> Option<Claim> {
        let mut read = locked(&self.0);
        if read.contains_key(&who) {
            return None;
        }
        let taken = read.values().any(|name| name == short);
        let name = if taken { whole } else { short }.to_owned();
        read.insert(who.clone(), name.clone());
        Some(Claim { readers: self.clone(), who, name })
    }
}

/// One process for one reader, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    readers: Readers,
    who: Who,
    /// What it is called.
    pub name: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        locked(&self.readers.0).remove(&self.who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(readers: &Readers, pid: u32, born: &str) -> Option<Claim> {
        readers.claim(Who { pid, born: born.to_owned() }, &format!("pid-{pid}"), &format!("pid-{pid}-9229"))
    }

    #[test]
    fn a_process_has_one_reader_at_a_time() {
        let readers = Readers::default();
        let first = claim(&readers, 7, "1.5").unwrap();
        assert!(claim(&readers.clone(), 7, "1.5").is_none());
        assert!(claim(&readers, 8, "1.5").is_some());
        drop(first);
        assert!(claim(&readers, 7, "1.5").is_some());
    }

    #[test]
    fn two_that_go_by_the_same_id_in_containers_of_their_own_are_two() {
        let readers = Readers::default();
        let (one, other) = (claim(&readers, 1, "1.5").unwrap(), claim(&readers, 1, "2.25").unwrap());
        assert_eq!([&*one.name, &*other.name], ["pid-1", "pid-1-9229"]);
        assert!(claim(&readers, 1, "2.25").is_none());
        drop(one);
        assert_eq!(claim(&readers, 1, "3").unwrap().name, "pid-1");
    }
}
