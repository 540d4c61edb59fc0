//! XFetch: an entry is refreshed before it expires by whoever draws the lot.
//!
//! Each request for an entry decides for itself, without a lock: it loads if `now - load * beta * ln(u) >= expiry`, with
//! u uniform over (0, 1]. So the lot falls the more often the nearer the expiry, and the earlier the longer a load takes.
//! (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015.)
//!
//! How many load for each expiry: the chance of one request that comes s before the expiry is exp(-s / (load * beta)), so
//! the number of lots drawn grows as X = rate * load * beta * exp(-s / (load * beta)), and the first falls when X is
//! exponential with mean 1. Until its load is done, X grows by the factor e^(1/beta), so 1 + X (e^(1/beta) - 1) load: in
//! the mean e^(1/beta).

/// Does a request for an entry, `left_ms` before it expires, draw the lot? `uniform` is from 0 (excluded) to 1.
pub fn draws_the_lot(left_ms: f64, load_ms: f64, beta: f64, uniform: f64) -> bool {
    -load_ms * beta * uniform.ln() >= left_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    /// Milliseconds of a load; a request comes every one of them.
    const LOAD_MS: f64 = 100.0;

    /// Loads for one expiry: each request sees the entry until a load that began is done.
    fn loads(random: &mut Pcg64Mcg, beta: f64) -> u32 {
        // So long that hardly anybody draws the lot at first.
        let ttl_ms = 15.0 * LOAD_MS * beta;
        let (mut now, mut loads, mut done) = (0.0, 0, f64::INFINITY);
        while now < done {
            // After the expiry everybody loads: there is no entry any more.
            if draws_the_lot((ttl_ms - now).max(0.0), LOAD_MS, beta, 1.0 - random.random::<f64>()) {
                loads += 1;
                done = done.min(now + LOAD_MS);
            }
            now += 1.0;
        }
        loads
    }

    #[test]
    fn about_e_to_the_inverse_of_beta_load_for_each_expiry() {
        let mut random = Pcg64Mcg::seed_from_u64(7);
        for beta in [0.7, 1.0, 2.0, 4.0] {
            const ROUNDS: u32 = 2_000;
            let sum: u32 = (0..ROUNDS).map(|_| loads(&mut random, beta)).sum();
            let (mean, expected) = (f64::from(sum) / f64::from(ROUNDS), (1.0 / beta).exp());
            // The standard error is below 2% of the mean; requests are not as dense as the derivation has them.
            assert!((mean / expected - 1.0).abs() < 0.1, "beta {beta}: {mean}, expected {expected}");
        }
    }

    #[test]
    fn nobody_loads_long_before_and_everybody_after_the_expiry() {
        assert!(!draws_the_lot(60_000.0, 10.0, 1.0, 0.000_001));
        assert!(draws_the_lot(0.0, 10.0, 1.0, 1.0));
    }
}
