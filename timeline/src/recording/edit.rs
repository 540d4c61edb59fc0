//! Recordings made of recordings: a stretch of one, or several as one.
//!
//! Neither needs more memory than the files: blocks are read and written tick by tick. Instants stay on the run's clock, so what a
//! finding says of 00:41 is at 00:41 in a stretch as well; several runs share the clock of the one that started first.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use super::{Damage, Item, Reader, RecordingError, Writer};
use crate::clock::{RunTime, Span};
use crate::event::kinds;
use crate::facts::{PhaseFacts, PlanFacts, RunEnd, RunMeta};
use crate::lane::{LaneId, LaneSpec, names};
use crate::snapshot::LogLine;
use crate::store::Entry;

/// Samples may be told so long after they were taken: a slow source's last answer.
const LATE: Duration = Duration::from_secs(2);

/// Why no recording was made of others.
#[derive(Debug, Error)]
pub enum EditError {
    /// One of them cannot be read.
    #[error(transparent)]
    Read(#[from] RecordingError),
    /// The new one cannot be written.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// The stretch has no data.
    #[error("the recording has nothing between {:.1} s and {:.1} s: it goes from 0 s to {:.1} s", .asked.start.as_secs_f64(), .asked.end.as_secs_f64(), .length.as_secs_f64())]
    Outside {
        /// What was asked for.
        asked: Span,
        /// Its last tick.
        length: RunTime,
    },
}

/// What was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    /// About it.
    pub meta: RunMeta,
    /// Its last tick.
    pub length: RunTime,
    /// What could not be read of its sources, and so is not in it.
    pub damage: Vec<Damage>,
}

/// What is known of a recording before its data are read.
struct Survey {
    meta: RunMeta,
    plan: PlanFacts,
    end: Option<RunEnd>,
    length: RunTime,
    damage: Vec<Damage>,
}

impl Survey {
    fn of(reader: &Reader, path: &Path) -> Result<Self, RecordingError> {
        let mut reader = reader.again();
        let (mut meta, mut plan, mut end, mut length) = (None, PlanFacts::default(), None, RunTime::ZERO);
        for item in reader.by_ref() {
            match item {
                Item::Meta(m) => meta = Some(*m),
                Item::Entry(Entry::Plan(p)) => plan = p,
                Item::Entry(Entry::Tick(at)) => length = length.max(at),
                Item::End(e) => end = Some(e),
                Item::Entry(_) | Item::Log(_) => {}
            }
        }
        let meta = meta.ok_or_else(|| RecordingError::Empty { path: path.to_owned() })?;
        Ok(Self { meta, plan, end, length, damage: reader.damage().to_vec() })
    }
}

/// Writes the stretch `span` of a recording to the new file `out`. Phases are cut to it, so that rates stay rates.
///
/// # Errors
/// [`EditError`]: not to be read, not to be written, or nothing in that stretch.
pub fn trim(path: &Path, out: &Path, span: Span) -> Result<Edited, EditError> {
    let reader = Reader::open(path)?;
    let Survey { mut meta, end, length, damage, .. } = Survey::of(&reader, path)?;
    if span.start >= span.end || span.start >= length {
        return Err(EditError::Outside { asked: span, length });
    }
    let whole = format!("a stretch of the run, from {} to {}", span.start, span.end.min(length));
    meta.notes.push(whole);
    let mut writer = Writer::create(out, &meta)?;
    let mut last = RunTime::ZERO;
    for item in reader.seek(span.start) {
        match item {
            Item::Entry(Entry::Tick(at)) if at > span.end => {
                if at > span.end + LATE {
                    break;
                }
            }
            Item::Entry(Entry::Plan(plan)) => writer.add(&Entry::Plan(cut(plan, span)))?,
            Item::Entry(entry) if is_within(&entry, span) => {
                if let Entry::Tick(at) = entry {
                    last = at;
                }
                writer.add(&entry)?;
            }
            Item::Log(line) if span.contains(line.at) => writer.log(line),
            Item::Entry(_) | Item::Log(_) | Item::Meta(_) | Item::End(_) => {}
        }
    }
    if last == RunTime::ZERO {
        // Shorter than from tick to tick: without one, nothing would be read as known.
        last = span.end;
        writer.add(&Entry::Tick(last))?;
    }
    finish(writer, end.map(|e| RunEnd { at: last, ..e }))?;
    Ok(Edited { meta, length: last, damage })
}

/// The end mark, if the run has one: a recording that was cut off stays one that was.
fn finish(writer: Writer, end: Option<RunEnd>) -> io::Result<()> {
    match end {
        Some(end) => writer.finish(&end),
        None => writer.stop(),
    }
}

/// Instants after the start up to the end, as ticks close what came before them: so pieces that adjoin share nothing.
fn is_within(entry: &Entry, span: Span) -> bool {
    match entry {
        Entry::Plan(_) | Entry::Lane(..) => true,
        Entry::Sample { at, .. } => (*at > span.start || span.start == RunTime::ZERO) && *at <= span.end,
        Entry::Histogram { span: that, .. } => that.start >= span.start && that.end <= span.end,
        // How a load stood at the stretch's start follows from every change before.
        Entry::Event(event) => {
            event.start < span.end && (event.end >= span.start || event.kind == kinds::AMENDMENT)
        }
        Entry::Profile(profile) => profile.span.start >= span.start && profile.span.end <= span.end,
        Entry::Tick(at) => *at > span.start && *at <= span.end,
    }
}

