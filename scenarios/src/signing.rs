//! Keys of tokens: read from what a scenario gives, and signing with them (RFC 7515).
//!
//! The reader of scenarios checks keys here and `loadgen` signs with them, so that a key that was taken is one that signs.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use aws_lc_rs::{hmac, signature};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::plan::Algorithm;

/// A key, ready to sign.
#[derive(Debug)]
pub struct Key(Kind);

#[derive(Debug)]
enum Kind {
    Shared(Box<hmac::Key>),
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
    Ed(Box<Ed25519KeyPair>),
}

impl Key {
    /// The key that `text` is: the secret itself, or a private key in PEM (PKCS #8, PKCS #1 or SEC 1).
    ///
    /// # Errors
    /// What is wrong with it, never what it is.
    pub fn new(algorithm: Algorithm, text: &str) -> Result<Self, String> {
        let shared = |digest| Ok(Self(Kind::Shared(Box::new(hmac::Key::new(digest, text.as_bytes())))));
        match algorithm {
            Algorithm::Hs256 => return shared(hmac::HMAC_SHA256),
            Algorithm::Hs384 => return shared(hmac::HMAC_SHA384),
            Algorithm::Hs512 => return shared(hmac::HMAC_SHA512),
            Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa => {}
        }
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| "this holds no private key in PEM".to_owned())?;
        private(algorithm, &der).ok_or_else(|| format!("this is no private key for {}", algorithm.name()))
    }

    /// Appends the signature of `message` to `out`; false if it could not be made, which no key that was taken does.
    #[must_use]
    pub fn sign(&self, message: &[u8], out: &mut Vec<u8>) -> bool {
        match &self.0 {
            Kind::Shared(key) => out.extend_from_slice(hmac::sign(key, message).as_ref()),
            Kind::Ed(key) => out.extend_from_slice(key.sign(message).as_ref()),
            Kind::Ec(key) => match key.sign(&SystemRandom::new(), message) {
                Ok(signed) => out.extend_from_slice(signed.as_ref()),
                Err(_) => return false,
            },
            Kind::Rsa(key) => {
                let start = out.len();
                out.resize(start + key.public_modulus_len(), 0);
                let padding: &'static dyn signature::RsaEncoding = &RSA_PKCS1_SHA256;
                return key.sign(padding, &SystemRandom::new(), message, &mut out[start..]).is_ok();
            }
        }
        true
    }
}

/// What the private key in a PEM text is for, if it is one that signs tokens.
#[must_use]
pub fn algorithm_of(pem: &str) -> Option<Algorithm> {
    let private_keys = Algorithm::ALL.into_iter().filter(|a| !a.is_shared());
    private_keys.into_iter().find(|a| Key::new(*a, pem).is_ok())
}

fn private(algorithm: Algorithm, der: &PrivateKeyDer<'_>) -> Option<Key> {
    let bytes = der.secret_der();
    let kind = match (algorithm, der) {
        (Algorithm::Rs256, PrivateKeyDer::Pkcs1(_)) => Kind::Rsa(Box::new(RsaKeyPair::from_der(bytes).ok()?)),
        (Algorithm::Rs256, PrivateKeyDer::Pkcs8(_)) => {
            Kind::Rsa(Box::new(RsaKeyPair::from_pkcs8(bytes).ok()?))
        }
        (Algorithm::Es256, PrivateKeyDer::Pkcs8(_)) => {
            let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes);
            Kind::Ec(Box::new(key.ok()?))
        }
        (Algorithm::Es256, PrivateKeyDer::Sec1(_)) => {
            let key = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes);
            Kind::Ec(Box::new(key.ok()?))
        }
        (Algorithm::EdDsa, PrivateKeyDer::Pkcs8(_)) => {
            Kind::Ed(Box::new(Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).ok()?))
        }
        _ => return None,
    };
    Some(Key(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7515_is_signed_as_it_says() {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let key = URL_SAFE_NO_PAD.decode(key).unwrap();
        let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let mut out = Vec::new();
        assert!(
            Key(Kind::Shared(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &key))))
                .sign(message.as_bytes(), &mut out)
        );
        assert_eq!(URL_SAFE_NO_PAD.encode(out), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn what_private_keys_sign_their_public_ones_verify() {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        use aws_lc_rs::signature::{
            ECDSA_P256_SHA256_FIXED, ED25519, KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
        };
        let rsa = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let ed = Ed25519KeyPair::generate().unwrap();
        let rsa_der = AsDer::<Pkcs8V1Der<'_>>::as_der(&rsa).unwrap();
        let check =
            |der: &[u8], algorithm, by: &'static dyn signature::VerificationAlgorithm, public: &[u8]| {
                let pem = pem(der);
                assert_eq!(algorithm_of(&pem), Some(algorithm));
                let mut signed = Vec::new();
                assert!(Key::new(algorithm, &pem).unwrap().sign(b"head.claims", &mut signed));
                UnparsedPublicKey::new(by, public).verify(b"head.claims", &signed).unwrap();
            };
        check(rsa_der.as_ref(), Algorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256, rsa.public_key().as_ref());
        let ec_der = ec.to_pkcs8v1().unwrap();
        check(ec_der.as_ref(), Algorithm::Es256, &ECDSA_P256_SHA256_FIXED, ec.public_key().as_ref());
        let ed_der = ed.to_pkcs8().unwrap();
        check(ed_der.as_ref(), Algorithm::EdDsa, &ED25519, ed.public_key().as_ref());
    }

    fn pem(der: &[u8]) -> String {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(Key::new(Algorithm::Hs512, "").is_ok());
        for text in ["", "secret", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(algorithm_of(text), None, "{text}");
            assert!(Key::new(Algorithm::EdDsa, text).is_err());
        }
    }
}
