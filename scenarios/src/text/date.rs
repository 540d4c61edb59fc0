//! How `${date("...")}` is written: the formats of `strftime` that a request may hold, in UTC.

use super::quantity;
use crate::mistake::{Wrong, quoted};
use crate::plan::DatePart;

/// What `date()` alone gives: RFC 3339 with milliseconds.
pub(crate) const RFC3339: &str = "%Y-%m-%dT%H:%M:%S.%LZ";
/// Every sign, and what it is.
const SIGNS: &[(char, DatePart)] = &[
    ('Y', DatePart::Year),
    ('m', DatePart::Month),
    ('d', DatePart::Day),
    ('H', DatePart::Hour),
    ('M', DatePart::Minute),
    ('S', DatePart::Second),
    ('L', DatePart::Millisecond),
    ('s', DatePart::Unix),
];
/// Signs that stand for others.
const SHORT: &[(char, &str)] = &[('F', "%Y-%m-%d"), ('T', "%H:%M:%S")];
const LOOK: &str = "%Y %m %d %H %M %S %L (milliseconds) %s (Unix time) %F %T %%";
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// Furthest from now, ms: a thousand years.
const MAX_SHIFT_MS: i64 = 365_250 * DAY_MS;

/// Reads a format.
pub(crate) fn parse(format: &str) -> Result<Vec<DatePart>, Wrong> {
    let mut parts = Vec::new();
    let mut text = String::new();
    read(format, &mut parts, &mut text)?;
    if !text.is_empty() {
        parts.push(DatePart::Text(text));
    }
    Ok(parts)
}

/// Adds what a format says to `parts`; `text` is what stands behind the last of them.
fn read(format: &str, parts: &mut Vec<DatePart>, text: &mut String) -> Result<(), Wrong> {
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let sign = chars.next();
        if sign == Some('%') {
            text.push('%');
            continue;
        }
        if let Some((_, long)) = SHORT.iter().find(|(known, _)| Some(*known) == sign) {
            read(long, parts, text)?;
            continue;
        }
        let Some((_, part)) = SIGNS.iter().find(|(known, _)| Some(*known) == sign) else {
            let written = sign.map_or_else(|| "%".to_owned(), |s| format!("%{s}"));
            return Err(Wrong::new(format!("a date has no {}", quoted(&written))).expected(LOOK));
        };
        if !text.is_empty() {
            parts.push(DatePart::Text(std::mem::take(text)));
        }
        parts.push(part.clone());
    }
    Ok(())
}

/// `+7d`, `-90m`: how far from now, ms.
pub(crate) fn shift(text: &str) -> Option<i64> {
    let (sign, length) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let ms = match length.strip_suffix('d') {
        Some(days) => days.parse::<u32>().ok().map(|d| i64::from(d) * DAY_MS)?,
        None => i64::try_from(quantity::duration(length).ok()? / 1_000_000).ok()?,
    };
    (ms <= MAX_SHIFT_MS).then_some(sign * ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_shifts() {
        assert_eq!(
            parse("%F 100%%").unwrap(),
            [
                DatePart::Year,
                DatePart::Text("-".into()),
                DatePart::Month,
                DatePart::Text("-".into()),
                DatePart::Day,
                DatePart::Text(" 100%".into())
            ]
        );
        let times = |text: &str| [DatePart::Hour, DatePart::Text(text.into()), DatePart::Minute];
        assert_eq!(parse("%T").unwrap()[..3], times(":"));
        // A percent sign is itself, whatever stands behind it.
        assert_eq!(parse("%%F").unwrap(), [DatePart::Text("%F".into())]);
        assert_eq!(parse("%H%%T%M").unwrap(), times("%T"));
        assert!(parse("%q").is_err() && parse("50%").is_err());
        assert_eq!(
            [shift("+7d"), shift("-90m"), shift("7d"), shift("+x")],
            [Some(7 * DAY_MS), Some(-5_400_000), None, None]
        );
        assert_eq!(shift("+999999999d"), None);
    }
}
