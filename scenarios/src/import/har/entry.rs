//! What is kept of a HAR entry. Browsers differ in what they write and what they leave out, so nothing is
//! taken for granted but the request's method and address.

use serde_json::Value;
use time::{Date, Month, Time, UtcDateTime};

/// Longest answer body that is looked through for values to correlate, bytes.
const ANSWER_MAX: usize = 1 << 20;
/// Longest request body or message that is kept, bytes.
const BODY_MAX: usize = 64 << 10;
/// Most sent messages of one WebSocket that are kept.
pub(super) const SENT_MAX: usize = 400;
/// How many received messages after a sent one may answer it; no others are kept.
pub(super) const ANSWERS_MAX: usize = 50;
/// Most received messages of one WebSocket that are kept.
const RECEIVED_MAX: usize = 4_000;
/// Times of messages below this are seconds since the epoch (Chrome), above it milliseconds (others).
const SECONDS_BELOW: f64 = 1e11;
const MS_PER_S: f64 = 1e3;

/// One request with what is known of its answer.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) page: String,
    /// Start and end, ms since the epoch; none if the file does not say.
    pub(super) start_ms: Option<f64>,
    pub(super) end_ms: Option<f64>,
    /// Chrome and Playwright say what asked for it: `document`, `fetch`, ...
    pub(super) resource: String,
    pub(super) method: String,
    pub(super) url: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Posted>,
    pub(super) status: u16,
    /// Type of the answer, without parameters.
    pub(super) answer_type: String,
    pub(super) subprotocol: Option<String>,
    /// The answer, where it is JSON of a bearable size.
    pub(super) json: Option<Value>,
    /// What was sent, and of what was received what may answer it.
    pub(super) messages: Vec<Message>,
    /// Sent messages beyond the first [`SENT_MAX`].
    pub(super) unsent: usize,
    /// Was a cookie sent or set?
    pub(super) cookies: bool,
    pub(super) from_cache: bool,
    pub(super) from_worker: bool,
}

/// A request's body.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) kind: String,
    /// None: it is not text, or too long.
    pub(super) text: Option<String>,
    /// Fields of a form, decoded.
    pub(super) params: Vec<(String, String)>,
}

/// A message on a WebSocket.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) sent: bool,
    pub(super) at_ms: Option<f64>,
    /// None: binary, or too long.
    pub(super) text: Option<String>,
    /// Bytes that were sent, in base64 as the file has them; empty where they were received. None: a text, too long, or not in base64.
    pub(super) binary: Option<String>,
}

