//! CPU samples of native processes, which the kernel takes (`perf_event_open`): where one spends its time, while it has much of a core.
//!
//! Owns when they are taken and how addresses become names: by the symbols of the process's own files. Nothing is installed in the
//! process, and nothing stays when the samples are closed. Only its own code is sampled, not the kernel's on its behalf, which is what `perf_event_paranoid` up to 2 allows for processes of one's own user. A stack is as deep as the
//! process keeps frame pointers. Runtimes that compile as they go have profiles of their own (`v8::profile`); theirs say nothing here, and their
//! `/tmp/perf-PID.map`, which anybody could have written, is not read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use blazesym::symbolize::cache::{self, Cache};
use blazesym::symbolize::source::{self, Source as Symbols};
use blazesym::symbolize::{Input, Sym, Symbolizer};
use perf_event::data::Record;
use perf_event::events::Software;
use perf_event::{Builder, SampleFlag, Sampler};
use timeline::MonoNs;
use timeline::event::{LABEL_MAX, kinds};
use timeline::text::clean;

use super::Busy;
use crate::sources::discover::{Runtime, runtime_of};
use crate::sources::stacks::{Stacks, tell_most};
use crate::sources::{Crew, Shared, Sink, Source, locked};

/// How long the CPU is sampled at a time, and from the end of that to the next beginning.
const LENGTH: Duration = Duration::from_secs(2);
const REST: Duration = Duration::from_secs(6);
/// How often samples are fetched, and how often one looks for work without any.
const FETCH: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(500);
/// Samples a second of a thread that runs all the time: no divisor of anything that recurs.
const FREQUENCY: u64 = 397;
/// Bytes of a thread's samples between two fetches: forty of 64 frames are 22 KiB.
const RING: usize = 32 << 10;
const MAX_FRAMES: u16 = 64;
/// Most processes that are sampled at once, by their ids, and threads of each: those that have had most CPU so far.
const MAX_PROCESSES: usize = 8;
const MAX_THREADS: usize = 16;
/// Fewer samples say nothing: a quarter of a second.
const LEAST_SAMPLES: u64 = 100;
/// Most places that are looked up.
const MAX_PLACES: usize = 4_000;
/// Addresses from here on are marks between the parts of a stack, and no code.
const MARKS: u64 = u64::MAX - 4_094;

/// Has the native ones of `pids`, and those that join them, sampled while they are `busy`, and says so, or why not.
pub(super) fn begin(
    mut pids: impl Iterator<Item = u32>,
    busy: &Busy,
    stacks: &Stacks,
    crew: &Crew,
    sink: &Shared,
) -> String {
    let Some(pid) = pids.find(|pid| is_native(*pid)) else { return String::new() };
    match sampler(pid) {
        Ok(_) => {
            crew.run(Sampling::new(Arc::clone(busy), stacks.clone()), sink.clone());
            ", CPU samples while it is busy".to_owned()
        }
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            let paranoid = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
            format!(
                "; no CPU samples: the system does not allow them (perf_event_paranoid is {})",
                paranoid.trim()
            )
        }
        Err(e) => format!("; no CPU samples: {e}"),
    }
}

/// What compiles as it goes is not named by its files.
fn is_native(pid: u32) -> bool {
    matches!(runtime_of(pid), Runtime::Other(_))
}

/// Takes the samples.
pub(super) struct Sampling {
    busy: Busy,
    stacks: Stacks,
    turn: Turn,
}

enum Turn {
    NotBefore(MonoNs),
    Since(MonoNs, Vec<Sampled>),
}

impl Sampling {
    pub fn new(busy: Busy, stacks: Stacks) -> Self {
        Self { busy, stacks, turn: Turn::NotBefore(MonoNs::now()) }
    }
}

impl Source for Sampling {
    fn name(&self) -> &str {
        "process sampling"
    }

    fn period(&self) -> Duration {
        if matches!(self.turn, Turn::Since(..)) { FETCH } else { LOOK }
    }

    /// Whoever reads the processes is: nobody else holds on to `busy`.
    fn is_over(&self) -> bool {
        Arc::strong_count(&self.busy) == 1
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        let now = MonoNs::now();
        match &mut self.turn {
            Turn::NotBefore(at) if now >= *at => {
                let busy = std::mem::take(&mut *locked(&self.busy));
                let sampled = busy.into_iter().filter_map(|(pid, name)| Sampled::begin(pid, name));
                let sampled: Vec<Sampled> = sampled.take(MAX_PROCESSES).collect();
                if !sampled.is_empty() {
                    self.turn = Turn::Since(now, sampled);
                }
            }
            // Who was busy before the rest was over may be so no more.
            Turn::NotBefore(_) => locked(&self.busy).clear(),
            Turn::Since(since, sampled) => {
                sampled.iter_mut().for_each(Sampled::fetch);
                if now.since(*since) >= LENGTH {
                    sampled.iter().for_each(|s| s.tell(*since, &self.stacks, sink));
                    self.turn = Turn::NotBefore(MonoNs(now.0 + REST.as_nanos() as u64));
                }
            }
        }
    }
}

/// A process while it is sampled.
struct Sampled {
    name: String,
    pid: u32,
    threads: Vec<Sampler>,
    /// Addresses of each stack, innermost first, and how often it was seen.
    seen: HashMap<Vec<u64>, u64>,
}

