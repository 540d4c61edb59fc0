//! Readers: a process is read by one of them, however often and by whatever name it is asked for. Read twice it would count twice.
//!
//! Owns who is read, by the ids that processes go by themselves: whoever is behind an address says its own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::V8Error;
use crate::sources::locked;

/// All processes that are read. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readers(Arc<Mutex<BTreeSet<u32>>>);

impl Readers {
    /// Process `pid` for one reader.
    pub(super) fn claim(&self, pid: u32) -> Result<Claim, V8Error> {
        if locked(&self.0).insert(pid) {
            Ok(Claim { readers: self.clone(), pid })
        } else {
            Err(V8Error::ReadAlready(pid))
        }
    }
}

/// One process for one reader, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    readers: Readers,
    pid: u32,
}

impl Drop for Claim {
    fn drop(&mut self) {
        locked(&self.readers.0).remove(&self.pid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_reader_at_a_time() {
        let readers = Readers::default();
        let first = readers.claim(7).unwrap();
        assert_eq!(readers.clone().claim(7).unwrap_err(), V8Error::ReadAlready(7));
        assert!(readers.claim(8).is_ok());
        drop(first);
        assert!(readers.claim(7).is_ok());
    }
}
