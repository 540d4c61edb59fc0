//! What a shopper remembers between transactions, and the chance that decides for them.

use std::sync::Arc;

use goose::goose::GooseUser;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Products of the shop.
const PRODUCTS: u64 = 500;
/// Customers of the shop that may log in.
const CUSTOMERS: u64 = 1_000;
/// Pages of its list.
const PAGES: u64 = 20;

/// A WebSocket, as a goose user can keep it: session data must be `Clone`.
pub type Feed = Arc<Mutex<WebSocketStream<MaybeTlsStream<TcpStream>>>>;

/// What a shopper remembers.
#[derive(Clone, Default)]
pub struct Shopper {
    /// State of its chance.
    chance: u64,
    /// Of the log-in.
    pub token: String,
    /// Open while it listens.
    pub feed: Option<Feed>,
    /// Messages said so far.
    pub said: u64,
}

/// The shopper that this user is; a new one if it has done nothing yet.
pub fn of(user: &mut GooseUser) -> &mut Shopper {
    if user.get_session_data::<Shopper>().is_none() {
        let chance = chance(user.load_test_hash, user.weighted_users_index as u64);
        user.set_session_data(Shopper { chance, ..Shopper::default() });
    }
    user.get_session_data_unchecked_mut()
}

/// With what a visitor's chance begins. The run's seed and the visitor's number decide everything: in runs of one seed the same
/// visitor does the same.
fn chance(seed: u64, number: u64) -> u64 {
    // Drawn first: else a seed's visitors would be those of the next one, a number further.
    Shopper { chance: seed, ..Shopper::default() }.draw() ^ number
}

impl Shopper {
    /// SplitMix64: its whole state is one number.
    fn draw(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A product, the first ones more often: squaring a fraction moves it towards 0.
    pub fn popular_product(&mut self) -> u64 {
        let fraction = (self.draw() >> 11) as f64 / (1u64 << 53) as f64;
        1 + (fraction * fraction * PRODUCTS as f64) as u64
    }

    /// A page of the list.
    pub fn page(&mut self) -> u64 {
        1 + self.draw() % PAGES
    }

    /// Name of a customer.
    pub fn customer(&mut self) -> String {
        format!("user-{}", 1 + self.draw() % CUSTOMERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_seed_has_visitors_of_its_own() {
        let looks_at = |seed, number| {
            let mut shopper = Shopper { chance: chance(seed, number), ..Shopper::default() };
            [(); 4].map(|()| shopper.popular_product())
        };
        assert_eq!(looks_at(1, 7), looks_at(1, 7));
        for (seed, number) in [(1, 8), (2, 7), (2, 6), (2, 8)] {
            assert_ne!(looks_at(1, 7), looks_at(seed, number), "visitor {number} of seed {seed}");
        }
    }

    #[test]
    fn what_is_drawn_exists_and_popular_is_popular() {
        let mut shopper = Shopper::default();
        let drawn: Vec<u64> = (0..10_000).map(|_| shopper.popular_product()).collect();
        assert!(drawn.iter().all(|p| (1..=PRODUCTS).contains(p)));
        // Half of them lie in the first quarter: the root of 1/4 is 1/2.
        let first = drawn.iter().filter(|p| **p <= PRODUCTS / 4).count();
        assert!((4_700..5_300).contains(&first), "{first}");
        assert!((1..=PAGES).contains(&shopper.page()));
    }
}
