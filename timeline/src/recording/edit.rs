//! Recordings made of recordings: a stretch of one, or several as one.
//!
//! Neither needs more memory than the files: blocks are read and written tick by tick. Instants stay on the run's clock, so what a
//! finding says of 00:41 is at 00:41 in a stretch as well; several runs share the clock of the one that started first.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use super::{Damage, Item, Reader, RecordingError, Writer, bounds};
use crate::clock::{RunTime, Span};
use crate::event::{Event, kinds};
use crate::facts::{EndReason, PhaseFacts, PlanFacts, RunEnd, RunMeta};
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
    /// The latest instant that it speaks of.
    latest: RunTime,
    /// Every change of the load, in the order in which they were told.
    changes: Vec<Event>,
    damage: Vec<Damage>,
}

impl Survey {
    fn of(reader: &Reader, path: &Path) -> Result<Self, RecordingError> {
        let mut reader = reader.again();
        let (mut meta, mut plan, mut end, mut changes) = (None, PlanFacts::default(), None, Vec::new());
        let (mut length, mut latest) = (RunTime::ZERO, RunTime::ZERO);
        for item in reader.by_ref() {
            match item {
                Item::Meta(m) => meta = Some(*m),
                Item::Entry(entry) => {
                    latest = latest.max(bounds::latest(&entry));
                    match entry {
                        Entry::Plan(p) => plan = p,
                        Entry::Tick(at) => length = length.max(at),
                        Entry::Event(event) if event.kind == kinds::AMENDMENT => changes.push(event),
                        _ => {}
                    }
                }
                Item::End(e) => end = Some(e),
                Item::Log(_) => {}
            }
        }
        let meta = meta.ok_or_else(|| RecordingError::Empty { path: path.to_owned() })?;
        Ok(Self { meta, plan, end, length, latest, changes, damage: reader.damage().to_vec() })
    }
}

