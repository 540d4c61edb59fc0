//! Blocking crypto, and its cure: where a password is hashed.
//!
//! The fault hashes on the event loop, so nobody is served meanwhile; the cure on the blocking pool. The shop's own
//! hashes are cheap on purpose (`password`), so while the fault runs every log-in is stretched by its knob to what
//! a shop should spend, wherever it is hashed.
//!
//! The cure's threads are tokio's own, as statements have them, and not the bounded ones of `shop/offload.rs`. Tasks keep
//! those while they wait for the database, tens of milliseconds each, and a hash only computes, for which the cores are
//! bound enough. Behind such tasks all log-ins would wait, too, so `offload-saturated` would be two faults: this one is of
//! one route. What scores have measured rests on that.

use timeline::MonoNs;
use timeline::fault::FaultKind;
use tokio::task::{JoinError, spawn_blocking};

use super::{Faults, Lever, whole};
use crate::shop::password::{self, HASH_BYTES, SALT_BYTES};

/// Looked at by every log-in.
pub const LEVER: Lever = Lever::switch_only(FaultKind::BlockingCrypto);

/// A password that somebody gave, and what is known of the right one.
pub struct Claim {
    /// As given.
    pub password: String,
    /// Of the customer.
    pub salt: [u8; SALT_BYTES],
    /// Of the right password.
    pub hash: [u8; HASH_BYTES],
}

impl Claim {
    /// Is it the password? `rounds` times the usual cost.
    fn holds(&self, rounds: usize) -> bool {
        password::verify_stretched(self.password.as_bytes(), &self.salt, &self.hash, rounds)
    }
}

/// Is it the password?
pub async fn check(faults: &Faults, claim: Claim) -> Result<bool, JoinError> {
    let switch = &faults[FaultKind::BlockingCrypto];
    let cost = switch.ordered().map_or(1, |order| whole(&order, "cost"));
    if switch.meets().is_none() {
        return check_offloaded(claim, cost).await;
    }
    let began = MonoNs::now();
    let holds = check_on_the_loop(&claim, cost);
    switch.took_effect_at(began);
    Ok(holds)
}

/// The fault.
fn check_on_the_loop(claim: &Claim, rounds: usize) -> bool {
    claim.holds(rounds)
}

/// The cure.
async fn check_offloaded(claim: Claim, rounds: usize) -> Result<bool, JoinError> {
    spawn_blocking(move || claim.holds(rounds)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::testing::{armed, turns_during};

    fn claim(password: &str) -> Claim {
        let salt = [7; SALT_BYTES];
        Claim { password: password.to_owned(), salt, hash: password::hash(b"secret", &salt) }
    }

    #[tokio::test]
    async fn the_loop_turns_while_the_cure_hashes_and_stands_still_while_the_fault_does() {
        const TURNS: u64 = 10;
        let (off, _) = armed(&[]);
        // One hash may take the core from the loop until it is done, on a busy machine ten in a row; a thousand do not.
        let mut all_turns = 0;
        for _ in 0..1_000 {
            let (right, turns) = turns_during(check(&off, claim("secret"))).await;
            assert!(right.unwrap());
            all_turns += turns;
            if all_turns > TURNS {
                break;
            }
        }
        assert!(all_turns > TURNS, "{all_turns} turns");
        let (on, truth) = armed(&[(FaultKind::BlockingCrypto, &[("cost", 5.0)])]);
        let (right, turns) = turns_during(check(&on, claim("secret"))).await;
        assert!(right.unwrap() && turns <= 1, "{turns} turns");
        assert_eq!(truth.told(), ["armed", "onset"]);
        assert!(!check(&on, claim("Secret")).await.unwrap());
    }

    #[tokio::test]
    async fn log_ins_outside_of_the_share_are_offloaded() {
        let (some, _) = armed(&[(FaultKind::BlockingCrypto, &[("cost", 5.0), ("share", 0.5)])]);
        let (mut tried, mut blocked) = (0, 0);
        // One that is offloaded may take the core from the loop, on a busy machine many in a row; a thousand do not.
        while tried < 40 || (tried - blocked < 4 && tried < 1_000) {
            tried += 1;
            blocked += usize::from(turns_during(check(&some, claim("secret"))).await.1 <= 1);
        }
        assert!(blocked >= 4 && tried - blocked >= 4, "{blocked} of {tried}");
    }
}
