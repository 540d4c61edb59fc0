//! How old a pushed message is: finds its timestamp and compares it with the clock.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::scan::Finder;

/// A timestamp may be this much ahead of our clock, ms: one on the same machine is rounded, not wrong.
const AHEAD_MS: f64 = 2.0;
const MS_NS: f64 = 1e6;
const NS_PER_MS: i128 = 1_000_000;

/// The age in ns of a message read at `now_ms` (Unix time). None if it holds no timestamp at `path`, or one that lies ahead.
#[must_use]
pub fn of(message: &str, path: &Finder, now_ms: u64) -> Option<u64> {
    let stamp = match path.first(message)? {
        Value::Number(ms) => ms.as_f64()?,
        Value::String(text) => rfc3339_ms(&text)? as f64,
        _ => return None,
    };
    let age = now_ms as f64 - stamp;
    (age >= -AHEAD_MS).then(|| (age.max(0.0) * MS_NS) as u64)
}

/// Unix time in ms of a text such as `2026-03-01T12:00:00.250+01:00`.
fn rfc3339_ms(text: &str) -> Option<i64> {
    let ns = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    i64::try_from(ns.div_euclid(NS_PER_MS)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json_path::JsonPath;

    use super::*;

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
        let path = Finder::new(JsonPath::parse("$.t").unwrap());
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
