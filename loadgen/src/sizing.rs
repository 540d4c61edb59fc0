//! How many worker processes a plan needs, by descriptors, ports and cores.
//!
//! Owns the arithmetic and the sentences that explain it before a run. All of it is an estimate from above: an open
//! model's sessions have no known number until they run.

use std::net::{IpAddr, Ipv4Addr};

use scenarios::plan::{
    BaseUrl, Dist, HttpVersion, Of, Order, RunPlan, SessionKind, Step, Target, Times, Turns,
};
use timeline::text::plural;

use crate::error::LoadError;
use crate::program::Program;

/// Descriptors of a process that are not for sessions: pipes, epoll, timers, libraries, and room to fail politely.
const SPARE_DESCRIPTORS: u64 = 200;
/// Ports that one local address has for one destination where the system says nothing (Linux: 32768 to 60999).
const PORTS: u64 = 28_232;
/// Share of the ports that may be planned with: closed connections hold theirs for a while.
const PORTS_USABLE: f64 = 0.9;
/// Share of an address's ports that may be taken where further addresses cost nothing. To connect, Linux looks for a free
/// port among every second one first, one after another: with a third of all taken two thirds of those are, and the next
/// free one is a few steps away; beyond half of all, each connection walks past thousands, a millisecond and more.
const PORTS_QUICK: f64 = 1.0 / 3.0;
/// The half of them from which on it is slow.
const PORTS_SLOW: f64 = 0.5;
/// Steps per second that one core is asked for before another worker is worth it: half of what it does at 1,000 connections.
const STEPS_PER_CORE: f64 = 50_000.0;
/// Sessions that one loop serves before another is worth it where a core is free.
const SESSIONS_PER_CORE: f64 = 20_000.0;
/// How long an answer is taken to take, s.
const ANSWER_S: f64 = 0.1;

/// What the host allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Descriptors of one process.
    pub descriptors: u64,
    /// Local ports of one address.
    pub ports: u64,
    /// Cores that the generator may use.
    pub cores: usize,
}

impl Resources {
    /// Reads what this host allows the generator, which may use `cores` cores (none: all).
    #[must_use]
    pub fn of_host(cores: Option<usize>) -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            descriptors: limit.maximum.unwrap_or(u64::from(u32::MAX)),
            ports: ports().unwrap_or(PORTS),
            cores: cores.unwrap_or(all).max(1),
        }
    }
}

fn ports() -> Option<u64> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ends = range.split_whitespace().map(str::parse::<u64>);
    let (low, high) = (ends.next()?.ok()?, ends.next()?.ok()?);
    high.checked_sub(low).map(|n| n + 1)
}

/// Descriptors of a process that sessions may use.
#[must_use]
pub fn usable(descriptors: u64) -> u64 {
    // A very low limit still leaves some.
    descriptors.saturating_sub(SPARE_DESCRIPTORS).max(descriptors / 2).max(1)
}

/// How many workers, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizing {
    /// Worker processes; at least 1.
    pub workers: usize,
    /// Most sessions that are open at once, as far as the plan tells.
    pub sessions: u64,
    /// Connections that they hold.
    pub connections: u64,
    /// Local addresses that are needed for their ports.
    pub addresses: u64,
    /// A sentence for each thing that was looked at.
    pub why: Vec<String>,
}