/// Writes the stretch `span` of a recording to the new file `out`. Phases are cut to it, so that rates stay rates.
///
/// # Errors
/// [`EditError`]: not to be read, not to be written, or nothing in that stretch.
pub fn trim(path: &Path, out: &Path, span: Span) -> Result<Edited, EditError> {
    let reader = Reader::open(path)?;
    let Survey { mut meta, end, length, changes, damage, .. } = Survey::of(&reader, path)?;
    if span.start >= span.end || span.start >= length {
        return Err(EditError::Outside { asked: span, length });
    }
    let whole = format!("a stretch of the run, from {} to {}", span.start, span.end.min(length));
    meta.notes.push(whole);
    let mut writer = Writer::create(out, &meta)?;
    // How the load stood at the stretch's start follows from every change before, and reading begins later than those.
    for change in changes.into_iter().filter(|c| span.start > RunTime::ZERO && c.start <= span.start) {
        writer.add(&Entry::Event(change))?;
    }
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
    let is_after_start = |at: RunTime| at > span.start || span.start == RunTime::ZERO;
    match entry {
        Entry::Plan(_) | Entry::Lane(..) => true,
        Entry::Sample { at, .. } => is_after_start(*at) && *at <= span.end,
        Entry::Histogram { span: that, .. } => that.start >= span.start && that.end <= span.end,
        // A change of the load holds from its start on; those before the stretch are written first of all.
        Entry::Event(event) => {
            let until = if event.kind == kinds::AMENDMENT { event.start } else { event.end };
            is_after_start(until) && event.start <= span.end
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
    /// Number of its run.
    run: usize,
    shift: Duration,
    /// Behind the names of its processes, where another run has the same ones.
    suffix: String,
    lanes: HashMap<LaneId, LaneId>,
    /// What comes next, and the tick that closes it.
    group: Vec<Item>,
    tick: Option<RunTime>,
}

impl Part {
    /// Reads up to the next tick, and gives what was read before; what is behind the last one stays for the end.
    fn advance(&mut self) -> Vec<Item> {
        let before = std::mem::take(&mut self.group);
        self.tick = None;
        for item in self.items.by_ref() {
            if let Item::Entry(Entry::Tick(at)) = item {
                self.tick = Some(at + self.shift);
                break;
            }
            self.group.push(item);
        }
        before
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

    /// Something measured or told, on the clock and under the names of the whole; none of a lane that was not declared.
    fn moved(&self, entry: Entry) -> Option<Entry> {
        match entry {
            Entry::Sample { lane, at, value } => {
                Some(Entry::Sample { lane: *self.lanes.get(&lane)?, at: self.at(at), value })
            }
            Entry::Histogram { lane, span, cells } => {
                Some(Entry::Histogram { lane: *self.lanes.get(&lane)?, span: self.span(span), cells })
            }
            Entry::Event(mut event) => {
                (event.start, event.end) = (self.at(event.start), self.at(event.end));
                event.instance += &self.suffix;
                Some(Entry::Event(event))
            }
            Entry::Profile(mut profile) => {
                profile.span = self.span(profile.span);
                profile.instance += &self.suffix;
                Some(Entry::Profile(profile))
            }
            Entry::Plan(_) | Entry::Lane(..) | Entry::Tick(_) => None,
        }
    }
}

/// Are these pieces of one run? Its identity is made of second and seed, so that hosts which start together have the same one.
fn is_same_run(a: &RunMeta, b: &RunMeta) -> bool {
    (&a.run_id, a.started_unix_ms, &a.host) == (&b.run_id, b.started_unix_ms, &b.host)
}

/// Writes several recordings as one to the new file `out`.
///
/// Pieces of one run (same identity, start and machine) share its clock, and what several of them have is taken once. Runs of their
/// own (hosts that loaded together) are put onto one clock by the wall clocks that they started at; their processes get `@2`, `@3`,
/// and loads of phases of the same name add up.
///
/// # Errors
/// [`EditError`] for the first that cannot be read, or when the new one cannot be written: also where the runs lie further apart
/// than a recording may reach.
pub fn merge(paths: &[impl AsRef<Path>], out: &Path) -> Result<Edited, EditError> {
    let mut parts = Vec::new();
    for path in paths {
        let reader = Reader::open(path.as_ref())?;
        let survey = Survey::of(&reader, path.as_ref())?;
        parts.push((survey, reader));
    }
    let start = parts.iter().map(|p| p.0.meta.started_unix_ms).min().unwrap_or_default();
    parts.sort_by_key(|p| p.0.meta.started_unix_ms);
    let mut runs: Vec<&RunMeta> = Vec::new();
    let mut streams = Vec::new();
    let mut plan = PlanFacts::default();
    let mut notes = Vec::new();
    let mut until = Duration::ZERO;
    for (survey, reader) in &parts {
        let id = &survey.meta.run_id;
        let known = runs.iter().position(|run| is_same_run(run, &survey.meta));
        let number = known.unwrap_or(runs.len());
        let shift = Duration::from_millis(survey.meta.started_unix_ms - start);
        check_reach(survey, shift)?;
        let suffix = if number == 0 { String::new() } else { format!("@{}", number + 1) };
        add_plan(&mut plan, &survey.plan, shift, known.is_some());
        if known.is_none() {
            notes.push(format!(
                "merged: run {id}, which started at {:.3} s; its processes are named {}",
                shift.as_secs_f64(),
                if suffix.is_empty() { "as they were".to_owned() } else { format!("NAME{suffix}") }
            ));
            if !runs.is_empty() && shift >= until {
                notes.push(format!(
                    "run {id} started when those before it were over: they did not load together"
                ));
            }
            runs.push(&survey.meta);
        }
        until = until.max(Duration::from_nanos(survey.length.0) + shift);
        let (lanes, group) = (HashMap::new(), Vec::new());
        let mut part = Part { items: reader.again(), run: number, shift, suffix, lanes, group, tick: None };
        part.advance();
        streams.push(part);
    }
    // At a tick that several pieces have, the one that began first has all that the tick closes.
    streams.sort_by_key(|part| part.tick);
    if runs.len() > 1 {
        notes.push("the runs are on one clock by the wall clocks of their machines, and no more exactly than those agree".to_owned());
    }
    let mut meta = parts.first().map(|p| p.0.meta.clone()).unwrap_or_default();
    meta.workers = runs.iter().map(|run| run.workers).sum();
    meta.attached = unique(parts.iter().flat_map(|p| p.0.meta.attached.clone()));
    meta.notes = unique(parts.iter().flat_map(|p| p.0.meta.notes.clone()).chain(notes));
    let mut writer = Writer::create(out, &meta)?;
    writer.add(&Entry::Plan(plan))?;
    let length = pour(&mut streams, &mut writer)?;
    finish(writer, end_of(&parts, &runs, length))?;
    let damage = parts.into_iter().flat_map(|p| p.0.damage).collect();
    Ok(Edited { meta, length, damage })
}

/// What lies later than a recording may reach could be written, but not be read.
fn check_reach(survey: &Survey, shift: Duration) -> io::Result<()> {
    if Duration::from_nanos(survey.latest.0) + shift <= Duration::from_nanos(bounds::LATEST.0) {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "run {} started {:.1} days after the first one, and a recording reaches over two weeks at most; merge runs that loaded together",
        survey.meta.run_id,
        shift.as_secs_f64() / 86_400.0
    )))
}

fn unique(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    lines.filter(|line| seen.insert(line.clone())).collect()
}

/// The worst end of any run, as its last piece has it; none if one of them was cut off.
fn end_of(parts: &[(Survey, Reader)], runs: &[&RunMeta], length: RunTime) -> Option<RunEnd> {
    let last = |run: &&RunMeta| {
        let pieces = parts.iter().map(|p| &p.0).filter(|s| is_same_run(&s.meta, run));
        pieces.max_by_key(|s| (s.length, s.end.is_some()))
    };
    let ends: Option<Vec<&RunEnd>> = runs.iter().filter_map(last).map(|s| s.end.as_ref()).collect();
    let reason = ends?.into_iter().map(|e| e.reason).max_by_key(|r| badness(*r))?;
    let notes = unique(parts.iter().filter_map(|p| p.0.end.clone()).flat_map(|e| e.notes));
    Some(RunEnd { reason, at: length, notes })
}

/// How little of its plan a run that ended so came to.
fn badness(reason: EndReason) -> u8 {
    match reason {
        EndReason::Completed => 0,
        EndReason::Interrupted => 1,
        EndReason::GateAborted => 2,
        EndReason::Unreachable => 3,
    }
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

/// By what something is known again in another piece of its run.
#[derive(PartialEq, Eq, Hash)]
enum Mark {
    /// A lane, and where a sample of it lies or an interval begins.
    Measured(LaneId, RunTime),
    /// Anything else, by what it says.
    Told(String),
}

impl Mark {
    fn of(entry: &Entry) -> Self {
        match entry {
            Entry::Sample { lane, at, .. } => Self::Measured(*lane, *at),
            Entry::Histogram { lane, span, .. } => Self::Measured(*lane, span.start),
            Entry::Profile(profile) => Self::Told(format!("{} {:?}", profile.instance, profile.span)),
            Entry::Event(_) | Entry::Plan(_) | Entry::Lane(..) | Entry::Tick(_) => {
                Self::Told(format!("{entry:?}"))
            }
        }
    }
}

/// What of a run has been written.
#[derive(Default)]
struct Written {
    /// Its last tick.
    until: Option<RunTime>,
    /// What other pieces may have in groups of other ticks: what is about the cut at a piece's end, and all changes of the load.
    seams: HashSet<Mark>,
}

/// What is before a tick, or behind the last one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    /// Another piece of the run had this tick, and with it all that it closes: only declarations count.
    Twice,
    /// In the midst of a piece.
    Inner,
    /// At a piece's end: the other pieces' ticks need not lie where this one was cut.
    Seam,
}

/// Where all that is merged goes.
struct Whole<'a> {
    writer: &'a mut Writer,
    lanes: HashMap<LaneSpec, LaneId>,
    /// By the numbers of the runs.
    written: HashMap<usize, Written>,
}

