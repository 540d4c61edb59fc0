//! The reports of a run so far, for whoever asks for them while it goes on.
//!
//! Owns their thread: reading the recording back takes a moment. They are written one at a time, since those that were asked for within
//! one second go into one folder.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use timeline::recorder::Handle;
use timeline::recording::FILE_NAME;

use super::stop;
use crate::ended::write_reports;

/// Writes them.
pub struct Interim {
    folder: PathBuf,
    /// Without statements and addresses.
    discreet: bool,
    handle: Handle,
    thread: RefCell<Option<JoinHandle<()>>>,
}

impl Interim {
    /// For the run in `folder`.
    pub fn new(folder: &Path, discreet: bool, handle: &Handle) -> Self {
        Self { folder: folder.to_owned(), discreet, handle: handle.clone(), thread: RefCell::default() }
    }

    /// Begins to write them, unless that is under way; says how it went.
    pub fn begin(&self) {
        let until = format!("until-{:03}s", self.handle.clock().now().as_ms() / 1_000);
        let (recording, folder) = (self.folder.join(FILE_NAME), self.folder.join(until));
        let (discreet, handle) = (self.discreet, self.handle.clone());
        self.begin_with(move || {
            let usual = reports::Format::USUAL;
            let said = match write_reports(&recording, &folder, &usual, discreet) {
                Ok(_) => format!("the reports until now are in {}", folder.display()),
                Err(e) => format!("the reports until now could not be written: {e:#}"),
            };
            handle.log(&said);
        });
    }

    fn begin_with(&self, work: impl FnOnce() + Send + 'static) {
        let mut thread = self.thread.borrow_mut();
        if thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            self.handle.log("the reports until now are being written already");
            return;
        }
        match std::thread::Builder::new().name("reports".to_owned()).spawn(work) {
            Ok(begun) => *thread = Some(begun),
            Err(e) => self.handle.log(&format!("the reports until now could not be written: {e}")),
        }
    }

    /// Waits for those that are being written, unless somebody is `hurried`.
    pub fn end(self, hurried: impl Fn() -> bool) {
        if let Some(thread) = self.thread.into_inner() {
            stop::wait(thread, hurried);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::run::testing::recorder;

    #[test]
    fn they_are_written_one_at_a_time_and_waited_for() {
        let (recorder, folder) = (recorder(), tempfile::tempdir().unwrap());
        let interim = Interim::new(folder.path(), false, &recorder.handle());
        let (go_on, held) = sync_channel::<()>(1);
        let done = folder.path().join("done");
        let first = done.clone();
        interim.begin_with(move || {
            let _ = held.recv();
            std::fs::write(first, "").unwrap();
        });
        interim.begin_with(|| panic!("two at once"));
        go_on.send(()).unwrap();
        interim.end(|| false);
        assert!(done.exists());
        // There is no recording to read.
        let interim = Interim::new(folder.path(), false, &recorder.handle());
        interim.begin();
        interim.end(|| false);
        let said = crate::run::testing::log(recorder);
        assert!(said.contains("being written already"), "{said}");
        assert!(said.contains("could not be written"), "{said}");
    }
}