/// Works out how many workers `plan` needs on a host with these resources.
#[must_use]
pub fn workers_needed(plan: &RunPlan, resources: &Resources) -> Sizing {
    let sessions = peak_sessions(plan).ceil() as u64;
    let each = connections_each(plan);
    let connections = sessions * each;
    let by_descriptors = connections.div_ceil(usable(resources.descriptors)).max(1);
    let given = plan.transport.sources.len() as u64;
    let free = given == 0 && !is_elsewhere(&plan.target);
    let share = if free { PORTS_QUICK } else { PORTS_USABLE };
    let ports = ((resources.ports as f64 * share) as u64).max(1);
    let addresses = connections.div_ceil(ports).max(1);
    let steps = peak_rate(plan);
    let wanted = (steps / STEPS_PER_CORE).max(sessions as f64 / SESSIONS_PER_CORE).ceil().max(1.0) as u64;
    let by_cores = wanted.min(resources.cores as u64);
    let workers = by_descriptors.max(by_cores);
    let mut why = vec![
        format!("{}, {} each", at_once(plan, sessions), plural(each as usize, "connection")),
        format!(
            "{} by descriptors: {} of {} in each process are for sessions",
            plural(by_descriptors as usize, "worker"),
            usable(resources.descriptors),
            resources.descriptors
        ),
        format!(
            "{} by cores: {} free, {wanted} wanted for the load",
            plural(by_cores as usize, "worker"),
            resources.cores
        ),
    ];
    if addresses > 1 {
        why.push(format!("{addresses} local addresses: one has {ports} ports to spare for a target"));
    }
    let named = given.max(1);
    let sources = plural(named as usize, "source address");
    if !free && named < addresses {
        why.push(format!(
            "only {sources} named: name more (sources, --source-address), or connections will be refused \
             for want of ports"
        ));
    } else if !free && connections > (resources.ports as f64 * named as f64 * PORTS_SLOW) as u64 {
        why.push(format!(
            "more than half of the ports of {sources} will be taken, and connecting will be slow: name more \
             (sources, --source-address)"
        ));
    }
    why.extend(rows_short(plan));
    Sizing { workers: workers as usize, sessions, connections, addresses, why }
}

/// How many sessions are open at once. Those that arrive stay for as long as the answers take, which nobody knows before.
fn at_once(plan: &RunPlan, sessions: u64) -> String {
    let n = plural(sessions as usize, "session");
    let (held, open): (Vec<_>, Vec<_>) = plan.phases.iter().partition(|p| p.model.of() == Of::Sessions);
    if open.is_empty() {
        return format!("{n} at once at most");
    }
    let about = format!("about {n} at once if each answer takes {:.0} ms", ANSWER_S * 1e3);
    let caps: Option<Vec<u64>> = open.iter().map(|p| p.model.rules().max_sessions).collect();
    match caps {
        Some(caps) => {
            let held = held.iter().map(|p| p.model.peak().ceil() as u64);
            format!("{about}, {} at most", caps.into_iter().chain(held).max().unwrap_or(sessions))
        }
        None => format!("{about}, more if they take longer"),
    }
}

/// A sentence for each table of data whose rows are used once and are fewer than the sessions that the plan is known to start with them.
#[must_use]
pub fn rows_short(plan: &RunPlan) -> Vec<String> {
    if plan.feeders.iter().all(|f| f.order != Order::Unique) {
        return Vec::new();
    }
    let url = match &plan.target {
        Target::Url(url) => url.clone(),
        // Which rows are drawn depends on no address.
        Target::Bundled => {
            BaseUrl { tls: false, host: "localhost".to_owned(), port: 80, prefix: String::new() }
        }
    };
    // A plan that cannot be run is refused elsewhere, with its reason.
    let Ok(program) = Program::new(plan, &url) else { return Vec::new() };
    let starts = starts(plan);
    let weight = |k: &SessionKind| f64::from(k.weight.max(1));
    let all: f64 = plan.sessions.iter().map(weight).sum();
    let unique = plan.feeders.iter().enumerate().filter(|(_, f)| f.order == Order::Unique);
    let short = unique.filter_map(|(i, feeder)| {
        let kinds = plan.sessions.iter().zip(&program.kinds).filter(|(_, made)| made.feeders.contains(&i));
        let drawn = (starts * kinds.map(|(kind, _)| weight(kind)).sum::<f64>() / all.max(1.0)).round();
        (drawn > feeder.rows.len() as f64).then(|| {
            format!(
                "data `{}` has {}, each used once, and about {drawn} sessions that need one are to start: the rest will be dropped",
                feeder.name,
                plural(feeder.rows.len(), "row")
            )
        })
    });
    short.collect()
}

/// Sessions that the plan is known to start, at least: one that is held may be followed by others as often as it ends.
fn starts(plan: &RunPlan) -> f64 {
    let open: f64 = plan.phases.iter().map(|p| p.model.starts(p.length_ns)).sum();
    let held =
        plan.phases.iter().filter(|p| p.model.of() == Of::Sessions).map(|p| match p.model.rules().turns {
            Some(Turns::Shared(n)) => n as f64,
            Some(Turns::Each(n)) => n as f64 * p.model.peak(),
            None => p.model.peak(),
        });
    // Held places live on into further phases.
    open + held.fold(0.0, f64::max)
}

