//! Durations, their distributions, and rates: `1m30s`, `2s..8s`, `exp(10s)`, `600/min`.
//!
//! Owns how they are read and how they are written back.

use crate::mistake::{Wrong, quoted};
use crate::plan::Dist;

/// Units of durations with their length in ns, the longest first; `ms` must be tried before `m` and `s`.
const UNITS: &[(&str, u64)] = &[
    ("ms", 1_000_000),
    ("us", 1_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
];
/// Longest duration: 30 days. A soak test is shorter, and ns of it fit u64 a million times.
const MAX_DURATION_NS: u64 = 30 * 24 * 3_600 * 1_000_000_000;
/// Greatest rate: a thousand times what one machine has been seen to offer.
const MAX_RATE: f64 = 10_000_000.0;
const DURATION_LOOK: &str = "a duration such as \"250ms\", \"30s\", \"5m\" or \"1m30s\"";
const DIST_LOOK: &str =
    "a duration (\"2s\"), a range (\"2s..8s\") or an exponential distribution (\"exp(10s)\")";
const RATE_LOOK: &str = "a rate such as \"10/s\" or \"600/min\"";

/// A duration in ns.
pub(crate) fn duration(text: &str) -> Result<u64, Wrong> {
    let bad = || Wrong::new(format!("{} is not a duration", quoted(text))).expected(DURATION_LOOK);
    let trimmed = text.trim();
    if !trimmed.is_empty() && trimmed.chars().all(|c| c.is_ascii_digit()) && trimmed.len() <= 6 {
        return Err(bad().help(format!("a duration has a unit: did you mean \"{trimmed}s\"?")));
    }
    let mut rest = trimmed;
    let mut total = 0.0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let (unit, ns) = UNITS.iter().find(|(u, _)| rest.starts_with(u)).ok_or_else(bad)?;
        total += number * *ns as f64;
        rest = &rest[unit.len()..];
    }
    if total > MAX_DURATION_NS as f64 {
        return Err(
            Wrong::new(format!("{} is too long", quoted(text))).expected("at most 30 days (\"720h\")")
        );
    }
    Ok(total.round() as u64)
}

/// A distribution of durations.
pub(crate) fn dist(text: &str) -> Result<Dist, Wrong> {
    let bad = || Wrong::new(format!("{} is not a time to wait", quoted(text))).expected(DIST_LOOK);
    let trimmed = text.trim();
    if let Some(inner) = trimmed.strip_prefix("exp(") {
        let mean = inner.strip_suffix(')').ok_or_else(bad)?;
        return match duration(mean).map_err(|_| bad())? {
            0 => {
                Err(Wrong::new("the mean of exp() is zero")
                    .expected("a mean above zero, such as \"exp(10s)\""))
            }
            mean => Ok(Dist::Exponential(mean)),
        };
    }
    if let Some((low, high)) = trimmed.split_once("..") {
        let (low, high) = (duration(low).map_err(|_| bad())?, duration(high).map_err(|_| bad())?);
        if low > high {
            return Err(Wrong::new(format!("the range {} runs backwards", quoted(text)))
                .expected("the shorter duration first")
                .help(format!("did you mean \"{}..{}\"?", show_duration(high), show_duration(low))));
        }
        return Ok(Dist::Uniform(low, high));
    }
    match duration(trimmed) {
        Ok(ns) => Ok(Dist::Constant(ns)),
        Err(_) if trimmed.contains('(') => Err(bad()),
        Err(wrong) => Err(wrong.expected(DIST_LOOK)),
    }
}

/// Units of sizes, the longest first.
const SIZES: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// A size in bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, Wrong> {
    let bad = || {
        Wrong::new(format!("{} is not a size", quoted(text)))
            .expected("a size such as \"512B\", \"100KiB\" or \"1MB\"")
    };
    let trimmed = text.trim();
    let (unit, factor) = SIZES.iter().find(|(u, _)| trimmed.ends_with(u)).ok_or_else(bad)?;
    let number: f64 = trimmed[..trimmed.len() - unit.len()].trim().parse().map_err(|_| bad())?;
    let bytes = number * *factor as f64;
    if !(0.0..=1e15).contains(&bytes) {
        return Err(bad());
    }
    Ok(bytes.round() as u64)
}

/// A rate per second.
pub(crate) fn rate(text: &str) -> Result<f64, Wrong> {
    let bad = || Wrong::new(format!("{} is not a rate", quoted(text))).expected(RATE_LOOK);
    let trimmed = text.trim();
    let Some((number, unit)) = trimmed.split_once('/') else {
        let help = trimmed.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
        return Err(match help {
            Some(n) => bad().help(format!("a rate has a unit: did you mean \"{n}/s\"?")),
            None => bad(),
        });
    };
    let number: f64 = number.trim().parse().map_err(|_| bad())?;
    let per_s = match unit.trim() {
        "s" => number,
        "m" | "min" => number / 60.0,
        "h" => number / 3600.0,
        other => return Err(bad().did_you_mean(other, ["s", "min", "h"])),
    };
    if !per_s.is_finite() || per_s < 0.0 {
        return Err(bad());
    }
    if per_s > MAX_RATE {
        return Err(Wrong::new(format!("{} is too much", quoted(text))).expected("at most 10000000/s"));
    }
    Ok(per_s)
}

