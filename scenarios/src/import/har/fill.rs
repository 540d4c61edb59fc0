//! Entries become steps: paths, headers and bodies, without secrets and with what earlier answers gave.

use serde_json::Value;

use super::correlate::{Values, is_id, scalar};
use super::entry::{Entry, Posted, media_type};
use crate::import::draft::{
    Body, Does, Draft, DraftRequest, DraftStep, is_header_text, is_token, json_body, literal, number_hole,
    path_text,
};
use crate::import::url::{Url, decode, fields};

/// Header fields that browsers and connections make by themselves.
const MADE_BY_BROWSERS: &[&str] = &[
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "content-type",
    "expect",
    "http2-settings",
    "user-agent",
    "accept-encoding",
    "accept-language",
    "accept-charset",
    "cache-control",
    "pragma",
    "origin",
    "referer",
    "dnt",
    "priority",
    "save-data",
    "upgrade-insecure-requests",
    "if-none-match",
    "if-modified-since",
    "if-range",
    "range",
    "purpose",
    "x-purpose",
    "device-memory",
    "downlink",
    "ect",
    "rtt",
    "viewport-width",
    "width",
    "dpr",
    "traceparent",
    "tracestate",
    "baggage",
    "sentry-trace",
    "alt-used",
    "idempotency-nonce",
    // What a session sends is from its own jar.
    "cookie",
    "cookie2",
];
/// Beginnings of names of such fields.
const MADE_BY_BROWSERS_PREFIX: &[&str] = &[":", "sec-", "proxy-", "access-control-request-"];
/// What browsers accept when a page does not say.
const ACCEPT_BY_DEFAULT: &[&str] = &["*/*", "text/html", "image/", "text/css", "application/signed-exchange"];
/// Parts of names under which secrets stand.
const SECRET_NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "authorization",
    "apikey",
    "token",
    "credential",
    "signature",
    "csrf",
    "xsrf",
    "otp",
    "privatekey",
];
/// Whole names of the same kind.
const SECRET_WORDS: &[&str] =
    &["pass", "pwd", "pin", "auth", "jwt", "sig", "key", "sid", "session", "sessionid"];

/// The work on one recording.
pub(super) struct Filling<'d> {
    pub(super) draft: &'d mut Draft,
    values: Values,
}

impl<'d> Filling<'d> {
    pub(super) fn new(draft: &'d mut Draft) -> Self {
        Self { draft, values: Values::default() }
    }

    /// Puts in what is to be saved, and says what was left out.
    pub(super) fn finish(self) {
        for (step, name, path) in self.values.saves() {
            if let Does::Request(request) = &mut self.draft.steps[step].does {
                request.saves.push((name, path));
            }
        }
        if self.values.beyond > 0 {
            let n = self.values.beyond;
            self.draft.notes.push(format!("Left as recorded: {n} values from answers, beyond the first 60."));
        }
        if self.draft.cookies {
            let note = "Left out: all recorded cookies, which belong to a person; sessions keep those that the target gives them.";
            self.draft.notes.push(note.to_owned());
        }
    }

    pub(super) fn request(&mut self, entry: &Entry, url: &Url) {
        let mut remarks = Vec::new();
        let (path, label) = self.path(url);
        let name = self.draft.step_name(&format!("{} {label}", entry.method));
        let headers = self.headers(entry);
        let (body, kind) = self.body(entry, &mut remarks);
        // What the browser had in its cache is asked for again here.
        let statuses = match entry.status {
            304 => vec![200, 304],
            status @ 100..=599 => vec![status],
            _ => Vec::new(),
        };
        let method = entry.method.to_ascii_lowercase();
        let request = DraftRequest { name, method, path, headers, body, kind, statuses, saves: Vec::new() };
        self.draft.steps.push(DraftStep { remarks, does: Does::Request(Box::new(request)) });
        if let Some(answer) = &entry.json {
            let words = url.path.rsplit('/').find(|s| s.starts_with(|c: char| c.is_ascii_alphabetic()));
            self.values.learn(self.draft.steps.len() - 1, words.unwrap_or("answer"), answer);
        }
    }

    pub(super) fn connect(&mut self, entry: &Entry, url: &Url) {
        let (path, label) = self.path(url);
        let name = self.draft.step_name(&format!("connect {label}"));
        let asked = entry.header("sec-websocket-protocol").and_then(|p| p.split(',').next());
        let subprotocol = entry.subprotocol.as_deref().or(asked).map(|p| p.trim().to_owned());
        let subprotocol = subprotocol.filter(|p| is_token(p));
        let headers = self.headers(entry);
        let does = Does::Connect { name, path, subprotocol, headers };
        self.draft.steps.push(DraftStep { remarks: Vec::new(), does });
    }

