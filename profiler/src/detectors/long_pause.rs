//! Long pause: the target stopped its own work.
//!
//! **Claim.** One process stood still, how long, how often, and with which period. **Reads** events `pause.*`, lanes
//! `generator.hiccup`, `host.{steal,cpu,cores,run-queue}`, `client.{service,completed}`, `server.requests`, `process.{descriptors,descriptor-limit}`, and, for a
//! process that is still standing, the silence of all its lanes.
//! **Statistic.** Overlapping pauses of a process are one; those of 90 ms and more count, and those in which a collector was at work for 50, and
//! together they must reach a quarter of a second within 20 s: one long pause, or several short ones. Minor collections in a standstill of more than twice
//! as long do not name it. **Needs** the
//! events, or lanes of another process to tell silence from a lost source; a process is silent by its own pace, and one that tells every half
//! second or less often is never so. **Against it** speaks that the
//! generator stood still at the same time, or that the hypervisor took the CPU away: then the machine paused, not
//! the target, and the pause is not counted; likewise where the process was ready to run all the time and other
//! processes had its core; not its own collector, unless that had none either: the CPU is full, and all other processes lack a core at the
//! same time or its thread waited for one for all but 50 ms (and no other thread of the process is known, by label `helped`, to have worked for
//! as long in a major collection). Who is silent with hardly a descriptor left may only lack one for whoever asks: while clients are served that is worth
//! knowing, and no standstill. **Law.** A request caught in a pause takes the rest of
//! it, so the longest service time around it is about its length: where clients saw so twice, it is confirmed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use timeline::clock::RunTime;
use timeline::event::kinds;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{Event, FindingKind, Quality, Series, Severity, Shape, Span, Status, Timeline, Unit};

use super::fd_exhausted;
use super::{Answer, Claim, ONSET, episodes, evidence, period, plural, quiet};
use crate::stats::median;
use crate::window;

/// Kinds of pauses, the widest first: the first that overlaps gives its name to the whole.
pub(crate) const SORTS: [&str; 7] = [
    kinds::PAUSE_HICCUP,
    kinds::PAUSE_STOP_THE_WORLD,
    kinds::PAUSE_MAJOR,
    kinds::PAUSE_MINOR,
    kinds::PAUSE_INCREMENTAL,
    kinds::PAUSE_PURGE,
    kinds::PAUSE_WORKER_STALL,
];
/// Those that are a collector's doing.
const COLLECTIONS: [&str; 4] =
    [kinds::PAUSE_STOP_THE_WORLD, kinds::PAUSE_MAJOR, kinds::PAUSE_MINOR, kinds::PAUSE_INCREMENTAL];
