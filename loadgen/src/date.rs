//! Dates as requests write them, in UTC.

use scenarios::plan::DatePart;

use crate::template::write_i64;

const DAY_S: i64 = 86_400;

/// Appends the moment `unix_ms`, ms since the Unix epoch, as `parts` say.
pub fn write(parts: &[DatePart], unix_ms: i64, out: &mut Vec<u8>) {
    let seconds = unix_ms.div_euclid(1000);
    let (year, month, day) = civil(seconds.div_euclid(DAY_S));
    let of_day = seconds.rem_euclid(DAY_S);
    for part in parts {
        match part {
            DatePart::Text(text) => out.extend_from_slice(text.as_bytes()),
            DatePart::Year => padded(out, year, 4),
            DatePart::Month => padded(out, month, 2),
            DatePart::Day => padded(out, day, 2),
            DatePart::Hour => padded(out, of_day / 3600, 2),
            DatePart::Minute => padded(out, of_day / 60 % 60, 2),
            DatePart::Second => padded(out, of_day % 60, 2),
            DatePart::Millisecond => padded(out, unix_ms.rem_euclid(1000), 3),
            DatePart::Unix => write_i64(out, seconds),
        }
    }
}

fn padded(out: &mut Vec<u8>, n: i64, digits: u32) {
    (1..digits).filter(|d| n < 10_i64.pow(*d)).for_each(|_| out.push(b'0'));
    write_i64(out, n);
}

/// Year, month and day of a day since 1970-01-01 (Hinnant's `civil_from_days`: eras of 400 years that begin in March).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
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
