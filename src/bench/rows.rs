//! The rows of a bench: what is measured for each, and which are chosen.
//!
//! `engine`, `backend` and `sources` have the rows themselves, and their targets.

mod backend;
mod engine;
mod sources;

use std::time::Duration;

use super::held::{self, Holding};
use super::pairs::{Comparison, Effort, compare};
use super::peers::Peers;
use super::process::Place;
use super::report::Row;
use super::scenario::Work;
use super::serving::{self, Duel, Import, Sockets};
use super::watching::{self, Watch};

/// What holds for every bench.
const CONTAMINATED: &str = "a measurement in which more than 5% of the machine's CPU time went to its host or to other \
                            processes is repeated up to twice, then marked, and never quoted";

/// What is benched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The load engine.
    Engine,
    /// The bundled backend.
    Backend,
    /// The sources.
    Sources,
}

impl Subject {
    /// As the command line and the file have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Backend => "backend",
            Self::Sources => "sources",
        }
    }

    /// What a reader must know before quoting a figure.
    pub const fn notes(self) -> &'static [&'static str] {
        match self {
            Self::Engine => engine::NOTES,
            Self::Backend => backend::NOTES,
            Self::Sources => sources::NOTES,
        }
    }
}

/// What a row does.
enum What {
    Compare(Comparison),
    Idle(Work, Vec<u64>, f64),
    Hold(Holding),
    Timer(&'static str, Option<f64>, u64),
    Million(u64),
    Duel(Duel),
    Sockets(Sockets),
    Import(Import),
    Watch(Watch),
}

/// A row, or several that are measured as one.
pub struct Entry {
    /// What `--rows` looks for.
    pub name: String,
    what: What,
}

impl Entry {
    /// Measures it.
    pub fn measure(&self, place: &Place<'_>, peers: &Peers, quick: bool) -> anyhow::Result<Vec<Row>> {
        match &self.what {
            What::Compare(comparison) => compare(&self.name, comparison, place, peers, effort(quick, 1, 4)),
            What::Idle(work, sizes, bytes) => {
                held::idle(&self.name, *work, (sizes, if quick { 1 } else { 3 }), *bytes, place)
            }
            What::Hold(holding) => held::hold(&self.name, *holding, place),
            What::Timer(timer, us, seconds) => held::timer(&self.name, timer, *us, *seconds, place),
            What::Million(seconds) => held::million(&self.name, *seconds, place),
            // Longer: a difference of 2% is asked for, and CPU time comes in ticks of 10 ms.
            What::Duel(duel) => serving::compare(&self.name, duel, place, effort(quick, 1, 10)),
            What::Sockets(sockets) => serving::sockets(&self.name, sockets, place),
            What::Import(import) => serving::import(&self.name, import, place),
            // What attaching does once, installing and the first profile of each kind above all, is not what watching costs.
            What::Watch(watch) => watching::compare(&self.name, watch, place, effort(quick, 6, 10)),
        }
    }
}

fn effort(quick: bool, settle_s: u64, window_s: u64) -> Effort {
    if quick {
        Effort { pairs: 3, settle: Duration::from_millis(300), window: Duration::from_secs(1) }
    } else {
        Effort { pairs: 5, settle: Duration::from_secs(settle_s), window: Duration::from_secs(window_s) }
    }
}

/// All rows, those that `filter` names (empty: all that are not only measured if named).
pub fn chosen(subject: Subject, quick: bool, filter: &[String]) -> Vec<Entry> {
    let all = match subject {
        Subject::Engine => engine::all(quick),
        Subject::Backend => backend::all(quick),
        Subject::Sources => sources::all(quick),
    };
    let named = |e: &Entry| filter.iter().any(|f| e.name.contains(f.trim()));
    let by_name = |e: &Entry| matches!(e.what, What::Million(_));
    all.into_iter().filter(|e| named(e) || (filter.is_empty() && !by_name(e))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(subject: Subject, quick: bool, filter: &[&str]) -> Vec<String> {
        let filter: Vec<String> = filter.iter().map(|&f| f.to_owned()).collect();
        chosen(subject, quick, &filter).into_iter().map(|e| e.name).collect()
    }

    #[test]
    fn rows_are_chosen_by_what_their_names_hold() {
        let engine = |quick, filter: &[&str]| names(Subject::Engine, quick, filter);
        assert_eq!(engine(true, &["1000-get-wrk"]), ["http-1000-get-wrk"]);
        assert_eq!(engine(false, &["million"]), ["million"]);
        assert!(!engine(false, &[]).contains(&"million".to_owned()));
        assert!(engine(false, &["nothing"]).is_empty());
        insta::assert_snapshot!(engine(false, &[]).join("\n"));
        insta::assert_snapshot!(names(Subject::Backend, false, &[]).join("\n"));
        assert_eq!(
            names(Subject::Sources, true, &[]).join(" "),
            "agent node deno bun metrics otlp jvm process host redis postgres rabbitmq node-busy node-page node-full node-pool"
        );
    }
}