impl Whole<'_> {
    fn put(&mut self, part: &mut Part, group: Vec<Item>, which: Group) -> io::Result<()> {
        // Only what other groups have is twice; a group's own entries are as they were told.
        let mut marks = Vec::new();
        for item in group {
            match item {
                Item::Entry(Entry::Lane(id, spec)) => self.declare(part, id, spec)?,
                _ if which == Group::Twice => {}
                Item::Entry(entry) => {
                    let Some(entry) = part.moved(entry) else { continue };
                    let is_change = matches!(&entry, Entry::Event(e) if e.kind == kinds::AMENDMENT);
                    let kept = which == Group::Seam || is_change;
                    if self.is_new(part.run, kept, || Mark::of(&entry), &mut marks) {
                        self.writer.add(&entry)?;
                    }
                }
                Item::Log(line) => {
                    let line = LogLine { at: part.at(line.at), ..line };
                    let mark = || Mark::Told(format!("{line:?}"));
                    if self.is_new(part.run, which == Group::Seam, mark, &mut marks) {
                        self.writer.log(line);
                    }
                }
                Item::Meta(_) | Item::End(_) => {}
            }
        }
        self.written.entry(part.run).or_default().seams.extend(marks);
        Ok(())
    }

    /// Is this not at a seam of the run already? What is `kept` in mind goes to `marks`.
    fn is_new(&self, run: usize, kept: bool, mark: impl FnOnce() -> Mark, marks: &mut Vec<Mark>) -> bool {
        let seams = self.written.get(&run).map(|w| &w.seams).filter(|seams| !seams.is_empty());
        if !kept && seams.is_none() {
            return true;
        }
        let mark = mark();
        if seams.is_some_and(|seams| seams.contains(&mark)) {
            return false;
        }
        if kept {
            marks.push(mark);
        }
        true
    }

    fn declare(&mut self, part: &mut Part, id: LaneId, spec: LaneSpec) -> io::Result<()> {
        let spec = part.spec(spec);
        let next = LaneId(self.lanes.len() as u32);
        let new = *self.lanes.entry(spec.clone()).or_insert(next);
        part.lanes.insert(id, new);
        if new == next { self.writer.add(&Entry::Lane(new, spec)) } else { Ok(()) }
    }
}

/// Everything in the order of its ticks; gives the last one.
fn pour(streams: &mut [Part], writer: &mut Writer) -> io::Result<RunTime> {
    let mut whole = Whole { writer, lanes: HashMap::new(), written: HashMap::new() };
    let mut length = RunTime::ZERO;
    loop {
        let next = streams.iter().enumerate().filter_map(|(i, part)| Some((part.tick?, i))).min();
        let Some((tick, i)) = next else { break };
        let part = &mut streams[i];
        let before = whole.written.entry(part.run).or_default().until.replace(tick);
        let twice = before.is_some_and(|last| last >= tick);
        let group = part.advance();
        let is_last = part.tick.is_none();
        let which = match (twice, is_last) {
            (true, _) => Group::Twice,
            (false, true) => Group::Seam,
            (false, false) => Group::Inner,
        };
        whole.put(part, group, which)?;
        if !twice {
            whole.writer.add(&Entry::Tick(tick))?;
            length = tick;
        }
        if is_last {
            let behind = std::mem::take(&mut part.group);
            whole.put(part, behind, Group::Seam)?; // another part's next tick closes it
        }
    }
    Ok(length)
}
