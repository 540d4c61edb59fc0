//! Profiles of allocations: a tree of frames, and how many bytes each of them has allocated of its own.
//!
//! Owns the protocol's form of them. When one is taken is for [`super::Profiles`]. What lies outside of V8's heap, such as the bytes of a buffer, is
//! not in them.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::frames::{MAX_FRAMES, MAX_NODES, MAX_STACKS, Shared, shared};
use super::{PATIENCE, Session, V8Error};
use crate::sources::v8::devtools::malformed;

/// One byte in so many is looked at, on average: of what stays, where it may be little, and of everything.
const RETAINED_INTERVAL: u32 = 64 << 10;
const ALLOCATED_INTERVAL: u32 = 512 << 10;
/// Most that one function can have allocated: 1 TiB.
const MAX_SIZE: f64 = (1_u64 << 40) as f64;

/// `all`: what has been collected counts, too (from Node.js 20 on; before that V8 leaves it out all the same).
pub(super) fn begin(session: &mut Session, all: bool) -> Result<(), V8Error> {
    // V8 has one such profiler, and would give us, and end, what somebody else has begun.
    match session.tell("HeapProfiler.getSamplingProfile", json!({})) {
        Err(V8Error::NotInspector(_)) => {}
        Ok(()) => return Err(V8Error::NotInspector("somebody else samples allocations".to_owned())),
        Err(e) => return Err(e),
    }
    let interval = if all { ALLOCATED_INTERVAL } else { RETAINED_INTERVAL };
    let params = json!({
        "samplingInterval": interval,
        "includeObjectsCollectedByMajorGC": all,
        "includeObjectsCollectedByMinorGC": all,
    });
    session.tell("HeapProfiler.startSampling", params)
}

/// Each stack that has allocated, outermost frame first, with its bytes.
pub(super) fn end(session: &mut Session) -> Result<Vec<(Vec<Shared>, u64)>, V8Error> {
    #[derive(Deserialize)]
    struct Stopped {
        profile: Profile,
    }
    #[derive(Deserialize)]
    struct Profile {
        head: Box<RawValue>,
    }
    let stopped: Stopped = session.call("HeapProfiler.stopSampling", json!({}), PATIENCE)?;
    stacks(&stopped.profile.head).map_err(malformed)
}

/// A function and what it calls. A tree is as deep as somebody's stack, so it is read node by node and not by calling oneself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node<'a> {
    #[serde(deserialize_with = "shared")]
    call_frame: Shared,
    self_size: f64,
    #[serde(borrow)]
    children: Vec<&'a RawValue>,
}

/// A function, who called it, and how many did above that.
struct Called {
    frame: Shared,
    by: Option<usize>,
    depth: usize,
}

fn stacks(head: &RawValue) -> Result<Vec<(Vec<Shared>, u64)>, serde_json::Error> {
    let mut called: Vec<Called> = Vec::new();
    let mut sizes = Vec::new();
    let mut pending: Vec<(Option<usize>, &RawValue)> = vec![(None, head)];
    while let Some((by, text)) = pending.pop() {
        let node: Node<'_> = serde_json::from_str(text.get())?;
        let (at, depth) = (called.len(), by.map_or(0, |by| called[by].depth + 1));
        called.push(Called { frame: node.call_frame, by, depth });
        if node.self_size >= 1.0 {
            sizes.push((at, node.self_size.min(MAX_SIZE) as u64));
        }
        if depth < MAX_FRAMES {
            let room = MAX_NODES.saturating_sub(called.len() + pending.len());
            pending.extend(node.children.into_iter().take(room).map(|child| (Some(at), child)));
        }
    }
    let stack = |mut at: Option<usize>| {
        let mut frames = Vec::new();
        while let Some(one) = at.map(|at| &called[at]) {
            frames.extend((!one.frame.is_idle()).then(|| Shared::clone(&one.frame)));
            at = one.by;
        }
        frames.reverse();
        frames
    };
    // Of very many the largest say all.
    sizes.sort_unstable_by_key(|s| std::cmp::Reverse(s.1));
    let all = sizes.into_iter().take(MAX_STACKS).map(|(at, size)| (stack(Some(at)), size));
    Ok(all.filter(|(frames, _)| !frames.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::super::frames::responsible;
    use super::*;

    fn read(text: &str) -> Result<Vec<(Vec<Shared>, u64)>, serde_json::Error> {
        stacks(serde_json::from_str(text).unwrap())
    }

    fn node(name: &str, url: &str, size: u32, children: &str) -> String {
        format!(
            r#"{{"callFrame":{{"functionName":"{name}","url":"{url}","lineNumber":6}},"selfSize":{size},"id":1,"children":[{children}]}}"#
        )
    }

    #[test]
    fn what_the_runtime_allocates_is_for_whoever_calls_it() {
        let slice = node("slice", "node:buffer", 4_000, "");
        let keep = node("keep", "file:///srv/shop/sessions.js", 0, &slice);
        let tree = node("(root)", "", 0, &format!("{keep},{}", node("wrappedFn", "node:internal", 16, "")));
        let stacks = read(&tree).unwrap();
        let told: Vec<(Option<String>, u64)> = stacks.iter().map(|(f, n)| (responsible(f), *n)).collect();
        assert_eq!(told, [(Some("keep (shop/sessions.js:7)".to_owned()), 4_000), (None, 16)]);
    }

    #[test]
    fn a_tree_without_end_is_cut_and_one_that_is_none_refused() {
        let mut tree = node("leaf", "", 8, "");
        for _ in 0..2_000 {
            tree = node("f", "", 1, &tree);
        }
        assert_eq!(read(&tree).unwrap().len(), MAX_FRAMES + 1);
        let many = vec![node("f", "", 1, ""); MAX_NODES + 9].join(",");
        assert_eq!(read(&node("(root)", "", 0, &many)).unwrap().len(), MAX_STACKS);
        let long = read(&node(&"f".repeat(1 << 20), &"u".repeat(1 << 20), 1, "")).unwrap();
        assert!(long[0].0[0].shown().len() <= 512);
        assert!(read(r#"{"callFrame":3}"#).is_err());
        assert!(read(&node("f", "", 1, "7")).is_err());
    }
}