/// How a churn is written.
pub(crate) const CHURN_LOOK: &str = "a share for a time, such as \"10%/min\"";
/// Greatest share of the sessions that may be replaced in a second: each lives 10 ms then.
const MAX_CHURN_PER_S: f64 = 100.0;

/// A churn, `10%/min`: the lifetime at which that share of all sessions is replaced in that time.
pub(crate) fn churn(text: &str) -> Result<Dist, Wrong> {
    let bad = || Wrong::new(format!("{} is not a churn", quoted(text))).expected(CHURN_LOOK);
    let (share, unit) = text.trim().split_once('/').ok_or_else(bad)?;
    let percent: f64 = share.trim().strip_suffix('%').and_then(|n| n.trim().parse().ok()).ok_or_else(bad)?;
    let per_s = percent / 100.0 * rate(&format!("1/{unit}")).map_err(|_| bad())?;
    // The slowest is one lifetime of the longest duration; NaN is out of any range.
    if !(1e9 / MAX_DURATION_NS as f64..=MAX_CHURN_PER_S).contains(&per_s) {
        return Err(bad());
    }
    Ok(Dist::Exponential((1e9 / per_s) as u64))
}

/// The duration as a scenario would write it: `1m30s`, `250ms`.
pub(crate) fn show_duration(ns: u64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    let mut rest = ns;
    let mut out = String::new();
    for (unit, size) in [("h", 3_600_000_000_000), ("m", 60_000_000_000)] {
        if rest >= size {
            out += &format!("{}{unit}", rest / size);
            rest %= size;
        }
    }
    if rest == 0 {
        return out;
    }
    if out.is_empty() && rest < 1_000_000 {
        return format!("{}us", rest as f64 / 1e3);
    }
    if out.is_empty() && rest < 1_000_000_000 {
        return format!("{}ms", rest as f64 / 1e6);
    }
    out + &format!("{}s", rest as f64 / 1e9)
}

/// The distribution as a scenario would write it.
pub(crate) fn show_dist(dist: Dist) -> String {
    match dist {
        Dist::Constant(ns) => show_duration(ns),
        Dist::Uniform(low, high) => format!("{}..{}", show_duration(low), show_duration(high)),
        Dist::Exponential(mean) => format!("exp({})", show_duration(mean)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_with_their_units() {
        for (text, ns) in [
            ("60s", 60_000_000_000),
            ("5m", 300_000_000_000),
            ("250ms", 250_000_000),
            ("1h", 3_600_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5s", 1_500_000_000),
            ("20us", 20_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(ns), "{text}");
            assert_eq!(duration(&show_duration(ns)), Ok(ns), "{text}");
        }
        for text in ["", "s", "60", "60 parsecs", "-1s", "1e9h", "721h", "1s2", ".s", "1..2s", "NaNs"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn dists_and_rates() {
        assert_eq!(dist("2s..8s"), Ok(Dist::Uniform(2_000_000_000, 8_000_000_000)));
        assert_eq!(dist("exp(10s)"), Ok(Dist::Exponential(10_000_000_000)));
        assert_eq!(dist(" 2s "), Ok(Dist::Constant(2_000_000_000)));
        for text in ["8s..2s", "exp(0s)", "exp(10s", "norm(2s)", "..", "2s.."] {
            assert!(dist(text).is_err(), "{text}");
        }
        assert_eq!(rate("10/s"), Ok(10.0));
        assert_eq!(rate("600/min"), Ok(10.0));
        assert_eq!(rate("0.5 / s"), Ok(0.5));
        for text in ["10", "-1/s", "inf/s", "nan/s", "1/fortnight", "/s", "1e99/s"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn churn_is_a_lifetime() {
        assert_eq!(churn("10%/min"), Ok(Dist::Exponential(600_000_000_000)));
        assert_eq!(churn("100 % / s"), Ok(Dist::Exponential(1_000_000_000)));
        for text in ["10/min", "10%", "-1%/s", "nan%/s", "inf%/s", "0%/s", "10%/", "1e9%/s"] {
            assert!(churn(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_survives_being_written(us in 0_u64..2_000_000_000_000) {
            let ns = us * 1000;
            prop_assert_eq!(duration(&show_duration(ns)), Ok(ns));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (duration(&text), dist(&text), rate(&text));
        }
    }
}
