//! What steps refer to by number and every worker gets once: files that are sent, keys that sign tokens.

use serde::{Deserialize, Serialize};

use super::{Secret, Template};

/// What steps refer to by number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Assets {
    /// Files, read when the plan was made.
    pub files: Vec<File>,
    /// What makes tokens.
    pub signers: Vec<Signer>,
}

/// A file that is sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// As the scenario names it.
    pub name: String,
    /// What it holds; in JSON as base64.
    #[serde(with = "in_base64")]
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "File({:?}, {} bytes)", self.name, self.bytes.len())
    }
}

/// What makes JSON web tokens (RFC 7519).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signer {
    /// How it signs.
    pub algorithm: Algorithm,
    /// Its key: the secret itself, or a private key in PEM.
    pub key: Secret,
    /// The token's header as JSON.
    pub header: String,
    /// A JSON object; `iat` and `exp` are added in front.
    pub claims: Template,
    /// How long a token is good, ms; a session signs a new one shortly before.
    pub expires_ms: u64,
}

/// How tokens are signed (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Hs256, Self::Hs384, Self::Hs512, Self::Rs256, Self::Es256, Self::EdDsa];

    /// As `alg` names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Is its key a shared secret?
    #[must_use]
    pub const fn is_shared(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}

impl Assets {
    /// Empties what must not be kept.
    pub(super) fn hide_secrets(&mut self) {
        for signer in &mut self.signers {
            signer.key.value.clear();
            signer.claims.hide_secrets();
        }
    }
}

mod in_base64 {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(de::Error::custom)
    }
}
