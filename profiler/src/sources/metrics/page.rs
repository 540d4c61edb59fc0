//! A whole page: which of its lines are samples, and when it is none at all.
//!
//! Owns that a line that is no sample costs nothing but itself: it is stepped over and counted. A page that has more of
//! those than samples is something else.

use super::MetricsError;
use super::line;
use super::scrape::Scrape;
use super::several::BEGAN;

/// Bad lines that make a page none, unless it has more good ones. One without a good one is none anyway.
const BAD_LINES: u64 = 3;

/// Gives the page's samples to `scrape`, whose reading must have begun.
///
/// # Errors
/// [`MetricsError::NotMetrics`] with the first line that is no sample.
pub(super) fn read(page: &str, scrape: &mut Scrape) -> Result<(), MetricsError> {
    let (mut good, mut bad, mut first) = (0, 0, None);
    // Lines of one metric follow each other, and are looked up once.
    let (mut name, mut met) = ("", Vec::new());
    for (number, text) in (1..).zip(page.lines()) {
        let text = text.trim_ascii();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let begins = line::name_of(text);
        if begins.len() <= line::MAX_LINE && (begins != name || begins.is_empty()) {
            (name, met) = (begins, scrape.lookup(begins));
        }
        // A metric that is of no use to us need only look like one.
        if met.is_empty() && !begins.is_empty() && text.len() > begins.len() {
            good += 1;
            if begins.ends_with(BEGAN)
                && let Ok(line) = line::read(text)
            {
                scrape.began(line.value);
            }
            continue;
        }
        match line::read(text) {
            Ok(line) if begins.is_empty() => {
                good += 1;
                let met = scrape.lookup(&line.name);
                scrape.take(&met, &line);
            }
            Ok(line) => {
                good += 1;
                scrape.take(&met, &line);
            }
            Err(why) => {
                bad += 1;
                first.get_or_insert((number, why));
                scrape.refuse(why);
            }
        }
    }
    match first {
        Some((line, why)) if good == 0 || (bad >= BAD_LINES && bad > good) => {
            Err(MetricsError::NotMetrics { line, why })
        }
        None if good == 0 => Err(MetricsError::NotMetrics { line: 1, why: "it has no sample" }),
        _ => Ok(()),
    }
}
