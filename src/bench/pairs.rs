//! Two clients side by side: pairs of measurements in the order ABBA, and their ratios.
//!
//! Owns when a window opens and closes, what is repeated because the machine was busy with something else, and what of it
//! is quoted.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reports::Summary;
use timeline::MonoNs;

use super::machine::{self, Cpu, Machine, Stat};
use super::peers::{At, Peer, Peers, ours};
use super::process::{Client, Interrupted, Place, Recipe, Targets};
use super::report::{Row, Sample};
use super::scenario::{self, Work};
use super::stats::{self, Bound, Verdict};
use super::target::Counts;
use crate::cli::TargetKind;

/// How long a client may take until all its connections stand: k6 sets up its virtual users for minutes.
const CONNECT_PATIENCE: Duration = Duration::from_secs(90);
/// How long connections may take to go away before the next client comes.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);
/// How many pairs of a row are measured again because they cannot be quoted.
const REPEATS: usize = 2;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Pairs.
    pub pairs: usize,
    /// From the last connection to the window.
    pub settle: Duration,
    /// Length of a window.
    pub window: Duration,
}

/// Measurements of ours and of the peer, side by side.
pub type Pairs = Vec<(Sample, Sample)>;

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub struct Comparison {
    pub work: Work,
    pub peer: Peer,
    pub connections: u64,
    /// What CPU for each over the peer's should be.
    pub cpu: Option<Bound>,
    /// What the rate over the peer's should be.
    pub rate: Option<Bound>,
}

/// Measures pairs; gives back a row for CPU and one for the rate.
pub fn compare(
    name: &str,
    comparison: &Comparison,
    place: &Place<'_>,
    peers: &Peers,
    effort: Effort,
) -> anyhow::Result<Vec<Row>> {
    let peer = comparison.peer.name();
    let figures = [
        (
            format!("client CPU for each, ours over {peer}"),
            comparison.cpu,
            Sample::cpu_us as fn(&Sample) -> f64,
        ),
        (format!("rate, ours over {peer}"), comparison.rate, Sample::rate),
    ];
    let mut meter = Meter::start(place, comparison.connections)?;
    let mine = ours(comparison.work, place, meter.at)?;
    let Some(theirs) = peers.recipe(comparison.peer, comparison.work, place, meter.at)? else {
        let missing = |(figure, bound, _)| Row::missing(name, figure, bound, format!("{peer} is missing"));
        return Ok(figures.into_iter().map(missing).collect());
    };
    let (pairs, mut notes) =
        abba(effort, |is_ours, notes| meter.measure(if is_ours { &mine } else { &theirs }, effort, notes))?;
    notes.extend(floor(&pairs, peer));
    Ok(rows(name, figures, (pairs, notes)))
}

/// Those that can be quoted.
pub fn clean(pairs: &[(Sample, Sample)]) -> impl Iterator<Item = &(Sample, Sample)> {
    pairs.iter().filter(|(a, b)| a.quotable() && b.quotable())
}

/// What no engine comes below that makes the kernel do the same: its share, over all that the peer takes.
fn floor(pairs: &Pairs, peer: &str) -> Option<String> {
    let mean = |of: &dyn Fn(&(Sample, Sample)) -> f64| {
        clean(pairs).map(of).sum::<f64>() / clean(pairs).count() as f64
    };
    let (ours, theirs) = (mean(&|p| p.0.kernel_us()), mean(&|p| p.1.kernel_us()));
    let whole = mean(&|p| p.1.cpu_us());
    (whole > 0.0).then(|| {
        format!(
            "the kernel takes {ours:.1} us of ours for each and {theirs:.1} us of {peer}'s: with no work of its own ours would \
             come to {:.2}x",
            ours / whole
        )
    })
}

/// Rows of some figures of the same measurements, which are told once.
pub fn rows(
    name: &str,
    figures: impl IntoIterator<Item = (String, Option<Bound>, fn(&Sample) -> f64)>,
    (pairs, notes): (Pairs, Vec<String>),
) -> Vec<Row> {
    let row = |(figure, bound, of)| row(name, figure, bound, &pairs, of);
    let mut rows: Vec<Row> = figures.into_iter().map(row).collect();
    if let Some(first) = rows.first_mut() {
        first.notes = notes;
        first.samples = pairs.into_iter().flat_map(|(a, b)| [a, b]).collect();
    }
    rows
}

