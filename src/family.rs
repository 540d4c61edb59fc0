//! A process and its descendants, as the kernel lists them.

use std::fs::{read_dir, read_to_string};

/// A process and all that it has started, and they. For what is not to end before its parent does: where files below `/proc/PID/task/TID` were
/// read, what the kernel has cached of them may keep the parent busy for seconds when the process ends (Linux 6.18, all on one core: `wait4` in
/// `shrink_dcache_parent`).
pub fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    while at < all.len() {
        all.extend(children(all[at]));
        at += 1;
    }
    all
}

fn children(pid: u32) -> Vec<u32> {
    let lists = threads(pid)
        .into_iter()
        .filter_map(|t| read_to_string(format!("/proc/{pid}/task/{t}/children")).ok());
    lists.flat_map(|l| l.split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<u32>>()).collect()
}

/// The threads of a process; none of one that is gone.
pub fn threads(pid: u32) -> Vec<u32> {
    let Ok(tasks) = read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks.flatten().filter_map(|t| t.file_name().to_str()?.parse().ok()).collect()
}
