//! The load while it lasts: its figures go to the recorder; people and gates may end it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dashboard::app::UiCommand;
use loadgen::lanes::{Lanes, Reading};
use loadgen::protocol::{Counters, FailedCheck};
use loadgen::{Coordinator, LoadUpdate};
use scenarios::plan::RunPlan;
use timeline::amendment::{self, Amendment};
use timeline::event::kinds;
use timeline::facts::EndReason;
use timeline::recorder::Handle;
use timeline::snapshot::{RunState, Snapshot};
use timeline::text::plural;
use timeline::{Event, LaneId, RunTime};

use super::stop::Stops;
use crate::screen::Screen;

/// How often a wish to end is looked for; a person does not notice it.
const LOOK: Duration = Duration::from_millis(50);

/// Most checks that failed of which a note tells each.
const CHECKS_TOLD: usize = 20;

/// How the load ended.
pub struct Ended {
    pub reason: EndReason,
    /// What befell it, a sentence each.
    pub notes: Vec<String>,
}

/// What may end the load early, or be asked for while it lasts.
pub struct Wishes<'a> {
    pub handle: &'a Handle,
    pub screen: &'a Screen,
    pub stops: &'a Stops,
    /// For each gate, how long it may fail.
    pub patience: &'a [Option<Duration>],
    /// Writes the reports of the run so far.
    pub report_now: &'a dyn Fn(),
    /// End of the last phase.
    pub planned_end: RunTime,
    /// Values that are told by nothing that is kept, though a check may name them.
    pub secrets: &'a [String],
}

/// Carries updates to the recorder until all workers are done.
pub async fn drive(mut load: Coordinator, plan: &RunPlan, wishes: &Wishes<'_>) -> Ended {
    let kinds = plan.sessions.iter().map(|kind| kind.name.clone());
    let lanes = Lanes::new(&plan.steps).with_kinds(kinds);
    let mut carrier = Carrier { lanes, ids: Vec::new(), handle: wishes.handle };
    let mut ending = Ending::default();
    let (mut notes, mut tally, mut failed) = (Vec::new(), Tally::default(), FailedChecks::default());
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            update = load.next() => match update {
                Some(update) => {
                    note(&update, &mut notes, wishes.handle);
                    tally.learn(&update);
                    failed.learn(&update);
                    carrier.carry(&update);
                }
                None => break,
            },
            _ = look.tick() => ending.look(&mut load, wishes),
        }
    }
    notes.extend(tally.notes(plan));
    notes.extend(failed.notes(&plan.steps, wishes.secrets));
    Ended { reason: ending.reason.unwrap_or(EndReason::Completed), notes }
}

fn note(update: &LoadUpdate, notes: &mut Vec<String>, handle: &Handle) {
    match update {
        LoadUpdate::Lost { worker, at, why, loss } => {
            let text =
                format!("load worker {} was lost at {at}: {why}; {loss}", loadgen::lanes::instance(*worker));
            handle.log(&text);
            notes.push(text);
        }
        LoadUpdate::Joined { worker, pid, offset } => handle.log(&format!(
            "load worker {} is process {pid}, its clock within {} us",
            loadgen::lanes::instance(*worker),
            offset.error_ns / 1_000
        )),
        LoadUpdate::Amended { at, what } => {
            if let Some(text) = amended(*at, *what) {
                handle.log(&text);
            }
        }
        LoadUpdate::Done(_, done) => {
            // What all workers met alike is told once.
            for text in &done.notes {
                if !notes.contains(text) {
                    handle.log(text);
                    notes.push(text.clone());
                }
            }
        }
        LoadUpdate::Counters(..) | LoadUpdate::Histograms(..) => {}
    }
}

/// A change that a person made of the load; that it ends is said by whoever ends it.
fn amended(at: RunTime, what: Amendment) -> Option<String> {
    match what {
        Amendment::Scale(factor) => {
            Some(format!("the load is {} of the plan from {at} on", amendment::percent(factor)))
        }
        Amendment::Halt => Some(format!("the load is halted from {at} on: nothing is started")),
        Amendment::GoOn => Some(format!("the load goes on at {at}; nothing is made up for")),
        Amendment::Stop | Amendment::Abort => None,
    }
}

/// What workers count that is in no figure, as each has told it last.
#[derive(Default)]
struct Tally {
    last: HashMap<usize, Counters>,
    /// For each feeder that has run out of rows: since when.
    rowless: BTreeMap<usize, RunTime>,
}

