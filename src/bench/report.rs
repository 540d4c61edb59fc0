//! What a bench has found: its head and its rows, as JSON lines and as tables.
//!
//! Owns the forms. The lines are enough to make every table again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::stats::{Bound, Interval, Verdict};
use crate::outcome::UserError;
use crate::show;

/// Version of the forms below; raised when a field changes its meaning.
const VERSION: u32 = 2;

/// What all rows have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Version of this form.
    pub version: u32,
    /// What is benched: `engine`, `backend` or `sources`.
    pub subject: String,
    /// Whose figures these are.
    pub dyno: String,
    /// When, ms since 1970.
    pub started_unix_ms: u64,
    /// Fewer pairs and smaller sizes than a quotable bench has.
    pub quick: bool,
    /// The machine.
    pub host: BTreeMap<String, String>,
    /// Which cores who got.
    pub cores: String,
    /// What each peer says of itself; null: not there.
    pub peers: BTreeMap<String, Option<String>>,
    /// What was compared with what, and what was not.
    pub notes: Vec<String>,
}

impl Head {
    /// Of a bench that begins now.
    pub fn new(
        subject: &str,
        quick: bool,
        cores: String,
        peers: BTreeMap<String, Option<String>>,
        notes: &[&str],
    ) -> Self {
        Self {
            version: VERSION,
            subject: subject.to_owned(),
            dyno: env!("CARGO_PKG_VERSION").to_owned(),
            started_unix_ms: timeline::clock::unix_ms(),
            quick,
            host: crate::run::prepare::host_facts(crate::cores::usable().len(), None).into_iter().collect(),
            cores,
            peers,
            notes: notes.iter().map(|&n| n.to_owned()).collect(),
        }
    }
}

/// A figure, and what it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name, such as `http-1000-get-wrk`.
    pub row: String,
    /// What it is.
    pub figure: String,
    /// `x` for ratios, `B`, `s`, ...
    pub unit: String,
    /// The figure with its 95% interval; null: nothing can be quoted.
    pub interval: Option<Interval>,
    /// What it should be, if anything was said.
    pub target: Option<Bound>,
    /// Whether it is.
    pub verdict: Verdict,
    /// Clean pairs, or measurements, behind it.
    pub clean: usize,
    /// All that were made.
    pub made: usize,
    /// What befell it.
    pub notes: Vec<String>,
    /// Each measurement.
    pub samples: Vec<Sample>,
}

impl Row {
    /// A row that has no figure, and why.
    pub fn missing(row: &str, figure: String, target: Option<Bound>, why: String) -> Self {
        Self {
            row: row.to_owned(),
            figure,
            unit: String::new(),
            interval: None,
            target,
            verdict: Verdict::NotMeasured,
            clean: 0,
            made: 0,
            notes: vec![why],
            samples: Vec::new(),
        }
    }
}

/// A client or a server, measured once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Who.
    pub who: String,
    /// Connections that stood.
    pub open: u64,
    /// Length of the window, s.
    pub seconds: f64,
    /// Requests or messages that were answered.
    pub done: u64,
    /// CPU time of its processes, s.
    pub cpu_s: f64,
    /// What of it the kernel took: for its connections, nearly all of that.
    pub kernel_s: f64,
    /// CPU time of the other side, s: the target of a client, the load of a server.
    pub other_cpu_s: f64,
    /// CPU time of the dyno that watches it meanwhile, s.
    #[serde(default)]
    pub watcher_cpu_s: f64,
    /// Resident memory of its processes, bytes.
    pub bytes: f64,
    /// The machine meanwhile.
    pub machine: Machine,
    /// The load did not keep its rate, so that nobody knows over how many requests the CPU time went.
    #[serde(default)]
    pub off_rate: bool,
}

impl Sample {
    /// Whether it may be quoted.
    pub fn quotable(&self) -> bool {
        !self.off_rate && !self.machine.contaminated()
    }

