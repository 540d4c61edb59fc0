//! CPU profiles: pprof's protobuf for its own tools, folded stacks, a flame graph.
//!
//! Owns what is made of a profile; its form is `timeline::profile`'s. It comes from the target and is not trusted: places in it that lead
//! nowhere are passed over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use timeline::Profile;
use timeline::profile::{Location, Pprof};
use timeline::text::clean;

use crate::write::ReportError;

/// A larger flame graph would make the report too large to be mailed around; then narrow frames are left out.
const FLAME_GRAPH_MAX_BYTES: usize = 1 << 20;
/// Frames with less than this share of all samples are left out, at first and as long as the graph is too large, percent.
const NARROWEST: [f64; 3] = [0.01, 0.1, 0.4];
/// Longest name of a frame, characters.
const NAME: usize = 200;
/// Most frames of a stack: recursion without end is cut.
const DEEPEST: usize = 512;
/// Most bytes of stacks that are told apart; samples of further ones are counted together.
const MOST_TEXT: usize = 32 << 20;
const FURTHER: &str = "(further stacks)";
/// Most samples that one entry counts: a century of them, and sums stay in range.
const MOST_SAMPLES: u64 = 1 << 40;

/// Stacks of a profile, `outer;inner`, and their samples.
pub type Stacks = BTreeMap<String, u64>;

/// Can this be read as a profile?
#[must_use]
pub fn is_profile(pprof: &[u8]) -> bool {
    Pprof::decode(pprof).is_ok()
}

/// The stacks of a profile.
///
/// # Errors
/// [`ReportError::Form`] if it is no profile.
pub fn stacks(profile: &Profile) -> Result<Stacks, ReportError> {
    let read = Pprof::decode(profile.pprof.as_slice()).map_err(|e| ReportError::Form {
        what: "CPU profile",
        why: format!("of {}: {e}", profile.instance),
    })?;
    let text = |i: i64| usize::try_from(i).ok().and_then(|i| read.string_table.get(i));
    let functions: HashMap<u64, String> =
        read.function.iter().filter_map(|f| Some((f.id, frame(text(f.name)?)))).collect();
    let locations: HashMap<u64, &Location> = read.location.iter().map(|l| (l.id, l)).collect();
    let mut stacks = Stacks::new();
    let mut text = 0;
    for sample in &read.sample {
        let lines =
            sample.location_id.iter().filter_map(|id| locations.get(id)).flat_map(|l| &l.line).take(DEEPEST);
        let mut frames: Vec<&str> =
            lines.filter_map(|line| functions.get(&line.function_id)).map(String::as_str).collect();
        frames.reverse();
        let samples =
            sample.value.first().copied().and_then(|n| u64::try_from(n).ok()).unwrap_or(0).min(MOST_SAMPLES);
        if frames.is_empty() || samples == 0 {
            continue;
        }
        let stack = if text < MOST_TEXT { frames.join(";") } else { FURTHER.to_owned() };
        text += if stacks.contains_key(&stack) { 0 } else { stack.len() };
        *stacks.entry(stack).or_default() += samples;
    }
    Ok(stacks)
}

/// A frame's name as folded stacks can have it.
fn frame(name: &str) -> String {
    clean(name, NAME).replace(';', ":")
}

/// Folded stacks: a line for each, as flame graph tools read it.
#[must_use]
pub fn folded(stacks: &Stacks) -> String {
    stacks.iter().map(|(stack, samples)| format!("{stack} {samples}\n")).collect()
}

/// All processes' stacks in one, each under its process. What cannot be read is left out.
#[must_use]
pub fn together(profiles: &[Profile]) -> Stacks {
    let mut all = Stacks::new();
    for profile in profiles {
        for (stack, samples) in stacks(profile).unwrap_or_default() {
            *all.entry(format!("{};{stack}", frame(&profile.instance))).or_default() += samples;
        }
    }
    all
}

/// Functions by the samples in which they themselves ran, and in which they were on the stack; the busiest first.
#[must_use]
pub fn functions(stacks: &Stacks) -> Vec<(String, u64, u64)> {
    let mut found: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (stack, samples) in stacks {
        let frames: Vec<&str> = stack.split(';').collect();
        if let Some(inner) = frames.last() {
            found.entry(inner).or_default().0 += samples;
        }
        let mut once = frames;
        once.sort_unstable();
        once.dedup();
        once.into_iter().for_each(|f| found.entry(f).or_default().1 += samples);
    }
    let mut list: Vec<_> = found.into_iter().map(|(f, (own, all))| (f.to_owned(), own, all)).collect();
    list.sort_by_key(|(_, own, all)| std::cmp::Reverse((*own, *all)));
    list
}

/// A flame graph of the stacks as an SVG; none without a stack.
///
/// # Errors
/// [`ReportError::Form`] if it cannot be drawn.
pub fn flame_graph(stacks: &Stacks) -> Result<Option<String>, ReportError> {
    let form = |why: String| ReportError::Form { what: "flame graph", why };
    let folded = folded(stacks);
    if folded.is_empty() {
        return Ok(None);
    }
    let mut svg = None;
    for narrowest in NARROWEST {
        let mut options = inferno::flamegraph::Options::default();
        options.title = String::new();
        options.count_name = "samples".to_owned();
        options.min_width = narrowest;
        options.no_javascript = true;
        let mut out = Vec::new();
        inferno::flamegraph::from_lines(&mut options, folded.lines(), &mut out)
            .map_err(|e| form(e.to_string()))?;
        let small = out.len() <= FLAME_GRAPH_MAX_BYTES;
        svg = Some(String::from_utf8(out).map_err(|e| form(e.to_string()))?);
        if small {
            break;
        }
    }
    Ok(svg.filter(|svg| svg.len() <= FLAME_GRAPH_MAX_BYTES))
}

