//! Stacks: where the CPU of the target's processes went, as samples by stack, over all of a run.
//!
//! Owns adding up, the bound on it, and pprof's protobuf, in which it is recorded. Who samples, and when, is each source's business; what is
//! drawn of it, the reports'.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Most different stacks that are kept; further ones count as `[others]`.
const MOST_STACKS: usize = 20_000;
/// What further stacks count as.
const OTHERS: &str = "[others]";

/// Samples by stack, shared between the threads that take them.
#[derive(Debug, Clone, Default)]
pub struct Stacks(Arc<Mutex<BTreeMap<String, u64>>>);

impl Stacks {
    /// Adds `samples` of a stack: its frames from the outermost on, without semicolons.
    pub(super) fn add(&self, frames: &[String], samples: u64) {
        let mut stacks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stack = frames.join(";");
        let room = stacks.len() < MOST_STACKS || stacks.contains_key(&stack);
        *stacks.entry(if room { stack } else { OTHERS.to_owned() }).or_default() += samples;
    }

    /// In pprof's form (`profile.proto`, not compressed); none without samples.
    #[must_use]
    pub fn pprof(&self) -> Option<Vec<u8>> {
        let stacks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!stacks.is_empty()).then(|| Pprof::default().of(&stacks))
    }
}

/// Protobuf of `profile.proto` as far as samples by stack need it. Field numbers are that file's.
#[derive(Default)]
struct Pprof {
    strings: Vec<String>,
    index: HashMap<String, u64>,
    /// Of functions and locations, which have the same numbers here, by name.
    functions: BTreeMap<String, u64>,
}

impl Pprof {
    fn of(mut self, stacks: &BTreeMap<String, u64>) -> Vec<u8> {
        self.string("");
        let mut out = Vec::new();
        let kind = [(1, self.string("samples")), (2, self.string("count"))];
        bytes(&mut out, 1, &numbers(&kind));
        for (stack, samples) in stacks {
            let mut sample = Vec::new();
            // Innermost first.
            for frame in stack.rsplit(';') {
                let next = self.functions.len() as u64 + 1;
                let id = *self.functions.entry(frame.to_owned()).or_insert(next);
                number(&mut sample, 1, id);
            }
            number(&mut sample, 2, *samples);
            bytes(&mut out, 2, &sample);
        }
        for (name, id) in std::mem::take(&mut self.functions) {
            let line = numbers(&[(1, id)]);
            let mut location = numbers(&[(1, id)]);
            bytes(&mut location, 4, &line);
            bytes(&mut out, 4, &location);
            let name = self.string(&name);
            bytes(&mut out, 5, &numbers(&[(1, id), (2, name), (3, name)]));
        }
        for text in &self.strings {
            bytes(&mut out, 6, text.as_bytes());
        }
        out
    }

    fn string(&mut self, text: &str) -> u64 {
        if let Some(known) = self.index.get(text) {
            return *known;
        }
        let next = self.strings.len() as u64;
        self.strings.push(text.to_owned());
        self.index.insert(text.to_owned(), next);
        next
    }
}

fn numbers(fields: &[(u64, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    fields.iter().for_each(|&(field, value)| number(&mut out, field, value));
    out
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(frames: &[&str]) -> Vec<String> {
        frames.iter().map(|f| (*f).to_owned()).collect()
    }

    #[test]
    fn samples_become_a_profile() {
        let stacks = Stacks::default();
        assert!(stacks.pprof().is_none());
        stacks.add(&stack(&["main", "hash"]), 30);
        stacks.add(&stack(&["main", "hash"]), 12);
        stacks.add(&stack(&["main"]), 1);
        let pprof = stacks.pprof().unwrap();
        // Sample 2 of two frames, the inner one first: tag, length, location 2, location 1, value 42.
        let wanted = [0x12, 6, 0x08, 2, 0x08, 1, 0x10, 42];
        assert!(pprof.windows(wanted.len()).any(|w| w == wanted), "{pprof:?}");
    }

    #[test]
    fn a_target_that_makes_up_stacks_costs_bounded_memory() {
        let stacks = Stacks::default();
        (0..MOST_STACKS + 500).for_each(|i| stacks.add(&[format!("f{i}")], 1));
        let stacks = stacks.0.lock().unwrap();
        assert_eq!((stacks.len(), stacks[OTHERS]), (MOST_STACKS + 1, 500));
    }
}
