//! Everything random: streams that follow from the seed and a session's number, and the distributions over them.
//!
//! Owns how a number becomes a stream, so that a run repeats whatever the order in which its sessions
//! happen to run. The mapping from bits to values is written out here because that of the `rand` crate may
//! change between versions.

use rand::{Rng, SeedableRng};
use rand_pcg::Lcg64Xsh32;
use scenarios::plan::Dist;

/// 2^64 divided by the golden ratio, odd: multiples of it visit every residue and spread evenly.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Mixes two numbers into one, each bit depending on all (the finaliser of SplitMix64).
#[must_use]
pub fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_add(b.wrapping_add(1).wrapping_mul(GOLDEN));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The stream of one session: 16 bytes.
#[derive(Debug, Clone)]
pub struct Stream(Lcg64Xsh32);

impl Stream {
    /// The stream of session `number` in a run with `seed`.
    #[must_use]
    pub fn of(seed: u64, number: u64) -> Self {
        Self(Lcg64Xsh32::seed_from_u64(mix(seed, number)))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 up to but not including 1, with 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A whole number below `n`; 0 if `n` is 0. Its bias is below n / 2^64.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// A whole number from `low` to `high`, both possible; `low` if they are the wrong way round.
    pub fn int(&mut self, low: i64, high: i64) -> i64 {
        if high <= low {
            return low;
        }
        // The width can be 2^64 itself, where any bits will do.
        let width = high.wrapping_sub(low) as u64;
        let draw = if width == u64::MAX { self.bits() } else { self.below(width + 1) };
        low.wrapping_add(draw as i64)
    }

    /// A duration, ns. An exponential one is cut at 20 means (one draw in 5 * 10^8).
    pub fn duration(&mut self, dist: Dist) -> u64 {
        match dist {
            Dist::Constant(ns) => ns,
            Dist::Uniform(a, b) => a.min(b) + self.below(a.abs_diff(b).saturating_add(1)),
            Dist::Exponential(mean) => {
                let x = -(1.0 - self.unit()).ln();
                (mean as f64 * x.min(20.0)) as u64
            }
        }
    }

    /// A random UUID, version 4, as text.
    pub fn uuid(&mut self, out: &mut Vec<u8>) {
        let bits = (u128::from(self.bits()) << 64) | u128::from(self.bits());
        // Version 4 in bits 76-79, variant 10 in bits 62-63 (RFC 9562).
        let bits = (bits & !(0xF << 76) | (0x4 << 76)) & !(0x3 << 62) | (0x2 << 62);
        for i in 0..32 {
            if matches!(i, 8 | 12 | 16 | 20) {
                out.push(b'-');
            }
            let digit = (bits >> (124 - 4 * i)) as usize & 0xF;
            out.push(b"0123456789abcdef"[digit]);
        }
    }
}

/// The masks of a WebSocket's frames: 8 bytes. A stream of their own, for how many control frames go out depends on the other
/// side and on time, and what a session draws must not.
#[derive(Debug)]
pub struct Masks(u64);

impl Masks {
    /// Those that follow from `seed`.
    #[must_use]
    pub const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next frame's.
    pub fn draw(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(GOLDEN);
        (mix(self.0, 0) as u32).to_le_bytes()
    }
}

/// Which of several weighted things has number `n`: an additive recurrence by the golden ratio, so that
/// the shares hold in every stretch of numbers, of every worker, to within a few, not only in the long run.
#[must_use]
pub fn share(seed: u64, n: u64, weights: &[u32]) -> usize {
    let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
    let place = mix(seed, u64::MAX).wrapping_add(n.wrapping_mul(GOLDEN));
    let mut at = ((u128::from(place) * u128::from(total)) >> 64) as u64;
    for (i, &w) in weights.iter().enumerate() {
        if at < u64::from(w) {
            return i;
        }
        at -= u64::from(w);
    }
    weights.len().saturating_sub(1)
}

/// Ranks from 1 to n, rank k with weight 1/k^s, drawn by rejection-inversion (Hoermann and Derflinger 1996):
/// no table, a constant time for a draw.
#[derive(Debug, Clone, Copy)]
pub struct Zipf {
    n: f64,
    s: f64,
    low: f64,
    high: f64,
    sure: f64,
}

impl Zipf {
    /// For `n` ranks (at least 1) and exponent `s` (0 and more).
    #[must_use]
    pub fn new(n: u32, s: f64) -> Self {
        let n = f64::from(n.max(1));
        let s = if s.is_finite() { s.max(0.0) } else { 1.0 };
        let mut z = Self { n, s, low: 0.0, high: 0.0, sure: 0.0 };
        z.low = z.area(1.5) - 1.0;
        z.high = z.area(n + 0.5);
        z.sure = 2.0 - z.area_inverse(z.area(2.5) - z.height(2.0));
        z
    }