/// Of these, those that work on a heap with a collector always meets.
const MINOR: [&str; 2] = [kinds::PAUSE_MINOR, kinds::PAUSE_INCREMENTAL];
/// Sort of a process that cannot be asked because it has no descriptor left, and goes on working as far as anybody knows.
pub const UNASKED: &str = "unasked";
/// How far back pauses are looked at: two of the longest period that is looked for, 10 s.
const WINDOW_S: f64 = 20.0;
/// Shortest pause that counts: 100 ms, ten times what a runnable thread waits for a core that eight
/// share (8 x 3 ms at most, usually under 10), less the 10 ms by which a hiccup timer may miss its start.
const LEAST_PAUSE: Duration = Duration::from_millis(90);
/// A collection says itself who paused, so that no wait for a core passes for one: half of what is noticed by hand (100 ms, Card, Moran and
/// Newell 1983) counts.
const LEAST_COLLECTION: Duration = Duration::from_millis(50);
/// What the counted pauses of the window must come to: one that everybody notices, or so many that one request in eighty is caught, which is
/// what the p99 shows.
const LEAST_TOTAL: Duration = Duration::from_millis(250);
/// Stalls of a worker alone are one long request unless there are so many.
const LEAST_STALLS: usize = 2;
/// A process that was ready to run for half of a pause did not pause: it had no core. A stopped one is not ready.
const QUEUED_SHARE: f64 = 0.5;
/// CPU of the whole host from which on a collection may have waited for a core as well, ...
const CPU_FULL: f64 = 0.95;
/// ... or so many threads that want a core for each that there is: the host looks half idle to processes that are kept to half of its cores. A
/// collection's helpers want one, too, but only while it lasts.
const WANTED: f64 = 2.0;
/// How far around a collection both are looked at: the host is read twice a second.
const CPU_AROUND: Duration = Duration::from_secs(1);
/// All tell of a standstill within so long of its end.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
/// A pause is the machine's when the generator stood still for half of its length in the same time ...
const MACHINE_SHARE: f64 = 0.5;
/// ... for at least so long.
const MACHINE_LEAST: Duration = Duration::from_millis(50);
/// ... or when the CPU stolen in it, beyond the usual, comes to an eighth of it: one core of eight.
const STOLEN_SHARE: f64 = 0.125;
/// What is usual is the median of so many seconds.
const STEAL_USUAL_S: f64 = 30.0;
/// Silence of one process while another one of the target speaks: eight missed ticks.
const SILENT: Duration = Duration::from_millis(800);
/// Silence of the only process, while the generator speaks; and of all the processes of a kind, which may have no more in common than a core
/// that somebody else has for a moment.
const SILENT_ALONE: Duration = Duration::from_millis(1_500);
/// ... and at least so many times what lies between two of its words as a rule.
const SILENT_PACES: f64 = 3.0;
/// Who speaks every so many seconds or less often (OTLP's senders do every 15 to 60) is no evidence by silence.
const SLOW_PACE_S: f64 = 0.5;
/// The pace is the median of at most so many gaps: 1.5 s of an agent's, among which a standstill is one.
const PACE_GAPS: usize = 15;
/// Fewer gaps tell no pace.
const LEAST_GAPS: usize = 4;
/// Source of the pages. Its reader waits 50 times as long as the last answer took, so one slow answer (a collection of 40 ms) is followed by ...
const PAGES: &str = "metrics";
/// ... as much as 2 s in which nobody asks, and then 2 s are given for the answer: only beyond both it is the page that is silent.
const SILENT_PAGE: Duration = Duration::from_secs(4);
/// A lane speaks if its newest sample is not older.
const FRESH: Duration = Duration::from_millis(350);
/// Descriptors are told twice a second: the last word on them came so long before the silence at most.
const ASKED_CARRY: Duration = Duration::from_secs(2);
/// Silence beyond this is a lost process or source, not a pause.
pub(super) const GONE: Duration = Duration::from_secs(10);
/// Share of the last 10 s spent in pauses that is critical (JDK Mission Control's limit is 10%, too).
const CRITICAL_SHARE: f64 = 0.10;
const SHARE_WINDOW_S: f64 = 10.0;
/// One pause of a second is critical by itself.
const CRITICAL_PAUSE: Duration = Duration::from_secs(1);
/// Spacings within this share of their median are a period.
const PERIOD_SPREAD: f64 = 0.2;
/// The longest service time must reach this share of the pause for clients to have seen it.
const SEEN_SHARE: f64 = 0.6;
/// Pauses that clients must have seen.
const SEEN_PAUSES: usize = 2;
/// Client histograms come each second.
const CLIENT_INTERVAL: Duration = Duration::from_millis(1_200);
/// Silence after which it has ended while its period is not known, and the least where it is.
const QUIET: Duration = Duration::from_secs(8);

/// Looks at every process of the target.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    let voices = voices(timeline);
    let has_pauses = timeline.has(names::PAUSE)
        || SORTS.iter().any(|k| timeline.events(k, window::last(at, WINDOW_S)).next().is_some());
    if !has_pauses && voices.target.is_empty() {
        return Answer::CannotTell(vec![kinds::PAUSE_HICCUP.to_owned(), names::PAUSE.to_owned()]);
    }
    let mut pauses = pauses(timeline, at);
    for instance in voices.generator.keys() {
        pauses.remove(instance); // what the generator does to itself is not the target's
    }
    let mut claims: Vec<Claim> =
        pauses.into_iter().filter_map(|(i, p)| by_events(timeline, at, i, p)).collect();
    for (instance, silent) in silences(timeline, at) {
        match claims.iter_mut().find(|c| c.identity == instance) {
            Some(known) => known.last = at,
            None => claims.push(by_silence(timeline, instance, silent)),
        }
    }
    Answer::Looked(claims)
}

