//! Servers side by side at one rate, and what a server's memory comes to: for each idle WebSocket, and while it imports.
//!
//! Owns when a window opens and closes here; pairs and their ratios are [`super::pairs`]'.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use profiler::sources::direct;
use serde_json::{Value, json};
use timeline::MonoNs;
use timeline::fault::{FaultKind, FaultOrder};

use super::held::{SETTLE, STAY_S, counted, finish, for_a_further_one};
use super::machine::{self, Cpu, Machine, Stat};
use super::pairs::{Effort, abba, errors, off_rate, rows, stand};
use super::peers::{self, RUN_S};
use super::process::{Client, Interrupted, Place};
use super::report::{Row, Sample};
use super::scenario::{self, Work};
use super::servers::{Kind, Server};
use super::stats::Bound;
use crate::secret::TOKEN_VARIABLE;

/// A gigabyte is imported in minutes.
const IMPORT_PATIENCE: Duration = Duration::from_secs(1_800);

/// Two servers at one rate.
#[derive(Debug, Clone, Copy)]
pub struct Duel {
    pub ours: Kind,
    pub theirs: Kind,
    /// Requests a second.
    pub per_s: u64,
    /// What CPU for each over the other's should be.
    pub at_most: Option<Bound>,
}

/// Measures pairs; gives back a row.
pub fn compare(name: &str, duel: &Duel, place: &Place<'_>, effort: Effort) -> anyhow::Result<Vec<Row>> {
    let figure = format!(
        "server CPU for each at {} a second, {} over {}",
        duel.per_s,
        duel.ours.name(),
        duel.theirs.name()
    );
    let watched = duel.theirs == Kind::Unwatched;
    let found = abba(effort, |is_ours, notes| {
        let kind = if is_ours { duel.ours } else { duel.theirs };
        measure((place, name), kind, duel.per_s, watched, effort, notes)
    })?;
    Ok(rows(name, [(figure, duel.at_most, Sample::cpu_us as fn(&Sample) -> f64)], found))
}

