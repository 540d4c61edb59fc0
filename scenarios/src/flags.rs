//! Load on the command line: `--sessions`, `--rate`, `--stage`, `--iterations`, `--for`, as a phase.
//!
//! The one place where they are read, for a quick run and for a scenario whose phases they replace; `--for` alone leaves a
//! scenario its load. The names and forms that k6's users know mean what they mean there; `LOAD-MODELS.md` has the table.

use crate::mistake::{ScenarioError, Wrong, quoted};
use crate::parse::option_gates;
use crate::plan::{Leg, MAX_SESSIONS, Model, Of, Phase, Rules, RunPlan, Turns};
use crate::text::quantity::{self, show_duration};

/// Most passes that can be asked for.
const MAX_ITERATIONS: u64 = 1_000_000_000_000;
/// Most stages.
const MAX_STAGES: usize = 1000;
/// Sessions of a run that names no load.
const DEFAULT_SESSIONS: u64 = 50;
/// Length of a run that names none.
const DEFAULT_FOR_NS: u64 = 30_000_000_000;
/// How long counted passes may take, unless said: what k6 allows them.
const DEFAULT_ITERATIONS_NS: u64 = 600_000_000_000;
const STAGE_LOOK: &str = "a stage such as \"30s:1000\" (sessions) or \"30s:100/s\" (arrivals)";

/// What the command line says of the load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadFlags {
    /// `--sessions`, `--vus`: held at once; beside a rate the most that may be open.
    pub sessions: Option<u64>,
    /// `--rate 100/s`: arrivals.
    pub rate: Option<String>,
    /// `--stage 30s:1000`: ramps one after the other, each to its number of sessions or its rate.
    pub stages: Vec<String>,
    /// `--for`, `--duration`: how long.
    pub for_: Option<String>,
    /// `--iterations`: passes that all sessions share.
    pub iterations: Option<u64>,
}

impl LoadFlags {
    /// Says the command line nothing of the load?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Says it how long, and no more?
    fn is_length_alone(&self) -> bool {
        self.for_.is_some() && Self { for_: None, ..self.clone() }.is_empty()
    }

    /// The phase that they describe; `open` is what a rate means: single passes, or sessions that arrive.
    ///
    /// # Errors
    /// All mistakes in them.
    pub(crate) fn phase(&self, open: Of) -> Result<Phase, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let mut note = |w: Wrong, flag: &str| wrong.push(w.in_front(flag));
        let length = self.for_.as_deref().map(|text| quantity::duration(text).and_then(above_zero));
        let length = length.transpose().map_err(|w| note(w, "--for")).ok().flatten();
        let rate = self.rate.as_deref().map(|text| quantity::rate(text).and_then(some_rate));
        let rate = rate.transpose().map_err(|w| note(w, "--rate")).ok().flatten();
        if let Some(n) = self.sessions.filter(|n| !(1..=MAX_SESSIONS).contains(n)) {
            let w = Wrong::new(format!("{n} sessions cannot be held"));
            note(w.expected(format!("from 1 to {MAX_SESSIONS}")), "--sessions");
        }
        if let Some(n) = self.iterations.filter(|n| !(1..=MAX_ITERATIONS).contains(n)) {
            let w = Wrong::new(format!("{n} passes cannot be counted"));
            note(w.expected(format!("from 1 to {MAX_ITERATIONS}")), "--iterations");
        }
        if self.iterations.is_some() && (self.rate.is_some() || !self.stages.is_empty()) {
            let w = Wrong::new("passes are shared by sessions that are held");
            note(w.expected("`--sessions` and `--for` alone beside it"), "--iterations");
        }
        if !self.stages.is_empty() && self.for_.is_some() {
            let w = Wrong::new("stages have their own lengths");
            note(w.expected("`--stage` without `--for`"), "--for");
        }
        let stages = self.read_stages().map_err(|w| note(w, "--stage")).unwrap_or_default();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        if stages.is_empty() {
            Ok(self.constant(length, rate, open))
        } else {
            self.ramps(&stages, rate, open).map_err(|w| vec![w.in_front("--stage")])
        }
    }

    fn constant(&self, length: Option<u64>, rate: Option<f64>, open: Of) -> Phase {
        let sessions = self.sessions.unwrap_or(DEFAULT_SESSIONS) as f64;
        let (of, level) = rate.map_or((Of::Sessions, sessions), |rate| (open, rate));
        let counted = self.iterations.is_some();
        let length = length.unwrap_or(if counted { DEFAULT_ITERATIONS_NS } else { DEFAULT_FOR_NS });
        let leg = Leg { length_ns: length, from: level, to: level };
        let rules = Rules {
            turns: self.iterations.map(Turns::Shared),
            max_sessions: self.sessions.filter(|_| of != Of::Sessions),
            ..Rules::default()
        };
        phase("steady", of, vec![leg], rules)
    }

    /// Each stage is a ramp from where the one before ended; one that takes no time is a jump.
    fn ramps(&self, stages: &[(u64, f64, bool)], rate: Option<f64>, open: Of) -> Result<Phase, Wrong> {
        let rates = stages[0].2;
        if stages.iter().any(|(_, _, is_rate)| *is_rate != rates) || (rate.is_some() && !rates) {
            let w = Wrong::new("some stages are rates and others numbers of sessions");
            return Err(w.expected("all of one kind, as is what they begin from"));
        }
        let mut level = if rates { rate } else { self.sessions.map(|n| n as f64) }.unwrap_or(0.0);
        let mut legs = Vec::new();
        for &(length_ns, to, _) in stages {
            if length_ns > 0 {
                legs.push(Leg { length_ns, from: level, to });
            }
            level = to;
        }
        if legs.iter().all(|l| l.from <= 0.0 && l.to <= 0.0) {
            return Err(Wrong::new("these stages offer no load").expected(STAGE_LOOK));
        }
        let rules = Rules { max_sessions: self.sessions.filter(|_| rates), ..Rules::default() };
        Ok(phase("stages", if rates { open } else { Of::Sessions }, legs, rules))
    }

    /// Length, ns, and target of each stage, and whether that is a rate.
    fn read_stages(&self) -> Result<Vec<(u64, f64, bool)>, Wrong> {
        // Both `--stage a --stage b` and `--stage a,b` are common.
        let all: Vec<&str> = self.stages.iter().flat_map(|s| s.split(',')).map(str::trim).collect();
        if all.len() > MAX_STAGES {
            let w = Wrong::new(format!("{} stages are too many", all.len()));
            return Err(w.expected(format!("at most {MAX_STAGES}")));
        }
        all.into_iter().map(stage).collect()
    }
}