/// One pause of one process.
#[derive(Debug, Clone, PartialEq)]
struct Pause {
    span: Span,
    sort: usize,
    what: String,
    /// For so much of it, ns, the process was ready to run and got no core.
    queued: f64,
    /// For so much of that, ns, other threads of the process had one.
    helped: f64,
}

impl Pause {
    fn length(&self) -> Duration {
        self.span.length()
    }

    fn ns(&self) -> f64 {
        self.length().as_nanos() as f64
    }

    fn is_collection(&self) -> bool {
        COLLECTIONS.contains(&SORTS[self.sort])
    }

    /// For so much of it, ns, it had no core, where its own collector was at work for so long.
    fn queued_beside(&self, collected: Duration) -> f64 {
        self.queued.min(self.length().saturating_sub(collected).as_nanos() as f64)
    }

    /// Did other threads of the process work for as long as a collection that counts, while a major one that does was under way?
    fn is_helped(&self, collections: &[(Span, usize)]) -> bool {
        let is_major = |&(at, sort): &(Span, usize)| {
            SORTS[sort] == kinds::PAUSE_MAJOR && at.overlap(self.span) >= LEAST_COLLECTION
        };
        self.helped >= LEAST_COLLECTION.as_nanos() as f64 && collections.iter().any(is_major)
    }
}

fn pauses(timeline: &Timeline, at: RunTime) -> BTreeMap<&str, Vec<Pause>> {
    let span = window::last(at, WINDOW_S);
    // A pause that ends in the window may have begun before it.
    let wide = Span::new(span.start.back(GONE), span.end);
    let mut found: BTreeMap<&str, Vec<Pause>> = BTreeMap::new();
    for (sort, kind) in SORTS.iter().enumerate() {
        for e in timeline.events(kind, wide) {
            // Warming up has pauses of its own, and is left out of all figures.
            let counts =
                e.start >= timeline.plan().warm_from() && !window::after_plan(timeline.plan(), e.start);
            // Whether the others lacked a core as well is told later.
            let early = COLLECTIONS.contains(kind)
                && at.since(e.end) < TOLD_WITHIN
                && cpu_is_full(timeline, e.span());
            if e.end >= span.start && counts && !early {
                found.entry(e.instance.as_str()).or_default().push(of_event(e, sort));
            }
        }
    }
    let coreless: BTreeMap<&str, Vec<Span>> = found.iter().map(|(i, list)| (*i, coreless(list))).collect();
    let processes: BTreeSet<&str> =
        window::present(timeline, names::PAUSE, span, FRESH).map(|s| s.spec.instance.as_str()).collect();
    for (instance, list) in &mut found {
        let others: Vec<&str> = processes.iter().copied().filter(|i| i != instance).collect();
        let lacks_a_core =
            |i: &str, at: Span| coreless.get(i).is_some_and(|l| l.iter().any(|c| !c.overlap(at).is_zero()));
        let collections = collections(list);
        let full = |at: Span| cpu_is_full(timeline, at);
        excuse_collections(list, &collections, full, |at| {
            !others.is_empty() && others.iter().all(|i| lacks_a_core(i, at)) && full(at)
        });
        let standstills: Vec<Pause> = list.iter().filter(|p| !p.is_collection()).cloned().collect();
        list.sort_by_key(|p| (p.span.start, p.sort));
        list.dedup_by(|next, open| {
            let one = next.span.start <= open.span.end;
            if one {
                open.span.end = open.span.end.max(next.span.end);
                open.queued += next.queued;
                if next.sort < open.sort {
                    open.sort = next.sort;
                    open.what = std::mem::take(&mut next.what);
                }
            }
            one
        });
        for pause in list.iter_mut().filter(|p| MINOR.contains(&SORTS[p.sort])) {
            name_by_what_it_was(pause, &standstills, collected_in(pause.span, &collections));
        }
        list.retain(|p| p.length() >= LEAST_PAUSE || collected_in(p.span, &collections) >= LEAST_COLLECTION);
    }
    found
}

