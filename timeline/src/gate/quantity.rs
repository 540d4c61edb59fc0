//! Limits: numbers with a unit, as people write them, to and from base units.
//!
//! Base units are those of [`Unit`]: nanoseconds, bytes, shares from 0 to 1, things, cores.

use crate::units::Unit;

/// A number with the unit that was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quantity {
    /// In the base unit.
    pub value: f64,
    /// Which.
    pub dimension: Dimension,
}

/// What was written behind the number. Counts and cores are both bare numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dimension {
    Bare,
    Time,
    Bytes,
    Share,
    Cores,
    /// Things per second.
    Rate,
    BytesRate,
    /// Time, share or cores per second: only a slope has it.
    OtherRate,
}

const TIMES: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("min", 60e9),
    ("h", 3600e9),
];
const BYTES: [(&str, f64); 8] = [
    ("b", 1.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("kib", 1024.0),
    ("mib", 1_048_576.0),
    ("gib", 1_073_741_824.0),
    ("tib", 1_099_511_627_776.0),
];
const PERIODS: [(&str, f64); 4] = [("s", 1.0), ("min", 60.0), ("m", 60.0), ("h", 3600.0)];

/// Reads `250ms`, `0.1%`, `500/s`, `1MiB/min`, `3`, `1.5 cores`. None if it is no quantity.
pub(super) fn read(text: &str) -> Option<Quantity> {
    let text = text.trim().to_lowercase();
    let split = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '_')));
    let (number, unit) = text.split_at(split.unwrap_or(text.len()));
    let number: f64 = number.replace('_', "").parse().ok()?;
    let (unit, period) = match unit.trim().split_once('/') {
        Some((unit, period)) => (unit.trim(), Some(lookup(&PERIODS, period.trim())?)),
        None => (unit.trim(), None),
    };
    let (factor, dimension) = base(unit)?;
    let Some(seconds) = period else {
        // Nothing is smaller than a nanosecond or a byte; the rest is dust of binary fractions.
        let value = match dimension {
            Dimension::Time | Dimension::Bytes => (number * factor).round(),
            Dimension::Share => number / 100.0,
            _ => number * factor,
        };
        return Some(Quantity { value, dimension });
    };
    let dimension = match dimension {
        Dimension::Bare => Dimension::Rate,
        Dimension::Bytes => Dimension::BytesRate,
        _ => Dimension::OtherRate,
    };
    Some(Quantity { value: number * factor / seconds, dimension })
}

fn base(unit: &str) -> Option<(f64, Dimension)> {
    match unit {
        "" => Some((1.0, Dimension::Bare)),
        "k" => Some((1e3, Dimension::Bare)),
        "%" => Some((0.01, Dimension::Share)),
        "core" | "cores" => Some((1.0, Dimension::Cores)),
        _ => lookup(&TIMES, unit)
            .map(|f| (f, Dimension::Time))
            .or_else(|| lookup(&BYTES, unit).map(|f| (f, Dimension::Bytes))),
    }
}

fn lookup(table: &[(&str, f64)], unit: &str) -> Option<f64> {
    table.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

impl Quantity {
    /// The value if it fits a lane of `unit`.
    pub(super) fn as_unit(self, unit: Unit) -> Option<f64> {
        let fits = match unit {
            Unit::Count => self.dimension == Dimension::Bare,
            Unit::PerSecond => self.dimension == Dimension::Rate,
            Unit::Bytes => self.dimension == Dimension::Bytes,
            Unit::BytesPerSecond => self.dimension == Dimension::BytesRate,
            Unit::Ns => self.dimension == Dimension::Time,
            // 0.25 is as good a share as 25%.
            Unit::Ratio => matches!(self.dimension, Dimension::Share | Dimension::Bare),
            Unit::Cores => matches!(self.dimension, Dimension::Cores | Dimension::Bare),
        };
        fits.then_some(self.value)
    }

    /// The unit that a lane must have which nothing is known of.
    pub(super) fn unit(self) -> Option<Unit> {
        match self.dimension {
            Dimension::Bare => Some(Unit::Count),
            Dimension::Time => Some(Unit::Ns),
            Dimension::Bytes => Some(Unit::Bytes),
            Dimension::Share => Some(Unit::Ratio),
            Dimension::Cores => Some(Unit::Cores),
            Dimension::Rate => Some(Unit::PerSecond),
            Dimension::BytesRate => Some(Unit::BytesPerSecond),
            Dimension::OtherRate => None,
        }
    }

    /// The unit of the lane whose slope this is; none if it is no slope.
    pub(super) fn slope_unit(self) -> Option<Unit> {
        match self.dimension {
            Dimension::Rate => Some(Unit::Count),
            Dimension::BytesRate => Some(Unit::Bytes),
            _ => None,
        }
    }
}

/// An example of a limit in `unit`, for messages.
pub(super) fn example(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "a number such as 10",
        Unit::PerSecond => "a rate such as 500/s",
        Unit::Bytes => "an amount of memory such as 300MiB",
        Unit::BytesPerSecond => "a rate of bytes such as 5MiB/s",
        Unit::Ns => "a duration such as 250ms or 1.5s",
        Unit::Ratio => "a share such as 0.1%",
        Unit::Cores => "a number of cores such as 1.5",
    }
}

/// The spelling that [`read`] takes back without loss.
pub(super) fn spell(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Count => format!("{value}"),
        Unit::PerSecond => format!("{value}/s"),
        Unit::Bytes => bytes(value),
        Unit::BytesPerSecond => format!("{}/s", bytes(value)),
        Unit::Ns => with(&[("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1.0)], value),
        Unit::Ratio => format!("{}%", round(value * 100.0)),
        Unit::Cores => format!("{value} cores"),
    }
}

/// A slope of `unit` per second, spelled per minute.
pub(super) fn spell_per_minute(per_second: f64, unit: Unit) -> String {
    let value = round(per_second * 60.0);
    match unit {
        Unit::Bytes => format!("{}/min", bytes(value)),
        _ => format!("{value}/min"),
    }
}

fn bytes(value: f64) -> String {
    with(&[("GiB", 1_073_741_824.0), ("MiB", 1_048_576.0), ("KiB", 1024.0), ("B", 1.0)], value)
}

/// In the greatest unit that leaves a short number; in the least one otherwise.
fn with(units: &[(&str, f64)], value: f64) -> String {
    let short = |v: f64| (v * 1e3).fract().abs() < 1e-6;
    let last = units[units.len() - 1];
    let (name, factor) = units.iter().find(|(_, f)| value.abs() >= *f && short(value / f)).unwrap_or(&last);
    format!("{}{name}", round(value / factor))
}

/// Takes the dust of binary fractions off, so that 0.1 % reads `0.1%`.
fn round(v: f64) -> f64 {
    (v * 1e9).round() / 1e9
}
