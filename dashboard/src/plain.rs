//! Plain lines: what happens, as `key=value`, for logs, pipes and screen readers.
//!
//! Owns their form and their calm: a status line every five seconds of the run, and a line at once when
//! the phase, state or load changes, a finding appears or grows, a gate turns, a source falls silent. No redraw,
//! no carriage return, fixed order of keys; every finding that a screen would show appears here.

use std::collections::BTreeMap;

use timeline::amendment;
use timeline::lane::names;
use timeline::snapshot::{COLUMN_NS, LaneView, LogLine, Percentiles, RunState, Snapshot};
use timeline::{Finding, RunTime, Severity, Status, Unit};

use crate::canvas::clean;
use crate::figures;
use crate::lanes;

/// Time of the run from one status line to the next, nanoseconds.
const EVERY_NS: u64 = 5_000_000_000;

/// What was said already.
#[derive(Debug, Default)]
pub struct Plain {
    /// Number of the five seconds that the last status line belongs to.
    slot: Option<u64>,
    state: Option<RunState>,
    phase: Option<Option<(String, usize, usize)>>,
    /// Share of the plan, and whether it is halted.
    load: Option<(Option<f64>, bool)>,
    findings: BTreeMap<String, Said>,
    gates: BTreeMap<String, bool>,
    silent: BTreeMap<String, bool>,
    logged: Option<LogLine>,
}

/// The most that was said of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    status: Status,
    severity: Severity,
    ended: bool,
}

impl Plain {
    /// Nothing said yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The lines that are due, without line ends; mostly none. Made for standard error.
    pub fn lines(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let mut out = Vec::new();
        let mut status_due = self.turned(snapshot);
        let slot = snapshot.at.0 / EVERY_NS;
        if self.slot != Some(slot) && snapshot.run.state != RunState::Done {
            // The very first slot has nothing to tell yet, unless the run has begun.
            status_due |= self.slot.is_some() || slot > 0;
        }
        self.slot = Some(slot);
        if status_due {
            out.push(status(snapshot));
        }
        out.extend(self.changed_findings(snapshot));
        out.extend(self.changed_gates(snapshot));
        out.extend(self.changed_sources(snapshot));
        out.extend(self.new_notes(snapshot));
        out
    }

    /// Log lines that came since the last look, but for findings, which have lines of their own.
    fn new_notes(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let known = self.logged.take();
        let first =
            known.as_ref().and_then(|k| snapshot.log.iter().rposition(|l| l == k)).map_or(0, |i| i + 1);
        self.logged = snapshot.log.last().cloned().or(known);
        let of_finding = |l: &LogLine| {
            snapshot
                .findings
                .iter()
                .any(|f| l.text.strip_prefix(&f.id).is_some_and(|rest| rest.starts_with(' ')))
        };
        let new = snapshot.log[first..].iter().filter(|l| !of_finding(l));
        new.map(|l| format!("t={} note={}", l.at, quoted(l.shown()))).collect()
    }

    /// Did state, phase or load change?
    fn turned(&mut self, snapshot: &Snapshot) -> bool {
        let l = &snapshot.load;
        let load = (l.factor, l.halted_since.is_some());
        let changed = self.load.replace(load).unwrap_or_default() != load;
        let state = self.state.replace(snapshot.run.state);
        let phase = self.phase.replace(snapshot.run.phase.clone());
        changed || state != Some(snapshot.run.state) || phase.as_ref() != Some(&snapshot.run.phase)
    }

    fn changed_findings(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let mut out = Vec::new();
        // What was looked for and is absent is no finding; what could not be told is said.
        for f in snapshot.findings.iter().filter(|f| f.status != Status::NotSeen) {
            let now = Said { status: f.status, severity: f.severity, ended: f.ended.is_some() };
            let before = self.findings.get(&f.id).copied();
            let grew = before
                .is_none_or(|b| f.status > b.status || f.severity > b.severity || now.ended && !b.ended);
            if grew {
                out.push(finding(snapshot.at, f));
                let most = before.map_or(now, |b| Said {
                    status: now.status.max(b.status),
                    severity: now.severity.max(b.severity),
                    ended: now.ended,
                });
                self.findings.insert(f.id.clone(), most);
            }
        }
        out
    }

    fn changed_gates(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let mut out = Vec::new();
        for gate in &snapshot.gates {
            // While a gate cannot be told, what was said of it last stays to be taken back.
            let Some(holds) = gate.holds else { continue };
            let before = self.gates.insert(gate.that.clone(), holds);
            let word = match (before, holds) {
                (Some(true) | None, false) => "false",
                (Some(false), true) => "true",
                _ => continue,
            };
            let at = snapshot.at;
            out.push(format!(
                "t={at} gate={} holds={word} figure={}",
                quoted(&gate.that),
                quoted(&gate.figure)
            ));
        }
        out
    }

    fn changed_sources(&mut self, snapshot: &Snapshot) -> Vec<String> {
        let mut out = Vec::new();
        // At the end all sources are ended, and none of them comes back.
        let sources = snapshot.sources.iter().filter(|_| snapshot.run.state != RunState::Done);
        for source in sources {
            let Some(age) = source.age_ns else { continue };
            let silent = age > figures::STALE_NS;
            let before = self.silent.insert(source.name.clone(), silent).unwrap_or(false);
            if silent != before {
                let what = if silent {
                    format!("silent age={}", squeezed(&figures::age(age)))
                } else {
                    "back".to_owned()
                };
                out.push(format!("t={} source={} state={what}", snapshot.at, word(&source.name)));
            }
        }
        out
    }
}