/// Is the target written as an address that is not on loopback? A name is known only once it is looked up.
fn is_elsewhere(target: &Target) -> bool {
    match target {
        Target::Bundled => false,
        Target::Url(url) => url.host.parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback()),
    }
}

/// Local addresses to connect from to `target`: those that are `given`, else so many that the ports suffice; none where
/// one address does, or where the system has no others to offer by itself (only loopback has).
///
/// # Errors
/// [`LoadError::Source`] for one that is not of the target's kind.
pub fn sources(target: IpAddr, addresses: u64, given: &[IpAddr]) -> Result<Vec<IpAddr>, LoadError> {
    for &address in given {
        if address.is_ipv4() != target.is_ipv4() {
            let why = format!("{target} is reached over the other version of IP");
            return Err(LoadError::Source { address, why });
        }
    }
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    Ok(match target {
        // 127.0.0.1 to 127.0.0.250, all of which loopback owns on Linux.
        IpAddr::V4(v4) if v4.is_loopback() && addresses > 1 && cfg!(target_os = "linux") => {
            (1..=addresses.min(250)).map(|i| IpAddr::V4(Ipv4Addr::new(127, 0, 0, i as u8))).collect()
        }
        _ => Vec::new(),
    })
}

/// Connections that a session of the plan holds at most; at least 1.
pub(crate) fn connections_each(plan: &RunPlan) -> u64 {
    plan.sessions.iter().map(|k| connections(k, plan.transport.http)).max().unwrap_or(1).max(1)
}

/// Connections that a session of this kind holds at most. With HTTP/2 it is one for all requests; that those of `requests` phases
/// share some is left out, since how many depends on the server.
fn connections(kind: &SessionKind, http: HttpVersion) -> u64 {
    fn most(step: &Step, of: &dyn Fn(&Step) -> u64) -> u64 {
        step.inner().map(|s| most(s, of)).fold(of(step), u64::max)
    }
    let most = |of: &dyn Fn(&Step) -> u64| kind.steps.iter().map(|s| most(s, of)).max().unwrap_or(0);
    let http = most(&|s| match s {
        Step::Request(_) => 1,
        Step::Parallel(_) if http == HttpVersion::Http2 => 1,
        Step::Parallel(p) => p.connections_used() as u64,
        _ => 0,
    });
    http + most(&|s| u64::from(matches!(s, Step::Connect(_))))
        + most(&|s| u64::from(matches!(s, Step::OpenEvents(_))))
        + most(&|s| if let Step::Journey(j) = s { u64::from(j.connections) } else { 0 })
}

fn peak_sessions(plan: &RunPlan) -> f64 {
    let run_s = plan.length_ns() as f64 / 1e9;
    let length = mean_over(plan, |k| session_seconds(&k.steps).min(run_s));
    // Arrivals pile up over phases: by Little's law the count follows rate x length, and cannot exceed all arrivals.
    let mut arrived = 0.0;
    let mut peak: f64 = 0.0;
    for phase in &plan.phases {
        let most = phase.model.peak();
        let (of, cap) = (phase.model.of(), phase.model.rules().max_sessions);
        peak = peak.max(if of == Of::Sessions {
            most
        } else {
            arrived += phase.model.starts(phase.length_ns);
            (most * length).min(arrived).min(cap.map_or(f64::INFINITY, |n| n as f64))
        });
    }
    peak.max(1.0)
}

/// Steps per second that the plan's clock asks for; a held session without pauses has no such rate and counts as nothing.
fn peak_rate(plan: &RunPlan) -> f64 {
    let steps = mean_over(plan, |k| step_count(&k.steps));
    let open = plan.phases.iter().filter(|p| p.model.of() != Of::Sessions);
    let rates = open.map(|p| p.model.peak() * steps);
    rates.fold(0.0, f64::max)
}