/// A thread that waits for a core while its own collector is at work waits for the collector, whose helpers have the cores; and a
/// standstill that is a collection for the most part is one. Not so where the collector was `starved` itself: then what a hiccup tells stands,
/// and a collection beside none waited, too. Nor where the CPU is `full` and the thread waited for a core for half of the time or more, and for all but
/// less than a collection that counts: that is the wait of whoever wants a core, whether the others wait just then or not. Neither holds for one
/// that is helped.
fn excuse_collections(
    list: &mut [Pause],
    collections: &[(Span, usize)],
    full: impl Fn(Span) -> bool,
    starved: impl Fn(Span) -> bool,
) {
    let told: Vec<Span> = list.iter().filter(|p| p.queued > 0.0).map(|p| p.span).collect();
    for pause in list.iter_mut() {
        if pause.queued <= 0.0 {
            if pause.is_collection() && pause.length() >= LEAST_COLLECTION && starved(pause.span) {
                let told: Duration = told.iter().map(|t| t.overlap(pause.span)).sum();
                pause.queued = pause.length().saturating_sub(told).as_nanos() as f64;
            }
            continue;
        }
        let shares = collections.iter().map(|&(c, sort)| (c.overlap(pause.span), sort));
        let mut collected = collected_in(pause.span, collections);
        let waited = pause.queued >= QUEUED_SHARE * pause.ns()
            && pause.ns() - pause.queued < LEAST_COLLECTION.as_nanos() as f64;
        let alone = !collected.is_zero() && !pause.is_helped(collections);
        if alone && (starved(pause.span) || waited && full(pause.span)) {
            collected = Duration::ZERO;
        }
        pause.queued = pause.queued_beside(collected);
        let longest = shares.max_by_key(|s| s.0);
        if let Some((_, sort)) = longest.filter(|_| collected * 2 >= pause.length()) {
            pause.sort = sort;
        }
    }
}

/// One in which minor collections were at work for less than half of the time, and for no time that counts by itself, is what else it was.
fn name_by_what_it_was(pause: &mut Pause, standstills: &[Pause], collected: Duration) {
    if collected >= LEAST_COLLECTION || collected * 2 >= pause.length() {
        return;
    }
    let overlap = |s: &&Pause| s.span.overlap(pause.span);
    if let Some(most) = standstills.iter().max_by_key(overlap).filter(|s| !overlap(s).is_zero()) {
        (pause.sort, pause.what) = (most.sort, most.what.clone());
    }
}

/// The collections among the pauses of one process.
fn collections(list: &[Pause]) -> Vec<(Span, usize)> {
    list.iter().filter(|p| p.is_collection()).map(|p| (p.span, p.sort)).collect()
}

/// How long a collector was at work in `span`.
fn collected_in(span: Span, collections: &[(Span, usize)]) -> Duration {
    collections.iter().map(|c| c.0.overlap(span)).sum()
}

/// Pauses in which a process had no core, and that its own collector does not explain.
fn coreless(list: &[Pause]) -> Vec<Span> {
    let collections = collections(list);
    let counts = |p: &&Pause| {
        let collected = collected_in(p.span, &collections);
        p.queued > 0.0
            && p.length() >= LEAST_COLLECTION
            && p.queued_beside(collected) >= QUEUED_SHARE * p.ns()
    };
    list.iter().filter(counts).map(|p| p.span).collect()
}

/// Is all of the host's CPU in use around `span`, or wanted by twice as many as can have it?
fn cpu_is_full(timeline: &Timeline, span: Span) -> bool {
    let around = Span::new(span.start.back(CPU_AROUND), span.end + CPU_AROUND);
    let mean = |name| window::mean(timeline, name, around);
    // Whoever reads the run queue is in it.
    let wanted = || Some((mean(names::HOST_RUN_QUEUE)? - 1.0) / mean(names::HOST_CORES)?.max(1.0));
    mean(names::HOST_CPU).is_some_and(|used| used >= CPU_FULL) || wanted().is_some_and(|n| n >= WANTED)
}

fn of_event(e: &Event, sort: usize) -> Pause {
    let tells = [kinds::PAUSE_HICCUP, kinds::PAUSE_WORKER_STALL].contains(&SORTS[sort]);
    let queued = if tells { e.value } else { 0.0 };
    let helped = e.label("helped").and_then(|ns| ns.parse().ok()).unwrap_or(0.0);
    Pause { span: e.span(), sort, what: e.label("what").unwrap_or("").to_owned(), queued, helped }
}

