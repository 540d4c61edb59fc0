//! Passwords: Argon2id, at a stated cost.

use std::hint::black_box;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;

/// Length of a salt.
pub const SALT_BYTES: usize = 16;
/// Length of a hash.
pub const HASH_BYTES: usize = 32;
/// 1 MiB and one pass take about a millisecond. That is far below what a shop should spend (RFC 9106
/// recommends 64 MiB and three passes), so that a few hundred sessions can log in per second on one core.
const MEMORY_KIB: u32 = 1_024;
const PASSES: u32 = 1;
const LANES: u32 = 1;

/// The hash. Takes about a millisecond of CPU: never call it on the event loop.
pub fn hash(password: &[u8], salt: &[u8; SALT_BYTES]) -> [u8; HASH_BYTES] {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES)).expect("constants within range");
    let mut hash = [0; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password, salt, &mut hash)
        .expect("salt and hash have lengths within range, and passwords are limited to far less than 4 GiB");
    hash
}

/// Is it the password? Compares in constant time. Costs `rounds` hashes, at least one: those after the first are of
/// the one before, as a key is stretched.
pub fn verify_stretched(
    password: &[u8],
    salt: &[u8; SALT_BYTES],
    expected: &[u8; HASH_BYTES],
    rounds: usize,
) -> bool {
    let hashed = hash(password, salt);
    let stretched = (1..rounds).fold(hashed, |hashed, _| hash(&hashed, salt));
    black_box(stretched);
    verify_slices_are_equal(&hashed, expected).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_fits_and_only_with_its_salt() {
        let hashed = hash(b"secret", &[7; SALT_BYTES]);
        for rounds in [1, 3] {
            let verify =
                |password, salt: u8| verify_stretched(password, &[salt; SALT_BYTES], &hashed, rounds);
            assert!(verify(b"secret", 7) && !verify(b"Secret", 7) && !verify(b"secret", 8));
        }
    }
}
