//! CPU profiles in the middle of a run, for those who ask for them with `--profile`.
//!
//! Owns when they are taken and what is said of them. Asking is `profiler`'s, keeping the recorder's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use profiler::sources::take_profiles;
use reports::profile::is_profile;
use timeline::RunTime;
use timeline::recorder::Handle;

use crate::sources::Attach;

/// How often it is looked whether the run has ended before its middle.
const STEP: Duration = Duration::from_millis(50);

/// Profiles that are being taken. Dropping it waits for those that have begun, and begins no others.
pub struct Profiles {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Profiles {
    /// Begins `seconds` of profiling so that their middle is the middle of a run of this length.
    pub fn start(
        seconds: u64,
        length: RunTime,
        attached: &[Attach],
        handle: &Handle,
    ) -> std::io::Result<Self> {
        let agents: Vec<(String, String)> = attached
            .iter()
            .filter_map(|a| match a {
                Attach::Agent { url, token } => Some((url.clone(), token.clone())),
                _ => None,
            })
            .collect();
        let over = Arc::new(AtomicBool::new(false));
        let (stop, handle) = (Arc::clone(&over), handle.clone());
        let begin = RunTime(length.0 / 2).back(Duration::from_secs(seconds) / 2);
        let work = move || {
            while handle.clock().now() < begin {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(STEP);
            }
            if agents.is_empty() {
                handle.log("no CPU profile: only processes that link the agent can be profiled, and none is attached");
            }
            agents.iter().for_each(|(url, token)| take(url, token, seconds, &handle));
        };
        let thread = std::thread::Builder::new().name("profiles".to_owned()).spawn(work)?;
        Ok(Self { over, thread: Some(thread) })
    }
}

fn take(url: &str, token: &str, seconds: u64, handle: &Handle) {
    handle.log(&format!("taking a CPU profile of {seconds} s; each process gets some 80 MB larger by it"));
    match take_profiles(url, token, seconds) {
        Err(e) => handle.log(&format!("no CPU profile: {e}")),
        Ok(all) => {
            for taken in all {
                match taken.pprof {
                    Ok(pprof) if !is_profile(&pprof) => {
                        handle.log(&format!("no CPU profile of {}: its answer is none", taken.instance));
                    }
                    Ok(pprof) => handle.profile(&taken.instance, taken.from, taken.to, pprof),
                    Err(e) => handle.log(&format!("no CPU profile of {}: {e}", taken.instance)),
                }
            }
        }
    }
}

impl Drop for Profiles {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
