//! Profiles of the CPU: a tree of frames, and in which node each sample was.
//!
//! Owns the protocol's form of them. When one is taken is for [`super::Profiles`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::frames::{MAX_FRAMES, MAX_NODES, MAX_STACKS, Shared, shared};
use super::{PATIENCE, Session, V8Error};

/// From sample to sample, us.
const INTERVAL_US: u32 = 2_000;

pub(super) fn begin(session: &mut Session) -> Result<(), V8Error> {
    session.tell("Profiler.enable", json!({}))?;
    session.tell("Profiler.setSamplingInterval", json!({ "interval": INTERVAL_US }))?;
    session.tell("Profiler.start", json!({}))
}

/// Each stack that was seen, outermost frame first, with its samples. Idle ones are left out.
pub(super) fn end(session: &mut Session) -> Result<Vec<(Vec<Shared>, u64)>, V8Error> {
    #[derive(Deserialize)]
    struct Stopped {
        profile: CpuProfile,
    }
    session.call::<Stopped>("Profiler.stop", json!({}), PATIENCE).map(|s| s.profile.stacks())
}

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
    #[serde(deserialize_with = "shared")]
    call_frame: Shared,
    #[serde(default)]
    children: Vec<u64>,
}

impl CpuProfile {
    fn stacks(&self) -> Vec<(Vec<Shared>, u64)> {
        let nodes: BTreeMap<u64, &Node> = self.nodes.iter().take(MAX_NODES).map(|n| (n.id, n)).collect();
        let parents: BTreeMap<u64, u64> =
            nodes.values().flat_map(|n| n.children.iter().map(|c| (*c, n.id))).collect();
        let mut hits: BTreeMap<u64, u64> = BTreeMap::new();
        self.samples.iter().for_each(|id| *hits.entry(*id).or_default() += 1);
        let mut all = Vec::new();
        let mut hits: Vec<(u64, u64)> = hits.into_iter().collect();
        hits.sort_by_key(|h| std::cmp::Reverse(h.1));
        for (id, samples) in hits.into_iter().take(MAX_STACKS) {
            let mut frames = Vec::new();
            let mut at = Some(id);
            while let Some(node) = at.and_then(|id| nodes.get(&id)).filter(|_| frames.len() < MAX_FRAMES) {
                frames.push(&node.call_frame);
                at = parents.get(&node.id).copied();
            }
            if frames.first().is_none_or(|f| f.is_idle()) {
                continue;
            }
            let outermost = frames.into_iter().rev().filter(|f| !f.is_idle());
            all.push((outermost.cloned().collect(), samples));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::responsible;
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
        assert_eq!(shown[0].0, "login (shop/login.js:7);hashSync (bcryptjs/index.js:100);a,b");
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
