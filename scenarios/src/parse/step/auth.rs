//! `auth`: who a session says it is. It becomes the header field `Authorization` of each request.

use toml::de::DeValue;

use super::Journey;
use super::body::plain_value;
use crate::mistake::{Wrong, no_such, quoted};
use crate::parse::keys;
use crate::parse::reader::{Fields, Value};
use crate::parse::transport::pem;
use crate::plan::{Algorithm, Part, Secret, Signer, Template};
use crate::signing::{self, Key};
use crate::text::field;

const FIELD: &str = "Authorization";
const LOOK: &str = "\"none\", { basic = { user = \"\", pass = \"\" } }, { bearer = \"\" } or { jwt = { secret = \"\", claims = {} } }";
const KEY_LOOK: &str =
    "the path of a PEM file with a private key (RSA, P-256 or Ed25519), such as \"token.key\"";
/// How long a token is good if it does not say, ns.
const USUAL_EXPIRY_NS: u64 = 300_000_000_000;
/// Claims that are written for each token.
const OWN_CLAIMS: &[&str] = &["iat", "exp"];

/// What is said of authentication.
#[derive(Debug, Clone)]
pub(crate) enum Auth {
    /// None, whatever stands around.
    Off,
    /// The value of `Authorization`.
    Field(Template),
}