impl Sampled {
    /// None if it may not be sampled, has ended, or has a profile of its own.
    fn begin(pid: u32, name: String) -> Option<Self> {
        if !is_native(pid) {
            return None;
        }
        let mut threads: Vec<Sampler> =
            busiest(pid).into_iter().filter_map(|thread| sampler(thread).ok()).collect();
        threads.retain_mut(|thread| thread.enable().is_ok());
        (!threads.is_empty()).then(|| Self { name, pid, threads, seen: HashMap::new() })
    }

    fn fetch(&mut self) {
        for thread in &mut self.threads {
            while let Some(record) = thread.next_record() {
                if let Ok(Record::Sample(sample)) = record.parse_record() {
                    let chain = sample.callchain().unwrap_or_default();
                    let code = chain.iter().copied().filter(|address| *address < MARKS);
                    *self.seen.entry(code.collect()).or_default() += 1;
                }
            }
        }
    }

    fn tell(&self, since: MonoNs, stacks: &Stacks, sink: &mut dyn Sink) {
        let all: u64 = self.seen.values().sum();
        if all < LEAST_SAMPLES {
            return;
        }
        let code: BTreeSet<u64> = self.seen.keys().flat_map(|chain| sites(chain)).collect();
        let names = name(self.pid, code.into_iter().take(MAX_PLACES));
        let program = fs::read_link(format!("/proc/{}/exe", self.pid)).unwrap_or_default();
        let program = file_name(&program);
        let program = program.strip_suffix(" (deleted)").unwrap_or(&program);
        let mut by: BTreeMap<String, u64> = BTreeMap::new();
        for (chain, samples) in &self.seen {
            let frames: Vec<&Function> = sites(chain).filter_map(|site| names.get(&site)).collect();
            // A copy of memory is for whoever copies.
            let own = frames.iter().find(|f| f.file == program);
            if let Some(function) = own.or_else(|| frames.first()) {
                *by.entry(function.shown.clone()).or_default() += samples;
            }
            let outermost = std::iter::once(self.name.clone());
            let shown: Vec<String> = outermost.chain(frames.iter().rev().map(|f| f.shown.clone())).collect();
            stacks.add(&shown, *samples);
        }
        tell_most(kinds::PROFILE_CPU, &self.name, since, (by, all), sink);
    }
}

/// Where the frames of a stack are: each but the innermost is an address to return to, and its call lies before that.
fn sites(chain: &[u64]) -> impl Iterator<Item = u64> {
    chain.iter().enumerate().map(|(depth, address)| address.saturating_sub(u64::from(depth > 0)))
}

/// The samples of one thread, which come once it is enabled.
fn sampler(thread: u32) -> io::Result<Sampler> {
    let thread = i32::try_from(thread).map_err(io::Error::other)?;
    Builder::new(Software::CPU_CLOCK)
        .observe_pid(thread)
        .any_cpu()
        .exclude_callchain_kernel(true)
        .sample_frequency(FREQUENCY)
        .sample(SampleFlag::IP | SampleFlag::CALLCHAIN)
        .sample_max_stack(MAX_FRAMES)
        .build()?
        .sampled(RING)
}

/// The threads of `pid` that have had most CPU so far.
fn busiest(pid: u32) -> Vec<u32> {
    let had = |thread| Some((super::cpu_ns(thread)?, thread));
    let mut threads: Vec<(u64, u32)> = super::threads_of(pid).filter_map(had).collect();
    threads.sort_unstable_by(|a, b| b.cmp(a));
    threads.into_iter().take(MAX_THREADS).map(|(_, thread)| thread).collect()
}

/// A function: `name (file)`, without what would end a frame, and in which of the process's files it lies.
#[derive(Debug)]
struct Function {
    shown: String,
    file: String,
}

impl Function {
    fn of(symbol: &Sym<'_>) -> Self {
        let file = symbol.module.as_deref().map(|module| file_name(Path::new(module))).unwrap_or_default();
        Self { shown: clean(&format!("{} ({file})", symbol.name), LABEL_MAX).replace(';', ","), file }
    }
}

/// Names what lies at `addresses` of process `pid`, as far as its files tell. One at a time: an address that is none, as there are where no frame
/// pointers are kept, must not cost the others their names.
fn name(pid: u32, addresses: impl Iterator<Item = u64>) -> HashMap<u64, Function> {
    let symbolizer = Symbolizer::builder().enable_code_info(false).enable_inlined_fns(false).build();
    let mut mapped = cache::Process::new(pid.into());
    mapped.cache_perf_map = false;
    if symbolizer.cache(&Cache::Process(mapped)).is_err() {
        return HashMap::new();
    }
    let process = |map_files| {
        let mut process = source::Process::new(pid.into());
        // Lines cost the reading of all that a debugger wants to know.
        (process.debug_syms, process.perf_map, process.map_files) = (false, false, map_files);
        Symbols::Process(process)
    };
    // Files by their names where we may not open what is mapped itself, if they are called the same for us.
    let (mapped, named) = (process(true), process(false));
    let alike = mounts(pid).is_some_and(|theirs| mounts(std::process::id()) == Some(theirs));
    let function = |address| {
        let symbol = |source| symbolizer.symbolize_single(source, Input::AbsAddr(address)).ok();
        let found = symbol(&mapped).or_else(|| alike.then(|| symbol(&named)).flatten())?;
        found.as_sym().map(Function::of)
    };
    addresses.filter_map(|address| Some((address, function(address)?))).collect()
}

/// Which files a process sees.
fn mounts(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
