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

use super::stop;
use crate::sources::Attach;

/// How often it is looked whether the run has ended before its middle.
const STEP: Duration = Duration::from_millis(50);

/// Profiles that are being taken.
pub struct Profiles {
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
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
                    handle.log("no CPU profile: the run ended before its middle, where one is taken");
                    return;
                }
                std::thread::sleep(STEP);
            }
            if agents.is_empty() {
                handle.log("no CPU profile: only processes that link the agent can be profiled, and none is attached");
            }
            for (url, token) in &agents {
                if stop.load(Ordering::Relaxed) {
                    handle.log("no CPU profile of a further agent: the run has ended");
                    return;
                }
                take(url, token, seconds, &handle);
            }
        };
        let thread = std::thread::Builder::new().name("profiles".to_owned()).spawn(work)?;
        Ok(Self { over, thread })
    }

    /// Waits for those that have begun, unless somebody is `hurried`, and begins no others.
    pub fn end(self, hurried: impl Fn() -> bool) {
        self.over.store(true, Ordering::Relaxed);
        stop::wait(self.thread, hurried);
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use timeline::MonoNs;

    use super::*;
    use crate::run::testing::{log, recorder};

    /// An agent that takes a connection and never answers.
    fn mute() -> (TcpListener, Attach) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (listener, Attach::Agent { url, token: "t".to_owned() })
    }

    #[test]
    fn a_run_that_ends_before_its_middle_says_that_there_is_no_profile() {
        let (recorder, (_agent, attached)) = (recorder(), mute());
        let ten_minutes = RunTime::from_ms(600_000);
        let profiles = Profiles::start(5, ten_minutes, &[attached], &recorder.handle()).unwrap();
        profiles.end(|| false);
        let said = log(recorder);
        assert!(said.contains("the run ended before its middle"), "{said}");
    }

    #[test]
    fn who_asks_for_the_end_twice_does_not_wait_for_a_profile() {
        let (recorder, (agent, attached)) = (recorder(), mute());
        let profiles = Profiles::start(60, RunTime::ZERO, &[attached], &recorder.handle()).unwrap();
        let asked = agent.accept().unwrap();
        let begin = MonoNs::now();
        profiles.end(|| true);
        // The profile takes a minute.
        assert!(MonoNs::now().since(begin) < Duration::from_secs(10));
        drop(asked);
    }

    #[test]
    fn a_further_agent_is_not_asked_once_the_run_has_ended() {
        let (recorder, (first, one), (second, other)) = (recorder(), mute(), mute());
        let profiles = Profiles::start(1, RunTime::ZERO, &[one, other], &recorder.handle()).unwrap();
        let asked = first.accept().unwrap();
        profiles.over.store(true, Ordering::Relaxed);
        drop(asked); // it has no answer
        profiles.end(|| false);
        second.set_nonblocking(true).unwrap();
        assert!(second.accept().is_err(), "nobody has asked");
        let said = log(recorder);
        assert!(said.contains("no CPU profile of a further agent"), "{said}");
    }
}