fn by_events(timeline: &Timeline, at: RunTime, instance: &str, pauses: Vec<Pause>) -> Option<Claim> {
    let (excused, counted): (Vec<Pause>, Vec<Pause>) = pauses
        .into_iter()
        .partition(|p| p.queued >= QUEUED_SHARE * p.ns() || machine_paused(timeline, p.span));
    let longest = counted.iter().max_by_key(|p| p.length())?;
    let total: Duration = counted.iter().map(Pause::length).sum();
    let stalls_only = SORTS[longest.sort] == kinds::PAUSE_WORKER_STALL;
    if total < LEAST_TOTAL || (stalls_only && counted.len() < LEAST_STALLS) {
        return None;
    }
    let starts: Vec<RunTime> = counted.iter().map(|p| p.span.start).collect();
    let figures = Figures {
        period: period(&starts, PERIOD_SPREAD),
        seen: counted.iter().filter(|p| clients_saw(timeline, p)).count(),
        pauses: &counted,
        longest,
        total,
    };
    let critical = longest.length() >= CRITICAL_PAUSE || share(&counted, at) >= CRITICAL_SHARE;
    Some(Claim {
        kind: FindingKind::LongPause,
        identity: instance.to_owned(),
        subject: instance.to_owned(),
        severity: if critical { Severity::Critical } else { Severity::Warning },
        status: if figures.seen >= SEEN_PAUSES { Status::Confirmed } else { Status::Likely },
        onset: counted.first()?.span.start,
        last: counted.iter().map(|p| p.span.end).max()?,
        quiet: quiet(figures.period, QUIET, QUIET),
        weight: total.as_secs_f64(),
        claim: figures.sentence(instance),
        evidence: figures.supporting(instance),
        contradicting: excused_evidence(&excused),
        advice: figures.advice(timeline, instance),
        missing: Vec::new(),
        episodes: episodes(counted.iter().map(|p| p.span).collect(), Duration::ZERO),
        remedies: Vec::new(),
        sort: SORTS[longest.sort],
    })
}

/// Did the machine, and not only the target, stand still in `span`?
fn machine_paused(timeline: &Timeline, span: Span) -> bool {
    let length = span.length();
    let around = Span::new(span.start, span.end + Duration::from_secs(2));
    let within = |from: RunTime, to: RunTime| from < span.end && to > span.start;
    let own = MACHINE_LEAST.max(length.mul_f64(MACHINE_SHARE)).as_nanos() as f64;
    let hiccup = timeline
        .named(names::GENERATOR_HICCUP)
        .flat_map(|s| window::steps(s, around))
        .any(|(from, to, ns)| within(from, to) && ns >= own);
    let usual =
        window::typical(timeline, names::HOST_STEAL, window::last(span.end, STEAL_USUAL_S)).unwrap_or(0.0);
    let stolen: f64 = timeline
        .named(names::HOST_STEAL)
        .flat_map(|s| window::steps(s, around))
        .filter(|(from, to, _)| within(*from, *to))
        .map(|(from, to, share)| (share - usual).max(0.0) * to.since(from).as_secs_f64())
        .sum();
    hiccup || stolen >= STOLEN_SHARE * length.as_secs_f64()
}

fn share(pauses: &[Pause], at: RunTime) -> f64 {
    let span = window::last(at, SHARE_WINDOW_S);
    pauses.iter().map(|p| p.span.overlap(span).as_secs_f64()).sum::<f64>() / SHARE_WINDOW_S
}

/// Did some request around the pause take about as long as it?
fn clients_saw(timeline: &Timeline, pause: &Pause) -> bool {
    let around = Span::new(pause.span.start.back(CLIENT_INTERVAL), pause.span.end + CLIENT_INTERVAL);
    timeline
        .named(names::SERVICE)
        .flat_map(|s| s.intervals_within(around))
        .filter(|(span, _)| span.end > pause.span.start)
        .filter_map(|(_, cells)| cells.max_ns())
        .any(|longest| longest >= SEEN_SHARE * pause.ns())
}

struct Figures<'a> {
    pauses: &'a [Pause],
    longest: &'a Pause,
    total: Duration,
    period: Option<Duration>,
    seen: usize,
}