impl Tally {
    fn learn(&mut self, update: &LoadUpdate) {
        if let LoadUpdate::Counters(worker, counters) = update {
            for (feeder, _) in counters.rowless.iter().enumerate().filter(|(_, n)| **n > 0) {
                self.rowless.entry(feeder).or_insert(RunTime(counters.at));
            }
            self.last.insert(*worker, (**counters).clone());
        }
    }

    fn sum(&self, of: impl Fn(&Counters) -> u64) -> u64 {
        self.last.values().map(of).sum()
    }

    /// A sentence for each thing that there was.
    fn notes(&self, plan: &RunPlan) -> Vec<String> {
        let mut notes: Vec<String> = self.redirects().into_iter().collect();
        notes.extend(self.rowless.iter().map(|(&feeder, since)| {
            let n = self.sum(|c| c.rowless.get(feeder).copied().unwrap_or(0));
            format!(
                "data `{}` had no rows left from {since} on: {} dropped; each row is used once (order = \"unique\")",
                plan.feeders.get(feeder).map_or("", |f| f.name.as_str()),
                plural(n as usize, "start")
            )
        }));
        notes.extend(self.crowded(plan));
        let n = self.sum(|c| c.over_descriptors);
        notes.extend((n > 0).then(|| {
            format!(
                "{} dropped: the load workers had no file descriptors for further sessions; raise the limit (ulimit -n), or give more \
                 --load-workers",
                plural(n as usize, "start")
            )
        }));
        notes
    }

    /// Starts that found no session free.
    fn crowded(&self, plan: &RunPlan) -> Option<String> {
        let n = self.sum(|c| c.over_cap);
        let caps: BTreeSet<u64> = plan.phases.iter().filter_map(|p| p.model.rules().max_sessions).collect();
        let busy = match caps.first() {
            Some(1) if caps.len() == 1 => "the only session was busy".to_owned(),
            Some(cap) if caps.len() == 1 => format!("all {cap} sessions were busy"),
            _ => "all sessions that their phase allows were busy".to_owned(),
        };
        let starts = plural(n as usize, "start");
        (n > 0).then(|| {
            format!("{starts} dropped: {busy}; raise --sessions, or `max-sessions` in a scenario's phase")
        })
    }

    /// None where there are none. Other tools follow redirects unasked: whoever comes from them would take the times of the redirects
    /// for those of the pages behind them.
    fn redirects(&self) -> Option<String> {
        let n = self.sum(|c| c.unfollowed_redirects);
        let were = if n == 1 { "was a redirect that was" } else { "were redirects that were" };
        (n > 0).then(|| {
            format!(
                "{} {were} not followed: `redirects = 10` in a scenario's `[target]`, or in a step, follows those \
                 to the same host and port",
                plural(n as usize, "answer")
            )
        })
    }
}

/// Checks that failed, of all workers, by step and words.
#[derive(Default)]
struct FailedChecks(BTreeMap<(u16, String), FailedCheck>);

impl FailedChecks {
    fn learn(&mut self, update: &LoadUpdate) {
        let LoadUpdate::Done(_, done) = update else { return };
        for failed in &done.failed_checks {
            let key = (failed.step, failed.what.clone());
            let known = self.0.entry(key).or_insert_with(|| FailedCheck { count: 0, ..failed.clone() });
            known.count += failed.count;
        }
    }

    /// A sentence each, most frequent first.
    fn notes(self, steps: &[String], secrets: &[String]) -> Vec<String> {
        let mut all: Vec<FailedCheck> = self.0.into_values().collect();
        all.sort_by_key(|failed| std::cmp::Reverse(failed.count));
        let beyond = all.len().saturating_sub(CHECKS_TOLD);
        let note = |failed: &FailedCheck| {
            let step = steps.get(usize::from(failed.step)).map_or("?", String::as_str);
            let times = plural(failed.count as usize, "time");
            let FailedCheck { what, found, .. } = failed;
            let what = secrets.iter().fold(what.clone(), |what, secret| what.replace(secret, "..."));
            format!("step `{step}`: the check `{what}` failed {times}; the first time it found {found}")
        };
        let mut notes: Vec<String> = all.iter().take(CHECKS_TOLD).map(note).collect();
        if beyond > 0 {
            notes.push(format!("{} failed less often", plural(beyond, "further check")));
        }
        notes
    }
}

