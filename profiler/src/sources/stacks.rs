//! Stacks: where the CPU of the target's processes went, as samples by stack, over all of a run.
//!
//! Owns adding up, the bound on it, pprof's protobuf, in which it is recorded, and which functions of a profile are told. Who samples, and when,
//! is each source's business; what is drawn of it, the reports'.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message as _;
use timeline::MonoNs;
use timeline::profile::{Function, Line, Location, Pprof, Sample, ValueType};

use super::{Sink, SourceEvent};

/// Most different stacks that are kept; further ones count as `[others]`.
const MOST_STACKS: usize = 20_000;
/// Most bytes of all their frames' names: a native stack of forty takes 2 KB.
const MOST_BYTES: usize = 32 << 20;
/// What further stacks count as.
const OTHERS: &str = "[others]";

/// Functions of a profile that are told, and the least share of them.
const MOST_TOLD: usize = 3;
const LEAST_SHARE: f64 = 0.05;

/// Tells who has most of a profile of `instance` that was begun at `since`: events of `kind`, each with its share of `all`.
pub(super) fn tell_most(
    kind: &str,
    instance: &str,
    since: MonoNs,
    (by, all): (BTreeMap<String, u64>, u64),
    sink: &mut dyn Sink,
) {
    let shares = by.into_iter().map(|(function, n)| (function, n as f64 / all.max(1) as f64));
    let mut shares: Vec<(String, f64)> = shares.filter(|x| x.1 >= LEAST_SHARE).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    let end = MonoNs::now();
    for (function, value) in shares.into_iter().take(MOST_TOLD) {
        sink.event(SourceEvent {
            kind: kind.to_owned(),
            instance: instance.to_owned(),
            start: since,
            end,
            labels: vec![("function".to_owned(), function)],
            value,
            others: 0,
        });
    }
}

/// Samples by stack, shared between the threads that take them.
#[derive(Debug, Clone, Default)]
pub struct Stacks(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    samples: BTreeMap<String, u64>,
    bytes: usize,
}

impl Stacks {
    /// Adds `samples` of a stack: its frames from the outermost on, without semicolons.
    pub(super) fn add(&self, frames: &[String], samples: u64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stack = frames.join(";");
        if let Some(known) = kept.samples.get_mut(&stack) {
            *known += samples;
            return;
        }
        let room = kept.samples.len() < MOST_STACKS && kept.bytes + stack.len() <= MOST_BYTES;
        if room {
            kept.bytes += stack.len();
            kept.samples.insert(stack, samples);
        } else {
            *kept.samples.entry(OTHERS.to_owned()).or_default() += samples;
        }
    }

    /// In pprof's form (`profile.proto`, not compressed); none without samples.
    #[must_use]
    pub fn pprof(&self) -> Option<Vec<u8>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!kept.samples.is_empty()).then(|| form(&kept.samples).encode_to_vec())
    }
}

fn form(stacks: &BTreeMap<String, u64>) -> Pprof {
    let mut texts = Texts::default();
    texts.place("");
    let sample_type = vec![ValueType { r#type: texts.place("samples"), unit: texts.place("count") }];
    // A function is a location, too, and both have one number.
    let mut functions: BTreeMap<&str, u64> = BTreeMap::new();
    let mut number = |frame| {
        let next = functions.len() as u64 + 1;
        *functions.entry(frame).or_insert(next)
    };
    let sample = stacks
        .iter()
        .map(|(stack, samples)| Sample {
            location_id: stack.rsplit(';').map(&mut number).collect(), // innermost first
            value: vec![*samples as i64],
        })
        .collect();
    let location =
        functions.values().map(|&id| Location { id, line: vec![Line { function_id: id }] }).collect();
    let function = functions
        .iter()
        .map(|(name, &id)| {
            let name = texts.place(name);
            Function { id, name, system_name: name }
        })
        .collect();
    Pprof { sample_type, sample, location, function, string_table: texts.all }
}

/// Texts, each once.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    places: HashMap<String, i64>,
}

impl Texts {
    fn place(&mut self, text: &str) -> i64 {
        if let Some(known) = self.places.get(text) {
            return *known;
        }
        let next = self.all.len() as i64;
        self.all.push(text.to_owned());
        self.places.insert(text.to_owned(), next);
        next
    }
}

#[cfg(test)]
mod tests {
    use timeline::event::LABEL_MAX;

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
        let kept = stacks.0.lock().unwrap();
        assert_eq!((kept.samples.len(), kept.samples[OTHERS]), (MOST_STACKS + 1, 500));
        drop(kept);
        let (large, frame) = (Stacks::default(), "f".repeat(LABEL_MAX));
        (0..MOST_STACKS).for_each(|i| large.add(&vec![format!("{i}{frame}"); 200], 1));
        let kept = large.0.lock().unwrap();
        assert!(
            kept.samples.len() < 2_000 && kept.samples.keys().map(String::len).sum::<usize>() <= MOST_BYTES
        );
    }
}
