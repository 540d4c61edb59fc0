//! A browser's recording (HAR 1.2) becomes one session: what is kept of it, in which order, under which names.
//!
//! `read` streams the file, `entry` bears what browsers leave out, `fill` makes steps of entries, `correlate` finds
//! what must be taken from answers. What stands under the name of a secret, or is one by its look, never reaches the scenario.

mod correlate;
mod entry;
mod fill;
mod read;

use std::borrow::Cow;
use std::collections::BTreeMap;

pub(crate) use self::read::{Log, log};

use self::entry::{Entry, SENT_MAX};
use self::fill::Filling;
use self::read::ENTRIES_MAX;
use super::Options;
use super::draft::{Does, Draft, DraftStep, STEPS_MAX};
use super::url::Url;
use crate::mistake::Wrong;

/// Pauses shorter than this are the browser's own work, ms.
const PAUSE_MIN_MS: f64 = 400.0;
/// Pauses inside a page count as a person's from here on, ms.
const PAUSE_INSIDE_MS: f64 = 1_000.0;
/// Longer pauses are cut: nobody reads for an hour, and a run would wait for it, ms.
const PAUSE_MAX_MS: f64 = 60_000.0;
/// Pauses are rounded to this, ms.
const PAUSE_STEP_MS: f64 = 100.0;
/// Most names of other origins that are told.
const ORIGINS_TOLD: usize = 8;
/// What browsers call parts of a page that are not its conversation with the server.
const STATIC_KINDS: &[&str] = &[
    "stylesheet",
    "script",
    "image",
    "font",
    "media",
    "texttrack",
    "manifest",
    "imageset",
    "beacon",
    "ping",
    "cspviolationreport",
    "signedexchange",
    "prefetch",
];
const STATIC_TYPES: &[&str] =
    &["image/", "font/", "video/", "audio/", "text/css", "application/wasm", "application/font", "text/vtt"];
const STATIC_ENDINGS: &[&str] = &[
    ".css",
    ".js",
    ".mjs",
    ".map",
    ".png",
    ".jpg",
    ".jpeg",
    ".gif",
    ".svg",
    ".webp",
    ".avif",
    ".ico",
    ".woff",
    ".woff2",
    ".ttf",
    ".otf",
    ".mp4",
    ".webm",
    ".mp3",
    ".wasm",
    ".webmanifest",
];
/// Methods that steps have.
const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

/// Why entries were left out, with their number.
#[derive(Default)]
struct LeftOut(BTreeMap<Cow<'static, str>, usize>);

impl LeftOut {
    fn add(&mut self, n: usize, why: impl Into<Cow<'static, str>>) {
        if n > 0 {
            *self.0.entry(why.into()).or_default() += n;
        }
    }
}

/// Makes a draft of a recording.
///
/// # Errors
/// When nothing of it can be made a step.
pub(super) fn draft(log: Log, options: &Options) -> Result<Draft, Wrong> {
    let origin = origin(&log.entries, options)?;
    let mut left_out = LeftOut::default();
    left_out.add(log.unreadable, "entries without method or address");
    left_out.add(log.beyond, format!("entries beyond {ENTRIES_MAX}"));
    let mut others: BTreeMap<String, usize> = BTreeMap::new();
    let mut kept: Vec<(Entry, Url)> = Vec::new();
    for entry in log.entries {
        match Url::read(&entry.url) {
            None => left_out.add(1, "addresses inside the browser (data:, blob:, ...)"),
            Some(url) if url.origin != origin => *others.entry(url.origin).or_default() += 1,
            Some(url) => kept.push((entry, url)),
        }
    }
    // Whatever sets it: a page's picture may.
    let cookies = kept.iter().any(|(entry, _)| entry.cookies);
    keep_what_reached_the_server(&mut kept, options.all, &mut left_out);
    // Safari and proxies write entries in the order in which they ended.
    kept.sort_by(|(a, _), (b, _)| match (a.start_ms, b.start_ms) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => std::cmp::Ordering::Equal,
    });
    let mut draft = Draft { session: "visitor".to_owned(), cookies, ..Draft::default() };
    draft.about = about(&log.creator, &origin);
    draft.url = super::target(&origin, &mut draft.notes);
    steps(kept, &mut draft, &mut left_out);
    if draft.steps.is_empty() {
        let wrong = Wrong::new(format!("no request to {origin} could be made a step"));
        return Err(wrong.expected("a recording with requests to it").help(if options.all {
            "choose another origin with --origin"
        } else {
            "choose another origin with --origin, or keep files of pages too with --all"
        }));
    }
    for (why, n) in left_out.0 {
        draft.notes.push(format!("Left out: {why}: {n}."));
    }
    tell_others(&others, &mut draft.notes);
    Ok(draft)
}

