//! What workers say, as lanes: the figures of `client.*` and `generator.*`.
//!
//! Owns which lanes there are, and how totals become rates. Each worker is an instance, `gen-0` and so on; a lane is
//! declared when it first has something to say. Putting readings on a timeline is the recorder's business.

use std::collections::HashMap;

use scenarios::journeys::Inside;
use timeline::amendment;
use timeline::event::{Event, kinds};
use timeline::histogram::Sparse;
use timeline::lane::{self, LaneSpec, names};
use timeline::{Amendment, RunTime, Span, Unit};

use crate::coordinator::LoadUpdate;
use crate::kind::ErrorKind;
use crate::protocol::{Counters, Histograms, StepHistograms};
use crate::release::COUNTERS_NS;
use crate::ws::figures::OTHER_CODES;

/// Shortest time that a rate is taken over, ns; what is counted faster, as between a worker's last two reports, is told as if it had
/// taken as long. Three steps that finish within a millisecond are no 3,000 a second.
const SHORTEST_NS: u64 = COUNTERS_NS / 2;

/// Something for a timeline. `lane` counts the declared lanes from 0, in order of their declaration.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A lane is declared; the next number is its own.
    Lane(LaneSpec),
    /// A level or rate.
    Sample {
        /// Which lane.
        lane: usize,
        /// When.
        at: RunTime,
        /// In the lane's unit.
        value: f64,
    },
    /// What a histogram lane recorded over an interval.
    Histogram {
        /// Which lane.
        lane: usize,
        /// The interval.
        span: Span,
        /// Its samples.
        cells: Sparse,
    },
    /// Something happened.
    Event(Event),
}

/// Turns updates into readings.
#[derive(Debug, Default)]
pub struct Lanes {
    steps: Vec<String>,
    kinds: Vec<String>,
    declared: HashMap<LaneSpec, usize>,
    last: HashMap<usize, Counters>,
    /// Until when each rate has been told.
    told: HashMap<usize, RunTime>,
    /// Since when the load is halted.
    halted: Option<RunTime>,
}

impl Lanes {
    /// For a plan with these step names.
    #[must_use]
    pub fn new(steps: &[String]) -> Self {
        Self { steps: steps.to_vec(), ..Self::default() }
    }

    /// And these names of session kinds; without, sessions are not told by kind.
    #[must_use]
    pub fn with_kinds(self, kinds: impl IntoIterator<Item = String>) -> Self {
        Self { kinds: kinds.into_iter().collect(), ..self }
    }

    /// What an update says, declarations before what needs them.
    pub fn read(&mut self, update: &LoadUpdate) -> Vec<Reading> {
        let mut readings = Vec::new();
        match update {
            LoadUpdate::Counters(worker, counters) => self.counters(*worker, counters, &mut readings),
            LoadUpdate::Histograms(worker, histograms) => self.histograms(*worker, histograms, &mut readings),
            LoadUpdate::Lost { worker, at, why, loss } => {
                self.went_silent(*worker, *at, &mut readings);
                let labels = [
                    ("worker", instance(*worker)),
                    ("why", why.clone()),
                    ("untimed", loss.untimed().to_string()),
                    ("share", format!("1 of {}", loss.workers)),
                ];
                let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                readings.push(event(kinds::WORKER_LOST, *worker, *at, labels));
            }
            LoadUpdate::Done(worker, done) => {
                self.went_silent(*worker, RunTime(done.at), &mut readings);
                self.halt_ends(RunTime(done.at), &mut readings);
            }
            LoadUpdate::Amended { at, what } => {
                readings.push(Reading::Event(what.event(*at)));
                match what {
                    Amendment::Halt => {
                        self.halted.get_or_insert(*at);
                    }
                    Amendment::Scale(_) => {}
                    Amendment::GoOn | Amendment::Stop | Amendment::Abort => {
                        self.halt_ends(*at, &mut readings)
                    }
                }
            }
            LoadUpdate::Joined { .. } => {}
        }
        readings
    }

    /// The halt, if there is one, was a span: told once, when its end is known.
    fn halt_ends(&mut self, at: RunTime, out: &mut Vec<Reading>) {
        if let Some(since) = self.halted.take() {
            out.push(Reading::Event(amendment::halt_event(Span::new(since, at.max(since)))));
        }
    }

