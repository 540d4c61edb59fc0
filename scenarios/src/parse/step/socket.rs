//! WebSocket steps: `connect` with its options, `send`, `send-binary` and `await`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use toml::de::DeValue;

use super::{Journey, request};
use crate::mistake::{Wrong, quoted};
use crate::parse::keys;
use crate::parse::reader::{Fields, Value};
use crate::plan::{Await, Awaited, Connect, Deflate, Payload, Send, SocketOptions, Step, Template};
use crate::text::pattern::regex;
use crate::text::{field, json, quantity};

/// Most subprotocols that are offered.
const MAX_SUBPROTOCOLS: usize = 16;
/// Largest `max-message` and `max-event`, bytes: what one session may hold in memory.
const MAX_MESSAGE: u32 = 256 << 20;
/// Most frequent pings, ns: more of them would be a load of their own.
const MIN_PING_NS: u64 = 10_000_000;
pub(super) const SIZE_LOOK: &str = "a size such as \"64KiB\" or \"1MiB\", at most 256MiB";
pub(super) const JSON_LOOK: &str = "a JSONPath";

impl Journey<'_, '_> {
    pub(super) fn connect(&mut self, fields: &Fields<'_>, what: &Value<'_>) -> Option<Step> {
        self.connected = true;
        let id = self.id(fields, "connect");
        let path = self.path(what);
        let headers = self.authorized_headers(fields);
        let subprotocol = match fields.get("subprotocol") {
            Some(v) => Some(self.subprotocols(v)?),
            None => None,
        };
        let options = self.socket_options(fields)?;
        Some(Step::Connect(Box::new(Connect {
            id: id?,
            path: path?,
            headers: headers?,
            subprotocol,
            options,
        })))
    }

    fn subprotocols(&self, value: &Value<'_>) -> Option<String> {
        let reader = self.world.reader;
        let look = "a subprotocol's name, or an array of names";
        let one = |v: &Value<'_>| reader.read(v, look, field::name);
        if !matches!(value.get_ref(), DeValue::Array(_)) {
            return one(value);
        }
        let values = reader.array(value, look, MAX_SUBPROTOCOLS)?;
        if values.is_empty() {
            reader.wrong(value.span(), Wrong::new("no subprotocol is named").expected(look));
            return None;
        }
        Some(values.iter().map(one).collect::<Option<Vec<_>>>()?.join(", "))
    }

    fn socket_options(&self, fields: &Fields<'_>) -> Option<SocketOptions> {
        let reader = self.world.reader;
        let mut options = SocketOptions::default();
        if let Some(v) = fields.get("max-message") {
            options.max_message = Some(reader.read(v, SIZE_LOOK, size)?);
        }
        if let Some(v) = fields.get("deflate") {
            options.deflate = self.deflate(v)?;
        }
        if let Some(v) = fields.get("push-age") {
            options.push_age = Some(reader.read(v, JSON_LOOK, request::json_path)?);
        }
        if let Some(v) = fields.get("ping-every") {
            let ns = reader.span(v)?;
            if ns < MIN_PING_NS {
                reader.wrong(v.span(), Wrong::new("pings this often are a load").expected("at least 10ms"));
            }
            options.ping_every_ns = Some(ns);
        }
        if let Some(v) = fields.get("max-frame") {
            options.max_frame = Some(reader.read(v, SIZE_LOOK, size)?);
        }
        if let Some(v) = fields.get("echo") {
            options.echo = reader.boolean(v)?;
        }
        Some(options)
    }

    #[expect(clippy::option_option, reason = "the outer one says whether it could be read")]
    fn deflate(&self, value: &Value<'_>) -> Option<Option<Deflate>> {
        let reader = self.world.reader;
        if let DeValue::Boolean(wanted) = value.get_ref() {
            return Some(wanted.then(Deflate::default));
        }
        let DeValue::Table(_) = value.get_ref() else {
            reader.not_a(value, "true, or a table such as { client-no-context-takeover = true }");
            return None;
        };
        let fields = reader.fields(value, keys::DEFLATE)?;
        let flag = |key| fields.get(key).map_or(Some(false), |v| reader.boolean(v));
        let bits = |key, low| {
            let read = |v| reader.integer(v, low..=15).map(|n| Some(n as u8));
            fields.get(key).map_or(Some(None), read)
        };
        Some(Some(Deflate {
            server_no_context_takeover: flag("server-no-context-takeover")?,
            client_no_context_takeover: flag("client-no-context-takeover")?,
            server_max_window_bits: bits("server-max-window-bits", 8)?,
            client_max_window_bits: bits("client-max-window-bits", 9)?,
        }))
    }

    pub(super) fn send(&mut self, fields: &Fields<'_>, what: &Value<'_>) -> Option<Step> {
        self.must_be_connected(fields, "send");
        let id = self.id(fields, "send");
        let text = match what.get_ref() {
            DeValue::Table(_) => self.json(what),
            _ => self
                .template(what, "a message in quotes, or a table to be sent as JSON")
                .map(json::escape_holes),
        };
        let sent = text.as_ref().map(|t| json::fields(t).unwrap_or_default());
        let wait = self.answered(fields, Sent::Fields(sent.as_deref()))?;
        Some(Step::Send(Box::new(Send { id: id?, payload: Payload::Text(text?), wait })))
    }

    pub(super) fn send_binary(&mut self, fields: &Fields<'_>, what: &Value<'_>) -> Option<Step> {
        self.must_be_connected(fields, "send-binary");
        let id = self.id(fields, "send-binary");
        let bytes = self.world.reader.read(what, "bytes in base64", |text| {
            let bad = || Wrong::new(format!("{} is not base64", quoted(text)));
            STANDARD.decode(text.trim()).map_err(|_| bad().expected("bytes in base64, such as \"3q2+7w==\""))
        });
        let wait = self.answered(fields, Sent::Nothing)?;
        Some(Step::Send(Box::new(Send { id: id?, payload: Payload::Binary(bytes?), wait })))
    }

