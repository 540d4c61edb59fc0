//! Descriptors exhausted, and its cure: what becomes of the file into which a data sheet is drawn.
//!
//! The library that draws sheets writes files, so each sheet is one for a moment, without a name. The fault
//! leaves it open, for ever; the worker lowers its own limit of descriptors, so that seconds do for what takes a
//! service days. At the limit it draws no sheet and accepts no connection. The cure closes the file.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use timeline::fault::FaultKind;

use super::{Faults, Lever, whole};

/// The limit comes down; every sheet looks at the switch.
pub const LEVER: Lever = Lever::new(
    FaultKind::FdExhausted,
    |_, order| lower_limit(whole(order, "room") as u64),
    |shop| {
        raise_limit();
        shop.spools.close_all();
    },
);

/// Where sheets are drawn into.
pub struct Spools {
    left_open: Mutex<Vec<File>>,
    faults: Arc<Faults>,
}

impl Spools {
    /// None open.
    pub fn new(faults: Arc<Faults>) -> Self {
        Self { left_open: Mutex::default(), faults }
    }

    /// Writes `sheet` into a file, and gives what the file holds.
    ///
    /// # Errors
    /// Of the file system, and when no descriptor is left.
    pub fn pass_through(&self, sheet: &str) -> io::Result<String> {
        let mut file = tempfile::tempfile()?;
        file.write_all(sheet.as_bytes())?;
        file.rewind()?;
        let mut drawn = String::with_capacity(sheet.len());
        file.read_to_string(&mut drawn)?;
        let switch = &self.faults[FaultKind::FdExhausted];
        if switch.is_on() {
            self.left_open.lock().unwrap_or_else(PoisonError::into_inner).push(file);
            switch.took_effect();
        }
        Ok(drawn)
    }

    fn close_all(&self) {
        self.left_open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// No more than `room` beyond those that are open now. The hard limit stays, so that it can be raised again.
fn lower_limit(room: u64) {
    // It cannot be read: then the limit stays what it is, and the leak goes on for longer.
    let Ok(open) = std::fs::read_dir("/proc/self/fd").map(Iterator::count) else { return };
    let limit = getrlimit(Resource::Nofile);
    let wanted = open as u64 + room;
    let current = limit.maximum.map_or(wanted, |most| wanted.min(most));
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum });
}

/// As many descriptors as this process may have. Each connection is one, and the soft limit is often 1,024.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Refused: then the soft limit stays what it was, and the agent shows it.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::testing::armed;

    #[test]
    fn the_fault_leaves_files_open_and_the_cure_none() {
        let (cured, told) = armed(&[]);
        let cure = Spools::new(cured);
        assert_eq!(cure.pass_through("a sheet").unwrap(), "a sheet");
        assert_eq!((cure.left_open.lock().unwrap().len(), told.told()), (0, vec![]));
        let (broken, told) = armed(&[(FaultKind::FdExhausted, &[])]);
        let fault = Spools::new(broken);
        (0..3).for_each(|_| assert_eq!(fault.pass_through("a sheet").unwrap(), "a sheet"));
        assert_eq!(fault.left_open.lock().unwrap().len(), 3);
        fault.close_all();
        assert_eq!(fault.left_open.lock().unwrap().len(), 0);
        assert_eq!(told.told(), ["armed", "onset"]);
    }
}
