//! Signatures under messages and invoices: RSA with SHA-256, as mail servers put them (DKIM, RFC 6376).
//!
//! One takes between a third of a millisecond and one, of a CPU and nothing else, so how many are asked for is what makes a service slow.
//! Nobody checks them: the key is made when it is first wanted, and gone with the process.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;

/// As keys of mail servers are today.
static KEY: LazyLock<KeyPair> =
    LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).expect("making a key of a usual size cannot fail"));

/// The signature under `text`; each further one signs the one before. Takes CPU: never call it on the event loop.
pub fn sign(text: &[u8], times: usize) -> Vec<u8> {
    let random = SystemRandom::new();
    let mut signature = vec![0; KEY.public_modulus_len()];
    let mut signed = text.to_vec();
    for _ in 0..times {
        KEY.sign(&RSA_PKCS1_SHA256, &random, &signed, &mut signature)
            .expect("the signature has the length of the key");
        signed.clone_from(&signature);
    }
    signature
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    #[test]
    fn every_one_of_the_signatures_is_really_made() {
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, KEY.public_key().as_ref());
        let (first, third) = (sign(b"an order", 1), sign(b"an order", 3));
        assert!(public.verify(b"an order", &first).is_ok());
        assert!(public.verify(&sign(b"an order", 2), &third).is_ok() && first != third);
    }
}
