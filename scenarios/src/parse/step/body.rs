//! Bodies: which one a step has; JSON, forms and plain texts as templates. Larger ones are in `upload` and `rendered`.

use std::ops::Range;

use toml::de::DeValue;

use super::Journey;
use crate::mistake::{Wrong, listed, quoted};
use crate::parse::reader::{Fields, Value};
use crate::plan::{Body, Content, Escape, Part, Template};
use crate::text::field::fixed_value;
use crate::text::json::{escape, of_type};
use crate::text::{form, template};

/// How deep a JSON body may be nested.
const MAX_JSON_DEPTH: usize = 32;

/// Content types of bodies that need not say theirs.
const JSON_TYPE: &str = "application/json";
const FORM_TYPE: &str = "application/x-www-form-urlencoded";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";
const MULTIPART_TYPE: &str = "multipart/form-data";
/// The keys of which a request has at most one.
const BODIES: &[&str] =
    &["json", "form", "body", "template", "template-file", "multipart", "file", "generated"];

impl Journey<'_, '_> {
    /// Body and content type; the outer option is none when something is wrong (noted).
    #[expect(clippy::option_option, reason = "the outer one says whether it could be read")]
    pub(super) fn body(&self, fields: &Fields<'_>, verb: &str) -> Option<Option<(String, Body)>> {
        let reader = self.world.reader;
        let given: Vec<_> = BODIES.iter().copied().filter(|k| fields.get(k).is_some()).collect();
        let [key] = given.as_slice() else {
            if given.len() > 1 {
                let wrong = Wrong::new(format!("this step has both `{}` and `{}`", given[0], given[1]));
                reader.wrong(fields.key_span(given[1]), wrong.expected("one body"));
                return None;
            }
            for key in ["type", "chunked", "expect-continue"] {
                if fields.get(key).is_some() {
                    let wrong = Wrong::new(format!("{} without a body", quoted(key)));
                    let look = format!("one of {} beside it", listed(BODIES.iter().copied()));
                    reader.wrong(fields.key_span(key), wrong.expected(look));
                    return None;
                }
            }
            return Some(None);
        };
        if matches!(verb, "get" | "head") {
            let wrong = Wrong::new(format!("a {} has no body", verb.to_uppercase()));
            reader.wrong(
                fields.key_span(key),
                wrong.expected("post, put, patch or delete").help("a query stands in the path"),
            );
        }
        let value = fields.get(key)?;
        let text = |kind, template: Option<Template>| template.map(|t| (kind, Body::from(t)));
        let whole = |(kind, content)| (kind, Body::Whole(content));
        let body = match *key {
            "json" => text(JSON_TYPE, self.json(value)),
            "form" => text(FORM_TYPE, self.form(value)),
            "template" => self.template_text(value).map(|body| (JSON_TYPE, body)),
            "template-file" => self.template_file(value).map(|body| (JSON_TYPE, body)),
            "multipart" => self.multipart(value).map(|body| (MULTIPART_TYPE, body)),
            "file" => self.file(value).map(whole),
            "generated" => self.generated(value).map(whole),
            _ => text(TEXT_TYPE, self.template(value, "a text in quotes")),
        };
        if *key == "multipart" && fields.get("type").is_some() {
            let wrong = Wrong::new("the content type of a form names its boundary");
            reader.wrong(fields.key_span("type"), wrong.expected("no `type` beside `multipart`"));
        }
        let (kind, body) = body?;
        let kind = match fields.get("type") {
            Some(v) => reader.read(v, "a content type in quotes", fixed_value)?,
            None => kind.to_owned(),
        };
        let body = match body {
            // The holes of `json` and `form` are marked already.
            Body::Whole(Content::Text(text)) if *key == "body" => Body::from(of_type(&kind, text)),
            other => other,
        };
        Some(Some((kind, body)))
    }

    /// A TOML value as JSON text, its keys in the order of the file.
    pub(super) fn json(&self, value: &Value<'_>) -> Option<Template> {
        let mut parts = Parts::default();
        self.write_json(value, 0, &mut parts)?;
        Some(Template(parts.0))
    }