fn about(creator: &str, origin: &str) -> String {
    let by = if creator.is_empty() { String::new() } else { format!(" by {creator}") };
    timeline::text::clean(&format!("What a browser did at {origin}, recorded{by}"), 200)
}

fn origin(entries: &[Entry], options: &Options) -> Result<String, Wrong> {
    if let Some(wanted) = &options.origin {
        let look = "an origin such as https://shop.example";
        let with_scheme = if wanted.contains("://") { wanted.clone() } else { format!("http://{wanted}") };
        return Url::read(&with_scheme)
            .map(|u| u.origin)
            .ok_or_else(|| Wrong::new("--origin is not an address").expected(look));
    }
    let read = |e: &Entry| Url::read(&e.url).map(|u| u.origin);
    let document = entries.iter().filter(|e| e.is_document()).find_map(read);
    document.or_else(|| entries.iter().find_map(read)).ok_or_else(|| {
        Wrong::new("this recording holds no request to a server")
            .expected("a HAR file with entries of http(s) addresses")
    })
}

fn keep_what_reached_the_server(kept: &mut Vec<(Entry, Url)>, all: bool, left_out: &mut LeftOut) {
    let direct: std::collections::HashSet<(String, String)> =
        kept.iter().filter(|(e, _)| !e.from_worker).map(|(e, _)| (e.method.clone(), e.url.clone())).collect();
    kept.retain(|(entry, url)| {
        let link = entry.is_websocket() || entry.is_event_stream();
        let why = if entry.method == "OPTIONS" {
            "preflight requests (OPTIONS), which browsers make by themselves"
        } else if !METHODS.contains(&entry.method.as_str()) {
            "requests with a method that steps do not have"
        } else if entry.from_cache {
            "answers from the browser's cache"
        } else if entry.from_worker && direct.contains(&(entry.method.clone(), entry.url.clone())) {
            "requests of a service worker that are there twice"
        } else if entry.status == 0 && !link {
            "requests that were blocked or got no answer"
        } else if !all && !link && is_static(entry, url) {
            "files of pages (styles, scripts, images, ...; --all keeps them)"
        } else {
            return true;
        };
        left_out.add(1, why);
        false
    });
}

fn is_static(entry: &Entry, url: &Url) -> bool {
    if matches!(entry.resource.as_str(), "document" | "xhr" | "fetch" | "eventsource")
        || entry.method != "GET"
    {
        return false;
    }
    let path = url.path.to_ascii_lowercase();
    STATIC_KINDS.contains(&entry.resource.as_str())
        || STATIC_TYPES.iter().any(|t| entry.answer_type.starts_with(t))
        || entry.answer_type.ends_with("javascript")
        || STATIC_ENDINGS.iter().any(|e| path.ends_with(e))
}

/// What happens, in order: requests, and messages between them.
enum Event<'e> {
    Entry(&'e Entry, &'e Url),
    Send(&'e Entry, usize),
}

