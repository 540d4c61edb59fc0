//! Profiles that V8 takes of itself: who has the CPU while a process is busy.
//!
//! Owns when they are taken, and what of them becomes events: the few functions that matter. The stacks go to [`Stacks`]. Starting a profile costs
//! the process some milliseconds and taking it a few percent, so it is done for two seconds at a time and only while the loop is busy or was
//! blocked: that is when there is something to ask. On a thread and a connection of its own, so that no reading waits for it and passes for a
//! target that stands still. Allocations are not sampled: V8 collects the whole heap each time it is asked for what lives.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use timeline::MonoNs;
use timeline::event::{LABEL_MAX, kinds};
use timeline::lane::names;
use timeline::probe::Batch;
use timeline::text::clean;

use super::V8Error;
use super::devtools::Session;
use crate::sources::stacks::Stacks;
use crate::sources::{Sink, Source, SourceEvent};

/// How long the CPU is sampled at a time.
const LENGTH: Duration = Duration::from_secs(2);
/// From the end of one profile to the beginning of the next.
const REST: Duration = Duration::from_secs(6);
/// From sample to sample, us.
const INTERVAL_US: u32 = 2_000;
/// The loop is busy from here on.
const BUSY: f64 = 0.7;
/// How often one looks whether there is something to do.
const LOOK: Duration = Duration::from_millis(250);
/// Longest time for a profile to come.
const PATIENCE: Duration = Duration::from_secs(4);
/// Most nodes that are looked at, and frames of a stack.
const MAX_NODES: usize = 50_000;
const MAX_FRAMES: usize = 200;
/// Functions that are told, and the least share of them.
const MOST_TOLD: usize = 3;
const LEAST_SHARE: f64 = 0.05;

/// The profiler of one process.
pub(super) struct Profiles {
    address: SocketAddr,
    instance: String,
    label: String,
    busy: Arc<AtomicBool>,
    stacks: Stacks,
    turn: Turn,
}

/// Where it stands.
enum Turn {
    /// Nothing runs before this.
    NotBefore(MonoNs),
    /// A profile is taken, on this connection: V8 ends it when that closes.
    Since(MonoNs, Box<Session>),
    /// The runtime has none, or it failed.
    Never,
}

impl Profiles {
    /// Of the process whose inspector is at `address`; `busy` is set by whoever reads it.
    pub fn new(address: SocketAddr, instance: &str, busy: Arc<AtomicBool>, stacks: Stacks) -> Self {
        let turn = Turn::NotBefore(MonoNs::now());
        let label = format!("profile of {instance}");
        Self { address, instance: instance.to_owned(), label, busy, stacks, turn }
    }

    /// A profile that cannot be had is given up quietly: nobody was promised one.
    fn begin(&self) -> Turn {
        let begun = Session::open(self.address).and_then(|mut session| {
            begin_cpu(&mut session)?;
            Ok(Turn::Since(MonoNs::now(), Box::new(session)))
        });
        begun.unwrap_or_else(|e| match e {
            V8Error::NotInspector(_) => Turn::Never,
            _ => later(),
        })
    }

    fn tell(&self, profile: &CpuProfile, since: MonoNs, sink: &mut dyn Sink) {
        let mut by: BTreeMap<String, u64> = BTreeMap::new();
        let mut all = 0;
        for (frames, samples) in profile.stacks() {
            all += samples;
            if let Some(who) = responsible(&frames) {
                *by.entry(who).or_default() += samples;
            }
            let outermost = std::iter::once(self.instance.clone());
            self.stacks.add(&outermost.chain(frames.iter().map(|f| f.shown())).collect::<Vec<_>>(), samples);
        }
        let end = MonoNs::now();
        let shares = by.into_iter().map(|(function, n)| (function, n as f64 / all.max(1) as f64));
        let mut shares: Vec<(String, f64)> = shares.filter(|x| x.1 >= LEAST_SHARE).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (function, value) in shares.into_iter().take(MOST_TOLD) {
            sink.event(SourceEvent {
                kind: kinds::PROFILE_CPU.to_owned(),
                instance: self.instance.clone(),
                start: since,
                end,
                labels: vec![("function".to_owned(), function)],
                value,
                others: 0,
            });
        }
    }
}

impl Source for Profiles {
    fn name(&self) -> &str {
        &self.label
    }

    fn period(&self) -> Duration {
        LOOK
    }

    /// Whoever reads the process is: nobody else holds on to `busy`.
    fn is_over(&self) -> bool {
        Arc::strong_count(&self.busy) == 1
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        let busy = self.busy.swap(false, Ordering::Relaxed);
        let now = MonoNs::now();
        self.turn = match std::mem::replace(&mut self.turn, Turn::Never) {
            Turn::NotBefore(at) if busy && now >= at => self.begin(),
            Turn::Since(at, mut session) if now.since(at) >= LENGTH => {
                if let Ok(profile) = end_cpu(&mut session) {
                    self.tell(&profile, at, sink);
                }
                later()
            }
            as_it_was => as_it_was,
        };
    }
}

/// Was the process busy when it answered so, or had its loop been blocked?
pub(super) fn busy(batch: &Batch) -> bool {
    let lane = batch.lanes.iter().position(|l| l.name == names::LOOP_UTILISATION);
    batch.ticks.iter().any(|tick| {
        tick.values.iter().any(|&(at, value)| Some(at as usize) == lane && value >= BUSY)
            || tick.events.iter().any(|e| e.kind == kinds::PAUSE_WORKER_STALL)
    })
}

fn later() -> Turn {
    Turn::NotBefore(MonoNs(MonoNs::now().0 + REST.as_nanos() as u64))
}

