//! Sessions that are held: what each costs in memory, and how many fit while the generator keeps its schedule.
//!
//! And how exactly its timer releases what is due. All of it is ours alone; nothing is compared.

use std::time::Duration;

use timeline::MonoNs;

use super::machine;
use super::pairs::{Meter, errors, summary};
use super::peers;
use super::process::{Client, Interrupted, Place, Recipe};
use super::report::{Row, Sample};
use super::scenario::{self, Work};
use super::stats::{Bound, Interval, Verdict};

/// From the last connection to reading its memory: what opening it took is given back by then.
pub const SETTLE: Duration = Duration::from_secs(2);
/// How long few sessions stay, and all, seconds: the first stay is long enough to be seen, the second is ended when it
/// has been.
pub const STAY_S: u64 = SETTLE.as_secs() * 3 + 2;
/// Share of the machine's memory that must stay available, or the run is ended.
const MEMORY_SPARE: f64 = 0.08;
/// Bytes for a session on both sides: about 10 KB of the kernel for its two sockets, under 3 KB of the two processes.
const PAIR_BYTES: f64 = 13_500.0;
/// What a million aims for.
const MILLION: u64 = 1_000_000;
/// Schedule lateness that is aimed for at p99, ms.
const LATENESS_MS: f64 = 10.0;
/// Arrivals a second of the timer rows.
const RELEASES_PER_S: u64 = 10_000;
/// Up to so many sessions memory is measured several times.
const SMALL: u64 = 10_000;
/// How flat memory for a session is to be from the least to the most sessions.
const FLAT: f64 = 1.2;

/// Memory for each idle session, at several numbers of them; of few, the median of so many runs.
pub fn idle(
    name: &str,
    work: Work,
    (sizes, runs): (&[u64], usize),
    at_most: f64,
    place: &Place<'_>,
) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut found: Vec<f64> = Vec::new();
    for &sessions in sizes {
        let name = format!("{name}-{sessions}");
        let figure = "engine memory for a further idle session".to_owned();
        match median_of_marginals(work, sessions, runs, place) {
            Ok((bytes, samples)) => {
                found.push(bytes);
                let mut row = counted(&name, figure, "B", bytes, Some(Bound::AtMost(at_most)), None);
                row.made = samples.len();
                row.clean = row.made;
                row.samples = samples;
                rows.push(row);
            }
            Err(e) if e.is::<Interrupted>() => return Err(e),
            Err(e) => rows.push(Row::missing(&name, figure, Some(Bound::AtMost(at_most)), format!("{e:#}"))),
        }
    }
    let (least, most) = found.iter().fold((f64::INFINITY, 0.0f64), |(a, b), &x| (a.min(x), b.max(x)));
    if found.len() > 1 {
        let bound = Some(Bound::AtMost(FLAT));
        rows.push(counted(
            &format!("{name}-flat"),
            "most over least of these".to_owned(),
            "x",
            // Where what was measured is not above nothing, there is no ratio.
            if least > 0.0 { most / least } else { f64::NAN },
            bound,
            None,
        ));
    }
    Ok(rows)
}

/// The median of several runs where one is short: a process's other memory, some 100 KB more or less, is spread over
/// few sessions there. What other processes do changes no memory: no run is contaminated.
fn median_of_marginals(
    work: Work,
    sessions: u64,
    runs: usize,
    place: &Place<'_>,
) -> anyhow::Result<(f64, Vec<Sample>)> {
    let runs = if sessions <= SMALL { runs } else { 1 };
    let measured: Vec<(f64, Sample)> =
        (0..runs).map(|_| marginal(work, sessions, place)).collect::<anyhow::Result<_>>()?;
    let (mut bytes, samples): (Vec<f64>, Vec<Sample>) = measured.into_iter().unzip();
    bytes.sort_by(f64::total_cmp);
    Ok((bytes[runs / 2], samples))
}

/// What the workers' own memory grows by between a tenth of the sessions and all of them, for each.
fn marginal(work: Work, sessions: u64, place: &Place<'_>) -> anyhow::Result<(f64, Sample)> {
    let mut meter = Meter::start(place, sessions)?;
    let scenario = scenario::in_two_steps(work, meter.at.port, sessions, STAY_S);
    let recipe = peers::run(place, "idle", &scenario)?;
    let mut client = Client::start(place, &recipe)?;
    let bytes = for_a_further_one(sessions, |sessions| {
        meter.connected(&mut client, sessions)?;
        place.nap(SETTLE)?;
        let workers: Vec<u32> = client.family().into_iter().skip(1).collect();
        Ok((machine::memory(&workers, "RssAnon"), meter.targets.counts()?.open))
    })?;
    let sample = meter.window(&mut [&mut client], Duration::from_secs(1))?;
    finish(client, &recipe, place)?;
    Ok((bytes, sample))
}

