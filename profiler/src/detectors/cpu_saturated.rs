//! CPU saturated: there is more work than the cores can do, and it is the requests that ask for it.
//!
//! **Claim.** The loops are busy all the time and the cores that they have are full. **Reads** `loop.utilisation`, `process.cpu`, `server.handler`, `process.throttled`, `host.{cpu,cores}`, `client.open-sessions`. **Needs** the first two.
//! **Statistic.** Over 3 s, in at least half of the processes that serve requests, the loop is busy for 80% of the time, and CPU is what they lack:
//! either each uses (nearly) a core, which is all that one loop can, or they are busy for longer than they run, because they wait for a
//! core, while all of them together fill one, two, ... cores, or a CPU quota holds them back, or the machine is full and not with others. Where others have most of it the target only gets
//! less, and nothing is said. The requests must account for the CPU: each costs less than three times what it did in the
//! cheapest quarter of the last half minute (else something else takes it, see [`super::loop_starved`]). **Law.** By the utilisation law full cores end cores / cost
//! requests a second; with the usual cost and the rate seen agreeing, it is confirmed.
//!
//! It follows from many faults that cost CPU; which, is for [`crate::causes`].

use std::time::Duration;

use timeline::clock::RunTime;
use timeline::event::kinds;
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, Severity, Span, Status, Timeline, Unit};

use super::queueing::machine_is_filled;
use super::{Answer, Claim, ONSET, cannot_tell, evidence, they};
use crate::functions;
use crate::loops::{self, Loop, Usual};
use crate::routes;
use crate::stats;
use crate::window;

/// Window of the rule, seconds.
const WINDOW_S: f64 = 3.0;
/// Share of the time that a saturated loop is busy: by M/M/1 requests wait four times their own time then.
const BUSY: f64 = 0.8;
/// Cores of a process that has one to itself and fills it.
const OWN_CORE: f64 = 0.85;
/// How far the cores of all may be from a whole number for them to fill so many.
const FILLS: f64 = 0.12;
/// Share of its busy time for which a loop waits for a core, at least, if it shares it.
const WAITS: f64 = 0.2;
/// ... which a CPU quota refuses it if it holds the process back for so much of the time.
const HELD_BACK: f64 = 0.1;
/// CPU of each request over the usual, at most, for the requests to account for it.
const COST: f64 = 3.0;
/// How far the rate may be from cores / cost for the law to agree: costs rise a little with full cores.
const LAW_TOLERANCE: f64 = 0.35;
/// Processes whose quota is told one by one.
const MOST_HELD: usize = 3;
/// Share of the CPU that a route must account for to be named.
const NAMED: f64 = 0.4;
/// ... and at most, since what is longer in its handler than there was CPU has waited.
const WAITED: f64 = 1.3;
/// How far back a profile is looked for: one is taken each eight seconds while a process is busy, or some seconds later where allocations are
/// looked at between.
const PROFILED: Duration = Duration::from_secs(20);
/// How far back the onset is looked for, and the longest break in it.
const BACK: Duration = Duration::from_secs(30);
const GAP: Duration = Duration::from_millis(500);
/// Silence after which it has ended.
const QUIET: Duration = Duration::from_secs(5);
/// So long before the onset sessions are looked at for what each of them asks, and so much of it there must be, seconds.
const BEFORE: Duration = Duration::from_secs(10);
const LEAST_BEFORE_S: f64 = 2.0;

/// Looks at all processes of the target together.
pub fn look(timeline: &Timeline, at: RunTime) -> Answer {
    if let Some(cannot) = cannot_tell(timeline, &[names::LOOP_UTILISATION, names::PROCESS_CPU]) {
        return cannot;
    }
    if window::after_plan(timeline.plan(), at) {
        return Answer::over();
    }
    Answer::Looked(find(timeline, at).into_iter().collect())
}

/// The loops that are busy all the time, together.
struct Full<'a> {
    span: Span,
    loops: Vec<Loop<'a>>,
    cores: f64,
    busy: f64,
    requests: f64,
    /// What was usual, of all of them: the cost is that of a request.
    usual: Option<Usual>,
    /// Those that a CPU quota holds back for more than next to nothing of the time, the worst first.
    held_back: Vec<HeldBack<'a>>,
}