    /// A rank from 1 to n.
    pub fn draw(&self, stream: &mut Stream) -> u32 {
        loop {
            let u = self.high + stream.unit() * (self.low - self.high);
            let x = self.area_inverse(u);
            let k = x.round().clamp(1.0, self.n);
            if k - x <= self.sure || u >= self.area(k + 0.5) - self.height(k) {
                return k as u32;
            }
        }
    }

    fn height(&self, x: f64) -> f64 {
        (-self.s * x.ln()).exp()
    }

    /// The integral of the height, (x^(1-s) - 1) / (1-s), without loss where s is near 1.
    fn area(&self, x: f64) -> f64 {
        let l = x.ln();
        let t = (1.0 - self.s) * l;
        if t.abs() < 1e-8 { l * (1.0 + t / 2.0) } else { t.exp_m1() / t * l }
    }

    fn area_inverse(&self, u: f64) -> f64 {
        let t = (u * (1.0 - self.s)).max(-1.0);
        let l = if t.abs() < 1e-8 { u * (1.0 - t / 2.0) } else { t.ln_1p() / t * u };
        l.exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zipf_ranks_have_their_weights() {
        for s in [0.0, 0.5, 1.0, 1.1, 2.5] {
            let (z, mut stream) = (Zipf::new(20, s), Stream::of(7, 1));
            let mut seen = [0u32; 21];
            let draws = 200_000;
            for _ in 0..draws {
                seen[z.draw(&mut stream) as usize] += 1;
            }
            let total: f64 = (1..=20).map(|k| f64::from(k).powf(-s)).sum();
            for k in 1..=20u32 {
                let want = f64::from(k).powf(-s) / total * f64::from(draws);
                let off = (f64::from(seen[k as usize]) - want).abs();
                // Five standard deviations of a Poisson count.
                assert!(off < 5.0 * want.sqrt() + 1.0, "s {s} rank {k}: {} of {want}", seen[k as usize]);
            }
        }
    }

    #[test]
    fn uuids_are_of_version_4() {
        let mut out = Vec::new();
        Stream::of(1, 2).uuid(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.len(), 36);
        assert_eq!(&text[14..15], "4");
        assert!("89ab".contains(&text[19..20]));
    }

    proptest! {
        #[test]
        fn draws_stay_in_their_range(seed: u64, low: i64, high: i64, a in 0u64..1 << 50, b in 0u64..1 << 50) {
            let mut s = Stream::of(seed, 3);
            let x = s.int(low, high);
            prop_assert!(x == low || (low <= x && x <= high));
            let d = s.duration(Dist::Uniform(a, b));
            prop_assert!(a.min(b) <= d && d <= a.max(b));
            prop_assert!(s.duration(Dist::Exponential(a)) <= a.saturating_mul(20));
        }

        #[test]
        fn shares_hold_in_any_stretch_of_any_worker(seed: u64, from in 0u64..1 << 40, stride in 1u64..13) {
            let weights = [6, 3, 1];
            let mut seen = [0u32; 3];
            for i in 0..1000 {
                seen[share(seed, from + i * stride, &weights)] += 1;
            }
            for (n, w) in seen.into_iter().zip(weights) {
                prop_assert!(n.abs_diff(w * 100) < 25, "{seen:?}");
            }
        }
    }
}
