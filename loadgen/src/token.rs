//! JSON web tokens: made when a session first needs one, kept until shortly before it expires.
//!
//! A token is signed anew too where its claims have become others, say because a variable was saved meanwhile.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scenarios::plan;
use scenarios::signing::Key;
use timeline::clock::unix_ms;

use crate::program::BadPlan;
use crate::template::{Place, Text, Values, write_i64};

/// A token is renewed so long before it expires, ms, but at most for a tenth of its life: it must be good when it arrives.
const MARGIN_MS: u64 = 30_000;

/// What makes tokens, ready to sign.
#[derive(Debug)]
pub struct Signer {
    key: Key,
    /// The header in base64, and the dot behind it.
    head: String,
    claims: Text,
    /// Does every writing of the claims differ? Then they say nothing of whether the token is still right.
    varies: bool,
    expires_ms: u64,
}

/// A session's tokens, by the number of their signer.
pub type Tokens = Vec<Option<Token>>;

/// A signed token.
#[derive(Debug)]
pub struct Token {
    text: String,
    claims: Vec<u8>,
    /// Unix time, ms.
    until: u64,
}

impl Signer {
    /// Makes one ready.
    ///
    /// # Errors
    /// [`BadPlan::Key`]: the parser takes no such key.
    pub fn new(signer: &plan::Signer) -> Result<Self, BadPlan> {
        let mut claims = Text::default();
        claims.template(&signer.claims, Place::Plain);
        Ok(Self {
            key: Key::new(signer.algorithm, &signer.key.value).map_err(BadPlan::Key)?,
            head: URL_SAFE_NO_PAD.encode(&signer.header) + ".",
            varies: claims.varies(),
            claims,
            expires_ms: signer.expires_ms,
        })
    }

    /// The feeders whose columns are claimed.
    pub fn feeders(&self) -> Vec<usize> {
        self.claims.feeders()
    }

    /// Appends the session's token to `out`.
    pub fn write(&self, index: usize, out: &mut Vec<u8>, values: &mut Values<'_>) {
        let now = unix_ms();
        let mut claims = Vec::new();
        self.claims.write(&mut claims, values);
        let Some(kept) = values.tokens else { return };
        let kept = &mut *kept.borrow_mut();
        if kept.len() <= index {
            kept.resize_with(index + 1, || None);
        }
        let good = |t: &Token| t.until > now && (self.varies || t.claims == claims);
        let token = match kept[index].take().filter(good) {
            Some(token) => token,
            None => self.sign(claims, now),
        };
        out.extend_from_slice(token.text.as_bytes());
        kept[index] = Some(token);
    }

    fn sign(&self, claims: Vec<u8>, now: u64) -> Token {
        let expires = now + self.expires_ms;
        let mut payload = b"{\"iat\":".to_vec();
        write_i64(&mut payload, (now / 1000) as i64);
        payload.extend_from_slice(b",\"exp\":");
        write_i64(&mut payload, (expires / 1000) as i64);
        // The claims are an object; what stands behind its brace goes on in ours.
        let rest = claims.get(1..).unwrap_or(b"}");
        if rest != b"}" {
            payload.push(b',');
        }
        payload.extend_from_slice(rest);
        let mut text = self.head.clone() + &URL_SAFE_NO_PAD.encode(&payload);
        let mut signature = Vec::new();
        // An unsigned token is refused by the target, which the figures then show.
        let _ = self.key.sign(text.as_bytes(), &mut signature);
        text.push('.');
        text += &URL_SAFE_NO_PAD.encode(&signature);
        Token { text, claims, until: expires - MARGIN_MS.min(self.expires_ms / 10) }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::random::Stream;
    use scenarios::plan::{Algorithm, Part, Secret, Slot, Template};

    #[test]
    fn a_token_is_kept_until_its_claims_change_or_it_expires() {
        let claims = vec![Part::Text("{\"sub\":\"".into()), Part::Var(Slot(0)), Part::Text("\"}".into())];
        let signer = |expires_ms| {
            Signer::new(&plan::Signer {
                algorithm: Algorithm::Hs256,
                key: Secret { name: "k".into(), value: "hush".into() },
                header: "{\"alg\":\"HS256\"}".into(),
                claims: Template(claims.clone()),
                expires_ms,
            })
            .unwrap()
        };
        let (mut stream, tokens) = (Stream::of(1, 2), RefCell::default());
        let mut write = |signer: &Signer, var: &str| {
            let vars = [Some(var.into())];
            let mut out = Vec::new();
            let mut values = Values { tokens: Some(&tokens), ..Values::of_vars(&vars, &mut stream) };
            signer.write(0, &mut out, &mut values);
            // One that was kept is told from a new one by this mark.
            "kept".clone_into(&mut tokens.borrow_mut()[0].as_mut().unwrap().text);
            String::from_utf8(out).unwrap()
        };
        let claimed = |token: &str| {
            let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
            let json: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            (json["sub"].clone(), json["exp"].as_i64().unwrap() - json["iat"].as_i64().unwrap())
        };
        let long = signer(600_000);
        assert_eq!(claimed(&write(&long, "ann")), ("ann".into(), 600));
        assert_eq!(write(&long, "ann"), "kept");
        assert_eq!(claimed(&write(&long, "bob")), ("bob".into(), 600));
        tokens.borrow_mut().clear();
        let short = signer(0);
        assert_eq!(claimed(&write(&short, "bob")).0, "bob");
        assert_eq!(claimed(&write(&short, "bob")).0, "bob");
    }
}