/// What memory grows by between a tenth of the sessions and all of them, for each. `read` waits until so many stand, and gives
/// the memory, and how many do.
pub fn for_a_further_one(
    sessions: u64,
    mut read: impl FnMut(u64) -> anyhow::Result<(f64, u64)>,
) -> anyhow::Result<f64> {
    let (few, n) = read((sessions / 10).max(1))?;
    let (all, m) = read(sessions)?;
    Ok((all - few) / m.saturating_sub(n).max(1) as f64)
}

/// What is held at once, and what the rows are called.
#[derive(Debug, Clone, Copy)]
pub struct Holding {
    pub work: Work,
    pub sessions: u64,
    /// Single requests beside it, per second.
    pub beside: u64,
    /// How long.
    pub seconds: u64,
}

/// Holds sessions; errors and lateness are judged, CPU and memory told.
pub fn hold(name: &str, holding: Holding, place: &Place<'_>) -> anyhow::Result<Vec<Row>> {
    let Holding { work, sessions, beside, seconds } = holding;
    let mut meter = Meter::start(place, sessions)?;
    let kernel = machine::machine_memory("Slab");
    let port = meter.at.port;
    let recipe = peers::run(place, name, &scenario::held(work, port, sessions, seconds + 600))?;
    let mut client = Client::start(place, &recipe)?.holding(sessions);
    // What stands after that much patience is what can be held.
    let short = match meter.connected(&mut client, sessions) {
        Err(e) if e.is::<Interrupted>() || client.has_ended() => return Err(e),
        outcome => outcome.err().map(|e| format!("{e:#}")),
    };
    let mut second = None;
    if beside > 0 {
        let recipe =
            peers::run(place, &format!("{name}-beside"), &scenario::requests(port, beside, seconds + 600))?;
        second = Some((Client::start(place, &recipe)?, recipe));
    }
    let mut clients: Vec<&mut Client> = vec![&mut client];
    clients.extend(second.as_mut().map(|(client, _)| client));
    let (sample, cut) = watch(&mut meter, &mut clients, Duration::from_secs(seconds))?;
    let kernel = (machine::machine_memory("Slab") - kernel) / sample.open.max(1) as f64;
    let target = machine::memory(&meter.targets.pids(), "VmRSS");
    let mut runs = vec![finish(client, &recipe, place)?];
    if let Some((client, recipe)) = second {
        runs.push(finish(client, &recipe, place)?);
    }
    let mut notes: Vec<String> = runs.iter().filter_map(errors).collect();
    notes.extend(short);
    notes.extend(cut);
    notes.push(format!(
        "{:.0} messages and requests/s; client {:.2} cores, {:.0} MB; target {:.2} cores, {:.0} MB; kernel {kernel:.0} B for each",
        sample.rate(),
        sample.cpu_s / sample.seconds,
        sample.bytes / 1e6,
        sample.other_cpu_s / sample.seconds,
        target / 1e6,
    ));
    let p = |q: fn(&reports::summary::Times) -> Option<f64>| {
        runs.iter().filter_map(|r| q(&r.generator.lateness)).fold(0.0, f64::max) / 1e6
    };
    notes.push(format!("schedule lateness p50 {:.2} ms, p99 {:.2} ms", p(|t| t.p50), p(|t| t.p99)));
    let failed: u64 = runs.iter().flat_map(|r| &r.errors).map(|e| e.count).sum();
    let dropped: u64 = runs.iter().map(|r| r.generator.dropped).sum();
    let mut held =
        counted(name, "sessions held at once".to_owned(), "", sample.open as f64, None, Some(sample.clone()));
    held.notes = notes;
    held.target = Some(Bound::AtLeast(sessions as f64));
    held.verdict = Verdict::of(held.interval, held.target);
    let wrong = counted(
        name,
        "errors and dropped starts".to_owned(),
        "",
        (failed + dropped) as f64,
        Some(Bound::AtMost(0.0)),
        None,
    );
    let mut late = counted(
        name,
        "schedule lateness at p99".to_owned(),
        " ms",
        p(|t| t.p99),
        Some(Bound::AtMost(LATENESS_MS)),
        None,
    );
    doubt(&mut late, &sample);
    Ok(vec![held, wrong, late])
}