/// The plan of a stretch: a ramp that is cut begins and ends where it stood then.
fn cut(plan: PlanFacts, span: Span) -> PlanFacts {
    let cut = |p: PhaseFacts| {
        let part = Span::new(p.span.start.max(span.start), p.span.end.min(span.end));
        let length = p.span.length().as_secs_f64().max(f64::MIN_POSITIVE);
        let load = |at: RunTime| p.from + (p.to - p.from) * at.since(p.span.start).as_secs_f64() / length;
        (part.start < part.end).then(|| PhaseFacts {
            span: part,
            from: load(part.start),
            to: load(part.end),
            ..p.clone()
        })
    };
    PlanFacts { phases: plan.phases.into_iter().filter_map(cut).collect(), ..plan }
}

/// One of the recordings that are merged.
struct Part {
    items: Reader,
    shift: Duration,
    /// Behind the names of its processes, where another run has the same ones.
    suffix: String,
    lanes: HashMap<LaneId, LaneId>,
    /// What comes next, and the tick that closes it.
    group: Vec<Item>,
    tick: Option<RunTime>,
}

impl Part {
    /// Reads up to the next tick; what is behind the last one stays for the end.
    fn advance(&mut self) {
        self.group.clear();
        self.tick = None;
        for item in self.items.by_ref() {
            if let Item::Entry(Entry::Tick(at)) = item {
                self.tick = Some(at + self.shift);
                return;
            }
            self.group.push(item);
        }
    }

    fn at(&self, at: RunTime) -> RunTime {
        at + self.shift
    }

    fn span(&self, span: Span) -> Span {
        Span::new(self.at(span.start), self.at(span.end))
    }

    fn spec(&self, spec: LaneSpec) -> LaneSpec {
        // The age of a source is about a process, and comes from the source.
        if spec.name == names::SOURCE_AGE {
            return LaneSpec { subject: format!("{}{}", spec.subject, self.suffix), ..spec };
        }
        LaneSpec { instance: format!("{}{}", spec.instance, self.suffix), ..spec }
    }
}

/// Writes several recordings as one to the new file `out`.
///
/// Pieces of one run (same identity) share its clock, and what several of them have is taken once. Runs of their own (hosts that
/// loaded together) are put onto one clock by the wall clocks that they started at; their processes get `@2`, `@3`, and loads of
/// phases of the same name add up.
///
/// # Errors
/// [`EditError`] for the first that cannot be read, or when the new one cannot be written.
pub fn merge(paths: &[impl AsRef<Path>], out: &Path) -> Result<Edited, EditError> {
    let mut parts = Vec::new();
    for path in paths {
        let reader = Reader::open(path.as_ref())?;
        let survey = Survey::of(&reader, path.as_ref())?;
        parts.push((survey, reader));
    }
    let start = parts.iter().map(|p| p.0.meta.started_unix_ms).min().unwrap_or_default();
    parts.sort_by_key(|p| p.0.meta.started_unix_ms);
    let mut runs: Vec<String> = Vec::new();
    let mut streams = Vec::new();
    let mut plan = PlanFacts::default();
    let mut notes = Vec::new();
    for (survey, reader) in &parts {
        let id = &survey.meta.run_id;
        let known = runs.iter().position(|run| run == id);
        let number = known.unwrap_or(runs.len());
        let shift = Duration::from_millis(survey.meta.started_unix_ms - start);
        let suffix = if number == 0 { String::new() } else { format!("@{}", number + 1) };
        add_plan(&mut plan, &survey.plan, shift, known.is_some());
        if known.is_none() {
            runs.push(id.clone());
            notes.push(format!(
                "merged: run {id}, which started at {:.3} s; its processes are named {}",
                shift.as_secs_f64(),
                if suffix.is_empty() { "as they were".to_owned() } else { format!("NAME{suffix}") }
            ));
        }
        let mut part = Part {
            items: reader.again(),
            shift,
            suffix,
            lanes: HashMap::new(),
            group: Vec::new(),
            tick: None,
        };
        part.advance();
        streams.push((id.clone(), part));
    }
    if runs.len() > 1 {
        notes.push("the runs are on one clock by the wall clocks of their machines, and no more exactly than those agree".to_owned());
    }
    let mut meta = parts.first().map(|p| p.0.meta.clone()).unwrap_or_default();
    let firsts = |id: &String| parts.iter().find(|p| p.0.meta.run_id == *id).map(|p| &p.0.meta);
    meta.workers = runs.iter().filter_map(firsts).map(|m| m.workers).sum();
    meta.attached = unique(parts.iter().flat_map(|p| p.0.meta.attached.clone()));
    meta.notes = unique(parts.iter().flat_map(|p| p.0.meta.notes.clone()).chain(notes));
    let mut writer = Writer::create(out, &meta)?;
    writer.add(&Entry::Plan(plan))?;
    let length = pour(&mut streams, &mut writer)?;
    finish(writer, end_of(&parts, start, length))?;
    let damage = parts.into_iter().flat_map(|p| p.0.damage).collect();
    Ok(Edited { meta, length, damage })
}

