//! Profiles of allocations: a tree of frames, and how many bytes each of them has allocated of its own.
//!
//! Owns the protocol's form of them. When one is taken is for [`super::Profiles`]. What lies outside of V8's heap, such as the bytes of a buffer, is
//! not in them.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::frames::{Frame, MAX_FRAMES, MAX_NODES};
use super::{PATIENCE, Session, V8Error};
use crate::sources::v8::devtools::malformed;

/// One byte in so many is looked at, on average: of what stays, where it may be little, and of everything.
const RETAINED_INTERVAL: u32 = 64 << 10;
const ALLOCATED_INTERVAL: u32 = 512 << 10;

/// `all`: what has been collected counts, too (from Node.js 20 on; before that V8 leaves it out all the same).
pub(super) fn begin(session: &mut Session, all: bool) -> Result<(), V8Error> {
    let interval = if all { ALLOCATED_INTERVAL } else { RETAINED_INTERVAL };
    let params = json!({
        "samplingInterval": interval,
        "includeObjectsCollectedByMajorGC": all,
        "includeObjectsCollectedByMinorGC": all,
    });
    session.tell("HeapProfiler.startSampling", params)
}

/// Each stack that has allocated, outermost frame first, with its bytes.
pub(super) fn end(session: &mut Session) -> Result<Vec<(Vec<Frame>, u64)>, V8Error> {
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

/// A function and what it calls. A tree is as deep as somebody's stack, so it is read level by level and not by calling oneself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node<'a> {
    call_frame: Frame,
    self_size: f64,
    #[serde(borrow)]
    children: Vec<&'a RawValue>,
}

fn stacks(head: &RawValue) -> Result<Vec<(Vec<Frame>, u64)>, serde_json::Error> {
    let mut all = Vec::new();
    let mut pending: Vec<(Vec<Frame>, &RawValue)> = vec![(Vec::new(), head)];
    for _ in 0..MAX_NODES {
        let Some((mut frames, text)) = pending.pop() else { break };
        let node: Node<'_> = serde_json::from_str(text.get())?;
        if !node.call_frame.is_idle() {
            frames.push(node.call_frame);
        }
        if frames.len() < MAX_FRAMES {
            pending.extend(node.children.into_iter().map(|child| (frames.clone(), child)));
        }
        if node.self_size >= 1.0 && !frames.is_empty() {
            all.push((frames, node.self_size as u64));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::frames::responsible;
    use super::*;

    fn read(text: &str) -> Result<Vec<(Vec<Frame>, u64)>, serde_json::Error> {
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
        assert_eq!(told, [(None, 16), (Some("keep (shop/sessions.js:7)".to_owned()), 4_000)]);
    }

    #[test]
    fn a_tree_without_end_is_cut_and_one_that_is_none_refused() {
        let mut tree = node("leaf", "", 8, "");
        for _ in 0..2_000 {
            tree = node("f", "", 1, &tree);
        }
        assert_eq!(read(&tree).unwrap().len(), MAX_FRAMES);
        assert!(read(r#"{"callFrame":3}"#).is_err());
        assert!(read(&node("f", "", 1, "7")).is_err());
    }
}