/// A process that a CPU quota holds back.
struct HeldBack<'a> {
    instance: &'a str,
    cores: f64,
    /// For this share of the time.
    share: f64,
}

impl HeldBack<'_> {
    /// What it would use without: it is held back for a share of the CPU time that it wants. None where that is all of it.
    fn wanted(&self) -> Option<f64> {
        (self.share < 1.0).then(|| self.cores / (1.0 - self.share))
    }

    fn advice(&self) -> String {
        let Self { instance, cores, .. } = self;
        match self.wanted() {
            Some(wanted) => format!("{instance} would use {wanted:.2} cores instead of {cores:.2}"),
            None => format!("{instance} would use more than its {cores:.2} cores"),
        }
    }
}

fn find(timeline: &Timeline, at: RunTime) -> Option<Claim> {
    let span = window::last(at, WINDOW_S);
    // A warm-up may fill the cores as it likes.
    if span.start < timeline.plan().warm_from() {
        return None;
    }
    let mut loops = loops::read(timeline, span);
    let serving = loops.iter().filter(|l| l.requests > 0.0).count();
    loops.retain(|l| l.busy >= BUSY && l.cpu.is_some());
    if loops.is_empty() || 2 * loops.len() < serving {
        return None;
    }
    let cores = loops.iter().filter_map(|l| l.cpu).sum();
    let usual = usual(timeline, &loops, at);
    let full = Full {
        span,
        cores,
        busy: loops.iter().map(|l| l.busy).sum(),
        requests: loops.iter().map(|l| l.requests).sum(),
        usual,
        held_back: held_back(timeline, &loops, span),
        loops,
    };
    (full.short_of_cpu(timeline) && full.accounted_for()).then(|| claim(timeline, at, &full))
}

fn usual(timeline: &Timeline, loops: &[Loop], at: RunTime) -> Option<Usual> {
    let each: Option<Vec<Usual>> = loops.iter().map(|l| loops::usual(timeline, l.instance, at)).collect();
    let each = each?;
    let (cpu, requests) = each.iter().fold((0.0, 0.0), |sum, u| (sum.0 + u.cpu, sum.1 + u.requests));
    Some(Usual { cost: cpu / requests, cpu, requests })
}

fn held_back<'a>(timeline: &Timeline, loops: &[Loop<'a>], span: Span) -> Vec<HeldBack<'a>> {
    let held = |l: &Loop<'a>| {
        let told = window::of_instance(timeline, names::PROCESS_THROTTLED, l.instance)?.within(span);
        let share = stats::median(told.iter().map(|p| p.1).collect()).filter(|&share| share >= HELD_BACK)?;
        Some(HeldBack { instance: l.instance, cores: l.cpu?, share })
    };
    let mut all: Vec<HeldBack> = loops.iter().filter_map(held).collect();
    all.sort_by(|a, b| b.share.total_cmp(&a.share));
    all
}