fn status(s: &Snapshot) -> String {
    let mut line = format!("t={}", s.at);
    match &s.run.phase {
        Some((name, ..)) if s.run.state == RunState::Running => {
            line.push_str(&format!(" phase={}", word(name)))
        }
        _ => line.push_str(&format!(" state={}", s.run.state.name())),
    }
    let l = &s.load;
    if let Some(since) = l.halted_since {
        line.push_str(&format!(" load=halted since={since}"));
    } else if let Some(factor) = l.factor {
        line.push_str(&format!(" load={}", squeezed(&amendment::percent(factor))));
    }
    line.push_str(&format!(
        " offered={} achieved={} open={} resp_p99={} err={}",
        of_load(s, rate(l.offered)),
        of_load(s, rate(l.achieved)),
        of_load(s, l.open_sessions.to_string()),
        p99(&s.recent),
        percent(l.errors, l.requests),
    ));
    if l.late > 0 || l.dropped > 0 {
        line.push_str(&format!(" late={} dropped={}", l.late, l.dropped));
    }
    if let Some((lane, v)) = fresh(s, names::HEAP_OLD).and_then(|l| Some((l, l.last?))) {
        line.push_str(&format!(" heap.old={}", squeezed(&lane.unit.show(v))));
    }
    if let Some(v) = worst(s, names::PAUSE) {
        line.push_str(&format!(" pause={}", squeezed(&Unit::Ns.show(v))));
    }
    for p in &s.pools {
        if p.age_ns > figures::STALE_NS {
            line.push_str(&format!(" pool.{}={}", word(&p.name), silent(p.age_ns)));
            continue;
        }
        let most = |part| worst(s, &names::of(names::POOL, &p.name, part));
        let waiters = most("waiters").or(p.waiters).filter(|w| *w > 0.0);
        // Beside the most that waited stands the most that was in use: by now the queue may be over.
        let in_use = if waiters.is_some() { most("in-use").or(p.in_use) } else { p.in_use };
        let fill = format!("{}/{}", number(in_use), number(p.capacity));
        line.push_str(&format!(" pool.{}={fill}", word(&p.name)));
        if waiters.is_some() {
            line.push_str(&format!(" pool.{}.waiters={}", word(&p.name), number(waiters)));
        }
    }
    for c in &s.caches {
        if let Some(hit) = c.hit_ratio {
            line.push_str(&format!(" cache.{}.hit={}", word(&c.name), squeezed(&Unit::Ratio.show(hit))));
        }
    }
    line
}

/// The lane called `name`, unless it is stale.
fn fresh<'a>(s: &'a Snapshot, name: &str) -> Option<&'a LaneView> {
    lanes::find(s, name).filter(|l| l.age_ns <= figures::STALE_NS)
}

/// The greatest value since about the last status line: a pause between two lines must not be lost.
fn worst(s: &Snapshot, name: &str) -> Option<f64> {
    let columns = (EVERY_NS / COLUMN_NS) as usize;
    fresh(s, name)?.cells.iter().rev().take(columns).flatten().map(|c| c.max).reduce(f64::max)
}

fn finding(at: RunTime, f: &Finding) -> String {
    let mut line = format!(
        "t={at} finding={} severity={} status={}",
        f.kind.name(),
        f.severity.name(),
        f.status.name().replace(' ', "-")
    );
    if !f.subject.is_empty() {
        line.push_str(&format!(" subject={}", word(&f.subject)));
    }
    line.push_str(&format!(" id={}", word(&f.id)));
    if let Some(cause) = &f.caused_by {
        line.push_str(&format!(" caused_by={}", word(cause)));
    }
    if let Some(ended) = f.ended {
        line.push_str(&format!(" ended={ended}"));
    }
    if !f.missing.is_empty() {
        line.push_str(&format!(" missing={}", quoted(&f.missing.join(", "))));
    }
    line.push_str(&format!(" claim={}", quoted(&f.claim)));
    line
}

/// A figure of the load as one word, or how long it has been silent.
fn of_load(s: &Snapshot, figure: String) -> String {
    squeezed(&figures::of_load(s, figure).replace("silent ", "silent-"))
}

/// `silent-12s`.
fn silent(age_ns: u64) -> String {
    format!("silent-{}", squeezed(&figures::age(age_ns)))
}

/// Whole numbers, so that lines can be compared: `4000/s`.
fn rate(v: f64) -> String {
    if v.is_finite() { format!("{v:.0}/s") } else { figures::NONE.to_owned() }
}

fn number(v: Option<f64>) -> String {
    v.filter(|v| v.is_finite()).map_or_else(|| figures::NONE.to_owned(), |v| format!("{v:.0}"))
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { figures::NONE.to_owned() } else { format!("{:.2}%", part as f64 / whole as f64 * 100.0) }
}

fn p99(p: &Percentiles) -> String {
    squeezed(&figures::quantile(p, |p| p.p99))
}

/// A figure with its unit as one word: `22.0ms`.
fn squeezed(figure: &str) -> String {
    figure.replace(' ', "")
}

/// A value as it is, or quoted where that would not be one word.
fn word(text: &str) -> String {
    let simple = |c: char| c.is_alphanumeric() || "-_.:/@#+%".contains(c);
    if !text.is_empty() && text.chars().all(simple) { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let escaped = clean(text, false).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}
