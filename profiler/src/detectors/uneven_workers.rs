//! Uneven workers: one process of a cluster owns most of what all should share.
//!
//! **Claim.** One of so many workers holds this share of the connections; balance would give so many to each. **Reads** `server.{connections,websockets,requests}`,
//! `process.{cpu,generation}` by instance; workers of one cluster are instances of one name with different numbers. **Needs** two workers and 16
//! connections. **Statistic.** The busiest worker's share of open connections, its median over ten instants of a second: it must be far above balance
//! (most of what the others should have) and four standard errors of a fair draw above it. **Confirmed** when requests and CPU time of the same worker agree.
//!
//! A slow worker holds its connections for longer without getting more of them, so it must also have answered most
//! of the requests. After a worker was started again its siblings hold more until clients come and go; nothing is said then.

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::{Answer, Claim, ONSET, evidence};
use crate::stats::median;
use crate::window;

/// Instants looked at, and how far they lie apart: the last second, at the tick of sources.
const INSTANTS: u32 = 10;
const STEP: Duration = Duration::from_millis(100);
/// Instants at which all workers must have spoken.
const LEAST_INSTANTS: usize = 8;
/// Share of what the others should have that the busiest worker has taken, at least: 0 is balance, 1 is everything. When one
/// of two restarts, its sibling is left with three quarters of all (0.5); beyond three fifths it is most, whatever their number.
const TAKEN: f64 = 0.6;
/// The same for requests, which follow connections: less, because requests of open connections go on where they were.
const TAKEN_REQUESTS: f64 = 0.3;
/// Standard errors of a fair draw: once in 16,000 looks for each worker by chance, of looks that are far from independent.
const DEVIATIONS: f64 = 4.0;
/// Connections below which the normal law is no guide.
const LEAST_CONNECTIONS: f64 = 16.0;
/// Seconds over which requests are counted, and how many are needed to judge by them.
const REQUESTS_S: f64 = 2.0;
const LEAST_REQUESTS: f64 = 40.0;
/// How long after a worker was started again nothing is said.
const RESTARTED: f64 = 10.0;
/// CPU of one worker, in cores, from which on it is full: a loop has one thread.
const CPU_FULL: f64 = 0.9;
/// How far back the onset is looked for; who has said nothing for so long is a worker no more.
const ONSET_INSTANTS: u32 = 200;
/// A share within so many standard errors of balance is balance.
const BALANCED: f64 = 2.0;
/// Values of levels are carried for so long.
const CARRY: Duration = Duration::from_millis(350);
/// Balance for so long ends it.
const QUIET: Duration = Duration::from_secs(5);

/// Looks at every cluster.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if !timeline.has(names::SERVER_CONNECTIONS) && !timeline.has(names::SERVER_WEBSOCKETS) {
        return Answer::CannotTell(vec![
            names::SERVER_CONNECTIONS.to_owned(),
            names::SERVER_WEBSOCKETS.to_owned(),
        ]);
    }
    let mut clusters = window::clusters(timeline, names::SERVER_CONNECTIONS);
    for (stem, workers) in window::clusters(timeline, names::SERVER_WEBSOCKETS) {
        clusters.entry(stem).or_insert(workers);
    }
    let reach = Span::new(at.back(STEP * ONSET_INSTANTS + CARRY), at + Duration::from_nanos(1));
    for workers in clusters.values_mut() {
        workers.retain(|w| speaks(timeline, w, reach));
    }
    let claims = clusters.into_iter().filter(|(_, workers)| workers.len() >= 2);
    Answer::Looked(claims.filter_map(|(stem, workers)| look_at(timeline, at, stem, &workers)).collect())
}

/// Has a worker told within `span` what it holds? One that has been replaced for good keeps its lanes.
fn speaks(timeline: &Timeline, worker: &str, span: Span) -> bool {
    [names::SERVER_CONNECTIONS, names::SERVER_WEBSOCKETS]
        .iter()
        .filter_map(|n| window::of_instance(timeline, n, worker))
        .any(|lane| !lane.within(span).is_empty())
}

/// What each worker holds at an instant, in the order of workers; none if one of them is silent.
fn held(timeline: &Timeline, workers: &[&str], at: RunTime) -> Option<Vec<f64>> {
    workers.iter().map(|worker| window::connections(timeline, worker, at, CARRY)).collect()
}

/// A worker's part of something that balance would share out evenly.
#[derive(Clone, Copy)]
struct Part {
    share: f64,
    all: f64,
    workers: f64,
}

impl Part {
    fn of(mine: f64, all: f64, workers: usize) -> Self {
        Self { share: if all > 0.0 { mine / all } else { 0.0 }, all, workers: workers as f64 }
    }

    /// How much of what the others should have it has: 0 is balance, 1 is everything.
    fn taken(self) -> f64 {
        (self.share * self.workers - 1.0) / (self.workers - 1.0)
    }

    /// Standard error of the count that a fair draw gives one worker.
    fn error(self) -> f64 {
        let p = 1.0 / self.workers;
        (self.all * p * (1.0 - p)).sqrt()
    }

    fn balance(self) -> f64 {
        self.all / self.workers
    }

    /// The distance from balance in standard errors.
    fn deviations(self) -> f64 {
        (self.share * self.all - self.balance()) / self.error().max(f64::MIN_POSITIVE)
    }
}

/// The busiest worker and its part of the connections, over the last second.
fn busiest(timeline: &Timeline, at: RunTime, workers: &[&str]) -> Option<(usize, Part)> {
    let instants: Vec<Vec<f64>> =
        (0..INSTANTS).filter_map(|i| held(timeline, workers, at.back(STEP * i))).collect();
    if instants.len() < LEAST_INSTANTS {
        return None;
    }
    let typical = |i: usize| median(instants.iter().map(|all| all[i]).collect());
    let mine: Vec<f64> = (0..workers.len()).map(typical).collect::<Option<_>>()?;
    let (index, most) = mine.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some((index, Part::of(most, mine.iter().sum(), workers.len())))
}