fn steps(kept: Vec<(Entry, Url)>, draft: &mut Draft, left_out: &mut LeftOut) {
    let events = events(&kept, left_out);
    let mut filling = Filling::new(draft);
    let (mut page, mut last_end) = (None, None::<f64>);
    let mut connected: Option<*const Entry> = None;
    for (event, at) in events {
        if filling.draft.steps.len() >= STEPS_MAX {
            left_out.add(1, format!("requests and messages beyond the first {STEPS_MAX} steps"));
            continue;
        }
        let new_page = match event {
            Event::Entry(e, _) => e.is_document() || page.is_some_and(|p: &str| p != e.page),
            Event::Send(..) => false,
        };
        if let Event::Send(e, _) = event
            && connected != Some(std::ptr::from_ref(e))
        {
            left_out.add(1, "messages on a WebSocket while another one was opened");
            continue;
        }
        if let (Some(at), Some(end)) = (at, last_end) {
            pause(at - end, new_page, filling.draft);
        }
        let end = match event {
            Event::Entry(e, url) => {
                page = Some(e.page.as_str());
                if e.is_websocket() {
                    connected = Some(std::ptr::from_ref(e));
                    filling.connect(e, url);
                    e.start_ms
                } else if e.is_event_stream() {
                    filling.events(e, url);
                    e.start_ms
                } else {
                    filling.request(e, url);
                    e.end_ms
                }
            }
            Event::Send(e, i) => {
                filling.send(e, i);
                at
            }
        };
        last_end = match (last_end, end) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => b.or(a),
        };
    }
    filling.finish();
}

fn events<'e>(kept: &'e [(Entry, Url)], left_out: &mut LeftOut) -> Vec<(Event<'e>, Option<f64>)> {
    let unsent = kept.iter().map(|(entry, _)| entry.unsent).sum();
    left_out.add(unsent, format!("messages of a WebSocket beyond the first {SENT_MAX} that were sent"));
    let mut events = Vec::new();
    for (entry, url) in kept {
        events.push((Event::Entry(entry, url), entry.start_ms));
        for (i, message) in entry.messages.iter().enumerate().filter(|(_, m)| m.sent) {
            if !message.is_read() {
                left_out.add(1, "WebSocket messages that are too long, or binary and not in base64");
                continue;
            }
            if message.binary.as_deref().is_some_and(fill::bytes_tell_secret) {
                left_out.add(1, "binary WebSocket messages that may hold a secret");
                continue;
            }
            events.push((Event::Send(entry, i), message.at_ms.or(entry.start_ms)));
        }
    }
    // Stable, so that what has no time stays behind what it came with.
    let timed = events.iter().all(|(_, at)| at.is_some());
    if timed {
        events.sort_by(|(_, a), (_, b)| a.unwrap_or_default().total_cmp(&b.unwrap_or_default()));
    }
    events
}

/// A person's pause, if the gap is one.
fn pause(gap_ms: f64, new_page: bool, draft: &mut Draft) {
    let least = if new_page { PAUSE_MIN_MS } else { PAUSE_INSIDE_MS };
    if gap_ms < least {
        return;
    }
    let mut remarks = Vec::new();
    if gap_ms > PAUSE_MAX_MS {
        remarks.push(format!("A pause of {:.0} s, cut.", gap_ms / 1_000.0));
    }
    let steps = (gap_ms.min(PAUSE_MAX_MS) / PAUSE_STEP_MS).round();
    draft.steps.push(DraftStep { remarks, does: Does::Think((steps * PAUSE_STEP_MS) as u64) });
}

fn tell_others(others: &BTreeMap<String, usize>, notes: &mut Vec<String>) {
    let mut by_count: Vec<_> = others.iter().collect();
    by_count.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    for (origin, n) in by_count.iter().take(ORIGINS_TOLD) {
        notes.push(format!("Left out: requests to {origin} (--origin chooses another): {n}."));
    }
    if by_count.len() > ORIGINS_TOLD {
        notes.push(format!("Left out: requests to {} more origins.", by_count.len() - ORIGINS_TOLD));
    }
}