    pub(super) fn events(&mut self, entry: &Entry, url: &Url) {
        let (path, label) = self.path(url);
        let name = self.draft.step_name(&format!("events {label}"));
        let mut headers = self.headers(entry);
        // The one is written by the step itself, the other is an answer to what this recording's server had sent.
        headers.retain(|(name, _)| !matches!(name.as_str(), "accept" | "last-event-id"));
        // What a script reads by itself ends when the script says so; only Chrome says who asked.
        let reconnect = !matches!(entry.resource.as_str(), "fetch" | "xhr");
        let does = Does::Events { name, path, headers, reconnect };
        self.draft.steps.push(DraftStep { remarks: Vec::new(), does });
    }

    pub(super) fn send(&mut self, entry: &Entry, index: usize) {
        let Some(text) = &entry.messages[index].text else { return };
        let json = serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
        let op = json
            .as_ref()
            .and_then(|j| ["op", "type", "event", "action", "method"].iter().find_map(|k| j[k].as_str()));
        let name = self.draft.step_name(&op.map_or_else(|| "send".to_owned(), |op| format!("send {op}")));
        let wait = json.as_ref().and_then(|j| answered_by(j, entry, index));
        let body = match json {
            Some(json) => json_body(self.json("", json)),
            None => Body::Text(literal(text)),
        };
        self.draft.steps.push(DraftStep { remarks: Vec::new(), does: Does::Send { name, body, wait } });
    }

    /// Path with query, and the same for a step's name, without query and with variables by name.
    fn path(&mut self, url: &Url) -> (String, String) {
        let (mut path, mut label) = (String::new(), String::new());
        let mut before = String::new();
        for segment in url.path.split('/').skip(1) {
            let plain = decode(segment, false);
            // `/rooms/7`: the segment before is what the number is an id of.
            let key = if before.is_empty() { String::new() } else { format!("{before}_id") };
            match self.values.replace(&key, &plain) {
                Some(hole) => {
                    path += &format!("/{hole}");
                    label += &format!("/{}", hole.trim_start_matches('$'));
                }
                None => {
                    path += &format!("/{}", path_text(segment));
                    label += &format!("/{plain}");
                }
            }
            before = plain;
        }
        if let Some(query) = &url.query {
            let fields: Vec<String> =
                fields(query).map(|(name, value)| self.query_field(name, value)).collect();
            path += &format!("?{}", fields.join("&"));
        }
        (path, label)
    }

    fn query_field(&mut self, name: &str, value: Option<&str>) -> String {
        let Some(value) = value else { return path_text(name) };
        let (key, plain) = (decode(name, true), decode(value, true));
        let value = match self.values.replace(&key, &plain) {
            Some(hole) => hole,
            None if is_secret(&key) && !plain.is_empty() => {
                self.draft.secret(&key, &format!("the value of `{key}` in a query"))
            }
            None => path_text(value),
        };
        format!("{}={value}", path_text(name))
    }

    fn headers(&mut self, entry: &Entry) -> Vec<(String, String)> {
        let mut kept: Vec<(String, String)> = Vec::new();
        for (name, value) in &entry.headers {
            let made = MADE_BY_BROWSERS.contains(&name.as_str())
                || (MADE_BY_BROWSERS_PREFIX.iter().any(|p| name.starts_with(p))
                    && name != "proxy-authorization")
                || (name == "accept" && ACCEPT_BY_DEFAULT.iter().any(|a| value.starts_with(a)));
            let doubled = kept.iter().any(|(n, _)| n == name);
            if made
                || doubled
                || value.is_empty()
                || !is_token(name)
                || !is_header_text(value)
                || kept.len() == 60
            {
                continue;
            }
            let value = self.header_value(name, value);
            kept.push((name.clone(), value));
        }
        kept
    }

    /// A scheme such as `Bearer` is kept; what comes behind it is from an answer, or a secret.
    fn header_value(&mut self, name: &str, value: &str) -> String {
        let (scheme, rest) = match value.split_once(' ') {
            Some((scheme, rest)) if name.ends_with("authorization") => (format!("{scheme} "), rest),
            _ => (String::new(), value),
        };
        match self.values.replace(name, rest) {
            Some(hole) => format!("{scheme}{hole}"),
            None if is_secret(name) => {
                let what = format!(
                    "what stands in header {name}{}{}",
                    if scheme.is_empty() { "" } else { " behind " },
                    scheme.trim()
                );
                format!("{scheme}{}", self.draft.secret(name, &what))
            }
            None => literal(value),
        }
    }