/// `cpu-PROCESS.pb.gz` for pprof's tools and `cpu-PROCESS.folded`, of each profile that can be read.
///
/// # Errors
/// [`ReportError::Form`] if it cannot be packed.
pub fn files(profiles: &[Profile]) -> Result<Vec<(String, Vec<u8>)>, ReportError> {
    let (mut files, mut taken) = (Vec::new(), BTreeSet::new());
    for profile in profiles {
        let Ok(stacks) = stacks(profile) else { continue };
        let plain = format!("cpu-{}", file_name(&profile.instance));
        let (mut name, mut n) = (plain.clone(), 1);
        // Of another time, or of a process whose name differs in what is replaced.
        while !taken.insert(name.clone()) {
            n += 1;
            name = format!("{plain}-{n}");
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let packed = gzip.write_all(&profile.pprof).and_then(|()| gzip.finish());
        let packed = packed.map_err(|e| ReportError::Form { what: "CPU profile", why: e.to_string() })?;
        files.push((format!("{name}.pb.gz"), packed));
        files.push((format!("{name}.folded"), folded(&stacks).into_bytes()));
    }
    Ok(files)
}

/// A process's name may be the target's choice: of it a file's name has letters, digits, `-`, `_` and `@` alone.
fn file_name(instance: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '@') { c } else { '_' };
    instance.chars().map(plain).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use timeline::profile::{Function, Line, Sample};
    use timeline::{RunTime, Span};

    /// A profile with the stacks `main;serve;hash` (7 samples, `hash` inlined into `serve`) and `main;idle` (3).
    pub(crate) fn profile(instance: &str) -> Profile {
        let line = |function_id| Line { function_id };
        let pprof = Pprof {
            sample_type: Vec::new(),
            string_table: ["", "main", "serve", "hash<a; b>", "idle"].map(str::to_owned).to_vec(),
            function: (1..=4).map(|n| Function { id: n, name: n as i64, system_name: 0 }).collect(),
            location: vec![
                Location { id: 10, line: vec![line(1)] },
                Location { id: 20, line: vec![line(3), line(2)] },
                Location { id: 30, line: vec![line(4)] },
            ],
            sample: vec![
                Sample { location_id: vec![20, 10], value: vec![7, 70_000_000] },
                Sample { location_id: vec![30, 10], value: vec![3, 30_000_000] },
                Sample { location_id: vec![99], value: vec![1] },
            ],
        };
        let span = Span::new(RunTime::from_ms(20_000), RunTime::from_ms(25_000));
        Profile { instance: instance.to_owned(), span, pprof: pprof.encode_to_vec() }
    }

    #[test]
    fn stacks_are_read_from_the_outside_in() {
        let stacks = stacks(&profile("shop-0")).unwrap();
        assert_eq!(folded(&stacks), "main;idle 3\nmain;serve;hash<a: b> 7\n");
        let functions = functions(&stacks);
        assert_eq!(functions[0], ("hash<a: b>".to_owned(), 7, 7));
        assert!(functions.contains(&("main".to_owned(), 0, 10)));
        let svg = flame_graph(&stacks).unwrap().unwrap();
        assert!(svg.contains("hash&lt;a: b&gt; (7 samples, 70.00%)"), "{svg}");
    }

    #[test]
    fn each_process_has_its_files_whatever_it_is_called() {
        let profiles = ["shop-0", "../up", "shop-0", "api.v1", "api_v1", "api_v1-2", "api v1"].map(profile);
        let names: Vec<String> =
            files(&profiles).unwrap().into_iter().map(|f| f.0).filter(|n| n.ends_with("gz")).collect();
        assert_eq!(
            names,
            [
                "cpu-shop-0.pb.gz",
                "cpu-___up.pb.gz",
                "cpu-shop-0-2.pb.gz",
                "cpu-api_v1.pb.gz",
                "cpu-api_v1-2.pb.gz",
                "cpu-api_v1-2-2.pb.gz",
                "cpu-api_v1-3.pb.gz"
            ]
        );
        assert_eq!(together(&profiles)["shop-0;main;idle"], 6);
    }

    #[test]
    fn a_profile_that_is_none_or_never_ends_costs_no_report() {
        let none = Profile { pprof: b"no protobuf".to_vec(), ..profile("x") };
        assert!(!is_profile(&none.pprof));
        let profiles = [none, profile("shop-0")];
        assert_eq!(files(&profiles).unwrap().len(), 2);
        assert_eq!(together(&profiles).len(), 2);
        let mut deep = Pprof::decode(profile("x").pprof.as_slice()).unwrap();
        deep.location[0].line = vec![Line { function_id: 1 }; 10_000];
        deep.sample = vec![Sample { location_id: vec![10; 512], value: vec![i64::MAX] }; 3];
        let stacks = stacks(&Profile { pprof: deep.encode_to_vec(), ..profile("x") }).unwrap();
        let (stack, samples) = stacks.first_key_value().unwrap();
        assert_eq!((stack.split(';').count(), *samples), (DEEPEST, 3 * MOST_SAMPLES));
        assert_eq!(functions(&stacks)[0].1, 3 * MOST_SAMPLES);
        flame_graph(&stacks).unwrap();
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_refused_or_read_but_never_panic(pprof in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = stacks(&Profile { pprof, ..profile("x") });
        }
    }
}