/// Turns updates into entries.
struct Carrier<'a> {
    lanes: Lanes,
    /// The recorder's lane for each of ours; none if it had no room.
    ids: Vec<Option<LaneId>>,
    handle: &'a Handle,
}

impl Carrier<'_> {
    fn carry(&mut self, update: &LoadUpdate) {
        let clock = self.handle.clock();
        for reading in self.lanes.read(update) {
            match reading {
                Reading::Lane(spec) => self.ids.push(self.handle.declare(spec)),
                Reading::Sample { lane, at, value } => {
                    if let Some(id) = self.ids.get(lane).copied().flatten() {
                        self.handle.sample(id, clock.mono(at), value);
                    }
                }
                Reading::Histogram { lane, span, cells } => {
                    if let Some(id) = self.ids.get(lane).copied().flatten() {
                        self.handle.histogram(id, clock.mono(span.start), clock.mono(span.end), cells);
                    }
                }
                Reading::Event(event) => self.handle.event(event),
            }
        }
    }
}

/// Who wants the load to end, and how far that has come.
#[derive(Default)]
struct Ending {
    reason: Option<EndReason>,
    aborted: bool,
    draining: bool,
    /// For each failing gate, since when.
    failing: HashMap<usize, RunTime>,
}

impl Ending {
    fn look(&mut self, load: &mut Coordinator, wishes: &Wishes<'_>) {
        while let Some(command) = wishes.screen.command() {
            match command {
                UiCommand::Quit => wishes.stops.ask(),
                UiCommand::Abort => wishes.stops.abort(),
                UiCommand::Marker => wishes.handle.event(marker(wishes.handle.clock().now())),
                UiCommand::WriteReport => (wishes.report_now)(),
                // What is draining takes no other load any more.
                UiCommand::Scale(_) | UiCommand::Halt(_) if self.draining => {}
                UiCommand::Scale(factor) => load.scale(factor),
                UiCommand::Halt(halted) => load.halt(halted),
                UiCommand::Play(_) => {} // nothing is played here, so it is not offered
            }
        }
        let asked = wishes.stops.asked();
        if asked >= 1 && self.reason.is_none() {
            self.end(EndReason::Interrupted, load, wishes, "an early end was asked for");
        }
        if asked >= 2 && !self.aborted {
            self.aborted = true;
            load.abort();
        }
        if self.reason.is_none() && self.out_of_patience(&wishes.handle.published().get(), wishes.patience) {
            self.end(EndReason::GateAborted, load, wishes, "a gate has failed for as long as it may");
        }
        if !self.draining && wishes.handle.clock().now() >= wishes.planned_end {
            self.draining = true;
            wishes.handle.state(RunState::Draining);
        }
    }

    fn end(&mut self, reason: EndReason, load: &mut Coordinator, wishes: &Wishes<'_>, why: &str) {
        self.reason = Some(reason);
        self.draining = true;
        wishes.handle.log(&format!("{why}: no new arrivals, open sessions come to their end"));
        wishes.handle.state(RunState::Draining);
        load.stop();
    }

    fn out_of_patience(&mut self, snapshot: &Arc<Snapshot>, patience: &[Option<Duration>]) -> bool {
        for (i, (gate, patience)) in snapshot.gates.iter().zip(patience).enumerate() {
            match (gate.holds, patience) {
                (Some(false), Some(patience)) => {
                    let since = *self.failing.entry(i).or_insert(snapshot.at);
                    if snapshot.at.since(since) >= *patience {
                        return true;
                    }
                }
                // Too few samples for a moment neither mend nor fail it.
                (None, _) => {}
                _ => {
                    self.failing.remove(&i);
                }
            }
        }
        false
    }
}

fn marker(at: RunTime) -> Event {
    Event {
        kind: kinds::MARKER.to_owned(),
        instance: "dashboard".to_owned(),
        start: at,
        end: at,
        labels: Vec::new(),
        value: 0.0,
        others: 0,
    }
}

#[cfg(test)]
mod tests {
    use loadgen::protocol::Done;

    use super::*;

    /// A plan of one step that gets this path, with this besides.
    fn plan(path: &str, text: &str) -> RunPlan {
        let origin = scenarios::Origin { name: "t".to_owned(), file: None };
        let text = format!(
            "[target]\nurl = \"http://127.0.0.1:1\"\n[[session]]\nname = \"s\"\nsteps = [{{ name = \"a\", get = \"{path}\" }}]\n{text}"
        );
        scenarios::parse(&text, &origin, &scenarios::Overrides::default()).unwrap()
    }

