//! Jitter: what was kept together does not expire together.

/// A time that is up to `share` of itself shorter. `uniform` is from 0 to 1.
pub fn shortened(ttl_ms: u64, share: f64, uniform: f64) -> u64 {
    let kept = 1.0 - share * uniform;
    ((ttl_ms as f64 * kept).round() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_spread_over_the_share_and_never_come_late() {
        let spread: Vec<u64> = (0..=10).map(|n| shortened(1_000, 0.5, f64::from(n) / 10.0)).collect();
        assert_eq!((spread[0], spread[10]), (1_000, 500));
        assert!(spread.windows(2).all(|w| w[0] > w[1]));
        assert_eq!(shortened(1_000, 0.0, 0.7), 1_000);
        assert_eq!(shortened(1, 1.0, 1.0), 1);
    }
}
