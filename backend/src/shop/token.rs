//! Tokens: JSON Web Tokens, signed with HMAC-SHA-256 (HS256) by a key that all workers of a backend share.
//!
//! A token says whose session it is, for whom it is meant and until when. Owns making and checking it; whether
//! the session still exists is [`super::sessions`]'s question.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use timeline::clock::unix_ms;

use super::sessions::{Session, SessionId};

/// Whom a token is meant for.
const AUDIENCE: &str = "dyno-shop";
/// The one way of signing that is accepted: never the one that a token names.
const ALGORITHM: Algorithm = Algorithm::HS256;

/// What a token says (RFC 7519, section 4.1).
#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    /// The customer's number.
    sub: String,
    /// The session.
    jti: String,
    /// Seconds since the Unix epoch.
    iat: u64,
    /// The same.
    exp: u64,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It has had its time.
    #[error("this token has expired")]
    Expired,
    /// Somebody else made or changed it.
    #[error("this token's signature is wrong")]
    Signature,
    /// It names another algorithm, or none.
    #[error("this token is not signed with HS256")]
    Algorithm,
    /// It was made for another service.
    #[error("this token is meant for somebody else")]
    Audience,
    /// Anything else.
    #[error("this is no token")]
    Malformed,
}

/// Makes and checks tokens.
pub struct Tokens {
    sign: EncodingKey,
    verify: DecodingKey,
    rules: Validation,
}

impl Tokens {
    /// With the key that all workers share.
    pub fn new(secret: &str) -> Self {
        let mut rules = Validation::new(ALGORITHM);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "aud", "sub"]);
        // Maker and checker have the same clock.
        rules.leeway = 0;
        Self {
            sign: EncodingKey::from_secret(secret.as_bytes()),
            verify: DecodingKey::from_secret(secret.as_bytes()),
            rules,
        }
    }

    /// The token of `session`, which is good for `life_ms` milliseconds from now, and up to a second longer: claims are of whole seconds.
    pub fn make(&self, session: &Session, life_ms: i64) -> String {
        let now = unix_ms() / 1_000;
        let claims = Claims {
            aud: AUDIENCE.to_owned(),
            sub: session.customer.to_string(),
            jti: session.id.token(),
            iat: now,
            exp: now.saturating_add_signed(life_ms / 1_000),
        };
        encode(&Header::new(ALGORITHM), &claims, &self.sign)
            .expect("claims are texts and numbers, and the key is for HMAC")
    }

    /// The session that `token` is of, if its signature, algorithm, audience and time are right.
    ///
    /// # Errors
    /// Which of them is not.
    pub fn check(&self, token: &str) -> Result<SessionId, TokenError> {
        let checked = decode::<Claims>(token, &self.verify, &self.rules).map_err(|e| match e.kind() {
            ErrorKind::ExpiredSignature => TokenError::Expired,
            ErrorKind::InvalidSignature => TokenError::Signature,
            ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => TokenError::Algorithm,
            ErrorKind::InvalidAudience => TokenError::Audience,
            _ => TokenError::Malformed,
        })?;
        SessionId::from_token(&checked.claims.jti).ok_or(TokenError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens::new("a secret of the tests")
    }

    fn session() -> Session {
        Session { id: SessionId(7), customer: 1 }
    }

    /// A token with these claims, signed as it should be.
    fn signed(claims: serde_json::Value) -> String {
        encode(&Header::new(ALGORITHM), &claims, &tokens().sign).unwrap()
    }

    #[test]
    fn a_token_that_is_right_is_of_its_session() {
        assert_eq!(tokens().check(&tokens().make(&session(), 60_000)), Ok(SessionId(7)));
    }

    #[test]
    fn signature_algorithm_time_and_audience_are_checked() {
        let good = tokens().make(&session(), 60_000);
        let other_key = Tokens::new("another secret").make(&session(), 60_000);
        assert_eq!(tokens().check(&other_key), Err(TokenError::Signature));
        assert_eq!(tokens().check(&tokens().make(&session(), -60_000)), Err(TokenError::Expired));
        let now = unix_ms() / 1_000 + 60;
        let elsewhere =
            signed(serde_json::json!({"aud": "bank", "sub": "1", "jti": "07", "iat": 0, "exp": now}));
        assert_eq!(tokens().check(&elsewhere), Err(TokenError::Audience));
        let endless =
            signed(serde_json::json!({"aud": AUDIENCE, "sub": "1", "jti": SessionId(7).token(), "iat": 0}));
        assert_eq!(tokens().check(&endless), Err(TokenError::Malformed));
        // The claims of a good token under a head that says `none`, without and with its signature.
        let parts: Vec<&str> = good.split('.').collect();
        for signature in ["", parts[2]] {
            let forged = format!("eyJhbGciOiJub25lIn0.{}.{signature}", parts[1]);
            assert!(matches!(tokens().check(&forged), Err(TokenError::Algorithm | TokenError::Malformed)));
        }
        let stronger = encode(
            &Header::new(Algorithm::HS512),
            &serde_json::json!({"aud": AUDIENCE, "sub": "1", "jti": SessionId(7).token(), "iat": 0, "exp": now}),
            &tokens().sign,
        );
        assert_eq!(tokens().check(&stronger.unwrap()), Err(TokenError::Algorithm));
        for nonsense in ["", ".", "a.b.c", "....", &"x".repeat(10_000)] {
            assert!(tokens().check(nonsense).is_err());
        }
    }
}
