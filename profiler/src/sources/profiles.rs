//! CPU profiles of processes that link the agent, taken when asked for.
//!
//! Owns asking all of them at once. A profile costs the target memory (some 80 MB, the agent says why), so nobody takes one unasked.

use timeline::MonoNs;

use super::admit::plain_name;
use super::probe_client::ProbeClient;

/// Most processes profiled at once.
const MOST: usize = 16;

/// What came of asking one process.
#[derive(Debug)]
pub struct Taken {
    /// Which process.
    pub instance: String,
    /// When it was asked.
    pub from: MonoNs,
    /// When it had answered.
    pub to: MonoNs,
    /// The profile in pprof's form, or why there is none.
    pub pprof: Result<Vec<u8>, String>,
}

/// Profiles all processes behind the agent at `url` for so many seconds (1 to 30), and waits for it.
///
/// # Errors
/// In words, if the agent does not say which processes there are.
pub fn take_profiles(url: &str, token: &str, seconds: u64) -> Result<Vec<Taken>, String> {
    let client = ProbeClient::new(url, token).map_err(|e| e.to_string())?;
    let list = client.instances().map_err(|e| e.to_string())?;
    let names = list.instances.into_iter().map(|i| i.name).filter(|name| plain_name(name)).take(MOST);
    Ok(std::thread::scope(|scope| {
        let asked: Vec<_> = names
            .map(|instance| {
                let client = &client;
                scope.spawn(move || {
                    let from = MonoNs::now();
                    let pprof = client.profile(&instance, seconds).map_err(|e| e.to_string());
                    Taken { instance, from, to: MonoNs::now(), pprof }
                })
            })
            .collect();
        asked.into_iter().filter_map(|thread| thread.join().ok()).collect()
    }))
}