    /// An `await` without anything sent.
    pub(super) fn await_alone(&mut self, fields: &Fields<'_>, what: &Value<'_>) -> Option<Step> {
        self.must_be_connected(fields, "await");
        let id = self.id(fields, "await");
        let wait = self.wait(fields, what, Sent::Nothing)?;
        Some(Step::Send(Box::new(Send { id: id?, payload: Payload::Nothing, wait: Some(wait) })))
    }

    /// What answers what the step sends, if anything.
    #[expect(clippy::option_option, reason = "the outer one says whether it could be read")]
    fn answered(&self, step: &Fields<'_>, sent: Sent<'_>) -> Option<Option<Await>> {
        match step.get("await") {
            Some(v) => self.wait(step, v, sent).map(Some),
            None => {
                self.nothing_to_judge(step, "this step awaits nothing", "`await` beside it").map(|()| None)
            }
        }
    }

    fn wait(&self, step: &Fields<'_>, value: &Value<'_>, sent: Sent<'_>) -> Option<Await> {
        let reader = self.world.reader;
        let fields = reader.fields(value, keys::AWAIT)?;
        let within_ns = fields.get("within").map_or(Some(self.world.timeout_ns), |v| reader.span(v));
        if fields.get("event").is_some() {
            let wrong = Wrong::new("what is sent is answered on the WebSocket, and that has no events");
            let look = "an `await` that is a step of its own";
            reader.wrong(fields.key_span("event"), wrong.expected(look));
            return None;
        }
        let what = self.awaited(&fields, sent);
        let judgement = self.judgement(step, what.as_ref());
        Some(Await { what: what?, judgement: judgement?, within_ns: within_ns? })
    }

    /// What must hold of an awaited message.
    pub(super) fn awaited(&self, fields: &Fields<'_>, sent: Sent<'_>) -> Option<Awaited> {
        let reader = self.world.reader;
        let ways: Vec<_> = ["contains", "regex", "binary", "closed"]
            .into_iter()
            .filter(|k| fields.get(k).is_some())
            .collect();
        match ways.as_slice() {
            [] => self.awaited_json(fields, sent),
            [way] if fields.get("json").is_none() => self.awaited_by(fields, way, sent),
            [way, ..] => {
                let wrong = Wrong::new("a message is awaited in more than one way");
                reader.wrong(
                    fields.key_span(way),
                    wrong.expected("one of `json`, `contains`, `regex`, `binary` and `closed`"),
                );
                None
            }
        }
    }

    fn awaited_json(&self, fields: &Fields<'_>, sent: Sent<'_>) -> Option<Awaited> {
        let json = fields
            .need("json", "json = \"$.id\"")
            .and_then(|v| self.world.reader.read(v, JSON_LOOK, request::json_path));
        match fields.get("equals") {
            Some(v) => {
                let equals = self.expected(v, sent);
                Some(Awaited::JsonEquals(json?, equals?))
            }
            None if fields.meant("equals") => None,
            None => Some(Awaited::JsonAny(json?)),
        }
    }

    fn awaited_by(&self, fields: &Fields<'_>, way: &str, sent: Sent<'_>) -> Option<Awaited> {
        let reader = self.world.reader;
        if fields.get("equals").is_some() {
            let wrong = Wrong::new("`equals` belongs to a JSONPath").expected("`json` beside it");
            reader.wrong(fields.key_span("equals"), wrong);
            return None;
        }
        let value = fields.get(way)?;
        match way {
            "contains" => self.expected(value, sent).map(Awaited::Contains),
            "regex" => reader.read(value, "a regular expression", regex).map(Awaited::Regex),
            "binary" if reader.boolean(value)? => Some(Awaited::Binary),
            "closed" if reader.boolean(value)? => Some(Awaited::Closed),
            _ => {
                let look = format!("{way} = true");
                reader.wrong(value.span(), Wrong::new("nothing is awaited").expected(look));
                None
            }
        }
    }

    fn expected(&self, value: &Value<'_>, sent: Sent<'_>) -> Option<Template> {
        match sent {
            // What was sent is wrong itself: its fields are unknown, and so is what may be awaited.
            Sent::Fields(fields) => self.template_with(value, "a text in quotes", Some(fields?)),
            Sent::Nothing => self.template(value, "a text in quotes"),
        }
    }
}

/// What an `await` may refer to.
#[derive(Clone, Copy)]
pub(super) enum Sent<'a> {
    /// The top-level fields of what the same step sends; none if that is wrong.
    Fields(Option<&'a [String]>),
    /// Nothing that has fields.
    Nothing,
}

/// A message's size in bytes.
pub(super) fn size(text: &str) -> Result<u32, Wrong> {
    let bad = |_| Wrong::new(format!("{} is not a size", quoted(text))).expected(SIZE_LOOK);
    let bytes = quantity::bytes(text).map_err(bad)?;
    u32::try_from(bytes).ok().filter(|n| (1..=MAX_MESSAGE).contains(n)).ok_or_else(|| bad(Wrong::new("")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_have_units() {
        assert_eq!(super::size("1MiB").unwrap(), 1 << 20);
        assert_eq!(super::size(" 64 KiB").unwrap(), 64 << 10);
        for bad in ["0B", "5", "1GiB", "-1B", "MiB", ""] {
            assert!(super::size(bad).is_err(), "{bad}");
        }
    }
}