impl Entry {
    /// Reads an entry; none if it has no method or address.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let (request, response) = (&value["request"], &value["response"]);
        let start_ms = value["startedDateTime"].as_str().and_then(epoch_ms);
        let took = value["time"].as_f64().filter(|t| t.is_finite() && *t > 0.0).unwrap_or(0.0);
        let headers = pairs(&request["headers"]).map(|(n, v)| (n.to_ascii_lowercase(), v)).collect();
        let answered = |name: &str| {
            pairs(&response["headers"]).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
        };
        let content = &response["content"];
        let kind = content["mimeType"].as_str().map(str::to_owned);
        let answer_type = media_type(&kind.or_else(|| answered("content-type")).unwrap_or_default());
        let yes = |v: &Value| v.as_bool() == Some(true);
        // Some list cookies, some only have the header field.
        let cookies = |side: &Value, field: &str| {
            side["cookies"].as_array().is_some_and(|list| !list.is_empty())
                || pairs(&side["headers"]).any(|(name, _)| name.eq_ignore_ascii_case(field))
        };
        let (messages, unsent) = messages(&value["_webSocketMessages"]);
        Some(Self {
            page: text(&value["pageref"]),
            start_ms,
            end_ms: start_ms.map(|s| s + took),
            resource: text(&value["_resourceType"]).to_ascii_lowercase(),
            method: request["method"].as_str()?.to_ascii_uppercase(),
            url: request["url"].as_str()?.to_owned(),
            headers,
            body: posted(&request["postData"]),
            status: response["status"].as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
            json: answer(content, &answer_type),
            answer_type,
            subprotocol: answered("sec-websocket-protocol"),
            messages,
            unsent,
            cookies: cookies(request, "cookie") || cookies(response, "set-cookie"),
            from_cache: value["_fromCache"].is_string(),
            from_worker: yes(&value["_fetchedViaServiceWorker"])
                || yes(&response["_fetchedViaServiceWorker"]),
        })
    }

    /// The value of a header, by its lower-case name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(super) fn is_websocket(&self) -> bool {
        self.url.starts_with("ws:")
            || self.url.starts_with("wss:")
            || self.resource == "websocket"
            || self.header("upgrade").is_some_and(|v| v.eq_ignore_ascii_case("websocket"))
    }

    /// Server-sent events, asked for as steps can ask for them.
    pub(super) fn is_event_stream(&self) -> bool {
        self.method == "GET"
            && (self.resource == "eventsource" || self.answer_type == "text/event-stream")
            && !self.is_websocket()
    }

    pub(super) fn is_document(&self) -> bool {
        match self.resource.as_str() {
            "" => self.answer_type == "text/html" && self.header("x-requested-with").is_none(),
            kind => kind == "document",
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Names and values of a list of `{ name, value }`.
fn pairs(list: &Value) -> impl Iterator<Item = (String, String)> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(|p| Some((p["name"].as_str()?.to_owned(), p["value"].as_str()?.to_owned())))
}

/// `text/html` of `text/html; charset=utf-8`.
pub(super) fn media_type(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn posted(data: &Value) -> Option<Posted> {
    let params: Vec<_> = pairs(&data["params"]).collect();
    let content = data["text"].as_str().filter(|t| !t.is_empty());
    if content.is_none() && params.is_empty() {
        return None;
    }
    let kind = text(&data["mimeType"]);
    // Firefox calls the encoding by the HAR name, Chrome by a name of its own.
    let encoded = [&data["encoding"], &data["_encoding"]].iter().any(|e| e.as_str() == Some("base64"));
    let content = content.map(str::to_owned);
    let content = if encoded { content.and_then(|t| decoded(&t)) } else { content };
    let content = content.filter(|t| t.len() <= BODY_MAX && !t.contains(['\0', '\u{FFFD}']));
    Some(Posted { kind, text: content, params })
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(bytes(text)?).ok()
}

/// What stands in base64.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()
}

fn answer(content: &Value, kind: &str) -> Option<Value> {
    let body = content["text"].as_str().filter(|t| t.len() <= ANSWER_MAX)?;
    let json = kind.ends_with("json") || body.trim_start().starts_with(['{', '[']);
    let body = match content["encoding"].as_str() {
        Some("base64") if kind.ends_with("json") => decoded(body)?,
        Some("base64") => return None,
        _ => body.to_owned(),
    };
    json.then(|| serde_json::from_str(&body).ok()).flatten()
}

/// The messages that are kept, and how many sent ones are not. What is pushed takes no room from what is sent.
fn messages(list: &Value) -> (Vec<Message>, usize) {
    let mut kept = Vec::new();
    let (mut sent, mut unsent, mut received) = (0, 0, 0);
    // Before anything was sent nothing is an answer.
    let mut since_sent = ANSWERS_MAX;
    for m in list.as_array().into_iter().flatten() {
        let m = message(m);
        if m.sent {
            if sent == SENT_MAX {
                unsent += 1;
                continue;
            }
            sent += 1;
            since_sent = 0;
        } else if since_sent < ANSWERS_MAX && received < RECEIVED_MAX && m.is_read() {
            since_sent += 1;
            received += 1;
        } else {
            continue;
        }
        kept.push(m);
    }
    (kept, unsent)
}

impl Message {
    /// Is its content known?
    pub(super) fn is_read(&self) -> bool {
        self.text.is_some() || self.binary.is_some()
    }
}

fn message(m: &Value) -> Message {
    let sent = m["type"].as_str() == Some("send");
    let opcode = m["opcode"].as_u64().unwrap_or(1);
    let data = m["data"].as_str();
    let binary = data.filter(|t| opcode == 2 && t.len() <= BODY_MAX && bytes(t).is_some());
    Message {
        sent,
        binary: binary.map(|t| if sent { t.trim().to_owned() } else { String::new() }),
        at_ms: m["time"].as_f64().map(|t| if t < SECONDS_BELOW { t * MS_PER_S } else { t }),
        text: data.filter(|t| opcode == 1 && t.len() <= BODY_MAX).map(str::to_owned),
    }
}

/// `2026-03-01T09:30:00.250+01:00` in ms since the epoch.
fn epoch_ms(text: &str) -> Option<f64> {
    let (date, time) = text.split_once(['T', ' '])?;
    let mut date = date.splitn(3, '-');
    let (year, month) = (date.next()?.parse().ok()?, date.next()?.parse::<u8>().ok()?);
    let day = date.next()?.parse().ok()?;
    let day = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
    let midnight_s = UtcDateTime::new(day, Time::MIDNIGHT).unix_timestamp();
    let (time, zone) = time.split_at(time.find(['Z', 'z', '+', '-']).unwrap_or(time.len()));
    let mut clock = time.splitn(3, ':').map(|n| n.parse::<f64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next().flatten().unwrap_or(0.0));
    let offset_min = match zone {
        "" | "Z" | "z" => 0.0,
        // Some write it without the colon that RFC 3339 has.
        zone => {
            let digits = zone.strip_prefix(['+', '-'])?;
            let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
            let (h, m) = (digits.get(..2)?.parse::<f64>().ok()?, digits.get(2..4).unwrap_or("0"));
            let minutes = h * 60.0 + m.parse::<f64>().ok()?;
            if zone.starts_with('-') { -minutes } else { minutes }
        }
    };
    let minutes = hour * 60.0 + minute - offset_min;
    let ms = (midnight_s as f64 + minutes * 60.0 + second) * MS_PER_S;
    ms.is_finite().then_some(ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_of_all_browsers_are_read() {
        assert_eq!(epoch_ms("1970-01-02T00:00:01.5Z"), Some(86_401_500.0));
        assert_eq!(epoch_ms("2024-02-29T12:00:00.000+01:00"), Some(1_709_204_400_000.0));
        assert_eq!(epoch_ms("2024-02-29T11:00:00-0000"), epoch_ms("2024-02-29T12:00:00.000+01:00"));
        for bad in ["", "yesterday", "2024-13-01T00:00:00Z", "2024-01-01", "2024-01-01T00:00:00+x"] {
            assert_eq!(epoch_ms(bad), None, "{bad}");
        }
        for zone in ["Zé", "zé", "Z+01:00", "+", "-é", "+é1"] {
            assert_eq!(epoch_ms(&format!("2024-01-01T00:00:00{zone}")), None, "{zone}");
        }
    }

    #[test]
    fn whatever_is_missing_or_of_another_type_is_borne() {
        assert!(Entry::read(&json!({})).is_none());
        assert!(Entry::read(&json!({"request": {"method": "GET"}})).is_none());
        let entry = Entry::read(&json!({
            "startedDateTime": 7, "time": null, "pageref": null, "_resourceType": 4,
            "request": {"method": "get", "url": "http://a/", "headers": [{"name": "A"}, 3, {"name": "B", "value": "c"}], "postData": null},
            "response": null, "_webSocketMessages": {},
        })).unwrap();
        assert_eq!((entry.method.as_str(), entry.status, entry.headers.len()), ("GET", 0, 1));
    }

    #[test]
    fn cookies_are_seen_wherever_they_stand() {
        let read = |request: Value, response: Value| {
            let mut entry = json!({ "request": request, "response": response });
            entry["request"]["method"] = "GET".into();
            entry["request"]["url"] = "http://a/".into();
            Entry::read(&entry).unwrap().cookies
        };
        let field = |name: &str| json!({ "headers": [{ "name": name, "value": "sid=1" }] });
        let listed = json!({ "cookies": [{ "name": "sid", "value": "1" }] });
        assert!(read(field("Cookie"), json!(null)) && read(listed.clone(), json!(null)));
        assert!(read(json!({}), field("set-cookie")) && read(json!({}), listed));
        assert!(!read(json!({ "cookies": [] }), field("Cookie")), "an answer has no such field");
    }

    #[test]
    fn what_is_sent_is_kept_however_much_is_pushed() {
        let push = |n: usize| (0..n).map(|i| json!({ "type": "receive", "data": format!("r{i}") }));
        let sends = (0..SENT_MAX + 3).map(|i| json!({ "type": "send", "data": format!("s{i}") }));
        let all: Vec<Value> = push(1_000).chain(sends).chain(push(1_000)).collect();
        let (kept, unsent) = messages(&Value::Array(all));
        assert_eq!((kept.len(), unsent), (SENT_MAX + ANSWERS_MAX, 3));
        assert!(kept[..SENT_MAX].iter().all(|m| m.sent));
        assert_eq!(kept.last().unwrap().text.as_deref(), Some("r49"));
    }

    #[test]
    fn encoded_bodies_are_decoded_and_others_given_up() {
        let read = |v: Value| posted(&v).unwrap().text;
        assert_eq!(read(json!({"text": "eyJhIjoxfQ==", "encoding": "base64"})).as_deref(), Some("{\"a\":1}"));
        assert_eq!(read(json!({"text": "/////w==", "encoding": "base64"})), None);
        assert_eq!(read(json!({"text": "a\u{0}b"})), None);
        assert_eq!(
            answer(&json!({"text": "eyJhIjoxfQ==", "encoding": "base64"}), "application/json"),
            Some(json!({"a": 1}))
        );
    }
}