    fn counters(&mut self, worker: usize, now: &Counters, out: &mut Vec<Reading>) {
        let last = self.last.get(&worker).cloned().unwrap_or_default();
        if now.at <= last.at {
            return;
        }
        let now = &Counters { at: now.at.max(last.at + SHORTEST_NS), ..now.clone() };
        self.last.insert(worker, now.clone());
        let at = RunTime(now.at);
        let seconds = now.at.saturating_sub(last.at) as f64 / 1e9;
        let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds;
        let gen_ = instance(worker);
        let rates = [
            (names::OFFERED, Unit::PerSecond, now.offered, last.offered),
            (names::ACHIEVED, Unit::PerSecond, now.achieved, last.achieved),
            (names::COMPLETED, Unit::PerSecond, now.completed, last.completed),
            (names::DROPPED, Unit::PerSecond, now.dropped, last.dropped),
            (names::LATE, Unit::PerSecond, now.late, last.late),
            (names::RETRIED, Unit::PerSecond, now.retried, last.retried),
            (names::PUSHED, Unit::PerSecond, now.pushed, last.pushed),
            (names::RECEIVED, Unit::BytesPerSecond, now.received, last.received),
            (names::SENT, Unit::BytesPerSecond, now.sent, last.sent),
        ];
        let from = RunTime(last.at);
        for (name, unit, new, old) in rates {
            self.late_rate(LaneSpec::rate(name, &gen_, unit), from, at, rate(new, old), out);
        }
        let cpu = rate(now.cpu_ns, last.cpu_ns) / 1e9;
        self.late_rate(LaneSpec::rate(names::GENERATOR_CPU, &gen_, Unit::Cores), from, at, cpu, out);
        let levels = [
            (names::OPEN_SESSIONS, now.open_sessions),
            (names::MOST_SESSIONS, now.most_sessions.max(now.open_sessions)),
            (names::OPEN_CONNECTIONS, now.open_connections),
        ];
        for (name, value) in levels {
            self.sample(LaneSpec::level(name, &gen_, Unit::Count), at, value as f64, out);
        }
        let hiccup = LaneSpec::level(names::GENERATOR_HICCUP, &gen_, Unit::Ns).worst();
        self.sample(hiccup, at, now.hiccup_ns as f64, out);
        self.by_kind(worker, now, &last, out);
        self.websockets(worker, now, &last, out);
        self.event_streams(worker, now, &last, out);
        self.pushed(worker, now, &last, out);
        self.errors(worker, now, &last, out);
    }

    /// A kind of error, and a status that is one, has a lane from its first error on: before, there is nothing to see.
    fn errors(&mut self, worker: usize, now: &Counters, last: &Counters, out: &mut Vec<Reading>) {
        let (at, from) = (RunTime(now.at), RunTime(last.at));
        let seconds = now.at.saturating_sub(last.at) as f64 / 1e9;
        let mut tell = |subject: &str, new: u64, old: u64| {
            if new > 0 {
                let spec = LaneSpec::rate(names::ERRORS, instance(worker), Unit::PerSecond).about(subject);
                self.late_rate(spec, from, at, new.saturating_sub(old) as f64 / seconds, out);
            }
        };
        for (i, kind) in ErrorKind::ALL.into_iter().enumerate() {
            let of = |counters: &Counters| {
                let all = counters.errors.get(i).copied().unwrap_or(0);
                let apart: u64 = match kind {
                    ErrorKind::Status => counters.statuses.iter().map(|(_, n)| n).sum(),
                    _ => 0,
                };
                all.saturating_sub(apart)
            };
            tell(kind.name(), of(now), of(last));
        }
        for &(status, new) in &now.statuses {
            let old = last.statuses.iter().find(|(s, _)| *s == status).map_or(0, |(_, n)| *n);
            tell(&lane::status_error(status), new, old);
        }
    }

    /// A kind of session has lanes from its first session on.
    fn by_kind(&mut self, worker: usize, now: &Counters, last: &Counters, out: &mut Vec<Reading>) {
        let (at, from) = (RunTime(now.at), RunTime(last.at));
        let seconds = now.at.saturating_sub(last.at) as f64 / 1e9;
        for i in 0..self.kinds.len() {
            let was = last.kinds.get(i).copied().unwrap_or_default();
            let Some(is) = now.kinds.get(i).filter(|k| k.started > 0) else { continue };
            let open = kind_level(worker, &self.kinds[i]);
            self.sample(open, at, is.started.saturating_sub(is.ended) as f64, out);
            let started = LaneSpec::rate(names::SESSIONS_STARTED, instance(worker), Unit::PerSecond)
                .about(&self.kinds[i]);
            let rate = is.started.saturating_sub(was.started) as f64 / seconds;
            self.late_rate(started, from, at, rate, out);
        }
    }