impl Figures<'_> {
    /// From the first of them to the end of the last.
    fn span(&self) -> Span {
        Span::new(self.pauses[0].span.start, self.pauses[self.pauses.len() - 1].span.end)
    }

    fn why(&self) -> String {
        let what =
            if self.longest.what.is_empty() { String::new() } else { format!(" ({})", self.longest.what) };
        match SORTS[self.longest.sort] {
            kinds::PAUSE_HICCUP => "the whole process: not even its timers ran".to_owned(),
            kinds::PAUSE_STOP_THE_WORLD => format!("it stopped its own work under an exclusive lock{what}"),
            kinds::PAUSE_MAJOR => "major collections".to_owned(),
            kinds::PAUSE_MINOR => "minor collections".to_owned(),
            kinds::PAUSE_INCREMENTAL => "a collector's steps and callbacks".to_owned(),
            kinds::PAUSE_PURGE => "the allocator gave memory back".to_owned(),
            _ => format!("what it did came back to its loop late{what}"),
        }
    }

    fn sentence(&self, instance: &str) -> String {
        let longest = Unit::Ns.show(self.longest.ns());
        let why = self.why();
        if self.pauses.len() == 1 {
            return format!("{instance} stood still for {longest} at {ONSET} ({why})");
        }
        let every =
            self.period.map_or(String::new(), |p| format!(", every {}", Unit::Ns.show(p.as_nanos() as f64)));
        format!(
            "{instance} stands still again and again since {ONSET}: {} in {}, up to {longest}{every} ({why})",
            plural(self.pauses.len() as f64, "time"),
            Unit::Ns.show(self.span().length().as_nanos() as f64)
        )
    }

    fn supporting(&self, instance: &str) -> Vec<Evidence> {
        let span = self.span();
        let kind = SORTS[self.longest.sort];
        let text = format!(
            "{} of {instance}, {} in all, the longest {}",
            plural(self.pauses.len() as f64, "pause"),
            Unit::Ns.show(self.total.as_nanos() as f64),
            Unit::Ns.show(self.longest.ns())
        );
        let mut list = vec![evidence(text, kind, span, self.longest.ns(), Unit::Ns)];
        if self.pauses.len() > 1 {
            let share = self.total.as_secs_f64() / window::seconds(span);
            let text =
                format!("{} of the time from the first to the end of the last", Unit::Ratio.show(share));
            list.push(evidence(text, kind, span, share, Unit::Ratio));
        }
        if self.seen > 0 {
            let text = format!(
                "clients saw {} of them: a service time of at least {:.0} % of the pause beside each",
                self.seen,
                SEEN_SHARE * 100.0
            );
            list.push(evidence(text, names::SERVICE, span, self.seen as f64, Unit::Count));
        }
        list
    }

    fn advice(&self, timeline: &Timeline, instance: &str) -> Vec<String> {
        let mut list = vec![match SORTS[self.longest.sort] {
            kinds::PAUSE_HICCUP => "Look for what stops the whole process from outside: SIGSTOP or a debugger, a CPU quota of its control group (nr_throttled in cpu.stat), swapping, a paused virtual machine.".to_owned(),
            kinds::PAUSE_STOP_THE_WORLD => format!("Do this work in pieces of 10 ms at most, with the lock given back in between: {} at a time now.", Unit::Ns.show(self.longest.ns())),
            kinds::PAUSE_MAJOR | kinds::PAUSE_MINOR | kinds::PAUSE_INCREMENTAL => "Give the heap room or allocate less, so that collections are rarer and shorter; look first whether it leaks.".to_owned(),
            kinds::PAUSE_PURGE => "Give memory back in the background (jemalloc: background_thread:true).".to_owned(),
            _ => "Move this work off the loop (spawn_blocking, a worker thread), or let it yield.".to_owned(),
        }];
        // What clients ask of all processes says nothing of this one, which may serve none.
        let end = self.span().end;
        let span = Span::new(end.back(Duration::from_secs_f64(SHARE_WINDOW_S)), end);
        let asked = window::counted_by(timeline, names::SERVER_REQUESTS, instance, span).filter(|&n| n > 0.0);
        if let Some(rate) = asked.map(|n| n / SHARE_WINDOW_S) {
            let caught = rate * self.longest.length().as_secs_f64();
            list.push(format!(
                "At {} such a pause holds up about {}.",
                Unit::PerSecond.show(rate),
                plural(caught.max(1.0), "request")
            ));
        }
        list
    }
}