/// Measures pairs, ours first and last in turn, until enough are clean or no more may be repeated; with what befell them.
/// `measure` is told whether it is ours that is wanted.
pub fn abba(
    effort: Effort,
    mut measure: impl FnMut(bool, &mut Vec<String>) -> anyhow::Result<Sample>,
) -> anyhow::Result<(Pairs, Vec<String>)> {
    let (mut pairs, mut notes, mut clean) = (Vec::new(), Vec::new(), 0);
    while clean < effort.pairs && pairs.len() < effort.pairs + REPEATS {
        let ours_first = pairs.len() % 2 == 0;
        let both = measure(ours_first, &mut notes).and_then(|a| Ok((a, measure(!ours_first, &mut notes)?)));
        let (a, b) = match both {
            Ok(both) => both,
            Err(e) if e.is::<Interrupted>() => return Err(e),
            // It would go no better the next time.
            Err(e) => {
                notes.push(format!("{e:#}"));
                break;
            }
        };
        clean += usize::from(a.quotable() && b.quotable());
        pairs.push(if ours_first { (a, b) } else { (b, a) });
    }
    notes.dedup();
    Ok((pairs, notes))
}

/// One process for each core of the target's half, and enough for their descriptors.
pub fn target_processes(place: &Place<'_>, connections: u64) -> usize {
    /// Connections of one target: `SO_REUSEPORT` spreads them unevenly, by 2% at this number.
    const EACH: u64 = 16_000;
    let cores = place.split.as_ref().map_or(1, |s| s.target.len());
    cores.max(connections.div_ceil(EACH) as usize)
}

fn row(
    name: &str,
    figure: String,
    target: Option<Bound>,
    pairs: &[(Sample, Sample)],
    of: fn(&Sample) -> f64,
) -> Row {
    let quoted: Vec<(f64, f64)> = clean(pairs).map(|(a, b)| (of(a), of(b))).collect();
    let interval = stats::ratio(&quoted);
    let verdict = if pairs.is_empty() { Verdict::NotMeasured } else { Verdict::of(interval, target) };
    Row {
        row: name.to_owned(),
        figure,
        unit: "x".to_owned(),
        interval,
        target,
        verdict,
        clean: quoted.len(),
        made: pairs.len(),
        notes: Vec::new(),
        samples: Vec::new(),
    }
}

/// Targets, and what is measured of their clients.
pub struct Meter<'a> {
    pub place: &'a Place<'a>,
    pub targets: Targets,
    pub at: At,
}

impl<'a> Meter<'a> {
    /// Starts targets for so many connections.
    pub fn start(place: &'a Place<'a>, connections: u64) -> anyhow::Result<Self> {
        let targets = Targets::start(place, target_processes(place, connections), TargetKind::Hyper)?;
        let at = At { port: targets.port, connections };
        Ok(Self { place, targets, at })
    }