    /// Requests or messages per second.
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    /// Its CPU time for each, us.
    pub fn cpu_us(&self) -> f64 {
        self.cpu_s * 1e6 / self.done.max(1) as f64
    }

    /// What of that is the kernel's, us.
    pub fn kernel_us(&self) -> f64 {
        self.kernel_s * 1e6 / self.done.max(1) as f64
    }
}

impl Sample {
    /// This window and one right behind it, as one.
    pub fn and(&self, next: &Self) -> Self {
        let all = self.seconds + next.seconds;
        let mean = |a: f64, b: f64| (a * self.seconds + b * next.seconds) / all;
        let (m, n) = (self.machine, next.machine);
        Self {
            seconds: all,
            done: self.done + next.done,
            cpu_s: self.cpu_s + next.cpu_s,
            kernel_s: self.kernel_s + next.kernel_s,
            other_cpu_s: self.other_cpu_s + next.other_cpu_s,
            machine: Machine {
                steal: mean(m.steal, n.steal),
                nice: mean(m.nice, n.nice),
                idle: mean(m.idle, n.idle),
                others: mean(m.others, n.others),
            },
            ..next.clone()
        }
    }
}

/// A bench as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What all rows have in common.
    #[serde(flatten)]
    pub head: Head,
    /// The rows.
    pub rows: Vec<Row>,
}

/// The file that rows go to as they are found.
pub struct Lines(File);

impl Lines {
    /// A new file with the head.
    pub fn create(path: &Path, head: &Head) -> anyhow::Result<Self> {
        let cannot = |e: std::io::Error| UserError::wrong(format!("cannot write {}: {e}", path.display()));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(cannot)?;
        }
        let mut lines = Self(File::create_new(path).map_err(cannot)?);
        lines.push(head)?;
        Ok(lines)
    }

    /// A line more.
    pub fn push(&mut self, line: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.0.write_all(text.as_bytes()).context("cannot write what was measured")
    }
}

/// Reads such a file. A last line that was cut off, as by a full disk, is left out, and that is said.
pub fn read(path: &Path) -> anyhow::Result<Report> {
    let cannot = |e: &dyn std::fmt::Display| UserError::wrong(format!("cannot read {}: {e}", path.display()));
    let bytes = std::fs::read(path).map_err(|e| cannot(&e))?;
    let text = String::from_utf8_lossy(&bytes); // a cut may go through a character
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    if whole < text.len() {
        show::say(format_args!("dyno: the last line of {} was cut off and is left out", path.display()));
    }
    let mut lines = text[..whole].lines();
    let head = lines.next().ok_or_else(|| cannot(&"it is empty"))?;
    let head: Head = serde_json::from_str(head).map_err(|e| cannot(&format!("line 1: {e}")))?;
    if head.version != VERSION {
        return Err(cannot(&format!("it has version {}, this dyno reads {VERSION}", head.version)));
    }
    let mut rows = Vec::new();
    for (i, line) in lines.enumerate() {
        rows.push(serde_json::from_str(line).map_err(|e| cannot(&format!("line {}: {e}", i + 2)))?);
    }
    Ok(Report { head, rows })
}

/// What stands above the rows.
pub fn head_text(head: &Head) -> String {
    let mut out = format!("dyno {} bench {}", head.dyno, head.subject);
    out += if head.quick { ", quick: not to be quoted\n" } else { "\n" };
    let host: Vec<String> = head.host.iter().map(|(k, v)| format!("{k} {v}")).collect();
    let _ = writeln!(out, "machine  {}", host.join(", "));
    let _ = writeln!(out, "cores    {}", head.cores);
    for (peer, version) in &head.peers {
        let _ =
            writeln!(out, "peer     {peer}: {}", version.as_deref().unwrap_or("missing (see benches/peers)"));
    }
    for note in &head.notes {
        let _ = writeln!(out, "note     {note}");
    }
    out
}

