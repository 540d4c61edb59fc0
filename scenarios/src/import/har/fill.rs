//! Entries become steps: paths, headers and bodies, without secrets and with what earlier answers gave.

use serde_json::Value;

use super::correlate::{VARIABLES_MAX, Values, is_id, scalar};
use super::entry::{ANSWERS_MAX, Entry, bytes, media_type};
use crate::import::draft::{
    Body, Does, Draft, DraftRequest, DraftStep, is_header_text, json_body, json_text, literal, number_hole,
    path_text,
};
use crate::import::url::{Url, decode, fields, form_text};
use crate::text::field;

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
    "accesskey",
    "subscriptionkey",
    "sessionid",
    "sessid",
];
/// Whole names of the same kind.
const SECRET_WORDS: &[&str] = &["pass", "pwd", "pin", "auth", "jwt", "sig", "key", "sid", "session"];
/// How the names of header fields that hold a key end, and those of a kind that is drawn anew for each request.
const KEY_FIELD: &str = "-key";
const NO_KEY_FIELD: &str = "idempotency-key";
/// Longest name that is looked for inside of a value: what is longer is data.
const NAME_MAX: usize = 64;
/// What signed tokens (JWT) begin with: `{"` in base64.
const SIGNED: &str = "eyJ";
/// Shortest of them, bytes: three parts, of which two hold something.
const SIGNED_MIN: usize = 20;