impl Journey<'_, '_> {
    /// Adds the header field that a step's `auth` asks for, or that of its session or of the target.
    pub(super) fn authorize(&self, fields: &Fields<'_>, headers: &mut Vec<(String, Template)>) -> Option<()> {
        let explicit = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(FIELD));
        let auth = match fields.get("auth") {
            Some(value) => {
                let auth = self.auth(value)?;
                if explicit && matches!(auth, Auth::Field(_)) {
                    let wrong = Wrong::new("this step has both `auth` and a header `Authorization`");
                    self.world.reader.wrong(fields.key_span("auth"), wrong.expected("one of them"));
                    return None;
                }
                Some(auth)
            }
            None => self.inherited.clone(),
        };
        if let Some(Auth::Field(value)) = auth
            && !explicit
        {
            headers.push((FIELD.to_owned(), value));
        }
        Some(())
    }

    pub(crate) fn auth(&self, value: &Value<'_>) -> Option<Auth> {
        let reader = self.world.reader;
        if let DeValue::String(text) = value.get_ref() {
            if text == "none" {
                return Some(Auth::Off);
            }
            reader.wrong(
                value.span(),
                Wrong::new(format!("{} is no authentication", quoted(text))).expected(LOOK),
            );
            return None;
        }
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            reader.not_a(value, LOOK);
            return None;
        }
        let fields = reader.fields(value, keys::AUTH)?;
        let given: Vec<_> =
            ["basic", "bearer", "jwt"].into_iter().filter(|k| fields.get(k).is_some()).collect();
        let [way] = given.as_slice() else {
            let known = fields.entries().iter().all(|(key, ..)| keys::AUTH.keys.contains(key));
            if known {
                let wrong = Wrong::new(format!("this `auth` has {} ways", given.len()));
                reader.wrong(value.span(), wrong.expected(LOOK));
            }
            return None;
        };
        let value = fields.get(way)?;
        let parts = match *way {
            "basic" => self.basic(value)?,
            "bearer" => {
                let token = self.one_line(value)?;
                [vec![Part::Text("Bearer ".to_owned())], token].concat()
            }
            _ => vec![Part::Text("Bearer ".to_owned()), Part::Token(self.token(value)?)],
        };
        Some(Auth::Field(Template(parts)))
    }

    /// A template of one line.
    fn one_line(&self, value: &Value<'_>) -> Option<Vec<Part>> {
        let look = "a text in quotes";
        self.world.reader.read(value, look, field::value)?;
        self.template(value, look).map(|t| t.0)
    }

    fn basic(&self, value: &Value<'_>) -> Option<Vec<Part>> {
        let reader = self.world.reader;
        let fields = reader.fields(value, keys::BASIC)?;
        let user = fields.need("user", "user = \"ann\"").and_then(|v| {
            // RFC 7617, 2: the first colon ends the user's name.
            reader.read(v, "a name in quotes", |text| match text.contains(':') && !text.contains("${") {
                true => Err(Wrong::new("a user's name has no colon").expected("a name without `:`")),
                false => Ok(()),
            })?;
            self.one_line(v)
        });
        let pass = fields.need("pass", "pass = \"${PASSWORD}\"").and_then(|v| self.one_line(v));
        let both = [user?, vec![Part::Text(":".to_owned())], pass?].concat();
        Some(vec![Part::Text("Basic ".to_owned()), Part::Base64(Template(both))])
    }

    /// The number of what makes a token.
    fn token(&self, value: &Value<'_>) -> Option<u16> {
        let reader = self.world.reader;
        let fields = reader.fields(value, keys::JWT)?;
        let key = self.key(&fields);
        let claims = match fields.get("claims") {
            Some(v) => self.claims(v),
            None => Some(Template(vec![Part::Text("{}".to_owned())])),
        };
        let expires = fields.get("expires").map_or(Some(USUAL_EXPIRY_NS), |v| reader.span(v));
        let (algorithm, key) = key?;
        let header = self.header(&fields, algorithm);
        let expires_ms = (expires? / 1_000_000).max(1_000);
        let signer = Signer { algorithm, key, header: header?, claims: claims?, expires_ms };
        let signers = &mut self.world.assets.borrow_mut().signers;
        let known = signers.iter().position(|s| *s == signer);
        Some(known.unwrap_or_else(|| {
            signers.push(signer);
            signers.len() - 1
        }) as u16)
    }

    fn key(&self, fields: &Fields<'_>) -> Option<(Algorithm, Secret)> {
        let reader = self.world.reader;
        let asked = match fields.get("algorithm") {
            Some(v) => Some(reader.read(v, "the name of an algorithm", algorithm)?),
            None => None,
        };
        match (fields.get("secret"), fields.get("key-file")) {
            (Some(v), None) => {
                let key = self.secret(v)?;
                let algorithm = asked.unwrap_or(Algorithm::Hs256);
                if !algorithm.is_shared() {
                    let wrong = Wrong::new(format!("{} signs with a private key", algorithm.name()));
                    reader.wrong(fields.key_span("algorithm"), wrong.expected("key-file = \"token.key\""));
                    return None;
                }
                Some((algorithm, key))
            }
            (None, Some(v)) => {
                let (name, value) = pem(reader, v, KEY_LOOK, "PRIVATE KEY")?;
                let read = |_: &str| {
                    let found = asked.or_else(|| signing::algorithm_of(&value));
                    let algorithm = found.ok_or_else(|| {
                        Wrong::new("this key signs no tokens").expected("RSA, P-256 or Ed25519")
                    })?;
                    Key::new(algorithm, &value).map_err(|why| Wrong::new(why).expected(KEY_LOOK))?;
                    Ok(algorithm)
                };
                let algorithm = reader.read(v, KEY_LOOK, read)?;
                if algorithm.is_shared() {
                    let wrong = Wrong::new(format!("{} signs with a secret", algorithm.name()));
                    reader.wrong(fields.key_span("algorithm"), wrong.expected("secret = \"${KEY}\""));
                    return None;
                }
                Some((algorithm, Secret { name, value }))
            }
            (both, _) => {
                let what = if both.is_some() { "both `secret` and `key-file`" } else { "no key" };
                let wrong = Wrong::new(format!("this token has {what}"));
                reader
                    .wrong(fields.span(), wrong.expected("secret = \"${KEY}\" or key-file = \"token.key\""));
                None
            }
        }
    }

    /// A secret that is the same for all sessions, under the name of the variable that holds it.
    fn secret(&self, value: &Value<'_>) -> Option<Secret> {
        let mut secret = Secret { name: "secret".to_owned(), value: String::new() };
        for part in self.template(value, "a text in quotes")?.0 {
            match part {
                Part::Text(text) => secret.value += &text,
                Part::Secret(inner) => {
                    secret.value += &inner.value;
                    secret.name = inner.name;
                }
                _ => {
                    let wrong = Wrong::new("a key is the same for all sessions");
                    let look =
                        "the name of an environment variable that [target] env lists, such as \"${KEY}\"";
                    self.world.reader.wrong(value.span(), wrong.expected(look));
                    return None;
                }
            }
        }
        Some(secret)
    }

    fn claims(&self, value: &Value<'_>) -> Option<Template> {
        let reader = self.world.reader;
        for (name, span, _) in self.entries(value, "a table such as { sub = \"${users.id}\" }")? {
            if OWN_CLAIMS.contains(&name) {
                let wrong = Wrong::new(format!("{} is written for each token", quoted(name)));
                reader.wrong(span, wrong.expected("`expires` beside the claims"));
                return None;
            }
        }
        self.json(value)
    }

    /// The token's header as JSON.
    fn header(&self, fields: &Fields<'_>, algorithm: Algorithm) -> Option<String> {
        let reader = self.world.reader;
        let mut header = serde_json::Map::new();
        header.insert("alg".to_owned(), algorithm.name().into());
        header.insert("typ".to_owned(), "JWT".into());
        if let Some(value) = fields.get("header") {
            for (name, span, value) in self.entries(value, "a table such as { kid = \"1\" }")? {
                if name == "alg" {
                    let wrong = Wrong::new("`alg` is written for each token");
                    reader.wrong(span, wrong.expected("`algorithm` beside the header"));
                    return None;
                }
                header.insert(name.to_owned(), plain_value(self, value)?);
            }
        }
        Some(serde_json::Value::Object(header).to_string())
    }
}

fn algorithm(text: &str) -> Result<Algorithm, Wrong> {
    let found = Algorithm::ALL.into_iter().find(|a| a.name() == text);
    found.ok_or_else(|| no_such("algorithm", text, Algorithm::ALL.iter().map(|a| a.name())))
}
