//! Dates as requests write them, in UTC.

use scenarios::plan::DatePart;
use time::UtcDateTime;

use crate::template::write_i64;

/// Appends the moment `unix_ms`, ms since the Unix epoch, as `parts` say.
pub fn write(parts: &[DatePart], unix_ms: i64, out: &mut Vec<u8>) {
    let seconds = unix_ms.div_euclid(1000);
    // The calendar ends with the year 9999.
    let at = UtcDateTime::from_unix_timestamp(seconds).unwrap_or(UtcDateTime::MAX);
    for part in parts {
        match part {
            DatePart::Text(text) => out.extend_from_slice(text.as_bytes()),
            DatePart::Year => padded(out, at.year().into(), 4),
            DatePart::Month => padded(out, u8::from(at.month()).into(), 2),
            DatePart::Day => padded(out, at.day().into(), 2),
            DatePart::Hour => padded(out, at.hour().into(), 2),
            DatePart::Minute => padded(out, at.minute().into(), 2),
            DatePart::Second => padded(out, at.second().into(), 2),
            DatePart::Millisecond => padded(out, unix_ms.rem_euclid(1000), 3),
            DatePart::Unix => write_i64(out, seconds),
        }
    }
}

fn padded(out: &mut Vec<u8>, n: i64, digits: u32) {
    (1..digits).filter(|d| n < 10_i64.pow(*d)).for_each(|_| out.push(b'0'));
    write_i64(out, n);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let all = [
            DatePart::Year,
            DatePart::Month,
            DatePart::Day,
            DatePart::Hour,
            DatePart::Minute,
            DatePart::Second,
        ];
        let of = |ms: i64| {
            let mut out = Vec::new();
            write(&all, ms, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(of(0), "19700101000000");
        assert_eq!(of(951_782_400_000), "20000229000000");
        assert_eq!(of(1_709_251_199_999), "20240229235959");
        assert_eq!(of(4_107_542_400_000), "21000301000000");
        assert_eq!(of(-1), "19691231235959");
        let mut out = Vec::new();
        write(&[DatePart::Unix, DatePart::Text(" ".into()), DatePart::Millisecond], 5_007, &mut out);
        assert_eq!(out, b"5 007");
    }
}