fn unique(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    lines.filter(|line| seen.insert(line.clone())).collect()
}

/// The worst end of any: none if one was cut off before the last data of all came.
fn end_of(parts: &[(Survey, Reader)], start: u64, length: RunTime) -> Option<RunEnd> {
    let shifted = |s: &Survey| s.length + Duration::from_millis(s.meta.started_unix_ms - start);
    let last = parts.iter().max_by_key(|p| shifted(&p.0))?;
    let end = last.0.end.clone()?;
    let notes = unique(parts.iter().filter_map(|p| p.0.end.clone()).flat_map(|e| e.notes));
    Some(RunEnd { at: length, notes, ..end })
}

/// Phases of pieces of one run become whole again; those of runs of their own add up.
fn add_plan(plan: &mut PlanFacts, other: &PlanFacts, shift: Duration, same_run: bool) {
    for phase in &other.phases {
        let span = Span::new(phase.span.start + shift, phase.span.end + shift);
        match plan.phases.iter_mut().find(|p| p.name == phase.name && p.model == phase.model) {
            None => plan.phases.push(PhaseFacts { span, ..phase.clone() }),
            Some(known) => {
                if !same_run {
                    (known.from, known.to) = (known.from + phase.from, known.to + phase.to);
                } else {
                    known.from = if span.start < known.span.start { phase.from } else { known.from };
                    known.to = if span.end > known.span.end { phase.to } else { known.to };
                }
                known.span = Span::new(known.span.start.min(span.start), known.span.end.max(span.end));
            }
        }
    }
    plan.phases.sort_by_key(|p| p.span.start);
    for step in &other.steps {
        if !plan.steps.contains(step) {
            plan.steps.push(step.clone());
        }
    }
}

/// Everything in the order of its ticks; gives the last one.
fn pour(streams: &mut [(String, Part)], writer: &mut Writer) -> io::Result<RunTime> {
    let mut lanes: HashMap<LaneSpec, LaneId> = HashMap::new();
    let mut written: HashMap<String, RunTime> = HashMap::new();
    let mut length = RunTime::ZERO;
    loop {
        let next = streams.iter().enumerate().filter_map(|(i, (_, part))| Some((part.tick?, i))).min();
        let Some((tick, i)) = next else { break };
        let (run, part) = &mut streams[i];
        // Another piece of the run had this tick, and with it all that it closes.
        let twice = written.get(run).is_some_and(|last| *last >= tick);
        written.insert(run.clone(), tick);
        put(part, &mut lanes, writer, twice)?;
        if !twice {
            writer.add(&Entry::Tick(tick))?;
            length = tick;
        }
        part.advance();
        if part.tick.is_none() {
            put(part, &mut lanes, writer, false)?; // behind its last tick: another part's next one closes it
        }
    }
    Ok(length)
}

/// Writes what a part has before its tick; only declarations if the rest is written already.
fn put(
    part: &mut Part,
    lanes: &mut HashMap<LaneSpec, LaneId>,
    writer: &mut Writer,
    twice: bool,
) -> io::Result<()> {
    for item in std::mem::take(&mut part.group) {
        let entry = match item {
            Item::Entry(Entry::Lane(id, spec)) => {
                let spec = part.spec(spec);
                let next = LaneId(lanes.len() as u32);
                let new = *lanes.entry(spec.clone()).or_insert(next);
                part.lanes.insert(id, new);
                if new == next {
                    writer.add(&Entry::Lane(new, spec))?;
                }
                continue;
            }
            _ if twice => continue,
            Item::Entry(Entry::Sample { lane, at, value }) => {
                part.lanes.get(&lane).map(|lane| Entry::Sample { lane: *lane, at: part.at(at), value })
            }
            Item::Entry(Entry::Histogram { lane, span, cells }) => part
                .lanes
                .get(&lane)
                .map(|lane| Entry::Histogram { lane: *lane, span: part.span(span), cells }),
            Item::Entry(Entry::Event(mut event)) => {
                (event.start, event.end) = (part.at(event.start), part.at(event.end));
                event.instance += &part.suffix;
                Some(Entry::Event(event))
            }
            Item::Entry(Entry::Profile(mut profile)) => {
                profile.span = part.span(profile.span);
                profile.instance += &part.suffix;
                Some(Entry::Profile(profile))
            }
            Item::Log(line) => {
                writer.log(LogLine { at: part.at(line.at), ..line });
                None
            }
            Item::Entry(Entry::Plan(_) | Entry::Tick(_)) | Item::Meta(_) | Item::End(_) => None,
        };
        if let Some(entry) = entry {
            writer.add(&entry)?;
        }
    }
    Ok(())
}