/// One row, with its measurements beneath.
pub fn row_text(row: &Row) -> String {
    let figure = row.interval.map_or_else(
        || "-".to_owned(),
        |i| {
            let exact = i.low == i.high;
            let range =
                if exact { String::new() } else { format!(" ({} .. {})", short(i.low), short(i.high)) };
            format!("{}{}{}", short(i.value), row.unit, range)
        },
    );
    let target = match row.target {
        Some(Bound::AtMost(n)) => format!("target <= {}{}", short(n), row.unit),
        Some(Bound::AtLeast(n)) => format!("target >= {}{}", short(n), row.unit),
        None => String::new(),
    };
    let count = format!("{} of {} clean", row.clean, row.made);
    let mut out = format!("\n{}  {}\n  {figure}", row.row, row.figure);
    for part in [target.as_str(), row.verdict.words(), if row.made > 0 { &count } else { "" }] {
        if !part.is_empty() {
            let _ = write!(out, "  {part}");
        }
    }
    out.push('\n');
    for note in &row.notes {
        let _ = writeln!(out, "  note: {note}");
    }
    for s in &row.samples {
        let m = s.machine;
        let _ = writeln!(
            out,
            "    {:<18} {:>9}/s {:>8} us each  {:.2} cores, other side {:.2}  {:>6} open {:>9}  \
             idle {:.0}% steal {:.0}% nice {:.0}% others {:.0}%{}",
            s.who,
            short(s.rate()),
            short(s.cpu_us()),
            s.cpu_s / s.seconds,
            s.other_cpu_s / s.seconds,
            s.open,
            timeline::Unit::Bytes.show(s.bytes),
            m.idle * 100.0,
            m.steal * 100.0,
            m.nice * 100.0,
            m.others * 100.0,
            match (m.contaminated(), s.off_rate) {
                (true, _) => "  CONTAMINATED",
                (false, true) => "  OFF ITS RATE",
                (false, false) => "",
            }
        );
    }
    out
}

/// Three digits that count.
fn short(n: f64) -> String {
    let digits = if n.abs() >= 100.0 {
        0
    } else if n.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{n:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        let machine = Machine { steal: 0.01, nice: 0.0, idle: 0.02, others: 0.3 };
        let sample = Sample {
            who: "wrk".to_owned(),
            open: 1000,
            seconds: 4.0,
            done: 400_000,
            cpu_s: 3.2,
            kernel_s: 2.4,
            other_cpu_s: 3.9,
            watcher_cpu_s: 0.0,
            bytes: 9e6,
            machine,
            off_rate: false,
        };
        Row {
            row: "http-1000-get-wrk".to_owned(),
            figure: "client CPU for a request, ours over wrk".to_owned(),
            unit: "x".to_owned(),
            interval: Some(Interval { value: 0.9, low: 0.85, high: 0.953 }),
            target: Some(Bound::AtMost(0.95)),
            verdict: Verdict::NotResolvable,
            clean: 5,
            made: 6,
            notes: vec!["something was odd".to_owned()],
            samples: vec![sample],
        }
    }

    #[test]
    fn a_row_reads_well_and_survives_its_file() {
        insta::assert_snapshot!(row_text(&row()));
        insta::assert_snapshot!(row_text(&Row::missing(
            "a",
            "b".to_owned(),
            Some(Bound::AtLeast(5.0)),
            "k6 is missing".into()
        )));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/rows.jsonl");
        let head = Head::new(
            "engine",
            true,
            "halves".to_owned(),
            BTreeMap::from([("wrk".to_owned(), None)]),
            &["a note"],
        );
        let mut lines = Lines::create(&path, &head).unwrap();
        lines.push(&row()).unwrap();
        assert_eq!(read(&path).unwrap(), Report { head: head.clone(), rows: vec![row()] });
        lines.0.write_all(b"{}").unwrap();
        assert_eq!(read(&path).unwrap(), Report { head, rows: vec![row()] }, "a line that was cut off");
        lines.0.write_all(b"\n").unwrap();
        let told = read(&path).unwrap_err().to_string().replace(&path.display().to_string(), "FILE");
        insta::assert_snapshot!(told);
    }
}
