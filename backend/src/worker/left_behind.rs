//! No worker outlives its supervisor, however that one ends, and even when the worker is stopped.

use crate::error::BackendError;

/// The kernel kills this process when its parent dies. A stopped process cannot see that its standard
/// input has ended, but it can be killed.
#[cfg(target_os = "linux")]
pub fn die_with_parent(supervisor: u32) -> Result<(), BackendError> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| BackendError::system("tie the worker to its supervisor")(e.into()))?;
    // It may have died before that.
    let parent = getppid().map_or(0, |p| p.as_raw_nonzero().get() as u32);
    if parent == supervisor {
        Ok(())
    } else {
        Err(BackendError::NoSupervisor("it is gone already".to_owned()))
    }
}

/// Elsewhere the end of standard input must do.
#[cfg(not(target_os = "linux"))]
pub fn die_with_parent(_supervisor: u32) -> Result<(), BackendError> {
    Ok(())
}