    fn body(&mut self, entry: &Entry, remarks: &mut Vec<String>) -> (Option<Body>, Option<String>) {
        let Some(posted) = &entry.body else { return (None, None) };
        if matches!(entry.method.as_str(), "GET" | "HEAD") {
            remarks.push(format!("Recorded with a body, which a {} of dyno cannot have.", entry.method));
            return (None, None);
        }
        let kind = if posted.kind.is_empty() {
            entry.header("content-type").unwrap_or_default()
        } else {
            &posted.kind
        };
        let kind = if is_header_text(kind) && !kind.contains("${") { kind } else { "" };
        let plain = media_type(kind);
        if plain == "application/x-www-form-urlencoded" {
            return match self.form(posted) {
                Some(fields) => (Some(Body::Form(fields)), None),
                None => (posted.text.as_deref().map(|t| Body::Text(literal(t))), Some(kind.to_owned())),
            };
        }
        let Some(text) = &posted.text else {
            remarks.push(format!("Recorded with a body that is not text, or too long ({plain}): left out."));
            return (None, None);
        };
        let json = plain.ends_with("json") || plain.is_empty() || plain == "text/plain";
        if json
            && let Some(value) =
                serde_json::from_str::<Value>(text).ok().filter(|v| v.is_object() || v.is_array())
        {
            let kind = (plain != "application/json" && !kind.is_empty()).then(|| kind.to_owned());
            return (Some(json_body(self.json("", value))), kind);
        }
        (Some(Body::Text(literal(text))), (!kind.is_empty()).then(|| kind.to_owned()))
    }

    /// Fields of a form; none if one name is there twice, which a table cannot say.
    fn form(&mut self, posted: &Posted) -> Option<Vec<(String, String)>> {
        let from_text = posted.text.as_deref().map(|text| {
            fields(text)
                .map(|(n, v)| (decode(n, true), decode(v.unwrap_or_default(), true)))
                .collect::<Vec<_>>()
        });
        let all = from_text.unwrap_or_else(|| {
            posted.params.iter().map(|(n, v)| (decode(n, true), decode(v, true))).collect()
        });
        let mut names: Vec<_> = all.iter().map(|(n, _)| n.as_str()).collect();
        names.sort_unstable();
        if all.is_empty() || names.windows(2).any(|pair| pair[0] == pair[1]) {
            return None;
        }
        Some(
            all.into_iter()
                .map(|(name, value)| {
                    let value = self.value(&name, &value).unwrap_or_else(|| literal(&value));
                    (name, value)
                })
                .collect(),
        )
    }

    /// What is to stand for a value in a body, if it is not to stay as it is.
    fn value(&mut self, key: &str, value: &str) -> Option<String> {
        let replaced = self.values.replace(key, value);
        replaced.or_else(|| {
            (is_secret(key) && !value.is_empty())
                .then(|| self.draft.secret(key, &format!("the value of `{key}` in a body")))
        })
    }

    /// JSON with its strings made templates, and numbers where they stand under the name of an identifier.
    fn json(&mut self, key: &str, value: Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .into_iter()
                .map(|(k, v)| {
                    let v = self.json(&k, v);
                    (k, v)
                })
                .collect(),
            Value::Array(values) => values.into_iter().map(|v| self.json(key, v)).collect(),
            Value::String(text) => Value::String(self.value(key, &text).unwrap_or_else(|| literal(&text))),
            Value::Number(_) if is_id(key) => {
                let replaced = scalar(&value).and_then(|text| self.values.replace(key, &text));
                replaced.map_or(value, |hole| number_hole(&hole))
            }
            plain => plain,
        }
    }
}

/// Is what stands under this name kept out of files?
fn is_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    SECRET_WORDS.contains(&plain.as_str()) || SECRET_NAMES.iter().any(|n| plain.contains(n))
}

/// The field by which a later message answers this one: the same value under the same name.
fn answered_by(sent: &Value, entry: &Entry, index: usize) -> Option<String> {
    let fields = sent.as_object()?;
    let named = |k: &str| k.len() <= 40 && k.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let mut ids = fields
        .iter()
        .filter(|(k, v)| named(k) && (is_id(k) || *k == "ref" || *k == "seq") && scalar(v).is_some());
    let after = || entry.messages[index + 1..].iter().filter(|m| !m.sent).filter_map(|m| m.text.as_deref());
    ids.find(|(k, v)| {
        after().take(50).any(|t| serde_json::from_str::<Value>(t).is_ok_and(|m| m.get(k.as_str()) == Some(v)))
    })
    .map(|(k, _)| k.clone())
}