fn look_at(timeline: &Timeline, at: RunTime, stem: &str, workers: &[&str]) -> Option<Claim> {
    let (index, part) = busiest(timeline, at, workers)?;
    let uneven = part.all >= LEAST_CONNECTIONS && part.taken() >= TAKEN && part.deviations() >= DEVIATIONS;
    let restarted = |w: &&str| window::restarted(timeline, w, window::last(at, RESTARTED)).is_some();
    if !uneven || window::after_plan(timeline.plan(), at) || workers.iter().any(restarted) {
        return None;
    }
    let span = window::last(at, REQUESTS_S);
    let of_rates = |count: &dyn Fn(&str) -> Option<f64>| {
        let counts: Vec<f64> = workers.iter().map(|w| count(w)).collect::<Option<_>>()?;
        Some(Part::of(counts[index], counts.iter().sum(), workers.len()))
    };
    let requests =
        of_rates(&|w| Some(window::counted_by(timeline, names::SERVER_REQUESTS, w, span).unwrap_or(0.0)))
            .filter(|p| p.all >= LEAST_REQUESTS);
    if requests.is_some_and(|p| p.taken() < TAKEN_REQUESTS) {
        return None; // it holds them for longer, and gets no more than the others
    }
    let cpu = of_rates(&|w| window::typical_of(window::of_instance(timeline, names::PROCESS_CPU, w)?, span));
    let seen = Seen { worker: workers[index], part, requests, cpu };
    let onset = onset(timeline, at, workers, index);
    Some(Claim {
        kind: FindingKind::UnevenWorkers,
        identity: stem.to_owned(),
        subject: seen.worker.to_owned(),
        severity: if seen.cores() >= CPU_FULL { Severity::Critical } else { Severity::Warning },
        status: if seen.agrees() { Status::Confirmed } else { Status::Likely },
        onset,
        last: at,
        quiet: QUIET,
        weight: part.share,
        claim: seen.sentence(),
        evidence: seen.supporting(span),
        contradicting: Vec::new(),
        advice: seen.advice(),
        missing: Vec::new(),
        episodes: vec![Span::new(onset, at)],
        remedies: Vec::new(),
        sort: "",
    })
}

/// The last instant at which the worker's part was that of a fair draw, or the earliest looked at.
fn onset(timeline: &Timeline, at: RunTime, workers: &[&str], index: usize) -> RunTime {
    let mut earliest = at;
    for i in 0..ONSET_INSTANTS {
        let t = at.back(STEP * i);
        let Some(all) = held(timeline, workers, t) else { break };
        earliest = t;
        if Part::of(all[index], all.iter().sum(), workers.len()).deviations() < BALANCED {
            break;
        }
    }
    earliest
}

struct Seen<'a> {
    worker: &'a str,
    part: Part,
    requests: Option<Part>,
    cpu: Option<Part>,
}

impl Seen<'_> {
    fn cores(&self) -> f64 {
        self.cpu.map_or(0.0, |c| c.share * c.all)
    }

    fn agrees(&self) -> bool {
        let much = |p: Option<Part>, least| p.is_some_and(|p| p.taken() >= least);
        much(self.requests, TAKEN) && much(self.cpu, TAKEN_REQUESTS)
    }

    fn sentence(&self) -> String {
        format!(
            "{} holds {:.0} of {:.0} connections ({}) since {ONSET}; balance would give each of the {:.0} workers {:.0} +- {:.0}",
            self.worker,
            self.part.share * self.part.all,
            self.part.all,
            Unit::Ratio.show(self.part.share),
            self.part.workers,
            self.part.balance(),
            self.part.error()
        )
    }

    fn supporting(&self, span: Span) -> Vec<Evidence> {
        let text = format!(
            "{} has {} of the open connections, {:.0} standard errors of a fair draw above balance",
            self.worker,
            Unit::Ratio.show(self.part.share),
            self.part.deviations()
        );
        let mut list = vec![evidence(text, names::SERVER_CONNECTIONS, span, self.part.share, Unit::Ratio)];
        if let Some(p) = self.requests {
            let text = format!(
                "it answered {} of {:.0} requests in {REQUESTS_S} s",
                Unit::Ratio.show(p.share),
                p.all
            );
            list.push(evidence(text, names::SERVER_REQUESTS, span, p.share, Unit::Ratio));
        }
        if let Some(p) = self.cpu {
            let text = format!(
                "it takes {}, {} of the CPU time of all workers",
                Unit::Cores.show(self.cores()),
                Unit::Ratio.show(p.share)
            );
            list.push(evidence(text, names::PROCESS_CPU, span, self.cores(), Unit::Cores));
        }
        list
    }

    fn advice(&self) -> Vec<String> {
        let mut list = vec![format!(
            "Let each worker accept from a socket of its own (SO_REUSEPORT), or let the balancer choose the worker with the fewest connections: {:.0} each instead of {:.0}.",
            self.part.balance(),
            self.part.share * self.part.all
        )];
        if self.cores() > 0.0 {
            // What one does now, all could do side by side.
            list.push(format!(
                "At {} for this load {} is full at {:.1} times as much; balanced workers are at {:.1} times.",
                Unit::Cores.show(self.cores()),
                self.worker,
                1.0 / self.cores(),
                self.part.workers * self.part.share / self.cores()
            ));
        }
        list.push(
            "Long-lived connections stay where they are after a change: close some of them in turn, so that clients come back evenly."
                .to_owned(),
        );
        list
    }
}