fn begin_cpu(session: &mut Session) -> Result<(), V8Error> {
    session.tell("Profiler.enable", json!({}))?;
    session.tell("Profiler.setSamplingInterval", json!({ "interval": INTERVAL_US }))?;
    session.tell("Profiler.start", json!({}))
}

fn end_cpu(session: &mut Session) -> Result<CpuProfile, V8Error> {
    #[derive(Deserialize)]
    struct Stopped {
        profile: CpuProfile,
    }
    session.call::<Stopped>("Profiler.stop", json!({}), PATIENCE).map(|s| s.profile)
}

/// A function as V8 names it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame {
    function_name: String,
    url: String,
    /// From 0; -1 where there is none.
    line_number: i64,
}

impl Frame {
    /// `name (folder/file.js:17)`, without what would end a frame.
    fn shown(&self) -> String {
        let name = if self.function_name.is_empty() { "anonymous" } else { &self.function_name };
        let path: Vec<&str> = self.url.trim_start_matches("file://").rsplit('/').take(2).collect();
        let place = match path.as_slice() {
            [] | [""] => String::new(),
            [file] => format!(" ({file}:{})", self.line_number + 1),
            [file, folder, ..] => format!(" ({folder}/{file}:{})", self.line_number + 1),
        };
        clean(&format!("{name}{place}"), LABEL_MAX).replace(';', ",")
    }

    fn is_idle(&self) -> bool {
        self.function_name == "(idle)" || self.function_name == "(root)"
    }

    fn is_runtimes(&self) -> bool {
        self.url.is_empty() || self.url.starts_with("node:") || self.url.starts_with("ext:")
    }
}

/// Whose doing it is: the innermost function of the process's own code, else of a library; a collection is nobody's.
fn responsible(frames: &[&Frame]) -> Option<String> {
    let own = frames.iter().rev().filter(|f| !f.is_runtimes());
    let mut libraries = own.clone();
    let own = own.clone().find(|f| !f.url.contains("/node_modules/"));
    own.or_else(|| libraries.next()).map(|f| f.shown())
}

/// A profile of the CPU: a tree of frames, and in which node each sample was.
#[derive(Debug, Deserialize)]
struct CpuProfile {
    nodes: Vec<Node>,
    #[serde(default)]
    samples: Vec<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    id: u64,
    call_frame: Frame,
    #[serde(default)]
    children: Vec<u64>,
}

impl CpuProfile {
    /// Each stack that was seen, outermost frame first, with its samples. Idle ones are left out.
    fn stacks(&self) -> Vec<(Vec<&Frame>, u64)> {
        let nodes: BTreeMap<u64, &Node> = self.nodes.iter().take(MAX_NODES).map(|n| (n.id, n)).collect();
        let parents: BTreeMap<u64, u64> =
            nodes.values().flat_map(|n| n.children.iter().map(|c| (*c, n.id))).collect();
        let mut hits: BTreeMap<u64, u64> = BTreeMap::new();
        self.samples.iter().for_each(|id| *hits.entry(*id).or_default() += 1);
        let mut all = Vec::new();
        for (id, samples) in hits {
            let mut frames = Vec::new();
            let mut at = Some(id);
            while let Some(node) = at.and_then(|id| nodes.get(&id)).filter(|_| frames.len() < MAX_FRAMES) {
                frames.push(&node.call_frame);
                at = parents.get(&node.id).copied();
            }
            if frames.first().is_none_or(|f| f.is_idle()) {
                continue;
            }
            frames.retain(|f| !f.is_idle());
            frames.reverse();
            all.push((frames, samples));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = r#"{"nodes":[
        {"id":1,"callFrame":{"functionName":"(root)","url":"","lineNumber":-1},"children":[2,3,6]},
        {"id":2,"callFrame":{"functionName":"(idle)","url":"","lineNumber":-1}},
        {"id":3,"callFrame":{"functionName":"login","url":"file:///srv/shop/login.js","lineNumber":6},"children":[4]},
        {"id":4,"callFrame":{"functionName":"hashSync","url":"/srv/node_modules/bcryptjs/index.js","lineNumber":99},"children":[5]},
        {"id":5,"callFrame":{"functionName":"a;b","url":"","lineNumber":-1}},
        {"id":6,"callFrame":{"functionName":"(garbage collector)","url":"","lineNumber":-1}}],
        "samples":[2,2,2,5,5,4,3,6,77]}"#;

    #[test]
    fn time_in_libraries_is_that_of_whoever_calls_them() {
        let profile: CpuProfile = serde_json::from_str(PROFILE).unwrap();
        let stacks = profile.stacks();
        let shown: Vec<(String, u64)> = stacks
            .iter()
            .map(|(f, n)| (f.iter().map(|f| f.shown()).collect::<Vec<_>>().join(";"), *n))
            .collect();
        assert_eq!(shown[2].0, "login (shop/login.js:7);hashSync (bcryptjs/index.js:100);a,b");
        assert_eq!(stacks.iter().map(|s| s.1).sum::<u64>(), 5, "idle samples and unknown ones do not count");
        let by: Vec<Option<String>> = stacks.iter().map(|(f, _)| responsible(f)).collect();
        let login = Some("login (shop/login.js:7)".to_owned());
        assert_eq!(by, [login.clone(), login.clone(), login, None]);
    }

    #[test]
    fn a_tree_that_bites_its_tail_ends() {
        let text = r#"{"nodes":[{"id":1,"callFrame":{"functionName":"f","url":"","lineNumber":0},"children":[1]}],"samples":[1]}"#;
        let profile: CpuProfile = serde_json::from_str(text).unwrap();
        assert_eq!(profile.stacks()[0].0.len(), MAX_FRAMES);
    }
}
