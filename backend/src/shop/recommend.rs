//! `GET /products/{id}/recommendations`: what goes with a product, the best of very many combinations.
//!
//! Owns how a combination is made and judged, and the best of each product, which are kept. Where combinations lie
//! while they are judged is the choice between the fault `fragmentation` and its cure.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use timeline::fault::FaultKind;

use super::Shop;
use super::answer::{Answer, Path, Refusal};
use crate::faults::{Faults, fragmentation};
use crate::store::PRODUCTS;

/// Combinations judged for one request while the cure runs.
const CANDIDATES: usize = 2_000;
/// One in so many is kept.
pub const KEPT_OF: usize = 32;
/// Products whose best combinations are kept.
const KEPT_PRODUCTS: usize = 64;
/// Combinations shown.
const SHOWN: usize = 5;

/// The best combinations of some products.
pub struct Recommendations {
    best: Mutex<HashMap<u32, Best>>,
    faults: Arc<Faults>,
}

/// Combinations of one product: their texts and what they are worth.
pub type Best = Vec<(u32, Box<[u8]>)>;

impl Recommendations {
    /// None yet.
    pub fn new(faults: Arc<Faults>) -> Self {
        Self { best: Mutex::default(), faults }
    }

    /// Judges combinations for `product`, keeps the best, and gives the very best of them.
    fn recommend(&self, product: u32) -> Vec<Recommended> {
        let switch = &self.faults[FaultKind::Fragmentation];
        let best = match switch.order() {
            Some(order) => {
                switch.took_effect();
                fragmentation::judge_in_the_heap(product, crate::faults::whole(&order, "candidates"))
            }
            None => fragmentation::judge_in_an_arena(product, CANDIDATES),
        };
        let shown = best.iter().take(SHOWN).map(|(worth, text)| Recommended {
            worth: *worth,
            what: String::from_utf8_lossy(&text[..text.len().min(40)]).into_owned(),
        });
        let shown = shown.collect();
        // A product's place among the kept ones follows from its number, so there are never more than so many.
        self.lock().insert(product % KEPT_PRODUCTS as u32, best);
        shown
    }

    /// The fault is over: what it kept goes with it, so that its holes can close.
    pub fn forget(&self) {
        let best = std::mem::take(&mut *self.lock());
        tokio::task::spawn_blocking(move || drop(best));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Best>> {
        self.best.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Length of the combinations of `product`, bytes: products differ in how much there is to say about them.
pub fn length(product: u32) -> usize {
    // From 48 to 672: sixteen size classes of the allocator, of which at least some dozens fit on a slab.
    (48 + 12 * (product as usize / 4 % 4)) << (product % 4)
}

/// Writes combination `n` of `product` and judges it.
pub fn combine(product: u32, n: u32, text: &mut [u8]) -> u32 {
    let mut worth = product.wrapping_mul(31).wrapping_add(n);
    for (at, byte) in text.iter_mut().enumerate() {
        worth = worth.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = b'a' + (worth >> 24) as u8 % 26;
        if at == 31 {
            break;
        }
    }
    for at in (32..text.len()).step_by(32) {
        text.copy_within(0..32.min(text.len() - at), at);
    }
    worth
}

#[derive(Serialize)]
struct Recommended {
    worth: u32,
    what: String,
}

#[derive(Serialize)]
pub struct Shown {
    products: Vec<Recommended>,
}

pub async fn recommend(State(shop): State<Arc<Shop>>, Path(id): Path<u32>) -> Answer<Shown> {
    if !(1..=PRODUCTS).contains(&id) {
        return Err(Refusal::not_found("there is no such product"));
    }
    Ok(Json(Shown { products: shop.recommendations.recommend(id) }))
}
