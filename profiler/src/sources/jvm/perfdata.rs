//! The performance data of HotSpot: a file that the JVM maps and writes counters into, version 2.0.
//!
//! Owns the form (`PerfDataPrologue` and `PerfDataEntry` in HotSpot's `perfMemory.hpp` and `perfData.hpp`). The file belongs to
//! somebody else: each length and offset in it is checked, and its size and number of counters are bounded.

use std::collections::HashMap;

use thiserror::Error;

/// Longest file, bytes. HotSpot makes 32 KiB unless `-XX:PerfDataMemorySize` says otherwise.
pub(super) const MAX_FILE: usize = 1 << 20;
/// Most counters; a JVM has about 250.
const MAX_ENTRIES: usize = 4_096;
/// Prologue: magic, byte order, version, accessible, used, overflow, time, offset and number of entries.
const PROLOGUE: usize = 32;
/// Of an entry, without name and value.
const ENTRY: usize = 20;
/// First bytes, whatever the machine's byte order.
const MAGIC: [u8; 4] = [0xca, 0xfe, 0xc0, 0xc0];

/// Why a file is no use.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum PerfDataError {
    /// It does not begin as such a file does.
    #[error("it is no performance data of HotSpot")]
    Magic,
    /// Another version than 2.
    #[error("its version is {0}, known is 2")]
    Version(u8),
    /// The JVM has not finished writing it.
    #[error("the JVM is still starting")]
    NotReady,
    /// A length or an offset points outside.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

/// The counters of one reading.
#[derive(Debug, Default)]
pub(super) struct Counters {
    numbers: HashMap<String, i64>,
    texts: HashMap<String, String>,
}

impl Counters {
    /// These numbers, and no texts.
    #[cfg(test)]
    pub fn of(numbers: &[(&str, i64)]) -> Self {
        let numbers = numbers.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
        Self { numbers, texts: HashMap::new() }
    }

    /// A number by name.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.numbers.get(name).copied()
    }

    /// A number that counts something; one below zero is none.
    pub fn count(&self, name: &str) -> Option<f64> {
        self.number(name).filter(|n| *n >= 0).map(|n| n as f64)
    }

    /// A text by name, as the JVM wrote it.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }
}

/// Reads a whole file.
pub(super) fn read(file: &[u8]) -> Result<Counters, PerfDataError> {
    if file.len() < PROLOGUE || file[..4] != MAGIC {
        return Err(PerfDataError::Magic);
    }
    let bytes = Bytes { bytes: file, little: file[4] == 1 };
    if file[5] != 2 {
        return Err(PerfDataError::Version(file[5]));
    }
    if file[7] == 0 {
        return Err(PerfDataError::NotReady);
    }
    let damaged = PerfDataError::Damaged;
    let mut at = bytes.offset(24).ok_or(damaged("the offset of the first counter"))?;
    let entries = bytes.offset(28).filter(|n| *n <= MAX_ENTRIES).ok_or(damaged("the number of counters"))?;
    let mut counters = Counters::default();
    for _ in 0..entries {
        let length = bytes.offset(at).filter(|l| *l >= ENTRY).ok_or(damaged("the length of a counter"))?;
        let entry = at.checked_add(length).and_then(|end| file.get(at..end));
        let entry = Bytes { bytes: entry.ok_or(damaged("a counter beyond the end"))?, little: bytes.little };
        entry.counter(&mut counters)?;
        at += length;
    }
    Ok(counters)
}

struct Bytes<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl Bytes<'_> {
    /// A 32-bit number that is an offset, a length or a count.
    fn offset(&self, at: usize) -> Option<usize> {
        let word: [u8; 4] = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        let number = if self.little { i32::from_le_bytes(word) } else { i32::from_be_bytes(word) };
        usize::try_from(number).ok()
    }

    fn long(&self, at: usize) -> Option<i64> {
        let word: [u8; 8] = self.bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
        Some(if self.little { i64::from_le_bytes(word) } else { i64::from_be_bytes(word) })
    }

    fn text(&self, at: usize) -> Option<String> {
        let text = self.bytes.get(at..)?;
        let end = text.iter().position(|b| *b == 0)?;
        Some(String::from_utf8_lossy(&text[..end]).into_owned())
    }

    /// Takes one entry: a number (`J`) or a text (`B` with a length). Other types are stepped over.
    fn counter(&self, into: &mut Counters) -> Result<(), PerfDataError> {
        let damaged = PerfDataError::Damaged;
        let name = self.offset(4).and_then(|at| self.text(at)).ok_or(damaged("the name of a counter"))?;
        let vector = self.offset(8).ok_or(damaged("the length of a text"))?;
        let at = self.offset(16).ok_or(damaged("the offset of a value"))?;
        match (self.bytes[12], vector) {
            (b'J', 0) => {
                into.numbers.insert(name, self.long(at).ok_or(damaged("a number beyond its counter"))?);
            }
            (b'B', 1..) => {
                into.texts.insert(name, self.text(at).ok_or(damaged("a text without end"))?);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Recorded from OpenJDK 17 with G1, 64 MiB of heap, under allocation.
    const G1: &[u8] = include_bytes!("../../../tests/jvm/openjdk-17-g1.hsperf");

    #[test]
    fn a_real_file_is_read() {
        let counters = read(G1).unwrap();
        assert_eq!(counters.number("sun.gc.collector.0.invocations"), Some(129));
        assert_eq!(counters.text("sun.gc.collector.0.name"), Some("G1 young collection pauses"));
        assert_eq!(counters.number("sun.gc.generation.1.space.0.used"), Some(39_999_056));
        assert_eq!(counters.number("java.threads.live"), Some(6));
        // One for each of 151 collections and steps of theirs, and one more.
        assert_eq!(counters.number("sun.rt.safepoints"), Some(152));
    }

    #[test]
    fn files_that_are_none_are_named() {
        let wrong = |file: &[u8]| read(file).map(|_| ()).unwrap_err();
        let with = |at: usize, byte: u8| {
            let mut file = G1.to_vec();
            file[at] = byte;
            wrong(&file)
        };
        assert_eq!(wrong(b"\x7fELF"), PerfDataError::Magic);
        assert_eq!(with(0, 0), PerfDataError::Magic);
        assert_eq!(with(5, 9), PerfDataError::Version(9));
        assert_eq!(with(7, 0), PerfDataError::NotReady);
        assert_eq!(with(31, 0x7f), PerfDataError::Damaged("the number of counters"));
        assert_eq!(with(32, 0), PerfDataError::Damaged("the length of a counter"));
        assert_eq!(wrong(&G1[..200]), PerfDataError::Damaged("a counter beyond the end"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(changes in prop::collection::vec((0..G1.len(), any::<u8>()), 0..40), end in 0..G1.len()) {
            let mut file = G1.to_vec();
            changes.iter().for_each(|&(at, byte)| file[at] = byte);
            let _ = read(&file[..end]);
        }
    }
}