    /// Runs one client and measures it while all its connections stand.
    fn measure(
        &mut self,
        recipe: &Recipe,
        effort: Effort,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<Sample> {
        let mut client = Client::start(self.place, recipe)?;
        self.connected(&mut client, self.at.connections)?;
        self.place.nap(effort.settle)?;
        let sample = self.window(&mut [&mut client], effort.window)?;
        client.end(self.place)?;
        if let Some(folder) = &recipe.folder {
            notes.extend(errors(&summary(folder)?));
            std::fs::remove_dir_all(folder)?;
        }
        let targets = &mut self.targets;
        self.place.wait_for(CLOSE_PATIENCE, || Some(targets.counts().is_ok_and(|c| c.open == 0)))?;
        Ok(sample)
    }

    /// Waits until so many connections stand.
    pub fn connected(&mut self, client: &mut Client, connections: u64) -> anyhow::Result<()> {
        stand(self.place, client, connections, || Some(self.targets.counts().ok()?.open))
    }

    /// Measures clients for so long, as one.
    ///
    /// # Panics
    /// Without a client.
    pub fn window(&mut self, clients: &mut [&mut Client], length: Duration) -> anyhow::Result<Sample> {
        let before = self.reading(clients)?;
        self.place.nap(length)?;
        if let Some(gone) = clients.iter_mut().find_map(|c| c.has_ended().then(|| c.gone())) {
            return Err(gone);
        }
        let after = self.reading(clients)?;
        let cpu = machine::spent(&before.client, &after.client);
        let other_cpu_s = machine::spent(&before.target, &after.target).all_s;
        Ok(Sample {
            who: clients[0].name().to_owned(),
            open: after.counts.open,
            seconds: after.at.since(before.at).as_secs_f64(),
            done: after.counts.requests + after.counts.messages
                - before.counts.requests
                - before.counts.messages,
            cpu_s: cpu.all_s,
            kernel_s: cpu.kernel_s,
            other_cpu_s,
            watcher_cpu_s: 0.0,
            bytes: machine::memory(&family(clients), "VmRSS"),
            machine: Machine::between(before.stat, after.stat, cpu.all_s + other_cpu_s),
            off_rate: false,
        })
    }

    fn reading(&mut self, clients: &[&mut Client]) -> anyhow::Result<Reading> {
        Ok(Reading {
            counts: self.targets.counts()?,
            at: MonoNs::now(),
            stat: Stat::now(),
            client: machine::cpu(&family(clients)),
            target: machine::cpu(&self.targets.pids()),
        })
    }
}

/// Waits until so many connections of `client` stand; `open` counts them, and has none to say when the server is gone.
pub fn stand(
    place: &Place<'_>,
    client: &mut Client,
    connections: u64,
    mut open: impl FnMut() -> Option<u64>,
) -> anyhow::Result<()> {
    let mut stood = 0;
    let enough = || {
        stood = open()?;
        if client.has_ended() { None } else { Some(stood >= connections) }
    };
    let patience = CONNECT_PATIENCE.max(Duration::from_secs_f64(2.0 * scenario::rise_s(connections)));
    if place.wait_for(patience, enough)? {
        return Ok(());
    }
    if client.has_ended() {
        return Err(client.gone());
    }
    bail!("{} held {stood} of {connections} connections after {} s", client.name(), patience.as_secs())
}

fn family(clients: &[&mut Client]) -> Vec<u32> {
    clients.iter().flat_map(|c| c.family()).collect()
}

/// All that is read at the ends of a window.
struct Reading {
    counts: Counts,
    at: MonoNs,
    stat: Stat,
    client: Cpu,
    target: Cpu,
}

/// What went wrong in a run of ours, if anything did.
pub fn errors(summary: &Summary) -> Option<String> {
    let kinds: Vec<String> = summary.errors.iter().map(|e| format!("{} {}", e.count, e.kind)).collect();
    (!kinds.is_empty()).then(|| format!("a run of ours met errors: {}", kinds.join(", ")))
}

/// Why a run of ours did not keep its rate, if it did not: then nobody knows over how many requests the server's CPU time went. Starts that
/// came late count as those that never came do: what made the run invalid bent the load.
pub fn off_rate(summary: &Summary) -> Option<String> {
    let (dropped, invalid) = (summary.generator.dropped, summary.verdict == reports::Verdict::Invalid);
    let why = if invalid { format!("; {}", summary.verdict_reason) } else { String::new() };
    (dropped > 0 || invalid)
        .then(|| format!("the load did not keep its rate: {dropped} planned starts dropped{why}"))
}

/// The summary of a run of ours.
pub fn summary(folder: &Path) -> anyhow::Result<Summary> {
    let text =
        std::fs::read_to_string(folder.join("summary.json")).context("a run of ours left no summary")?;
    Ok(serde_json::from_str(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use timeline::Timeline;
    use timeline::facts::RunMeta;

    #[test]
    fn a_load_that_was_bent_did_not_keep_its_rate() {
        let mut told = Summary::new(&RunMeta::default(), &Timeline::new(), &[], None);
        told.verdict = reports::Verdict::Pass;
        assert_eq!(off_rate(&told), None);
        told.generator.dropped = 3;
        assert!(off_rate(&told).unwrap().ends_with("3 planned starts dropped"));
        told.generator.dropped = 0;
        told.verdict = reports::Verdict::Invalid;
        told.verdict_reason = "the generator was late".to_owned();
        assert!(off_rate(&told).unwrap().ends_with("0 planned starts dropped; the generator was late"));
    }
}