fn mean_over(plan: &RunPlan, of: impl Fn(&SessionKind) -> f64) -> f64 {
    let total: f64 = plan.sessions.iter().map(|k| f64::from(k.weight.max(1))).sum();
    plan.sessions.iter().map(|k| f64::from(k.weight.max(1)) * of(k)).sum::<f64>() / total.max(1.0)
}

/// How long a session of these steps lasts, s: its pauses, and [`ANSWER_S`] for each step.
fn session_seconds(steps: &[Step]) -> f64 {
    steps
        .iter()
        .map(|s| match s {
            Step::Think(d) | Step::Listen(d) | Step::Ignore(d) => d.mean_s(),
            Step::Repeat(r) => {
                let turn = session_seconds(&r.steps).max(r.every.map_or(0.0, Dist::mean_s));
                match r.times {
                    Times::UntilEnd => f64::INFINITY,
                    Times::Count(n) => turn * f64::from(n),
                }
            }
            Step::If(f) => session_seconds(&f.then).max(session_seconds(&f.otherwise)),
            Step::Choose(all) => all.iter().map(|c| session_seconds(&c.steps)).fold(0.0, f64::max),
            Step::Journey(j) => {
                let steps: u32 = j.steps.iter().map(|s| s.times).sum();
                f64::from(steps) * (ANSWER_S + j.pause.map_or(0.0, Dist::mean_s))
            }
            _ => ANSWER_S,
        })
        .sum()
}

