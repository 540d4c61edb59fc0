//! Dates as people read them, from milliseconds since the Unix epoch. Time zones are left to the reader: UTC.

use time::UtcDateTime;

/// `2026-11-23T08:17:32Z`.
#[must_use]
pub fn utc(unix_ms: u64) -> String {
    let (year, month, day, h, m, s) = fields(unix_ms);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
}

/// `20261123-081732`: what names of files sort by.
#[must_use]
pub fn compact(unix_ms: u64) -> String {
    let (year, month, day, h, m, s) = fields(unix_ms);
    format!("{year:04}{month:02}{day:02}-{h:02}{m:02}{s:02}")
}

/// Year, month, day, hour, minute and second. The calendar ends with the year 9999.
fn fields(unix_ms: u64) -> (i32, u8, u8, u8, u8, u8) {
    let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
    let at = UtcDateTime::from_unix_timestamp(seconds).unwrap_or(UtcDateTime::MAX);
    (at.year(), at.month().into(), at.day(), at.hour(), at.minute(), at.second())
}

#[cfg(test)]
mod tests {
    use super::{compact, utc};

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_795_421_852_592), "2026-11-23T08:17:32Z");
        assert_eq!(utc(4_107_542_400_000), "2100-03-01T00:00:00Z");
        assert_eq!(utc(u64::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(compact(1_795_421_852_592), "20261123-081732");
    }
}