fn excused_evidence(excused: &[Pause]) -> Vec<Evidence> {
    let (Some(first), Some(last)) = (excused.first(), excused.last()) else { return Vec::new() };
    let span = Span::new(first.span.start, last.span.end);
    let text = format!(
        "{} more not counted: the generator stood still too, the CPU was stolen, or other processes had the core",
        plural(excused.len() as f64, "pause")
    );
    vec![evidence(text, names::GENERATOR_HICCUP, span, excused.len() as f64, Unit::Count)]
}

/// Who speaks: processes of target and generator with their newest sample.
struct Voices<'a> {
    target: BTreeMap<&'a str, RunTime>,
    generator: BTreeMap<&'a str, RunTime>,
}

impl Voices<'_> {
    fn newest(of: &BTreeMap<&str, RunTime>) -> RunTime {
        of.values().copied().max().unwrap_or_default()
    }
}

/// Prefixes of lanes that a process of the target speaks of itself; `process.` is read from outside,
/// so it goes on while the process stands still.
pub(super) const OWN_LANES: [&str; 6] = ["heap.", "pool.", "cache.", "loop.", "server.", "pause."];

/// Does a process of the target speak in this lane?
fn is_own(series: &Series) -> bool {
    series.spec.shape != Shape::Histogram
        && series.spec.quality != Quality::Inferred // worked out by us: nobody's own voice
        && OWN_LANES.iter().any(|p| series.spec.name.starts_with(p))
}

/// How long that process must have been silent at least by its own pace, that of the quickest of its lanes that spoke in the end. None where it
/// is too slow, or has not said enough, for its silence to mean anything.
fn least_silence(timeline: &Timeline, instance: &str, newest: RunTime) -> Option<Duration> {
    let own = timeline.series().iter().filter(|s| s.spec.instance == instance && is_own(s));
    let speaking = own.filter(|s| s.points.last().is_some_and(|p| newest.since(p.0) <= FRESH));
    let paces = speaking.filter_map(|s| {
        let lately = &s.points[s.points.len().saturating_sub(PACE_GAPS + 1)..];
        let gaps = lately.windows(2).map(|w| w[1].0.since(w[0].0).as_secs_f64());
        let gaps: Vec<f64> = gaps.filter(|g| *g > 0.0).collect();
        if gaps.len() >= LEAST_GAPS { median(gaps) } else { None }
    });
    let pace = paces.min_by(f64::total_cmp).filter(|pace| *pace < SLOW_PACE_S)?;
    let mut ages = timeline.named(names::SOURCE_AGE);
    let is_page = ages.any(|s| s.spec.instance == PAGES && s.spec.subject == instance);
    let least = if is_page { SILENT_PAGE } else { Duration::ZERO };
    Some(least.max(Duration::from_secs_f64(SILENT_PACES * pace)))
}

fn voices(timeline: &Timeline) -> Voices<'_> {
    let mut found = Voices { target: BTreeMap::new(), generator: BTreeMap::new() };
    for series in timeline.series().iter().filter(|s| s.spec.shape != Shape::Histogram) {
        let Some(&(newest, _)) = series.points.last() else { continue };
        let side = if series.spec.name.starts_with("generator.") || series.spec.name.starts_with("client.") {
            &mut found.generator
        } else if is_own(series) {
            &mut found.target
        } else {
            continue;
        };
        let known = side.entry(series.spec.instance.as_str()).or_insert(newest);
        *known = newest.max(*known);
    }
    found.target.retain(|i, _| !found.generator.contains_key(i));
    found
}

