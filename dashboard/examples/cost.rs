//! What the dashboard costs late in a large run: 500 lanes and an hour of history, unless told otherwise.
//!
//! `cargo run --release -p dynamometer-dashboard --example cost -- [LANES [SECONDS]]`
//!
//! Makes a recording of that size, plays it to its end, and then, as often as a live run would, makes a snapshot and draws it over
//! 200x60 cells, each view in turn. Says how much CPU each of the two took, as a share of a core at four a second. What the
//! terminal's own bytes cost is measured by the example `demo`.

use std::fs;
use std::time::Duration;

use dashboard::app::{self, Capabilities, Model, View};
use dashboard::theme::{Ground, Palette, Theme};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use timeline::facts::RunMeta;
use timeline::histogram::Sparse;
use timeline::lane::names;
use timeline::recorder::Player;
use timeline::recording::Writer;
use timeline::{Entry, LaneId, LaneSpec, RunTime, Span, Unit};

/// Rounds that are measured.
const ROUNDS: u64 = 40;
/// Snapshots and frames a second.
const PER_SECOND: f64 = 4.0;

/// CPU time of this thread so far, nanoseconds.
fn cpu_ns() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

/// One lane in ten is a histogram; each has a sample a second, which is what a column holds of any number.
fn record(path: &std::path::Path, lanes: u32, seconds: u64) -> std::io::Result<()> {
    let mut writer = Writer::create(path, &RunMeta::default())?;
    for i in 0..lanes {
        let name = match i {
            0 => names::RESPONSE.to_owned(),
            i => format!("demo.{}", i / 2), // two instances each
        };
        let lane = match i % 10 {
            0 => LaneSpec::histogram(&name, format!("shop-{}", i % 2)),
            _ => LaneSpec::level(&name, format!("shop-{}", i % 2), Unit::Count),
        };
        writer.add(&Entry::Lane(LaneId(i), lane))?;
    }
    for second in 0..seconds {
        for half in 0..2 {
            let at = RunTime::from_ms(second * 1_000 + half * 500);
            for i in (0..lanes).filter(|_| half == 0) {
                let lane = LaneId(i);
                writer.add(&match i % 10 {
                    0 => {
                        let cells = (0..40).map(|c| (1_000 + 700 * c, 1 + (i + c) % 7)).collect();
                        Entry::Histogram { lane, span: Span::new(at, at), cells: Sparse { cells } }
                    }
                    _ => Entry::Sample { lane, at, value: f64::from(i) + (second % 60) as f64 },
                })?;
            }
            writer.add(&Entry::Tick(at))?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let lanes = words.next().map_or(Ok(500), |word| word.parse())?;
    let seconds = words.next().map_or(Ok(3_600), |word| word.parse())?;
    let path = std::env::temp_dir().join(format!("dyno-cost-{}.dyno", std::process::id()));
    record(&path, lanes, seconds)?;
    let mut player = Player::open(&path, || Box::new(|_, _| Vec::new()))?;
    let published = player.published();
    let step = Duration::from_millis(500);
    let begin = RunTime::from_ms(seconds * 1_000).back(step * (ROUNDS as u32 + 2));
    player.seek(begin)?;

    let mut model = Model::new(Theme::new(Palette::True, Ground::Dark, false), Capabilities::default());
    let mut terminal = Terminal::new(TestBackend::new(200, 60))?;
    let (mut made, mut drawn) = (0.0, 0.0);
    for round in 1..=ROUNDS {
        model.view = View::ALL[round as usize % View::ALL.len()];
        let start = cpu_ns();
        player.seek(begin + step * round as u32)?;
        let between = cpu_ns();
        let snapshot = published.get();
        terminal.draw(|frame| app::view(&model, &snapshot, frame))?;
        made += between - start;
        drawn += cpu_ns() - between;
    }
    fs::remove_file(path)?;
    let told = |what: &str, ns: f64| {
        let each = ns / ROUNDS as f64 / 1e6;
        println!("{what}: {each:.2} ms each, {:.2} % of a core at four a second", each * PER_SECOND / 10.0);
    };
    println!("{lanes} lanes, {seconds} s of history");
    told("a snapshot", made);
    told("a frame", drawn);
    Ok(())
}
