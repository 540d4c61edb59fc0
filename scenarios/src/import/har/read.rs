//! A HAR file read as a stream: entry by entry, so that answers of hundreds of megabytes are never held.

use std::fmt;
use std::io::{BufReader, Read};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::entry::Entry;

/// Most entries that are kept; a scenario takes a thousand steps.
pub(super) const ENTRIES_MAX: usize = 20_000;
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// What the file turned out to hold.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(super) entries: Vec<Entry>,
    /// Entries without method or address.
    pub(super) unreadable: usize,
    /// Entries beyond [`ENTRIES_MAX`].
    pub(super) beyond: usize,
    /// Who wrote it: `Firefox 128.0`.
    pub(super) creator: String,
    /// There was a `log` with `entries`.
    pub(crate) is_har: bool,
    /// There was `openapi` or `swagger` at the top: another kind of file.
    pub(crate) is_openapi: bool,
}

/// Reads JSON that is a HAR file, or says what else it is.
///
/// # Errors
/// What `serde_json` says, with line and column.
pub(crate) fn log(file: impl Read) -> Result<Log, serde_json::Error> {
    let mut file = BufReader::new(file);
    let mut start = [0; BOM.len()];
    let mut n = 0;
    while n < start.len() {
        match file.read(&mut start[n..]).map_err(serde_json::Error::io)? {
            0 => break,
            more => n += more,
        }
    }
    let skipped = if &start[..n] == BOM { BOM.len() } else { 0 };
    let mut log = Log::default();
    let mut json = serde_json::Deserializer::from_reader((&start[skipped..n]).chain(file));
    Top(&mut log).deserialize(&mut json)?;
    json.end()?;
    Ok(log)
}

/// Each level is a map of which some keys matter; a seed fills the log as the text goes by.
macro_rules! level {
    ($name:ident, $expects:literal, |$log:ident, $key:ident, $map:ident| $body:block) => {
        struct $name<'l>(&'l mut Log);

        impl<'de> DeserializeSeed<'de> for $name<'_> {
            type Value = ();
            fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
                d.deserialize_map(self)
            }
        }

        impl<'de> Visitor<'de> for $name<'_> {
            type Value = ();
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($expects)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut $map: A) -> Result<(), A::Error> {
                let $log = self.0;
                while let Some($key) = $map.next_key::<String>()? {
                    $body
                }
                Ok(())
            }
        }
    };
}

level!(Top, "an object with `log` (HAR) or `openapi` (OpenAPI)", |log, key, map| {
    match key.as_str() {
        "log" => map.next_value_seed(Inside(log))?,
        "openapi" | "swagger" => {
            log.is_openapi = true;
            map.next_value::<IgnoredAny>()?;
        }
        _ => drop(map.next_value::<IgnoredAny>()?),
    }
});

level!(Inside, "the object `log` of a HAR file", |log, key, map| {
    match key.as_str() {
        "entries" => {
            log.is_har = true;
            map.next_value_seed(Entries(log))?;
        }
        "creator" | "browser" => {
            let value: Value = map.next_value()?;
            let part = |k: &str| value[k].as_str().unwrap_or_default().to_owned();
            log.creator = format!("{} {}", part("name"), part("version")).trim().to_owned();
        }
        _ => drop(map.next_value::<IgnoredAny>()?),
    }
});

struct Entries<'l>(&'l mut Log);

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the array `log.entries` of a HAR file")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let log = self.0;
        loop {
            if log.entries.len() == ENTRIES_MAX {
                match seq.next_element::<IgnoredAny>()? {
                    Some(_) => log.beyond += 1,
                    None => return Ok(()),
                }
                continue;
            }
            match seq.next_element::<Value>()? {
                Some(value) => match Entry::read(&value) {
                    Some(entry) => log.entries.push(entry),
                    None => log.unreadable += 1,
                },
                None => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart_and_a_mark_of_order_is_skipped() {
        let read = |text: &str| log(text.as_bytes());
        assert!(read("\u{FEFF}{\"log\":{\"entries\":[]}}").unwrap().is_har);
        assert!(read("{\"paths\":{},\"openapi\":\"3.1.0\"}").unwrap().is_openapi);
        assert!(!read("{}").unwrap().is_har);
        assert_eq!(read("{\"log\":{\"entries\":[{},1,null]}}").unwrap().unreadable, 3);
    }

    #[test]
    fn what_is_broken_is_named_with_its_place() {
        let read = |text: &str| log(text.as_bytes()).unwrap_err().to_string();
        insta::assert_snapshot!(read("{\"log\": 3}"), @"invalid type: integer `3`, expected the object `log` of a HAR file at line 1 column 10");
        insta::assert_snapshot!(read("{\"log\": {\n \"entries\": [{]}}"), @"key must be a string at line 2 column 15");
        insta::assert_snapshot!(read(""), @"EOF while parsing a value at line 1 column 0");
    }
}
