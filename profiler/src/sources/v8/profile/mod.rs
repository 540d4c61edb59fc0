//! Profiles that V8 takes of itself: who has the CPU while a process is busy, who allocates what is dropped again, and who what stays.
//!
//! Owns when they are taken, and what of them becomes events: the few functions that matter. Stacks of the CPU go to [`Stacks`]. Beginning a
//! profile costs the process some milliseconds, taking it a few percent, and ending one of allocations a collection of the whole heap (V8 makes
//! one each time it is asked, `kSamplingForceGC`). So each is taken for some seconds only, one at a time, and while there is something to ask
//! ([`signs`]). On a thread and a connection of its own, so that no reading waits for it and passes for a target that stands still.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use timeline::MonoNs;
use timeline::event::kinds;

use self::frames::{Shared, responsible};
use self::signs::Wanted;
use super::devtools::Session;
use super::{Place, V8Error, inspector};
use crate::sources::place::deadline;
use crate::sources::stacks::{Stacks, tell_most};
use crate::sources::{Sink, Source};

mod allocations;
mod cpu;
mod frames;
mod signs;

pub(super) use self::signs::Signs;

/// How often one looks whether there is something to do, and whether the process wants to end, for which it waits until a profile of it is ended.
const LOOK: Duration = Duration::from_millis(100);
/// How long after the end of a profile what the process tells may be its doing: a collection of the heap blocks the loop, and is read up to a
/// reading and its answer later.
const SETTLING: Duration = Duration::from_millis(300);
/// Longest time for a profile to come.
const PATIENCE: Duration = Duration::from_secs(4);
/// Least in all, bytes, that must stay: of less the samples are a handful, and of what requests under way hold; and that must be allocated:
/// less is what buffers do outside of the heap, or what V8 counts that keeps no account of what it has collected (before Node.js 20).
const LEAST_RETAINED: u64 = 1 << 20;
const LEAST_ALLOCATED: u64 = 32 << 20;
/// A rest is doubled so often at most.
const MOST_DOUBLINGS: u32 = 4;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// Who allocates what still lives at the end?
    Retained,
    /// Who allocates, whatever becomes of it?
    Allocated,
    /// Who has the CPU?
    Cpu,
}

impl Question {
    /// The rarest first.
    const ALL: [Self; 3] = [Self::Retained, Self::Allocated, Self::Cpu];

    fn kind(self) -> &'static str {
        match self {
            Self::Retained => kinds::PROFILE_RETAINED,
            Self::Allocated => kinds::PROFILE_ALLOCATED,
            Self::Cpu => kinds::PROFILE_CPU,
        }
    }

    /// How long it takes to ask.
    fn length(self) -> Duration {
        Duration::from_secs(if self == Self::Retained { 3 } else { 2 })
    }

    /// From the end of one profile to the beginning of the next of its kind.
    fn rest(self) -> Duration {
        Duration::from_secs(if self == Self::Cpu { 6 } else { 20 })
    }

    /// Is the heap collected for it?
    fn collects(self) -> bool {
        self != Self::Cpu
    }

    /// Least in all for it to say anything.
    fn least(self) -> u64 {
        match self {
            Self::Retained => LEAST_RETAINED,
            Self::Allocated => LEAST_ALLOCATED,
            Self::Cpu => 1,
        }
    }

    fn begin(self, session: &mut Session) -> Result<(), V8Error> {
        match self {
            Self::Cpu => cpu::begin(session),
            Self::Allocated | Self::Retained => allocations::begin(session, self == Self::Allocated),
        }
    }

    /// Each stack, outermost frame first, with its samples, or its bytes.
    fn end(self, session: &mut Session) -> Result<Vec<(Vec<Shared>, u64)>, V8Error> {
        match self {
            Self::Cpu => cpu::end(session),
            Self::Allocated | Self::Retained => allocations::end(session),
        }
    }
}

/// The profiler of one process.
pub(super) struct Profiles {
    place: Place,
    address: SocketAddr,
    instance: String,
    label: String,
    wanted: Arc<Wanted>,
    stacks: Stacks,
    turns: [Turn; 3],
    running: Option<Running>,
    /// Signs from before this may be of the profile before.
    settled: MonoNs,
}

/// Where a question stands.
#[derive(Clone, Copy)]
struct Turn {
    question: Question,
    /// It is not asked before this; never again where the runtime has no such profile.
    not_before: Option<MonoNs>,
    /// So often in succession nothing came of it.
    barren: u32,
}

