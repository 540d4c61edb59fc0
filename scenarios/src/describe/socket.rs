//! WebSocket steps in words.

use super::show;
use super::steps::judged;
use crate::plan::{Awaited, Close, Payload, RunPlan, Send, SocketOptions};
use crate::text::quantity::show_duration;

/// Longest pattern or path that is shown, characters.
pub(super) const SHOWN: usize = 60;

/// How a WebSocket is used, as far as it is not usual.
pub(super) fn options(options: &SocketOptions) -> String {
    let mut out = String::new();
    if let Some(bytes) = options.max_message {
        out += &format!(", messages up to {bytes} B");
    }
    if options.deflate.is_some() {
        out += ", permessage-deflate";
    }
    if let Some(path) = &options.push_age {
        out += &format!(", push age from {}", timeline::text::clean(path, SHOWN));
    }
    if let Some(ns) = options.ping_every_ns {
        out += &format!(", a ping every {}", show_duration(ns));
    }
    if let Some(bytes) = options.max_frame {
        out += &format!(", sends frames of at most {bytes} B");
    }
    if options.echo {
        out += ", pushed messages are sent back";
    }
    out
}

/// How a WebSocket is closed.
pub(super) fn close(close: Close) -> String {
    match close.code {
        Close::NORMAL => "close the WebSocket".to_owned(),
        code => format!("close the WebSocket with code {code}"),
    }
}

/// What a step sends and awaits.
pub(super) fn send(plan: &RunPlan, send: &Send) -> String {
    let mut parts = Vec::new();
    match &send.payload {
        Payload::Text(text) => parts.push(format!("send {}", show(plan, text))),
        Payload::Binary(bytes) => parts.push(format!("send {} bytes", bytes.len())),
        Payload::Nothing => {}
    }
    if let Some(wait) = &send.wait {
        let what = awaited(plan, &wait.what);
        let judged = judged(&wait.judgement.checks, &wait.judgement.saves);
        parts.push(format!("awaits {what} within {}{judged}", show_duration(wait.within_ns)));
    }
    parts.join(", ")
}

/// How an awaited message is known.
pub(super) fn awaited(plan: &RunPlan, what: &Awaited) -> String {
    match what {
        Awaited::JsonEquals(path, _) => timeline::text::clean(path, SHOWN),
        Awaited::JsonAny(path) => format!("any {}", timeline::text::clean(path, SHOWN)),
        Awaited::Contains(text) => format!("a text with {}", show(plan, text)),
        Awaited::Regex(pattern) => format!("a text like {}", timeline::text::clean(pattern, SHOWN)),
        Awaited::Binary => "a binary message".to_owned(),
        Awaited::Closed => "the end of the WebSocket".to_owned(),
    }
}