    /// WebSockets have lanes from the first one on.
    fn websockets(&mut self, worker: usize, now: &Counters, last: &Counters, out: &mut Vec<Reading>) {
        let (at, from) = (RunTime(now.at), RunTime(last.at));
        let seconds = now.at.saturating_sub(last.at) as f64 / 1e9;
        let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds;
        let gen_ = instance(worker);
        let (now, last) = (&now.ws, &last.ws);
        if now.opened == 0 {
            return;
        }
        let open = LaneSpec::level(names::OPEN_WEBSOCKETS, &gen_, Unit::Count);
        self.sample(open, at, now.open() as f64, out);
        let rates = [
            (names::WS_OPENED, Unit::PerSecond, now.opened, last.opened),
            (names::PINGS, Unit::PerSecond, now.pings, last.pings),
        ];
        self.late_rates(&gen_, rates, from, at, out);
        for &(code, n) in &now.codes {
            let subject = if code == OTHER_CODES { "other".to_owned() } else { code.to_string() };
            let spec = LaneSpec::rate(names::WS_CLOSES, &gen_, Unit::PerSecond).about(subject);
            self.late_rate(spec, from, at, rate(n, last.of_code(code)), out);
        }
    }

    /// The same for event streams.
    fn event_streams(&mut self, worker: usize, now: &Counters, last: &Counters, out: &mut Vec<Reading>) {
        let (at, from) = (RunTime(now.at), RunTime(last.at));
        if now.sse.opened + now.sse.reconnects == 0 {
            return;
        }
        let gen_ = instance(worker);
        let open = LaneSpec::level(names::OPEN_EVENT_STREAMS, &gen_, Unit::Count);
        self.sample(open, at, now.sse.open() as f64, out);
        let rates = [
            (names::SSE_OPENED, Unit::PerSecond, now.sse.opened, last.sse.opened),
            (names::SSE_RECONNECTS, Unit::PerSecond, now.sse.reconnects, last.sse.reconnects),
        ];
        self.late_rates(&gen_, rates, from, at, out);
    }

    /// What is pushed, on whatever it comes.
    fn pushed(&mut self, worker: usize, now: &Counters, last: &Counters, out: &mut Vec<Reading>) {
        let (now_ws, last_ws) = (&now.ws, &last.ws);
        let rates = [
            (names::PUSHED_BYTES, Unit::BytesPerSecond, now_ws.pushed_bytes, last_ws.pushed_bytes),
            (names::PUSH_UNSTAMPED, Unit::PerSecond, now_ws.unstamped, last_ws.unstamped),
        ];
        self.late_rates(&instance(worker), rates, RunTime(last.at), RunTime(now.at), out);
    }

