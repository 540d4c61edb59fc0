//! Churn, and its cure: where the canvases of a picture come from.
//!
//! The fault takes new ones for every layer of every picture and drops them: hundreds of megabytes a second that
//! nobody keeps, each page of them touched. The cure draws on a canvas that was drawn on before.

use std::sync::{Arc, Mutex, PoisonError};

use timeline::fault::FaultKind;

use super::{Faults, Lever, whole};
use crate::shop::picture::{CANVAS_BYTES, blend, paint, small};

/// Looked at by every picture.
pub const LEVER: Lever = Lever::switch_only(FaultKind::Churn);

/// Layers of a picture while the cure runs: as many as the knob says when it is not given.
const LAYERS: usize = 8;
/// Canvases kept; more are dropped when they come back. The loop draws one picture at a time, with two.
const KEPT: usize = 4;

/// Canvases to be used again.
pub struct Canvases {
    clean: Mutex<Vec<Vec<u8>>>,
    faults: Arc<Faults>,
}

impl Canvases {
    /// None yet.
    pub fn new(faults: Arc<Faults>) -> Self {
        Self { clean: Mutex::default(), faults }
    }

    /// The picture of product `id`, as a file.
    pub fn draw(&self, id: u32) -> Vec<u8> {
        let switch = &self.faults[FaultKind::Churn];
        match switch.order() {
            Some(order) => {
                switch.took_effect();
                draw_anew(id, whole(&order, "layers"))
            }
            None => self.draw_again(id, switch.ordered().map_or(LAYERS, |order| whole(&order, "layers"))),
        }
    }

    /// The cure.
    fn draw_again(&self, id: u32, layers: usize) -> Vec<u8> {
        let (mut below, mut above) = (self.take(), self.take());
        below.fill(0);
        for layer in 0..layers {
            above.fill(0);
            paint(&mut above, id, layer as u32);
            blend(&mut below, &above);
        }
        let picture = small(&below);
        self.put_back([below, above]);
        picture
    }

    fn take(&self) -> Vec<u8> {
        let kept = self.clean.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![0; CANVAS_BYTES])
    }

    fn put_back(&self, canvases: [Vec<u8>; 2]) {
        let mut clean = self.clean.lock().unwrap_or_else(PoisonError::into_inner);
        clean.extend(canvases);
        clean.truncate(KEPT);
    }
}

/// The fault.
fn draw_anew(id: u32, layers: usize) -> Vec<u8> {
    let mut below = vec![0; CANVAS_BYTES];
    for layer in 0..layers {
        let mut above = vec![0; CANVAS_BYTES];
        paint(&mut above, id, layer as u32);
        // Another one for the sum, as code does that takes its arguments by reference and gives a new value.
        let mut sum = below.clone();
        blend(&mut sum, &above);
        below = sum;
    }
    small(&below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::testing::armed;

    #[test]
    fn both_draw_the_same_and_the_cure_uses_its_canvases_again() {
        let (off, _) = armed(&[]);
        let canvases = Canvases::new(off);
        let mut kept = Vec::new();
        for id in 1..=20 {
            assert_eq!(canvases.draw(id), draw_anew(id, LAYERS), "{id}");
            let mut now: Vec<_> = canvases.clean.lock().unwrap().iter().map(|c| c.as_ptr().addr()).collect();
            now.sort_unstable();
            kept.push(now);
        }
        kept.dedup();
        assert_eq!((kept.len(), kept[0].len()), (1, 2), "ever the same two");
        assert_ne!(draw_anew(1, LAYERS), draw_anew(2, LAYERS));
        let (on, truth) = armed(&[(FaultKind::Churn, &[("layers", 1.0)])]);
        let canvases = Canvases::new(on);
        let picture = canvases.draw(3);
        assert_eq!((&picture[..2], picture.len()), (&b"BM"[..], 54 + 64 * 64 * 4));
        assert_eq!(canvases.clean.lock().unwrap().len(), 0, "nothing is kept");
        assert_eq!(truth.told(), ["armed", "onset"]);
    }
}