/// Most header fields that a step gets; it takes 64.
const FIELDS_MAX: usize = 60;
/// Content type of forms.
const FORM_TYPE: &str = "application/x-www-form-urlencoded";
/// Longest mark before the JSON of a message, bytes: a kind, a name space, a number.
const MARK_MAX: usize = 40;

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
            self.draft.notes.push(format!(
                "Left as recorded: {n} values from answers, beyond the first {VARIABLES_MAX}."
            ));
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
        let mut remarks = Vec::new();
        let (path, label) = self.path(url);
        let name = self.draft.step_name(&format!("connect {label}"));
        let asked = entry.header("sec-websocket-protocol").and_then(|p| p.split(',').next());
        // Browsers have no other field to send a token in; what the server chose is no secret.
        let (asked, hidden) = (asked.filter(|p| !is_secret(p)), asked.is_some_and(is_secret));
        if hidden && entry.subprotocol.is_none() {
            remarks.push("Recorded with a subprotocol that is called like a secret: left out.".to_owned());
        }
        let subprotocol = entry.subprotocol.as_deref().or(asked).map(|p| p.trim().to_owned());
        let subprotocol = subprotocol.filter(|p| field::name(p).is_ok());
        let headers = self.headers(entry);
        let does = Does::Connect { name, path, subprotocol, headers };
        self.draft.steps.push(DraftStep { remarks, does });
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
        let message = &entry.messages[index];
        if let Some(data) = &message.binary {
            let name = self.draft.step_name("send bytes");
            // Bytes tell no number by which an answer could be known: the one right behind them is taken for it.
            let wait = entry.messages.get(index + 1).is_some_and(|next| !next.sent && next.binary.is_some());
            let does = Does::SendBytes { name, data: data.clone(), wait };
            return self.draft.steps.push(DraftStep { remarks: Vec::new(), does });
        }
        let Some(text) = &message.text else { return };
        let json = composite(text);
        let op = json
            .as_ref()
            .and_then(|j| ["op", "type", "event", "action", "method"].iter().find_map(|k| j[k].as_str()));
        let name = self.draft.step_name(&op.map_or_else(|| "send".to_owned(), |op| format!("send {op}")));
        let wait = json.as_ref().and_then(|j| answered_by(j, entry, index));
        let body = match json {
            Some(json) => json_body(self.json("", json)),
            None => Body::Text(self.message(text)),
        };
        self.draft.steps.push(DraftStep { remarks: Vec::new(), does: Does::Send { name, body, wait } });
    }

    /// A message that is no JSON; behind a short mark it may be, as Socket.IO writes `42["join",{}]`.
    fn message(&mut self, text: &str) -> String {
        let (mark, rest) = text.split_at(text.find(['{', '[']).unwrap_or(text.len()));
        let of_mark = |c: char| c.is_ascii_alphanumeric() || "/,-_".contains(c);
        let marked = mark.len() <= MARK_MAX && mark.starts_with(|c: char| c.is_ascii_digit());
        let json = (marked && mark.chars().all(of_mark)).then(|| composite(rest)).flatten();
        match json {
            Some(json) => match json_body(self.json("", json)) {
                Body::Json(value) => format!("{}{}", literal(mark), json_text(&value)),
                Body::JsonText(text) => format!("{}{text}", literal(mark)),
                Body::Form(_) | Body::Multipart(_) | Body::Text(_) => self.text("message", text),
            },
            None => self.text("message", text),
        }
    }

    /// A text of no known form: as it is, or all of it from the environment where it tells a secret.
    fn text(&mut self, what: &str, text: &str) -> String {
        if tells_secret(text) || is_signed_token(text.trim()) {
            return self.draft.secret(what, text, &format!("a whole {what} that holds a secret"));
        }
        literal(text)
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
                    let (text, shown) = self.segment(segment, &plain);
                    path += &format!("/{text}");
                    label += &format!("/{shown}");
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

    /// A segment of a path, and the same for a step's name; fields may stand in it: `home;jsessionid=x`.
    fn segment(&mut self, segment: &str, plain: &str) -> (String, String) {
        if is_signed_token(plain) {
            let hole = self.draft.secret("path token", plain, "a token in a path");
            let shown = hole.trim_start_matches('$').to_owned();
            return (hole, shown);
        }
        let secret = |part: &str| part.split_once('=').is_some_and(|(name, value)| is_kept_out(name, value));
        if !segment.split(';').any(secret) {
            return (path_text(segment), plain.to_owned());
        }
        let mut parts = Vec::new();
        for part in segment.split(';') {
            parts.push(match part.split_once('=').filter(|_| secret(part)) {
                Some((name, value)) => {
                    let what = format!("the value of `{name}` in a path");
                    format!("{}={}", path_text(name), self.draft.secret(name, value, &what))
                }
                None => path_text(part),
            });
        }
        (parts.join(";"), decode(segment.split([';', '=']).next().unwrap_or_default(), false))
    }

    fn query_field(&mut self, name: &str, value: Option<&str>) -> String {
        let Some(value) = value else { return path_text(name) };
        let (key, plain) = (decode(name, true), decode(value, true));
        let value = match self.values.replace(&key, &plain) {
            Some(hole) => hole,
            None if is_kept_out(&key, &plain) => {
                self.draft.secret(&key, &plain, &format!("the value of `{key}` in a query"))
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
                || field::name(name).is_err()
                || !is_header_text(value)
                || kept.len() == FIELDS_MAX
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
            None if is_secret(name) || is_key_field(name) || is_kept_out(name, rest) => {
                let what = format!(
                    "what stands in header {name}{}{}",
                    if scheme.is_empty() { "" } else { " behind " },
                    scheme.trim()
                );
                format!("{scheme}{}", self.draft.secret(name, rest, &what))
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
        let form = plain == FORM_TYPE;
        // HAR has either a text or fields.
        let text = match &posted.text {
            None if form && !posted.params.is_empty() => Some(form_text(&posted.params)),
            text => text.clone(),
        };
        let Some(text) = text else {
            remarks.push(format!("Recorded with a body that is not text, or too long ({plain}): left out."));
            return (None, None);
        };
        let said = (!kind.is_empty()).then(|| kind.to_owned());
        // Scripts send JSON under the type of forms too.
        let json = plain.ends_with("json") || plain.is_empty() || plain == "text/plain" || form;
        if json && let Some(value) = composite(&text) {
            return (Some(json_body(self.json("", value))), said.filter(|_| plain != "application/json"));
        }
        if form {
            return match self.form(&text) {
                Some(fields) => (Some(Body::Form(fields)), None),
                None => (Some(Body::Text(self.form_body(&text, remarks))), said),
            };
        }
        if plain.starts_with("multipart/") && (has_secret_part(&text) || tells_secret(&text)) {
            let remark = "Recorded with a form that holds a secret: left out; write it as `multipart`.";
            remarks.push(remark.to_owned());
            return (None, None);
        }
        (Some(Body::Text(self.text("body", &text))), said)
    }

    /// Fields of a form; none if one name is there twice, which a table cannot say.
    fn form(&mut self, text: &str) -> Option<Vec<(String, String)>> {
        let all: Vec<_> =
            fields(text).map(|(n, v)| (decode(n, true), decode(v.unwrap_or_default(), true))).collect();
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

    /// A form as a text. Nothing encodes what is put in there, so a variable stands for an encoded value.
    fn form_body(&mut self, text: &str, remarks: &mut Vec<String>) -> String {
        let mut holes = false;
        let field = |field: &str| match field.split_once('=') {
            Some((name, value)) if !value.is_empty() => {
                let hole = self.value(&decode(name, true), value);
                holes |= hole.is_some();
                format!("{}={}", literal(name), hole.unwrap_or_else(|| literal(value)))
            }
            _ => literal(field),
        };
        let all: Vec<String> = text.split('&').map(field).collect();
        if holes {
            let remark = "A name is there twice, so this form is a text: its variables hold encoded values.";
            remarks.push(remark.to_owned());
        }
        all.join("&")
    }

    /// What is to stand for a value in a body, if it is not to stay as it is.
    fn value(&mut self, key: &str, value: &str) -> Option<String> {
        let replaced = self.values.replace(key, value);
        replaced.or_else(|| {
            let named = if key.is_empty() { "text" } else { key };
            is_kept_out(key, value)
                .then(|| self.draft.secret(named, value, &format!("the value of `{named}` in a body")))
        })
    }

    /// JSON with its strings made templates, and numbers under the name of an identifier or secret.
    fn json(&mut self, key: &str, value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                // `{"name": "pin", "value": 7}`: the name stands beside the value.
                let beside = fields.get("name").and_then(Value::as_str);
                let beside = beside.filter(|n| is_secret(n)).map(str::to_owned);
                fields
                    .into_iter()
                    .map(|(k, v)| {
                        let under = match &beside {
                            Some(name) if k == "value" => name.clone(),
                            _ => inside(key, &k),
                        };
                        let v = self.json(&under, v);
                        (k, v)
                    })
                    .collect()
            }
            Value::Array(values) => values.into_iter().map(|v| self.json(key, v)).collect(),
            Value::String(text) => Value::String(self.json_string(key, &text)),
            Value::Number(_) if is_id(key) || is_secret(key) => {
                let hole = self.value(key, &value.to_string());
                hole.map_or(value, |hole| number_hole(&hole))
            }
            plain => plain,
        }
    }

    /// A string of JSON; one that is JSON itself and tells a secret comes from the environment.
    fn json_string(&mut self, key: &str, text: &str) -> String {
        if let Some(hole) = self.value(key, text) {
            return hole;
        }
        if tells_secret(text) && composite(text).is_some() {
            let key = if key.is_empty() { "text" } else { key };
            return self.draft.secret(key, text, &format!("JSON inside `{key}` that holds a secret"));
        }
        literal(text)
    }
}

/// JSON that holds further values.
fn composite(text: &str) -> Option<Value> {
    serde_json::from_str::<Value>(text).ok().filter(|v| v.is_object() || v.is_array())
}

/// The name to judge a field by: in an object that is called like a secret, all fields are called after it.
fn inside(outer: &str, name: &str) -> String {
    let both = format!("{outer}_{name}");
    if !is_secret(name) && is_secret(outer) && is_secret(&both) { both } else { name.to_owned() }
}

/// Is what stands under this name kept out of files?
fn is_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    SECRET_WORDS.contains(&plain.as_str()) || SECRET_NAMES.iter().any(|n| plain.contains(n))
}

/// Does a header field hold a key, by its name: `x-functions-key`?
fn is_key_field(name: &str) -> bool {
    name.ends_with(KEY_FIELD) && !name.ends_with(NO_KEY_FIELD)
}

/// Is this value kept out of files: by the name that it stands under, by its own look, or by what is written inside of it?
fn is_kept_out(name: &str, value: &str) -> bool {
    !value.is_empty() && (is_secret(name) || is_signed_token(value) || holds_secret(value))
}

/// Is it a secret by its look: a signed token (JWT)?
fn is_signed_token(value: &str) -> bool {
    let of_token = |b: u8| b.is_ascii_alphanumeric() || b"-_=.".contains(&b);
    let form = value.starts_with(SIGNED) && value.len() >= SIGNED_MIN && value.bytes().all(of_token);
    form && value.matches('.').count() >= 2
}

/// Does a text give a secret by its name: `password=`, `"token": `, `<Password>`?
fn tells_secret(text: &str) -> bool {
    let markup = text.trim_start().starts_with('<');
    words(text).any(|(name, behind)| {
        let behind = behind.trim_start_matches(['"', '\'', '\\', ' ']);
        is_secret(name) && (markup || behind.starts_with(['=', ':', '>']))
    })
}

/// May bytes, given in base64, hold a secret by its name, or a signed token?
pub(super) fn bytes_tell_secret(data: &str) -> bool {
    let text = bytes(data).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    tells_secret(&text) || text.contains(SIGNED)
}

/// The same for a value among others, which is looked at more closely: a secret is given there as in an address or form (`/back?token=x`),
/// or quoted (`login(password: "x")`). Where a name alone is said (`login(password: $password)`) there is none.
fn holds_secret(text: &str) -> bool {
    words(text).any(|(name, behind)| {
        let given = || {
            let value = behind.strip_prefix('=');
            value.is_some_and(|v| v.starts_with(|c: char| !matches!(c, '&' | '=' | ' ')))
        };
        let quoted = || {
            let said = behind.trim_start_matches(['"', '\'', '\\']).strip_prefix(':');
            said.is_some_and(|v| v.trim_start_matches([' ', '\\']).starts_with(['"', '\'']))
        };
        name.len() <= NAME_MAX && is_secret(name) && (given() || quoted())
    })
}

/// What may be names in a text, each with what stands behind it.
fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mut rest = text;
    std::iter::from_fn(move || {
        let word = &rest[rest.find(of_name)?..];
        let end = word.find(|c: char| !of_name(c)).unwrap_or(word.len());
        rest = &word[end..];
        Some((&word[..end], rest))
    })
}

/// Is a part of a form in parts called like a secret?
fn has_secret_part(text: &str) -> bool {
    let named = text.match_indices("name=").filter(|(i, _)| !text[..*i].ends_with("file"));
    let mut names = named.filter_map(|(i, n)| {
        text[i + n.len()..].trim_start_matches('"').split(['"', ';', '\r', '\n']).next()
    });
    names.any(is_secret)
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
        after()
            .take(ANSWERS_MAX)
            .any(|t| serde_json::from_str::<Value>(t).is_ok_and(|m| m.get(k.as_str()) == Some(v)))
    })
    .map(|(k, _)| k.clone())
}