/// Processes of the target that are silent now while others speak, and since when. Who has gone is nobody's other.
pub(super) fn silences(timeline: &Timeline, at: RunTime) -> Vec<(&str, Span)> {
    let mut voices = voices(timeline);
    voices.target.retain(|_, newest| at.since(*newest) < GONE);
    if window::after_plan(timeline.plan(), at) {
        return Vec::new(); // the target may be on its way out
    }
    let alone = voices.target.len() < 2;
    let (others, least) = if alone {
        (Voices::newest(&voices.generator), SILENT_ALONE)
    } else {
        (Voices::newest(&voices.target), SILENT)
    };
    if at.since(others) > FRESH {
        return Vec::new(); // the reader itself is behind: nobody is to blame
    }
    let is_fellow = |a: &str, b: &str| a != b && window::stem(a) == window::stem(b);
    let least_of = |instance: &str| {
        let mut fellows = voices.target.iter().filter(|(other, _)| is_fellow(instance, other)).peekable();
        let alike = fellows.peek().is_some() && fellows.all(|(_, newest)| at.since(*newest) > FRESH);
        if alike { SILENT_ALONE } else { least }
    };
    let is_silent = |instance: &str, span: Span| {
        (least_of(instance)..GONE).contains(&span.length())
            && least_silence(timeline, instance, span.start).is_some_and(|least| span.length() >= least)
            && !left(timeline, instance, span)
            && !machine_paused(timeline, span)
    };
    let spans = voices.target.iter().map(|(instance, since)| (*instance, Span::new(*since, at)));
    spans.filter(|(instance, span)| is_silent(instance, *span)).collect()
}

/// Does the source itself say that the process is gone or another one now?
fn left(timeline: &Timeline, instance: &str, since: Span) -> bool {
    timeline
        .events(
            kinds::SOURCE,
            Span::new(since.start.back(Duration::from_secs(1)), since.end + Duration::from_nanos(1)),
        )
        .any(|e| e.instance == instance && matches!(e.label("what"), Some("gone" | "restarted" | "refused")))
}

/// Open descriptors and limit of a process that may only lack one for whoever asks how it is, as it was when it fell silent, while clients
/// are served.
pub(super) fn unasked(timeline: &Timeline, instance: &str, silent: Span) -> Option<(f64, f64)> {
    let served = window::counted(timeline, names::COMPLETED, silent).is_some_and(|n| n > 0.0);
    let carry = silent.length() + ASKED_CARRY;
    fd_exhausted::near(timeline, instance, silent.end, carry).filter(|_| served)
}

fn by_silence(timeline: &Timeline, instance: &str, silent: Span) -> Claim {
    let ns = silent.length().as_nanos() as f64;
    let text = format!("nothing from {instance} for {} while others went on", Unit::Ns.show(ns));
    let mut list = vec![evidence(text, names::SOURCE_AGE, silent, ns, Unit::Ns)];
    let unasked = unasked(timeline, instance, silent);
    let (severity, claim, advice) = match unasked {
        Some((open, limit)) => {
            let text = format!(
                "{open:.0} of its {limit:.0} descriptors were open, and clients were served meanwhile"
            );
            list.push(evidence(text, names::PROCESS_DESCRIPTORS, silent, open / limit, Unit::Ratio));
            (
                Severity::Info,
                format!(
                    "{instance} cannot be asked since {ONSET}: no descriptor was left for it, and there is nothing from it for {}",
                    Unit::Ns.show(ns)
                ),
                "Find what it opens and does not close; whether it stands still as well is not known until it can be asked again.",
            )
        }
        None => (
            if silent.length() >= CRITICAL_PAUSE { Severity::Critical } else { Severity::Warning },
            format!("{instance} stands still since {ONSET}: nothing from it for {}", Unit::Ns.show(ns)),
            "Look whether the process is stopped (state T in /proc/PID/stat), swapping, or throttled.",
        ),
    };
    Claim {
        kind: FindingKind::LongPause,
        identity: instance.to_owned(),
        subject: instance.to_owned(),
        severity,
        status: Status::Likely,
        onset: silent.start,
        last: silent.end,
        quiet: QUIET,
        // What a process says of itself afterwards is stronger than its silence.
        weight: 0.0,
        claim,
        evidence: list,
        contradicting: Vec::new(),
        advice: vec![advice.to_owned()],
        missing: vec![kinds::PAUSE_HICCUP.to_owned()],
        episodes: vec![silent],
        remedies: Vec::new(),
        sort: if unasked.is_some() { UNASKED } else { kinds::PAUSE_HICCUP },
    }
}