    /// What is told at the end, if workers said this, one after the other.
    fn told(plan: &RunPlan, said: Vec<(usize, Counters)>) -> Vec<String> {
        let mut tally = Tally::default();
        for (worker, counters) in said {
            tally.learn(&LoadUpdate::Counters(worker, Box::new(counters)));
        }
        tally.notes(plan)
    }

    #[test]
    fn checks_that_failed_are_told_with_their_step_for_all_workers() {
        let failed = |step, what: &str, count| FailedCheck {
            step,
            what: what.to_owned(),
            count,
            found: format!("{count} B"),
        };
        let mut checks = FailedChecks::default();
        let mut learn = |worker, failed_checks| {
            checks.learn(&LoadUpdate::Done(worker, Done { failed_checks, ..Done::default() }));
        };
        learn(0, vec![failed(0, "size < 1 B", 2), failed(1, "size < 1 B", 4)]);
        learn(1, vec![failed(0, "size < 1 B", 3)]);
        let steps = ["rooms".to_owned(), "home".to_owned()];
        let told = checks.notes(&steps, &["B".to_owned()]);
        assert_eq!(
            told,
            [
                "step `rooms`: the check `size < 1 ...` failed 5 times; the first time it found 2 B",
                "step `home`: the check `size < 1 ...` failed 4 times; the first time it found 4 B",
            ]
        );
        let mut many = FailedChecks::default();
        let failed_checks = (0..30).map(|i| failed(i, "body = x", 1)).collect();
        many.learn(&LoadUpdate::Done(0, Done { failed_checks, ..Done::default() }));
        let told = many.notes(&steps, &[]);
        assert_eq!(
            (told.len(), &*told[CHECKS_TOLD]),
            (CHECKS_TOLD + 1, "10 further checks failed less often")
        );
    }

    #[test]
    fn redirects_that_were_not_followed_are_told_once_for_all_workers() {
        let plan = plan("/", "[[phase]]\nname = \"p\"\nfor = \"1s\"\nsessions = 1\n");
        let told = |totals: &[(usize, u64)]| {
            let counters = |&(worker, unfollowed_redirects): &(usize, u64)| {
                (worker, Counters { unfollowed_redirects, ..Counters::default() })
            };
            told(&plan, totals.iter().map(counters).collect())
        };
        assert!(told(&[(0, 0), (1, 0)]).is_empty());
        let rest = "not followed: `redirects = 10` in a scenario's `[target]`, or in a step, follows those \
                    to the same host and port";
        assert_eq!(told(&[(0, 1), (1, 0)]), [format!("1 answer was a redirect that was {rest}")]);
        // Of a worker the last total holds.
        let many = told(&[(0, 20), (1, 3), (0, 40)]);
        assert_eq!(many, [format!("43 answers were redirects that were {rest}")]);
    }

    #[test]
    fn why_starts_were_dropped_is_told() {
        let phase = "[[phase]]\nname = \"p\"\nfor = \"9s\"\narrivals = \"50/s\"\nmax-sessions = 5\n";
        let data = "[data.users]\nrows = [{ name = \"a\" }]\norder = \"unique\"\n";
        let mut plan = plan("/${users.name}", &format!("{phase}{data}"));
        let said = |at_s: u64, rowless: u64, over_cap: u64, over_descriptors: u64| Counters {
            at: at_s * 1_000_000_000,
            rowless: vec![rowless],
            over_cap,
            over_descriptors,
            ..Counters::default()
        };
        let said = vec![
            (0, said(1, 0, 0, 0)),
            (1, said(2, 30, 9, 0)),
            (0, said(3, 1, 0, 4)),
            (1, said(4, 99, 134, 0)),
        ];
        insta::assert_snapshot!(told(&plan, said.clone()).join("\n"), @r#"
        data `users` had no rows left from 00:02 on: 100 starts dropped; each row is used once (order = "unique")
        134 starts dropped: all 5 sessions were busy; raise --sessions, or `max-sessions` in a scenario's phase
        4 starts dropped: the load workers had no file descriptors for further sessions; raise the limit (ulimit -n), or give more --load-workers
        "#);
        plan.phases.clear();
        assert!(told(&plan, said)[1].contains("all sessions that their phase allows were busy"));
    }
}