/// How exactly a timer releases arrivals that do nothing, so that it alone is measured.
pub fn timer(
    name: &str,
    timer: &str,
    at_most_us: Option<f64>,
    seconds: u64,
    place: &Place<'_>,
) -> anyhow::Result<Vec<Row>> {
    let mut meter = Meter::start(place, 1)?;
    let mut recipe =
        peers::run(place, "timer", &scenario::nothing(meter.at.port, RELEASES_PER_S, seconds + 600))?;
    recipe.args.extend(["--timer".into(), timer.into()]);
    let mut client = Client::start(place, &recipe)?;
    place.nap(SETTLE)?;
    let sample = meter.window(&mut [&mut client], Duration::from_secs(seconds))?;
    let error = finish(client, &recipe, place)?.generator.release_error;
    let us = |t: Option<f64>| t.unwrap_or(f64::NAN) / 1e3;
    let target = at_most_us.map(Bound::AtMost);
    let figure = format!("release error at p99, {RELEASES_PER_S} arrivals a second");
    let mut row = counted(name, figure, " us", us(error.p99), target, Some(sample.clone()));
    if error.count > 0 {
        row.notes.push(format!(
            "{} releases, error p50 {:.0} us, p90 {:.0} us, max {:.0} us; {:.2} cores",
            error.count,
            us(error.p50),
            us(error.p90),
            us(error.max),
            sample.cpu_s / sample.seconds
        ));
    }
    doubt(&mut row, &sample);
    Ok(vec![row])
}

/// The machine's other work makes a schedule late too.
fn doubt(row: &mut Row, sample: &Sample) {
    if !sample.quotable() {
        row.clean = 0;
        if row.target.is_some() && row.interval.is_some() {
            row.verdict = Verdict::NotResolvable;
        }
    }
}

/// As many WebSockets, active once a minute, as fit into memory and no more than a million.
pub fn million(name: &str, seconds: u64, place: &Place<'_>) -> anyhow::Result<Vec<Row>> {
    let spare = machine::machine_memory("MemTotal") * MEMORY_SPARE;
    let fit = (machine::machine_memory("MemAvailable") - spare) / PAIR_BYTES;
    let sessions = MILLION.min((fit / 1e4) as u64 * 10_000);
    let holding = Holding { work: Work::SlowEcho(60), sessions, beside: 0, seconds };
    let mut rows = hold(name, holding, place)?;
    if let Some(row) = rows.first_mut() {
        row.target = Some(Bound::AtLeast(MILLION as f64));
        row.verdict = Verdict::of(row.interval, row.target);
    }
    Ok(rows)
}

/// Measures to the end of the window, or until memory runs short; then says so.
fn watch(
    meter: &mut Meter<'_>,
    clients: &mut [&mut Client],
    length: Duration,
) -> anyhow::Result<(Sample, Option<String>)> {
    /// A look at memory each time.
    const SLICE: Duration = Duration::from_secs(5);
    let since = MonoNs::now();
    let mut whole: Option<Sample> = None;
    while MonoNs::now().since(since) < length {
        let part = meter.window(clients, SLICE.min(length))?;
        whole = Some(whole.map_or_else(|| part.clone(), |w| w.and(&part)));
        if machine::machine_memory("MemAvailable") < machine::machine_memory("MemTotal") * MEMORY_SPARE {
            return Ok((whole.unwrap_or(part), Some("ended early: memory ran short".to_owned())));
        }
    }
    Ok((whole.expect("a length is above zero"), None))
}

/// Ends a run of ours; what it says of itself.
pub fn finish(client: Client, recipe: &Recipe, place: &Place<'_>) -> anyhow::Result<reports::Summary> {
    client.end(place)?;
    let folder = recipe.folder.as_deref().expect("ours has a folder");
    let told = summary(folder)?;
    std::fs::remove_dir_all(folder)?;
    Ok(told)
}

/// A figure that was counted once; one that is no number, which JSON could not hold, was not measured.
pub fn counted(
    row: &str,
    figure: String,
    unit: &str,
    value: f64,
    target: Option<Bound>,
    sample: Option<Sample>,
) -> Row {
    if !value.is_finite() {
        let missing = Row::missing(row, figure, target, "nothing was there to measure".to_owned());
        return Row { unit: unit.to_owned(), samples: sample.into_iter().collect(), ..missing };
    }
    let interval = Some(Interval::exact(value));
    Row {
        row: row.to_owned(),
        figure,
        unit: unit.to_owned(),
        interval,
        target,
        verdict: Verdict::of(interval, target),
        clean: 1,
        made: 1,
        notes: Vec::new(),
        samples: sample.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_is_no_number_is_left_out() {
        for value in [f64::NAN, f64::INFINITY] {
            let row = counted("timer", "error".to_owned(), " us", value, Some(Bound::AtMost(5.0)), None);
            assert_eq!((row.verdict, row.interval), (Verdict::NotMeasured, None));
            let line = serde_json::to_string(&row).unwrap();
            assert_eq!(serde_json::from_str::<Row>(&line).unwrap(), row);
        }
        let row = counted("timer", "error".to_owned(), " us", 4.0, Some(Bound::AtMost(5.0)), None);
        assert_eq!(row.verdict, Verdict::Met);
    }
}
