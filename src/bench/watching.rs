//! A service that a source of dyno watches, beside the same service unwatched: what that costs it for a request, and what dyno takes itself.
//!
//! Owns when a window opens and closes here. The load is a `dyno run` that attaches nothing, the watcher a `dyno watch` beside it, so that
//! what watching takes on our side is one process's CPU: the source, the machine's own lanes, the recorder and all detectors.

use super::machine::{self, Machine, Stat};
use super::pairs::{self, Effort, Pairs, abba, errors, off_rate, rows};
use super::peers::{self, RUN_S};
use super::process::{Client, Place, Recipe};
use super::report::{Row, Sample};
use super::scenario::{self, Work};
use super::services::{Service, Watched};
use super::stats::{self, Bound, Verdict};
use timeline::MonoNs;

/// Least CPU time that the kernel's ticks can tell from none, s.
const TICK_S: f64 = 0.01;

/// One source and what it watches.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    /// What serves.
    pub service: Watched,
    /// How it is asked.
    pub asked: Asked,
    /// What the service's CPU for each over that of the unwatched one should be.
    pub target: Bound,
    /// What our side should take, % of a core.
    pub own: Bound,
}

/// How a service is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// At a rate, requests a second.
    PerSecond(u64),
    /// By so many sessions, each of which asks again when it is answered: it always has work, and counts itself what it did.
    Always(u64),
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PerSecond(n) => write!(f, "at {n} a second"),
            Self::Always(n) => write!(f, "asked by {n} at once"),
        }
    }
}

/// Measures pairs; gives back a row for the service and one for our side.
pub fn compare(name: &str, watch: &Watch, place: &Place<'_>, effort: Effort) -> anyhow::Result<Vec<Row>> {
    let Watch { service, asked, .. } = *watch;
    let figure = format!("{} CPU for each {asked}, watched over unwatched", service.name());
    let own = format!("dyno's own side while it watches {}", service.name());
    if let Some(what) = service.missing() {
        let missing = |figure, bound| Row::missing(name, figure, Some(bound), what.clone());
        return Ok(vec![missing(figure, watch.target), missing(own, watch.own)]);
    }
    let found =
        abba(effort, |watched, notes| measure((place, name), service, asked, watched, effort, notes))?;
    let ours = own_side(name, own, watch.own, &found.0);
    let mut all = rows(name, [(figure, Some(watch.target), Sample::cpu_us as fn(&Sample) -> f64)], found);
    all.push(ours);
    Ok(all)
}

/// What dyno took of a core in the watched halves.
fn own_side(name: &str, figure: String, target: Bound, pairs: &Pairs) -> Row {
    let quoted: Vec<(f64, f64)> = pairs::clean(pairs)
        .map(|(watched, _)| (100.0 * watched.watcher_cpu_s.max(TICK_S), watched.seconds))
        .collect();
    let interval = stats::ratio(&quoted);
    let verdict = if pairs.is_empty() { Verdict::NotMeasured } else { Verdict::of(interval, Some(target)) };
    Row {
        unit: "% of a core".to_owned(),
        interval,
        verdict,
        clean: quoted.len(),
        made: pairs.len(),
        notes: Vec::new(),
        ..Row::missing(name, figure, Some(target), String::new())
    }
}