    fn write_json(&self, value: &Value<'_>, depth: usize, out: &mut Parts) -> Option<()> {
        let reader = self.world.reader;
        if depth > MAX_JSON_DEPTH {
            reader.wrong(
                value.span(),
                Wrong::new("this is nested too deeply").expected(format!("at most {MAX_JSON_DEPTH} levels")),
            );
            return None;
        }
        match value.get_ref() {
            DeValue::String(_) => self.write_string(value, out)?,
            DeValue::Boolean(b) => out.text(if *b { "true" } else { "false" }),
            DeValue::Datetime(d) => out.text(&format!("\"{d}\"")),
            DeValue::Integer(_) | DeValue::Float(_) => out.text(&plain_value(self, value)?.to_string()),
            DeValue::Array(values) => {
                out.text("[");
                for (i, v) in values.iter().enumerate() {
                    out.text(if i > 0 { "," } else { "" });
                    self.write_json(v, depth + 1, out)?;
                }
                out.text("]");
            }
            DeValue::Table(_) => {
                out.text("{");
                for (i, (key, span, v)) in reader.table(value, "a table")?.into_iter().enumerate() {
                    self.fixed_key(key, span)?;
                    out.text(&format!("{}\"{}\":", if i > 0 { "," } else { "" }, escape(key)));
                    self.write_json(v, depth + 1, out)?;
                }
                out.text("}");
            }
        }
        Some(())
    }

    fn write_string(&self, value: &Value<'_>, out: &mut Parts) -> Option<()> {
        out.text("\"");
        for part in self.template(value, "a text in quotes")?.0 {
            match part {
                Part::Text(text) => out.text(&escape(&text)),
                hole => out.hole(Escape::Json, hole),
            }
        }
        out.text("\"");
        Some(())
    }

    /// A key that is written as it stands; a `${` in it is noted.
    fn fixed_key(&self, key: &str, span: Range<usize>) -> Option<()> {
        template::without_holes(key).map_err(|w| self.world.reader.wrong(span, w)).ok()
    }

    fn form(&self, value: &Value<'_>) -> Option<Template> {
        let reader = self.world.reader;
        let mut parts = Parts::default();
        for (i, (key, span, v)) in
            reader.table(value, "a table such as { user = \"ann\" }")?.into_iter().enumerate()
        {
            self.fixed_key(key, span)?;
            out_field(&mut parts, i, key);
            match v.get_ref() {
                DeValue::String(_) => {
                    for part in self.template(v, "a text in quotes")?.0 {
                        match part {
                            Part::Text(text) => parts.text(&form::encode(&text)),
                            hole => parts.hole(Escape::Form, hole),
                        }
                    }
                }
                DeValue::Array(_) | DeValue::Table(_) => {
                    reader.not_a(v, "a string, a number, true or false");
                    return None;
                }
                _ => {
                    let plain = plain_value(self, v)?;
                    let text = plain.as_str().map_or_else(|| plain.to_string(), str::to_owned);
                    parts.text(&form::encode(&text));
                }
            }
        }
        Some(Template(parts.0))
    }
}

fn out_field(parts: &mut Parts, index: usize, key: &str) {
    parts.text(if index > 0 { "&" } else { "" });
    parts.text(&form::encode(key));
    parts.text("=");
}

/// A value that is compared or written as it stands; a `${` in it is noted, since nothing fills it in.
pub(super) fn plain_value(journey: &Journey<'_, '_>, value: &Value<'_>) -> Option<serde_json::Value> {
    let reader = journey.world.reader;
    match value.get_ref() {
        DeValue::String(text) => {
            template::without_holes(text).map_err(|w| reader.wrong_in(value, text, w)).ok()?;
            Some(serde_json::Value::String(text.to_string()))
        }
        DeValue::Boolean(b) => Some((*b).into()),
        DeValue::Datetime(d) => Some(d.to_string().into()),
        DeValue::Integer(i) => {
            let n = i64::from_str_radix(&i.as_str().replace('_', ""), i.radix()).ok();
            if n.is_none() {
                reader.not_a(value, "a whole number of at most 64 bits");
            }
            n.map(Into::into)
        }
        DeValue::Float(_) => {
            let n = crate::parse::reader::number(value.get_ref()).and_then(serde_json::Number::from_f64);
            if n.is_none() {
                reader.not_a(value, "a finite number");
            }
            n.map(serde_json::Value::Number)
        }
        DeValue::Array(values) => values.iter().map(|v| plain_value(journey, v)).collect(),
        DeValue::Table(_) => {
            let entries = reader.table(value, "a table")?;
            entries
                .into_iter()
                .map(|(key, span, v)| {
                    journey.fixed_key(key, span)?;
                    Some((key.to_owned(), plain_value(journey, v)?))
                })
                .collect()
        }
    }
}

/// Parts of a template under construction; neighbouring texts become one.
#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn text(&mut self, text: &str) {
        if text.is_empty() {
        } else if let Some(Part::Text(last)) = self.0.last_mut() {
            last.push_str(text);
        } else {
            self.0.push(Part::Text(text.to_owned()));
        }
    }

    fn hole(&mut self, escape: Escape, hole: Part) {
        self.0.push(Part::Escaped(escape, Box::new(hole)));
    }
}