fn step_count(steps: &[Step]) -> f64 {
    let count = |s: &Step| match s {
        Step::Think(_) | Step::Listen(_) | Step::Ignore(_) => 0.0,
        Step::Repeat(r) => match r.times {
            Times::UntilEnd => step_count(&r.steps),
            Times::Count(n) => step_count(&r.steps) * f64::from(n),
        },
        Step::If(f) => step_count(&f.then).max(step_count(&f.otherwise)),
        Step::Choose(all) => all.iter().map(|c| step_count(&c.steps)).fold(0.0, f64::max),
        Step::Journey(j) => j.steps.iter().map(|s| f64::from(s.times)).sum(),
        Step::Parallel(p) => p.requests.len() as f64,
        _ => 1.0,
    };
    steps.iter().map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{get, plan_of};
    use scenarios::plan::{Feeder, Leg, Model, Parallel, Part, Repeat, Rules, Shape, Template};

    const HOST: Resources = Resources { descriptors: 20_000, ports: 28_232, cores: 2 };

    #[test]
    fn a_large_plan_is_spread_over_processes_and_addresses() {
        let mut plan = plan_of(vec![get(0, "/")]);
        plan.phases[0].model = Model::Sessions { from: 0.0, to: 100_000.0 };
        let sizing = workers_needed(&plan, &HOST);
        insta::assert_snapshot!(sizing.why.join("\n"), @r"
        100000 sessions at once at most, 1 connection each
        6 workers by descriptors: 19800 of 20000 in each process are for sessions
        2 workers by cores: 2 free, 5 wanted for the load
        11 local addresses: one has 9410 ports to spare for a target
        ");
        assert_eq!(sizing.workers, 6);
        let of = |target: &str, given: &[IpAddr]| sources(target.parse().unwrap(), sizing.addresses, given);
        assert_eq!(of("127.0.0.1", &[]).unwrap().len(), 11);
        assert!(of("10.0.0.1", &[]).unwrap().is_empty());
    }

    #[test]
    fn addresses_that_are_named_are_taken_or_refused() {
        let of = |target: &str, given: &str| {
            sources(target.parse().unwrap(), 4, &[given.parse().unwrap()]).map_err(|e| e.to_string())
        };
        assert_eq!(of("127.0.0.1", "127.0.0.9"), Ok(vec!["127.0.0.9".parse().unwrap()]));
        insta::assert_snapshot!(of("127.0.0.1", "::1").unwrap_err(), @"::1 cannot be connected from: 127.0.0.1 is reached over the other version of IP");
        let mut plan = plan_of(vec![get(0, "/")]);
        plan.phases[0].model = Model::Sessions { from: 0.0, to: 100_000.0 };
        plan.transport.sources = vec!["10.0.0.2".parse().unwrap()];
        insta::assert_snapshot!(workers_needed(&plan, &HOST).why.last().unwrap(), @"only 1 source address named: name more (sources, --source-address), or connections will be refused for want of ports");
        plan.phases[0].model = Model::Sessions { from: 0.0, to: 20_000.0 };
        insta::assert_snapshot!(workers_needed(&plan, &HOST).why.last().unwrap(), @"more than half of the ports of 1 source address will be taken, and connecting will be slow: name more (sources, --source-address)");
    }

    #[test]
    fn how_many_sessions_arrive_is_no_more_than_a_guess() {
        let mut plan = plan_of(vec![get(0, "/")]);
        let mut told = |of: Of, from: f64, max_sessions: Option<u64>| {
            let legs = vec![Leg { length_ns: 20_000_000_000, from, to: from }];
            let rules = Rules { max_sessions, ..Rules::default() };
            plan.phases[0].length_ns = 20_000_000_000;
            plan.phases[0].model = Model::Shaped(Box::new(Shape { of, legs, rules }));
            workers_needed(&plan, &HOST).why.remove(0)
        };
        let all = [
            told(Of::Sessions, 1.0, None),
            told(Of::Arrivals, 50.0, None),
            told(Of::Arrivals, 50.0, Some(3)),
            told(Of::Requests, 500.0, Some(200)),
        ];
        insta::assert_snapshot!(all.join("\n"), @r"
        1 session at once at most, 1 connection each
        about 5 sessions at once if each answer takes 100 ms, more if they take longer, 1 connection each
        about 3 sessions at once if each answer takes 100 ms, 3 at most, 1 connection each
        about 50 sessions at once if each answer takes 100 ms, 200 at most, 1 connection each
        ");
    }

    #[test]
    fn rows_that_will_not_do_for_all_sessions_are_told_before() {
        let Step::Request(mut request) = get(0, "/") else { panic!() };
        request.path = Template(vec![Part::Text("/".into()), Part::Column { feeder: 0, column: 0 }]);
        let mut plan = plan_of(vec![Step::Request(request)]);
        plan.phases[0].length_ns = 10_000_000_000;
        plan.phases[0].model = Model::Arrivals { from: 100.0, to: 100.0 };
        let mut told = |rows: usize, order: Order| {
            let rows = (0..rows).map(|i| vec![format!("/{i}")]).collect();
            plan.feeders = vec![Feeder { name: "users".into(), columns: vec!["path".into()], rows, order }];
            rows_short(&plan)
        };
        assert_eq!((told(1000, Order::Unique), told(10, Order::Sequential)), (vec![], vec![]));
        insta::assert_snapshot!(told(100, Order::Unique).join("\n"), @"data `users` has 100 rows, each used once, and about 1000 sessions that need one are to start: the rest will be dropped");
    }

    #[test]
    fn arrivals_that_stay_add_up() {
        let forever = Repeat {
            times: Times::UntilEnd,
            every: Some(Dist::Constant(1_000_000_000)),
            guard: None,
            steps: vec![get(0, "/")],
        };
        let mut plan = plan_of(vec![Step::Repeat(Box::new(forever))]);
        plan.phases[0].model = Model::Arrivals { from: 100.0, to: 100.0 };
        plan.phases[0].length_ns = 60_000_000_000;
        assert_eq!(workers_needed(&plan, &HOST).sessions, 6_000);
    }

    #[test]
    fn a_group_needs_its_connections_unless_one_carries_all() {
        let Step::Request(request) = get(0, "/") else { panic!() };
        let group = Parallel { requests: vec![*request; 4], connections: 6 };
        let mut plan = plan_of(vec![get(0, "/"), Step::Parallel(Box::new(group))]);
        plan.phases[0].model = Model::Sessions { from: 100.0, to: 100.0 };
        assert_eq!(workers_needed(&plan, &HOST).connections, 400);
        plan.transport.http = HttpVersion::Http2;
        assert_eq!(workers_needed(&plan, &HOST).connections, 100);
    }

    #[test]
    fn a_small_plan_needs_one() {
        assert_eq!(workers_needed(&plan_of(vec![get(0, "/")]), &HOST).workers, 1);
    }
}
