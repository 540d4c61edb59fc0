//! Steps on an event stream (server-sent events): `events` with its options, `await` and `close`.
//!
//! Where a session has opened an event stream and no WebSocket, `await` and `close = true` mean the stream; where it has
//! both, `event` and `close = "events"` name it. `EVENT-STREAMS.md` is the guide for users.

use toml::de::DeValue;

use super::socket::{JSON_LOOK, SIZE_LOOK, Sent, size};
use super::{Journey, request};
use crate::mistake::{Wrong, quoted};
use crate::parse::keys;
use crate::parse::reader::{Fields, Value};
use crate::plan::{AwaitEvent, OpenEvents, Step, StreamOptions};
use crate::text::template;

const CLOSE_LOOK: &str = "close = true, or close = \"events\"";
const EVENT_LOOK: &str = "an event's type, or true for any";

impl Journey<'_, '_> {
    pub(super) fn open_events(&mut self, fields: &Fields<'_>, what: &Value<'_>) -> Option<Step> {
        self.streaming = true;
        let reader = self.world.reader;
        let id = self.id(fields, "events");
        let path = self.path(what);
        let headers = self.authorized_headers(fields);
        let mut options = StreamOptions::default();
        if let Some(v) = fields.get("max-event") {
            options.max_event = Some(reader.read(v, SIZE_LOOK, size)?);
        }
        if let Some(v) = fields.get("push-age") {
            options.push_age = Some(reader.read(v, JSON_LOOK, request::json_path)?);
        }
        if let Some(v) = fields.get("reconnect") {
            options.reconnect = reader.boolean(v)?;
        }
        Some(Step::OpenEvents(Box::new(OpenEvents { id: id?, path: path?, headers: headers?, options })))
    }

    /// Does the value of an `await` or `close` speak of the event stream?
    pub(super) fn is_of_stream(&self, what: &Value<'_>) -> bool {
        let named = match what.get_ref() {
            DeValue::Table(table) => table.contains_key("event"),
            DeValue::String(_) => true,
            _ => false,
        };
        named || (self.streaming && !self.connected)
    }

    pub(super) fn await_event(&mut self, step: &Fields<'_>, what: &Value<'_>) -> Option<Step> {
        self.must_be_streaming(step, "await");
        let id = self.id(step, "await");
        let reader = self.world.reader;
        let fields = reader.fields(what, keys::AWAIT)?;
        for (key, why) in
            [("binary", "an event is text"), ("closed", "the end of an event stream cannot be awaited")]
        {
            if fields.get(key).is_some() {
                let wrong = Wrong::new(why).expected("`json`, `contains` or `regex`");
                reader.wrong(fields.key_span(key), wrong);
                return None;
            }
        }
        let within_ns = fields.get("within").map_or(Some(self.world.timeout_ns), |v| reader.span(v));
        let kind = match fields.get("event") {
            Some(v) => self.kind(v)?,
            None => None,
        };
        let asked = |k: &&str| fields.get(k).is_some() || fields.meant(k);
        let asks = ["json", "equals", "contains", "regex"].iter().any(asked);
        let what = match fields.get("event") {
            Some(_) if !asks => None,
            _ => Some(self.awaited(&fields, Sent::Nothing)?),
        };
        let judgement = self.judgement(step, what.as_ref())?;
        Some(Step::AwaitEvent(Box::new(AwaitEvent { id: id?, kind, what, judgement, within_ns: within_ns? })))
    }

    /// The type of an awaited event; none for any.
    #[expect(clippy::option_option, reason = "the outer one says whether it could be read")]
    fn kind(&self, value: &Value<'_>) -> Option<Option<String>> {
        let reader = self.world.reader;
        if matches!(value.get_ref(), DeValue::Boolean(true)) {
            return Some(None);
        }
        let kind = reader.read(value, EVENT_LOOK, |text| {
            template::without_holes(text)?;
            // The empty type is that of an event without one, which is dispatched as `message`.
            if text.is_empty() || text.contains(['\r', '\n']) {
                return Err(
                    Wrong::new(format!("no event has the type {}", quoted(text))).expected(EVENT_LOOK)
                );
            }
            Ok(text.to_owned())
        });
        kind.map(Some)
    }

    pub(super) fn close_events(&mut self, fields: &Fields<'_>, what: &Value<'_>) -> Option<Step> {
        self.must_be_streaming(fields, "close");
        let reader = self.world.reader;
        let closes = match what.get_ref() {
            DeValue::Boolean(yes) => *yes,
            _ => reader.read(what, CLOSE_LOOK, |text| match text {
                "events" => Ok(true),
                _ => Err(Wrong::new(format!("{} cannot be closed", quoted(text)))
                    .expected(CLOSE_LOOK)
                    .did_you_mean(text, ["events"])),
            })?,
        };
        if !closes {
            reader.wrong(what.span(), Wrong::new("this step does nothing").expected(CLOSE_LOOK));
            return None;
        }
        self.closing_id(fields, what, "close events").map(Step::CloseEvents)
    }

    fn must_be_streaming(&self, fields: &Fields<'_>, verb: &str) {
        if !self.streaming {
            let wrong =
                Wrong::new(format!("this `{verb}` needs an event stream, and no earlier step opens one"));
            let look = "a step such as { name = \"stream\", events = \"/stream\" } before it";
            self.world.reader.wrong(fields.key_span(verb), wrong.expected(look));
        }
    }
}