fn phase(name: &str, of: Of, legs: Vec<Leg>, rules: Rules) -> Phase {
    let length_ns = legs.iter().map(|l| l.length_ns).sum();
    Phase { name: name.to_owned(), length_ns, model: Model::of_legs(of, legs, rules), warmup: false }
}

fn stage(text: &str) -> Result<(u64, f64, bool), Wrong> {
    let bad = || Wrong::new(format!("{} is not a stage", quoted(text))).expected(STAGE_LOOK);
    let (length, target) = text.split_once(':').ok_or_else(bad)?;
    let length = quantity::duration(length)?;
    if target.contains('/') {
        return Ok((length, quantity::rate(target)?, true));
    }
    let sessions = target.trim().parse::<u64>().ok().filter(|n| *n <= MAX_SESSIONS).ok_or_else(bad)?;
    Ok((length, sessions as f64, false))
}

fn above_zero(ns: u64) -> Result<u64, Wrong> {
    if ns > 0 { Ok(ns) } else { Err(Wrong::new("this is no time at all").expected("a duration above zero")) }
}

fn some_rate(rate: f64) -> Result<f64, Wrong> {
    if rate > 0.0 { Ok(rate) } else { Err(Wrong::new("this is no load").expected("a rate above zero")) }
}

impl RunPlan {
    /// Replaces all phases by the one that the command line describes; nothing changes if it says nothing. A length alone changes no
    /// more than the length of the one level that is held at the end.
    ///
    /// # Errors
    /// Mistakes in the flags; a length alone where the load changes; and a gate on a phase, or a fault at a time, that there is no more.
    pub fn replace_load(&mut self, flags: &LoadFlags) -> Result<(), ScenarioError> {
        if flags.is_empty() {
            return Ok(());
        }
        let phase = flags.phase(Of::Arrivals).map_err(all)?;
        let phases = if flags.is_length_alone() {
            self.lasting(phase.length_ns).map_err(ScenarioError::single)?
        } else {
            vec![phase]
        };
        let gates: Vec<String> = self.gates.iter().map(|g| g.that.clone()).collect();
        let anew = Self { phases, gates: Vec::new(), ..self.clone() };
        let mut wrong = option_gates(&gates, Some(&anew)).err().unwrap_or_default();
        let end = anew.length_ns();
        for fault in self.injected().iter().filter(|f| f.at_ns >= end) {
            let at = show_duration(fault.at_ns);
            let w = Wrong::new(format!("the fault at {at} would come after the load's end"));
            wrong.push(w.expected(format!("a load longer than {at}")).in_front(&self.name));
        }
        for action in self.acted().iter().filter(|a| a.at_ns >= end) {
            let at = show_duration(action.at_ns);
            let w = Wrong::new(format!("the action at {at} would come after the load's end"));
            wrong.push(w.expected(format!("a load longer than {at}")).in_front(&self.name));
        }
        let endless = self.sessions.iter().find(|k| k.is_endless());
        if let (Some(kind), true) = (endless, flags.iterations.is_some()) {
            let w = Wrong::new(format!("session kind {} repeats until the end", quoted(&kind.name)));
            wrong.push(w.expected("kinds whose passes end").in_front("--iterations"));
        }
        if !wrong.is_empty() {
            return Err(all(wrong));
        }
        self.phases = anew.phases;
        if !flags.is_length_alone() {
            // What came with a later phase has gone with it.
            self.cache.retain(|c| c.at_ns == 0);
        }
        Ok(())
    }

    /// The phases, the last of them so long: it holds one level, and what comes before it is warm-up.
    fn lasting(&self, length_ns: u64) -> Result<Vec<Phase>, Wrong> {
        let mut phases = self.phases.clone();
        if let Some((last, before)) = phases.split_last_mut()
            && !last.warmup
            && before.iter().all(|p| p.warmup)
            && let &[Leg { from, to, .. }] = last.model.legs(length_ns).as_slice()
            && from == to
        {
            last.length_ns = length_ns;
            if let Model::Shaped(shape) = &mut last.model {
                shape.legs = vec![Leg { length_ns, from, to }];
            }
            return Ok(phases);
        }
        let w =
            Wrong::new("the scenario's load changes on its way, so that a length alone does not say which");
        Err(w.expected("`--sessions` or `--rate` beside it").in_front("--for"))
    }
}

fn all(wrong: Vec<Wrong>) -> ScenarioError {
    ScenarioError { mistakes: wrong.into_iter().map(|w| w.at(None)).collect(), more: 0 }
}
