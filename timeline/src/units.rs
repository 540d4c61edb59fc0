//! Units of lanes and figures, and how a person reads them.
//!
//! Owns the one place where a number becomes text with its unit; screens and reports call
//! [`Unit::show`], so that `4.10 ms` is spelled alike everywhere.

use serde::{Deserialize, Serialize};

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Things: connections, waiters, sessions.
    Count,
    /// Things per second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// Nanoseconds.
    Ns,
    /// A share from 0 to 1, shown in per cent.
    Ratio,
    /// Cores' worth of CPU, 1 is one core kept busy.
    Cores,
}

impl Unit {
    /// The value with its unit, about three significant digits: `4.10 ms`, `64.0 MiB`, `98.1 %`.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        if !value.is_finite() {
            return "n/a".to_owned();
        }
        match self {
            Self::Count => scaled(value, 1000.0, &["", "k", "M", "G"], ""),
            Self::PerSecond => scaled(value, 1000.0, &["", "k", "M", "G"], "/s"),
            Self::Bytes => bytes(value),
            Self::BytesPerSecond => format!("{}/s", bytes(value)),
            Self::Ns => duration(value),
            Self::Ratio => format!("{} %", digits(value * 100.0)),
            Self::Cores => format!("{} cores", digits(value)),
        }
    }

    /// The unit as a word in JSON and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::PerSecond => "per-second",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes-per-second",
            Self::Ns => "ns",
            Self::Ratio => "ratio",
            Self::Cores => "cores",
        }
    }
}

fn scaled(value: f64, base: f64, prefixes: &[&str], tail: &str) -> String {
    let mut v = value;
    let mut i = 0;
    // 999.5 would already round up to the next prefix.
    while v.abs() >= base * 0.9995 && i + 1 < prefixes.len() {
        v /= base;
        i += 1;
    }
    if i == 0 && v.fract() == 0.0 {
        format!("{v:.0}{tail}")
    } else {
        format!("{}{}{tail}", digits(v), prefixes[i])
    }
}

fn bytes(value: f64) -> String {
    let mut v = value;
    let mut i = 0;
    let names = ["B", "KiB", "MiB", "GiB", "TiB"];
    while v.abs() >= 1023.5 && i + 1 < names.len() {
        v /= 1024.0;
        i += 1;
    }
    if i == 0 { format!("{v:.0} B") } else { format!("{} {}", digits(v), names[i]) }
}

fn duration(ns: f64) -> String {
    let a = ns.abs();
    if a == 0.0 {
        "0 ms".to_owned()
    } else if a < 999.5 {
        format!("{ns:.0} ns")
    } else if a < 999.5e3 {
        format!("{} us", digits(ns / 1e3))
    } else if a < 999.5e6 {
        format!("{} ms", digits(ns / 1e6))
    } else {
        format!("{} s", digits(ns / 1e9))
    }
}

/// Three significant digits, no exponent.
fn digits(v: f64) -> String {
    let a = v.abs();
    if a == 0.0 {
        "0".to_owned()
    } else if a < 9.995 {
        format!("{v:.2}")
    } else if a < 99.95 {
        format!("{v:.1}")
    } else {
        format!("{v:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::Unit;

    #[test]
    fn values_read_with_their_unit() {
        assert_eq!(Unit::Ns.show(4_100_000.0), "4.10 ms");
        assert_eq!(Unit::Ns.show(999_900.0), "1.00 ms");
        assert_eq!(Unit::Ns.show(1.2e9), "1.20 s");
        assert_eq!(Unit::Bytes.show(67_108_864.0), "64.0 MiB");
        assert_eq!(Unit::Bytes.show(12.0), "12 B");
        assert_eq!(Unit::Count.show(118.0), "118");
        assert_eq!(Unit::PerSecond.show(12_000.0), "12.0k/s");
        assert_eq!(Unit::Ratio.show(0.981), "98.1 %");
        assert_eq!(Unit::Ratio.show(f64::NAN), "n/a");
    }
}