/// One server, started anew, over a window in which it is asked at the rate. `read`: its probe is read meanwhile.
fn measure(
    (place, name): (&Place<'_>, &str),
    kind: Kind,
    per_s: u64,
    read: bool,
    effort: Effort,
    notes: &mut Vec<String>,
) -> anyhow::Result<Sample> {
    let server = Server::start(place, kind)?;
    let text = scenario::requests(server.port, per_s, RUN_S);
    let probe = server.probe().filter(|_| read);
    let attached = probe.map_or_else(|| "none".to_owned(), |(url, _)| format!("agent={url}"));
    let mut recipe = peers::run_watching(place, name, &text, &attached)?;
    recipe.env.extend(probe.map(|(_, token)| (TOKEN_VARIABLE, token.to_owned())));
    let mut client = Client::start(place, &recipe)?;
    connected(place, &server, &mut client, 1)?;
    place.nap(effort.settle)?;
    let mut sample = window(place, &server, &client, effort.window)?;
    // The window is the rate's: as many are due in it as come to an end, give or take what is under way at its ends.
    sample.done = (sample.seconds * per_s as f64).round() as u64;
    let told = finish(client, &recipe, place)?;
    notes.extend(errors(&told));
    let off_rate = off_rate(&told);
    sample.off_rate = off_rate.is_some();
    notes.extend(off_rate.map(|why| format!("{}: {why}", kind.name())));
    Ok(sample)
}

/// Waits until so many connections to `server` stand.
fn connected(
    place: &Place<'_>,
    server: &Server,
    client: &mut Client,
    connections: u64,
) -> anyhow::Result<()> {
    stand(place, client, connections, || Some(server.connections()))
        .with_context(|| format!("of {}", server.kind.name()))
}

fn window(place: &Place<'_>, server: &Server, client: &Client, length: Duration) -> anyhow::Result<Sample> {
    let (serving, others, load) = (server.serving(), server.family(), client.family());
    let reading = || (MonoNs::now(), Stat::now(), [&serving, &others, &load].map(|p| machine::cpu(p)));
    let (began, stat, before): (_, _, [Cpu; 3]) = reading();
    place.nap(length)?;
    let (ended, stat_then, after) = reading();
    let [own, all, other] = [0, 1, 2].map(|i| machine::spent(&before[i], &after[i]));
    Ok(Sample {
        who: server.kind.name().to_owned(),
        open: server.connections(),
        seconds: ended.since(began).as_secs_f64(),
        done: 0,
        cpu_s: own.all_s,
        kernel_s: own.kernel_s,
        other_cpu_s: other.all_s,
        watcher_cpu_s: 0.0,
        bytes: machine::memory(&serving, "VmRSS"),
        machine: Machine::between(stat, stat_then, all.all_s + other.all_s),
        off_rate: false,
    })
}

/// Idle WebSockets of a server.
#[derive(Debug, Clone, Copy)]
pub struct Sockets {
    pub kind: Kind,
    pub sessions: u64,
    /// Bytes for each.
    pub at_most: Option<Bound>,
}

/// What a server's own memory grows by between a tenth of the sessions and all of them, for each. What other
/// processes do changes no memory.
pub fn sockets(name: &str, sockets: &Sockets, place: &Place<'_>) -> anyhow::Result<Vec<Row>> {
    let Sockets { kind, sessions, at_most } = *sockets;
    let server = Server::start(place, kind)?;
    let text = scenario::in_two_steps(Work::IdleWebSocket, server.port, sessions, STAY_S);
    let recipe = peers::run(place, name, &text)?;
    let mut client = Client::start(place, &recipe)?;
    let bytes = for_a_further_one(sessions, |sessions| {
        connected(place, &server, &mut client, sessions)?;
        place.nap(SETTLE)?;
        Ok((machine::memory(&server.serving(), "RssAnon"), server.connections()))
    })?;
    if let Some(errors) = errors(&finish(client, &recipe, place)?) {
        bail!("not all were held: {errors}");
    }
    let figure = format!("memory of {} for a further idle WebSocket, to {sessions}", kind.name());
    Ok(vec![counted(name, figure, " B", bytes, at_most, None)])
}

/// A file that the shop imports.
#[derive(Debug, Clone, Copy)]
pub struct Import {
    pub megabytes: u64,
    /// Read whole: the fault.
    pub whole: bool,
    /// Growth, MB.
    pub at_most: Option<Bound>,
}

/// What the worker's resident memory grows by at most, while it imports a file.
pub fn import(name: &str, import: &Import, place: &Place<'_>) -> anyhow::Result<Vec<Row>> {
    let Import { megabytes, whole, at_most } = *import;
    let server = Server::start(place, Kind::Shop)?;
    if whole {
        let for_ms = IMPORT_PATIENCE.as_millis() as u64;
        server.order(&FaultOrder { name: FaultKind::WholeFile, for_ms, knobs: BTreeMap::new() })?;
    }
    let base = format!("http://127.0.0.1:{}", server.port);
    let customer = log_in(&base)?;
    place.nap(SETTLE)?;
    let resident = || machine::memory(&server.serving(), "VmRSS");
    let (before, began) = (resident(), MonoNs::now());
    let url = format!("{base}/import/supplier?megabytes={megabytes}");
    // Its server is ended with this function, and so is what it waits for.
    let asked = std::thread::spawn(move || post(&url, &json!({}), Some(&customer)));
    let mut peak = before;
    let done = place.wait_for(IMPORT_PATIENCE, || {
        peak = peak.max(resident());
        Some(asked.is_finished())
    })?;
    if !done {
        bail!("{megabytes} MiB were not imported within {} s", IMPORT_PATIENCE.as_secs());
    }
    let imported = asked.join().map_err(|_| Interrupted)?.context("the import failed")?;
    let how = if whole { "read whole" } else { "read as a stream" };
    let figure = format!("resident growth while {megabytes} MiB are imported, {how}");
    let mut row = counted(name, figure, " MB", (peak - before) / 1e6, at_most, None);
    row.notes.push(format!(
        "{} rows in {:.0} s; resident {:.0} MB before, {:.0} MB at most",
        imported["rows"],
        MonoNs::now().since(began).as_secs_f64(),
        before / 1e6,
        peak / 1e6
    ));
    Ok(vec![row])
}

/// A customer's token.
fn log_in(base: &str) -> anyhow::Result<String> {
    let answer = post(&format!("{base}/login"), &json!({ "user": "user-1", "pass": "secret" }), None)?;
    Ok(answer["token"].as_str().context("the shop gave no token")?.to_owned())
}

fn post(url: &str, body: &Value, token: Option<&str>) -> anyhow::Result<Value> {
    let agent = direct().timeout_global(Some(IMPORT_PATIENCE)).build().new_agent();
    let request = agent.post(url);
    let request = match token {
        Some(token) => request.header("Authorization", format!("Bearer {token}")),
        None => request,
    };
    Ok(request.send_json(body)?.body_mut().read_json()?)
}