impl Full<'_> {
    fn short_of_cpu(&self, timeline: &Timeline) -> bool {
        if self.loops.iter().all(|l| l.cpu.is_some_and(|c| c >= OWN_CORE)) {
            return true;
        }
        let waits = self.busy - self.cores >= WAITS * self.busy;
        let whole = self.cores.round();
        let fills = whole >= 1.0 && (self.cores - whole).abs() <= FILLS;
        waits && (fills || machine_is_filled(timeline, self.span) || !self.held_back.is_empty())
    }

    fn cost(&self) -> f64 {
        if self.requests > 0.0 { self.cores / self.requests } else { f64::INFINITY }
    }

    fn accounted_for(&self) -> bool {
        self.usual.is_none_or(|u| self.cost() < COST * u.cost)
    }

    /// Requests that full cores end in a second at the usual cost.
    fn law(&self) -> Option<f64> {
        self.usual.map(|u| self.cores / u.cost)
    }

    fn law_agrees(&self) -> bool {
        self.law().is_some_and(|law| (self.requests / law - 1.0).abs() <= LAW_TOLERANCE)
    }

    /// The route whose requests, by the time that a quarter of them does not exceed in the handler, account for most of the CPU.
    fn burner(&self, timeline: &Timeline) -> Option<(String, f64)> {
        let mine = |s: &&timeline::Series| self.loops.iter().any(|l| l.instance == s.spec.instance);
        routes::all(timeline)
            .into_iter()
            .filter_map(|route| {
                let lanes =
                    timeline.named(names::SERVER_HANDLER).filter(|s| s.spec.subject == route).filter(mine);
                let times = window::durations_of(lanes, self.span);
                let each = times.quantile_ns(0.25)? / 1e9;
                let share = times.count() as f64 / window::seconds(self.span) * each / self.cores;
                (NAMED..=WAITED).contains(&share).then(|| (route.to_owned(), share.min(1.0)))
            })
            .max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

fn claim(timeline: &Timeline, at: RunTime, full: &Full) -> Claim {
    let since = |l: &Loop| loops::busy_since(timeline, l.instance, at, BACK, GAP);
    let onset = full.loops.iter().filter_map(since).min().unwrap_or(full.span.start);
    let onset = onset.max(timeline.plan().warm_from());
    let burner = full.burner(timeline);
    let hot = functions::hottest(timeline, kinds::PROFILE_CPU, Span::new(at.back(PROFILED), at));
    Claim {
        kind: FindingKind::CpuSaturated,
        identity: String::new(),
        subject: burner.as_ref().map_or(String::new(), |b| b.0.clone()),
        severity: Severity::Critical,
        status: if full.law_agrees() { Status::Confirmed } else { Status::Likely },
        onset,
        last: at,
        quiet: QUIET,
        weight: full.busy,
        claim: sentence(full, burner.as_ref(), hot.as_ref()),
        evidence: supporting(timeline, full, burner.as_ref(), hot.as_ref()),
        contradicting: law_line(full).filter(|_| !full.law_agrees()).into_iter().collect(),
        advice: advice(timeline, full, onset, burner.as_ref(), hot.as_ref()),
        missing: if burner.is_none() { vec![names::SERVER_HANDLER.to_owned()] } else { Vec::new() },
        episodes: vec![Span::new(onset, at)],
        remedies: Vec::new(),
        sort: "",
    }
}

/// A route, or a function, and its share of the CPU.
type Share = (String, f64);

fn sentence(full: &Full, burner: Option<&Share>, hot: Option<&Share>) -> String {
    let names: Vec<&str> = full.loops.iter().map(|l| l.instance).collect();
    let mut text = format!(
        "{} use all the CPU that they get, {:.1} cores, since {ONSET}: loops busy for {} of the time end {:.0} requests/s",
        names.join(" and "),
        full.cores,
        Unit::Ratio.show(full.busy / full.loops.len() as f64),
        full.requests
    );
    if full.requests > 0.0 {
        text += &format!(" at {} of CPU each", Unit::Ns.show(full.cost() * 1e9));
    }
    if let Some((route, share)) = burner {
        text += &format!(", {:.0} % of it for {route}", share * 100.0);
    }
    if let Some((function, share)) = hot {
        text += &format!(", {:.0} % of the samples in {function}", share * 100.0);
    }
    text
}

fn supporting(
    timeline: &Timeline,
    full: &Full,
    burner: Option<&Share>,
    hot: Option<&Share>,
) -> Vec<Evidence> {
    let busy = full.busy / full.loops.len() as f64;
    let text = format!("loops are busy for {} of the time", Unit::Ratio.show(busy));
    let mut list = vec![evidence(text, names::LOOP_UTILISATION, full.span, busy, Unit::Ratio)];
    let text = format!(
        "they use {:.2} cores and would use {:.2}: for {:.0} % of their time they wait for a core",
        full.cores,
        full.busy.max(full.cores),
        (1.0 - full.cores / full.busy).max(0.0) * 100.0
    );
    list.push(evidence(text, names::PROCESS_CPU, full.span, full.cores, Unit::Cores));
    list.extend(law_line(full).filter(|_| full.law_agrees()));
    if let Some((route, share)) = burner {
        let text = format!("requests of {route} account for {:.0} % of the CPU", share * 100.0);
        list.push(evidence(text, names::SERVER_HANDLER, full.span, *share, Unit::Ratio));
    }
    if let Some((function, share)) = hot {
        let text = format!("{:.0} % of the samples of a CPU profile lie in {function}", share * 100.0);
        list.push(evidence(text, kinds::PROFILE_CPU, full.span, *share, Unit::Ratio));
    }
    if let Some(share) = full.held_back.first().map(|h| h.share) {
        let text = format!("a CPU quota holds them back for {} of the time", Unit::Ratio.show(share));
        list.push(evidence(text, names::PROCESS_THROTTLED, full.span, share, Unit::Ratio));
    }
    if let Some(cpu) = window::mean(timeline, names::HOST_CPU, full.span) {
        let text = format!("{} of the host's CPU is in use", Unit::Ratio.show(cpu));
        list.push(evidence(text, names::HOST_CPU, full.span, cpu, Unit::Ratio));
    }
    list
}

fn law_line(full: &Full) -> Option<Evidence> {
    let (law, usual) = (full.law()?, full.usual?);
    let text = format!(
        "utilisation law: {:.2} cores at the usual {} a request end {law:.0}/s, seen {:.0}/s: they {}",
        full.cores,
        Unit::Ns.show(usual.cost * 1e9),
        full.requests,
        they(full.law_agrees(), true)
    );
    Some(evidence(text, names::SERVER_HANDLER, full.span, law, Unit::PerSecond))
}

/// Sessions that are open, mean; none where requests come on their own.
fn sessions(timeline: &Timeline, span: Span) -> Option<f64> {
    let open = window::sessions(timeline, span);
    let mean = open.iter().sum::<f64>() / open.len() as f64;
    (mean >= 1.0).then_some(mean)
}

/// Sessions with which the loop of one worker is full, and what each asked for in a second before they all waited.
fn sessions_per_worker(timeline: &Timeline, full: &Full, cap: f64, onset: RunTime) -> Option<(f64, f64)> {
    let before = Span::new(onset.back(BEFORE).max(timeline.plan().warm_from()), onset);
    if window::seconds(before) < LEAST_BEFORE_S {
        return None;
    }
    let requests: f64 = loops::read(timeline, before).iter().map(|l| l.requests).sum();
    let each = requests / sessions(timeline, before)?;
    (each > 0.0).then(|| (cap / each / full.loops.len() as f64, each))
}

/// More of what is short, or less load: of the quotas that hold processes back, or else of cores. Each process is told by itself, since which
/// of them share a control group is not known.
fn more_cpu(held_back: &[HeldBack]) -> String {
    if held_back.is_empty() {
        return "Give the target more cores, with a process or worker for each, or less load".to_owned();
    }
    let mut each: Vec<String> = held_back.iter().take(MOST_HELD).map(HeldBack::advice).collect();
    let others = held_back.len() - each.len();
    if others > 0 {
        each.push(format!("{others} more likewise"));
    }
    format!(
        "Raise the CPU quota of the target's control group (cpu.max; limits.cpu in Kubernetes), in which {}, or give it less load",
        each.join(" and ")
    )
}

fn advice(
    timeline: &Timeline,
    full: &Full,
    onset: RunTime,
    burner: Option<&Share>,
    hot: Option<&Share>,
) -> Vec<String> {
    let cap = full.law().unwrap_or(full.requests);
    let held =
        sessions(timeline, full.span).map_or(String::new(), |n| format!(" ({n:.0} sessions ask for more)"));
    let mut list = vec![format!(
        "{}: {:.1} cores end {:.0} requests/s at most{held}; plan for seven tenths of that, {:.0}/s, so that requests do not queue.",
        more_cpu(&full.held_back),
        full.cores,
        cap,
        cap * 0.7
    )];
    if let Some((sessions, each)) = sessions_per_worker(timeline, full, cap, onset) {
        list.push(format!(
            "A worker's loop is full with {sessions:.0} sessions of {each:.1} requests/s each: give each worker fewer."
        ));
    }
    let names = match hot {
        Some((function, _)) => format!("Begin with {function}"),
        None => "A CPU profile names the function".to_owned(),
    };
    list.push(match burner {
        Some((route, share)) => format!(
            "Make {route} cheaper: half of its CPU serves about {:.0}/s. {names}.",
            cap / (1.0 - 0.5 * share)
        ),
        None => hot.map_or("Take a CPU profile and make cheaper what is on top of it.".to_owned(), |h| {
            format!("Make {} cheaper, which is on top of its CPU profile.", h.0)
        }),
    });
    list
}
