//! A recorder without a run, for tests of what speaks to one.

use timeline::facts::{EndReason, PlanFacts, RunEnd, RunMeta};
use timeline::recorder::{Options, Recorder};
use timeline::snapshot::RunState;
use timeline::{RunClock, RunTime};

/// It writes nothing down.
pub fn recorder() -> Recorder {
    let options = Options {
        clock: RunClock::start(),
        meta: RunMeta::default(),
        plan: PlanFacts::default(),
        gates: Vec::new(),
        state: RunState::Running,
        diagnose: Box::new(|_, _| Vec::new()),
    };
    Recorder::start(options, None).expect("no file is made, and a thread can be started")
}

/// Ends it; gives what it was told to log, a line each.
pub fn log(recorder: Recorder) -> String {
    let end = RunEnd { reason: EndReason::Completed, at: RunTime::ZERO, notes: Vec::new() };
    let lines = recorder.finish(end).snapshot.log.clone();
    lines.into_iter().map(|line| line.text + "\n").collect()
}
