//! Arrivals at random: the events of a Poisson process of rate 1, on the axis of the rate's integral.
//!
//! A Poisson process whose rate changes is one of rate 1 whose axis is stretched (time rescaling), so one sequence of
//! exponential gaps serves every rate, ramp and live change. Gap n follows from the seed and n alone.

use crate::random::mix;

/// Keeps the gaps' draws apart from those of sessions, which use the seed as it is.
const STREAM: u64 = 0x706F_6973_736F_6E00;

/// An event of the process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// Its number, from 0.
    pub number: u64,
    /// Its place on the axis: events expected before it.
    pub place: f64,
}

impl Event {
    /// The first event.
    #[must_use]
    pub fn first(seed: u64) -> Self {
        Self { number: 0, place: gap(seed, 0) }
    }

    /// The one after it.
    #[must_use]
    pub fn next(self, seed: u64) -> Self {
        let number = self.number + 1;
        Self { number, place: self.place + gap(seed, number) }
    }
}

/// The exponential gap, of mean 1, before event `number`.
fn gap(seed: u64, number: u64) -> f64 {
    // 53 bits, above 0 and at most 1, so that the logarithm is finite: at most 36.8 means.
    let unit = ((mix(seed ^ STREAM, number) >> 11) + 1) as f64 / (1u64 << 53) as f64;
    -unit.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gaps of a Poisson process: mean and deviation 1, and e^-1 of them longer than the mean.
    #[test]
    fn gaps_are_exponential() {
        for seed in 0..5 {
            let gaps: Vec<f64> = (0..100_000).map(|n| gap(seed, n)).collect();
            let count = gaps.len() as f64;
            let mean = gaps.iter().sum::<f64>() / count;
            let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / count;
            let long = gaps.iter().filter(|g| **g > 1.0).count() as f64 / count;
            // Five standard errors: 0.0032 of the mean, 0.009 of the variance, 0.0015 of the share.
            assert!((mean - 1.0).abs() < 0.016, "{mean}");
            assert!((variance - 1.0).abs() < 0.045, "{variance}");
            assert!((long - (-1.0f64).exp()).abs() < 0.008, "{long}");
        }
    }
}