/// A profile is taken, on this connection: V8 ends it when that closes.
struct Running {
    question: Question,
    since: MonoNs,
    session: Session,
}

impl Profiles {
    /// Of the process at `place`, whose inspector is at `address`; `signs` are seen by whoever reads it.
    pub fn new(place: Place, address: SocketAddr, instance: &str, signs: &Signs, stacks: Stacks) -> Self {
        let now = Some(MonoNs::now());
        Self {
            place,
            address,
            instance: instance.to_owned(),
            label: format!("profile of {instance}"),
            wanted: signs.wanted(),
            stacks,
            turns: Question::ALL.map(|question| Turn { question, not_before: now, barren: 0 }),
            running: None,
            settled: MonoNs::now(),
        }
    }

    /// Begins the first profile that is wanted and has rested. One that cannot be had is given up quietly: nobody was promised one.
    fn begin(&mut self) {
        let wanted = self.wanted.take();
        let now = MonoNs::now();
        if now < self.settled {
            return;
        }
        let due = |t: &&mut Turn| wanted[t.question as usize] && t.not_before.is_some_and(|at| now >= at);
        let Some(turn) = self.turns.iter_mut().find(due) else { return };
        // Another process may listen there by now.
        if matches!(self.place, Place::Process(pid) if !inspector::is_of(pid, self.address)) {
            return;
        }
        let question = turn.question;
        let begun = Session::open(self.address).and_then(|mut session| {
            question.begin(&mut session)?;
            Ok(Running { question, since: MonoNs::now(), session })
        });
        match begun {
            Ok(running) => self.running = Some(running),
            Err(V8Error::NotInspector(_)) => turn.not_before = None,
            Err(_) => turn.rest(false),
        }
    }

    fn end(&mut self, running: Running, sink: &mut dyn Sink) {
        let Running { question, since, mut session } = running;
        let told = question.end(&mut session).is_ok_and(|stacks| self.tell(question, stacks, since, sink));
        // One collection is enough for both questions that want one.
        let alike = |t: &&mut Turn| t.question == question || (t.question.collects() && question.collects());
        self.turns.iter_mut().filter(alike).for_each(|t| t.rest(told));
        self.settled = deadline(SETTLING);
    }

    /// Whether there was something to tell.
    fn tell(
        &self,
        question: Question,
        stacks: Vec<(Vec<Shared>, u64)>,
        since: MonoNs,
        sink: &mut dyn Sink,
    ) -> bool {
        let mut by: BTreeMap<String, u64> = BTreeMap::new();
        let all: u64 = stacks.iter().map(|s| s.1).sum();
        for (frames, weight) in stacks {
            if let Some(who) = responsible(&frames) {
                *by.entry(who).or_default() += weight;
            }
            if question == Question::Cpu {
                let outermost = std::iter::once(self.instance.clone());
                let shown: Vec<String> = outermost.chain(frames.iter().map(|f| f.shown())).collect();
                self.stacks.add(&shown, weight);
            }
        }
        if all < question.least() {
            return false;
        }
        tell_most(question.kind(), &self.instance, since, (by, all), sink);
        true
    }
}

impl Turn {
    /// Where the heap is collected for it, longer each time that nothing came of it: that cost the process something all the same.
    fn rest(&mut self, told: bool) {
        if self.not_before.is_none() {
            return;
        }
        let barren = !told && self.question.collects();
        self.barren = if barren { (self.barren + 1).min(MOST_DOUBLINGS) } else { 0 };
        let rest = self.question.rest() * 2_u32.pow(self.barren);
        self.not_before = Some(deadline(rest));
    }
}

impl Source for Profiles {
    fn name(&self) -> &str {
        &self.label
    }

    fn period(&self) -> Duration {
        LOOK
    }

    /// Whoever reads the process is: nobody else holds on to what is wanted.
    fn is_over(&self) -> bool {
        Arc::strong_count(&self.wanted) == 1
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        if self.wanted.is_ending() {
            self.running = None;
            return;
        }
        let over = |r: &mut Running| MonoNs::now().since(r.since) >= r.question.length();
        if let Some(running) = self.running.take_if(over) {
            self.end(running, sink);
        } else if self.running.is_none() {
            self.begin();
        }
    }
}
