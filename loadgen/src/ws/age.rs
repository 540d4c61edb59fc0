//! How old a pushed message is: finds its timestamp and compares it with the clock.

use serde_json::Value;
use serde_json_path::JsonPath;

/// A timestamp may be this much ahead of our clock, ms: one on the same machine is rounded, not wrong.
const AHEAD_MS: f64 = 2.0;
const MS_NS: f64 = 1e6;
const MS_PER_S: i64 = 1000;
const DAY_S: i64 = 86_400;

/// The age in ns of a message read at `now_ms` (Unix time). None if it holds no timestamp at `path`, or one that lies ahead.
#[must_use]
pub fn of(message: &str, path: &JsonPath, now_ms: u64) -> Option<u64> {
    let message: Value = serde_json::from_str(message).ok()?;
    let stamp = match path.query(&message).all().into_iter().next()? {
        Value::Number(ms) => ms.as_f64()?,
        Value::String(text) => rfc3339_ms(text)? as f64,
        _ => return None,
    };
    let age = now_ms as f64 - stamp;
    (age >= -AHEAD_MS).then(|| (age.max(0.0) * MS_NS) as u64)
}

/// Unix time in ms of a text such as `2026-03-01T12:00:00.250+01:00` (RFC 3339).
fn rfc3339_ms(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
        digits.parse().ok()
    };
    let marks = [(4, b"-"), (7, b"-"), (13, b":"), (16, b":")];
    if marks.iter().any(|(i, mark)| bytes.get(*i) != Some(&mark[0]))
        || !matches!(bytes.get(10), Some(b'T' | b't' | b' '))
    {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?;
    let fraction = rest.strip_prefix('.').map_or(0, |r| r.bytes().take_while(u8::is_ascii_digit).count());
    let ms = if rest.starts_with('.') {
        let digits: String = rest[1..=fraction].chars().chain("000".chars()).take(3).collect();
        digits.parse().ok().filter(|_| fraction > 0)?
    } else {
        0
    };
    let zone = rest.get(if rest.starts_with('.') { 1 + fraction } else { 0 }..)?;
    let seconds = days(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second - offset_s(zone)?;
    Some(seconds * MS_PER_S + ms)
}

/// `Z` or `+01:00`, in seconds.
fn offset_s(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    Some(
        sign * (hours.parse::<u8>().map(i64::from).ok()? * 3600
            + minutes.parse::<u8>().map(i64::from).ok()? * 60),
    )
}

/// Days from 1970-01-01 to a date of the Gregorian calendar: whole eras of 400 years, then the year counted from March on.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_of_timestamps_are_read() {
        assert_eq!(rfc3339_ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(rfc3339_ms("2000-02-29T12:30:15.5+01:30"), Some(951_822_015_500));
        assert_eq!(rfc3339_ms("2026-03-01 00:00:00.123456789z"), Some(1_772_323_200_123));
        for bad in [
            "",
            "2026-03-01",
            "2026-13-01T00:00:00Z",
            "2026-03-01T00:00:00",
            "2026-03-01T00:00:00.Z",
            "yesterday",
        ] {
            assert_eq!(rfc3339_ms(bad), None, "{bad}");
        }
        let path = JsonPath::parse("$.t").unwrap();
        assert_eq!(of("{\"t\":1000}", &path, 1250), Some(250_000_000));
        assert_eq!(of("{\"t\":\"1970-01-01T00:00:01Z\"}", &path, 1250), Some(250_000_000));
        assert_eq!(of("{\"t\":1251}", &path, 1250), Some(0));
        for bad in ["{\"t\":5000}", "{\"t\":null}", "{}", "no"] {
            assert_eq!(of(bad, &path, 1250), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9TZ:.+ -]{0,40}|\\PC{0,30}") {
            let _ = rfc3339_ms(&text);
        }
    }
}