/// One service, started anew, over a window in which it is asked.
fn measure(
    (place, name): (&Place<'_>, &str),
    service: Watched,
    asked: Asked,
    watched: bool,
    effort: Effort,
    notes: &mut Vec<String>,
) -> anyhow::Result<Sample> {
    let (service, attach) = Service::start(place, service, watched)?;
    let load = Load::start((place, name), &service, asked)?;
    let mut watcher = attach.map(|attach| watcher(place, &service, &attach)).transpose()?;
    place.nap(effort.settle)?;
    let sample = window(place, (&service, asked), &load, watcher.as_mut(), effort)?;
    let off_rate = load.end(place, notes)?;
    Ok(Sample { off_rate, ..sample })
}

/// A `dyno watch` of one source.
fn watcher(place: &Place<'_>, service: &Service, attach: &Attach) -> anyhow::Result<Client> {
    let args = ["watch", &format!(":{}", service.port), "--attach", &attach.what, "--ui", "none", "--yes"];
    let recipe = Recipe {
        name: "dyno watch".to_owned(),
        program: std::env::current_exe()?,
        args: args.map(Into::into).to_vec(),
        env: attach.env.clone(),
        folder: None,
    };
    Client::start(place, &recipe)
}

/// What a watcher is told.
#[derive(Debug, Clone)]
pub struct Attach {
    /// `jvm=7`.
    pub what: String,
    /// Variables of its environment.
    pub env: Vec<(&'static str, String)>,
}

/// What asks the service.
enum Load {
    /// A `dyno run`.
    Http(Client, Recipe),
    /// A thread of this process, for a service that speaks no HTTP.
    Thread(super::stores::Asking),
}

impl Load {
    fn start((place, name): (&Place<'_>, &str), service: &Service, asked: Asked) -> anyhow::Result<Self> {
        place.keep_to(|s| &s.generator);
        let scenario = match asked {
            Asked::Always(sessions) => scenario::held(Work::Get, service.port, sessions, RUN_S),
            Asked::PerSecond(n) => match service.asking(n)? {
                Some(asking) => return Ok(Self::Thread(asking)),
                None => scenario::requests(service.port, n, RUN_S),
            },
        };
        let recipe = peers::run(place, name, &scenario)?;
        let mut client = Client::start(place, &recipe)?;
        let own = service.own_sockets;
        pairs::stand(place, &mut client, 1, || Some(machine::sockets(&service.pids()).saturating_sub(own)))?;
        Ok(Self::Http(client, recipe))
    }

    fn pids(&self) -> Vec<u32> {
        match self {
            Self::Http(client, _) => client.family(),
            Self::Thread(_) => vec![std::process::id()],
        }
    }

    /// Did it not keep its rate, where it has one? If it did, the requests in the window are those of the rate, give or take what is under way at its
    /// ends.
    fn end(self, place: &Place<'_>, notes: &mut Vec<String>) -> anyhow::Result<bool> {
        match self {
            Self::Http(client, recipe) => {
                let told = super::held::finish(client, &recipe, place)?;
                notes.extend(errors(&told));
                let off_rate = off_rate(&told);
                notes.extend(off_rate.clone());
                Ok(off_rate.is_some())
            }
            Self::Thread(asking) => {
                let late = asking.end()?;
                notes.extend(late.clone());
                Ok(late.is_some())
            }
        }
    }
}

fn window(
    place: &Place<'_>,
    (service, asked): (&Service, Asked),
    load: &Load,
    mut watcher: Option<&mut Client>,
    effort: Effort,
) -> anyhow::Result<Sample> {
    let pids = [service.pids(), load.pids(), watcher.as_ref().map(|w| w.family()).unwrap_or_default()];
    let reading = || {
        let cpu = pids.each_ref().map(|p| machine::cpu(p));
        let served = if matches!(asked, Asked::Always(_)) { service.served()? } else { 0 };
        Ok::<_, anyhow::Error>((MonoNs::now(), Stat::now(), cpu, served))
    };
    let (began, stat, before, served) = reading()?;
    place.nap(effort.window)?;
    let (ended, stat_then, after, served_then) = reading()?;
    if let Some(gone) = watcher.as_mut().and_then(|w| w.has_ended().then(|| w.gone())) {
        return Err(gone);
    }
    let [own, other, watching] = [0, 1, 2].map(|i| machine::spent(&before[i], &after[i]));
    let seconds = ended.since(began).as_secs_f64();
    Ok(Sample {
        who: if watcher.is_some() { "watched" } else { "unwatched" }.to_owned(),
        open: machine::sockets(&pids[0]).saturating_sub(service.own_sockets),
        seconds,
        done: match asked {
            Asked::PerSecond(n) => (seconds * n as f64).round() as u64,
            Asked::Always(_) => served_then - served,
        },
        cpu_s: own.all_s,
        kernel_s: own.kernel_s,
        other_cpu_s: other.all_s,
        watcher_cpu_s: watching.all_s,
        bytes: machine::memory(&pids[0], "VmRSS"),
        machine: Machine::between(stat, stat_then, own.all_s + other.all_s + watching.all_s),
        off_rate: false,
    })
}