    /// Rates of totals, each from the first time on that there is anything to say.
    fn late_rates<const N: usize>(
        &mut self,
        instance: &str,
        rates: [(&'static str, Unit, u64, u64); N],
        from: RunTime,
        at: RunTime,
        out: &mut Vec<Reading>,
    ) {
        let seconds = at.0.saturating_sub(from.0) as f64 / 1e9;
        for (name, unit, new, old) in rates.into_iter().filter(|(_, _, new, _)| *new > 0) {
            let value = new.saturating_sub(old) as f64 / seconds;
            self.late_rate(LaneSpec::rate(name, instance, unit), from, at, value, out);
        }
    }

    /// A rate from `from` to `at` whose lane may begin here, or go on after a rest: until `from` it was zero, which is said
    /// then. A rate holds since the sample before, and without one nobody knows since when.
    fn late_rate(&mut self, spec: LaneSpec, from: RunTime, at: RunTime, value: f64, out: &mut Vec<Reading>) {
        let lane = self.lane(spec, out);
        if self.told.insert(lane, at).is_none_or(|until| until < from) {
            out.push(Reading::Sample { lane, at: from, value: 0.0 });
        }
        out.push(Reading::Sample { lane, at, value });
    }

    /// A worker that is gone holds nothing open any more; without a last sample its levels would stand for ever.
    fn went_silent(&mut self, worker: usize, at: RunTime, out: &mut Vec<Reading>) {
        if let Some(last) = self.last.remove(&worker) {
            // Its last report may be told of a little later than it came.
            let at = at.max(RunTime(last.at));
            let links = [
                (names::OPEN_WEBSOCKETS, last.ws.opened),
                (names::OPEN_EVENT_STREAMS, last.sse.opened + last.sse.reconnects),
            ];
            let links = links.into_iter().filter(|(_, ever)| *ever > 0).map(|(name, _)| name);
            let ours = [names::OPEN_SESSIONS, names::MOST_SESSIONS, names::OPEN_CONNECTIONS];
            for name in links.chain(ours) {
                self.sample(LaneSpec::level(name, instance(worker), Unit::Count), at, 0.0, out);
            }
            let kinds = self.kinds.iter().zip(&last.kinds).filter(|(_, k)| k.started > 0);
            let kinds: Vec<LaneSpec> = kinds.map(|(name, _)| kind_level(worker, name)).collect();
            kinds.into_iter().for_each(|open| self.sample(open, at, 0.0, out));
        }
    }

    fn histograms(&mut self, worker: usize, all: &Histograms, out: &mut Vec<Reading>) {
        let span = Span::new(RunTime(all.start), RunTime(all.end));
        let gen_ = instance(worker);
        for step in &all.steps {
            let name = self.steps.get(usize::from(step.step)).cloned().unwrap_or_default();
            let response = LaneSpec::histogram(times_of(&name, step), &gen_).about(&name);
            self.histogram(response, span, &step.response, out);
            let service = LaneSpec::histogram(names::SERVICE, &gen_).about(&name);
            self.histogram(service, span, &step.service, out);
            let untimed = step.finished.saturating_sub(step.response.count());
            let seconds = span.length().as_secs_f64();
            for (lane, n) in [(names::STEP_ERRORS, step.failed), (names::STEP_UNTIMED, untimed)] {
                let rate = LaneSpec::rate(lane, &gen_, Unit::PerSecond).about(&name);
                if seconds > 0.0 && (n > 0 || self.declared.contains_key(&rate)) {
                    self.late_rate(rate, span.start, span.end, n as f64 / seconds, out);
                }
            }
        }
        self.histogram(LaneSpec::histogram(names::LATENESS, &gen_), span, &all.lateness, out);
        self.histogram(LaneSpec::histogram(names::RELEASE_ERROR, &gen_), span, &all.release_error, out);
        self.histogram(LaneSpec::histogram(names::PUSH_AGE, &gen_), span, &all.ws.push_age, out);
        self.histogram(LaneSpec::histogram(names::PING_RTT, &gen_), span, &all.ws.ping_rtt, out);
    }

    fn lane(&mut self, spec: LaneSpec, out: &mut Vec<Reading>) -> usize {
        let next = self.declared.len();
        *self.declared.entry(spec).or_insert_with_key(|spec| {
            out.push(Reading::Lane(spec.clone()));
            next
        })
    }

    fn sample(&mut self, spec: LaneSpec, at: RunTime, value: f64, out: &mut Vec<Reading>) {
        let lane = self.lane(spec, out);
        out.push(Reading::Sample { lane, at, value });
    }

    fn histogram(&mut self, spec: LaneSpec, span: Span, cells: &Sparse, out: &mut Vec<Reading>) {
        if !cells.cells.is_empty() {
            let lane = self.lane(spec, out);
            out.push(Reading::Histogram { lane, span, cells: cells.clone() });
        }
    }
}

/// The lane of a kind's open sessions.
fn kind_level(worker: usize, kind: &str) -> LaneSpec {
    LaneSpec::level(names::SESSIONS_BY_KIND, instance(worker), Unit::Count).about(kind)
}

/// The lane of a step's times: what a journey times inside its steps is no response time.
fn times_of(name: &str, step: &StepHistograms) -> &'static str {
    // A step of one's own may bear such a name too, but it has a service time.
    let inside = |i: Inside| name.ends_with(i.suffix()) && step.is_inside();
    match () {
        () if inside(Inside::FirstByte) => names::FIRST_BYTE,
        () if inside(Inside::Exchange) => names::EXCHANGE,
        () => names::RESPONSE,
    }
}

/// A worker's name on the timeline.
#[must_use]
pub fn instance(worker: usize) -> String {
    format!("gen-{worker}")
}

fn event(kind: &str, worker: usize, at: RunTime, labels: Vec<(String, String)>) -> Reading {
    Reading::Event(Event { instance: instance(worker), ..point(kind, at, labels) })
}

fn point(kind: &str, at: RunTime, labels: Vec<(String, String)>) -> Event {
    Event {
        kind: kind.to_owned(),
        instance: String::new(),
        start: at,
        end: at,
        labels,
        value: 0.0,
        others: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Done, KindCounters};

    #[test]
    fn a_kind_of_session_has_lanes_from_its_first_session_until_its_worker_is_gone() {
        let mut lanes = Lanes::new(&[]).with_kinds(["buyer", "onlooker", "never"].map(str::to_owned));
        let report = |at, started: [u64; 2], ended: [u64; 2]| {
            let of = |i: usize| KindCounters { started: started[i], ended: ended[i] };
            let kinds = vec![of(0), of(1), KindCounters::default()];
            LoadUpdate::Counters(0, Box::new(Counters { at, kinds, ..Counters::default() }))
        };
        let done = LoadUpdate::Done(0, Done { at: 3_000_000_000, ..Done::default() });
        let mut told: Vec<(String, f64)> = Vec::new();
        let mut specs: Vec<LaneSpec> = Vec::new();
        for update in [report(1_000_000_000, [8, 0], [0, 0]), report(2_000_000_000, [10, 4], [3, 0]), done] {
            for reading in lanes.read(&update) {
                match reading {
                    Reading::Lane(spec) => specs.push(spec),
                    Reading::Sample { lane, value, .. } if !specs[lane].subject.is_empty() => {
                        told.push((format!("{} {}", specs[lane].name, specs[lane].subject), value));
                    }
                    _ => {}
                }
            }
        }
        let of = |name: &str| told.iter().filter(|(n, _)| n == name).map(|(_, v)| *v).collect::<Vec<_>>();
        assert_eq!(of("client.sessions-by-kind buyer"), [8.0, 7.0, 0.0]);
        assert_eq!(of("client.sessions-started buyer"), [0.0, 8.0, 2.0]);
        assert_eq!(of("client.sessions-by-kind onlooker"), [4.0, 0.0]);
        assert_eq!(of("client.sessions-started onlooker"), [0.0, 4.0]);
        assert!(specs.iter().all(|s| s.subject != "never"));
    }

    #[test]
    fn what_a_step_fails_is_counted_once_however_long_it_rests() {
        let mut lanes = Lanes::new(&["pay".to_owned()]);
        let (mut specs, mut samples) = (Vec::new(), Vec::new());
        // Seconds 3, 13 and 14: of three that finished one failed before any contact, one with an answer.
        for second in [3, 13, 14] {
            let response = Sparse { cells: vec![(500, 2)] };
            let step =
                StepHistograms { step: 0, finished: 3, failed: 2, service: response.clone(), response };
            let (start, end) = (second * 1_000_000_000, (second + 1) * 1_000_000_000);
            let all = Histograms { start, end, steps: vec![step], ..Histograms::default() };
            for reading in lanes.read(&LoadUpdate::Histograms(0, all)) {
                match reading {
                    Reading::Lane(spec) => specs.push(spec),
                    Reading::Sample { lane, at, value } => samples.push((lane, at, value)),
                    _ => {}
                }
            }
        }
        for (name, times) in [(names::STEP_ERRORS, 6.0), (names::STEP_UNTIMED, 3.0)] {
            let lane = specs.iter().position(|s: &LaneSpec| s.name == name).unwrap();
            let of: Vec<_> = samples.iter().filter(|s| s.0 == lane).collect();
            let sum: f64 = of.windows(2).map(|w| w[1].2 * w[1].1.since(w[0].1).as_secs_f64()).sum();
            assert_eq!(sum, times, "{name}: {of:?}");
        }
    }

    /// What is told of lane `name` from these reports: its subjects, and each one's samples.
    fn told(reports: Vec<Counters>, name: &str) -> Vec<(String, Vec<(RunTime, f64)>)> {
        let mut lanes = Lanes::new(&[]);
        let mut told: Vec<(String, Vec<(RunTime, f64)>)> = Vec::new();
        let mut specs: Vec<LaneSpec> = Vec::new();
        for counters in reports {
            for reading in lanes.read(&LoadUpdate::Counters(0, Box::new(counters))) {
                match reading {
                    Reading::Lane(spec) => specs.push(spec),
                    Reading::Sample { lane, at, value } if specs[lane].name == name => {
                        let subject = &specs[lane].subject;
                        match told.iter_mut().find(|(s, _)| s == subject) {
                            Some((_, samples)) => samples.push((at, value)),
                            None => told.push((subject.clone(), vec![(at, value)])),
                        }
                    }
                    _ => {}
                }
            }
        }
        told
    }

    fn total(samples: &[(RunTime, f64)]) -> f64 {
        samples.windows(2).map(|w| w[1].1 * w[1].0.since(w[0].0).as_secs_f64()).sum::<f64>().round()
    }

    #[test]
    fn failed_steps_are_told_by_status_and_none_is_told_twice() {
        let report = |at, all: u64, statuses: &[(u16, u64)]| {
            let mut errors = vec![0; ErrorKind::ALL.len()];
            errors[ErrorKind::Status as usize] = all;
            Counters { at, errors, statuses: statuses.to_vec(), ..Counters::default() }
        };
        let all = told(
            vec![
                report(100_000_000, 3, &[(503, 3)]),
                report(200_000_000, 9, &[(429, 2), (503, 5)]),
                report(300_000_000, 10, &[(429, 2), (503, 6)]),
            ],
            names::ERRORS,
        );
        let mut all: Vec<(&str, f64)> = all.iter().map(|(s, of)| (s.as_str(), total(of))).collect();
        all.sort_by_key(|(subject, _)| *subject);
        assert_eq!(all, [("status", 2.0), ("status 429", 2.0), ("status 503", 6.0)]);
    }

    #[test]
    fn two_reports_that_follow_at_once_tell_of_no_rate_that_there_never_was() {
        let report = |at, completed| Counters { at, completed, ..Counters::default() };
        let reports = vec![report(100_000_000, 65), report(101_000_000, 70), report(101_000_000, 70)];
        let all = told(reports, names::COMPLETED);
        let samples = &all[0].1;
        assert_eq!(total(samples), 70.0);
        assert!(samples.iter().all(|(_, rate)| *rate <= 650.0), "{samples:?}");
    }

    #[test]
    fn requests_that_were_sent_again_are_told_from_the_first_report_on() {
        let report = |at, retried| Counters { at, retried, ..Counters::default() };
        let mut reports = vec![report(100_000_000, 0), report(200_000_000, 0)];
        // That there are none is known: a gate may ask for it.
        assert_eq!(total(&told(reports.clone(), names::RETRIED)[0].1), 0.0);
        reports.push(report(300_000_000, 7));
        assert_eq!(total(&told(reports, names::RETRIED)[0].1), 7.0);
    }

    #[test]
    fn every_worker_is_told_from_a_target_by_its_name() {
        assert!([0, 7, 1_000].map(instance).iter().all(|name| timeline::lane::is_generator(name)));
    }

    #[test]
    fn a_first_report_that_comes_late_is_counted_whole() {
        let reports = [(250_000_000, 100), (350_000_000, 130)];
        let mut lanes = Lanes::new(&[]);
        let mut readings = Vec::new();
        for (at, completed) in reports {
            let counters = Counters { at, completed, ..Counters::default() };
            readings.extend(lanes.read(&LoadUpdate::Counters(0, Box::new(counters))));
        }
        let completed = lanes.declared[&LaneSpec::rate(names::COMPLETED, "gen-0", Unit::PerSecond)];
        let samples: Vec<(RunTime, f64)> = readings
            .into_iter()
            .filter_map(|r| match r {
                Reading::Sample { lane, at, value } if lane == completed => Some((at, value)),
                _ => None,
            })
            .collect();
        assert_eq!(samples[0], (RunTime::ZERO, 0.0), "since when the first rate holds is said");
        let requests: f64 = samples.windows(2).map(|w| w[1].1 * w[1].0.since(w[0].0).as_secs_f64()).sum();
        assert_eq!(requests.round(), 130.0);
    }
}
