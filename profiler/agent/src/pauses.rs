//! Pauses of every kind on one account: what stops the target's own work.
//!
//! Owns the lanes `pause.longest`, `loop.delay` and `loop.utilisation` and the events `pause.*`. A stall of
//! the loop is told only for the part that no hiccup of the whole process explains; so it waits until the
//! hiccup thread has woken after the stall's end.

use std::sync::{Arc, Mutex};

use timeline::event::kinds;
use timeline::lane::{LaneSpec, names};
use timeline::probe::ProbeEvent;
use timeline::units::Unit;
use tokio::runtime::Handle;

use crate::draft::{Collect, Draft, LaneNo};
use crate::hiccup::{EVENT_NS, Hiccups};
use crate::loop_probe::Watched;
use crate::sections::Sections;
use crate::tally::{Tally, lock};
use crate::top::Top;

/// Most runtimes watched at once; a service has one, or one a core.
const MOST_LOOPS: usize = 64;
/// Most stall events of one tick, longest first.
const MOST_EVENTS: usize = 16;

/// Where pauses are noted as they happen.
#[derive(Debug)]
pub(crate) struct PauseState {
    /// Of the whole process.
    pub(crate) hiccups: Arc<Hiccups>,
    /// Of the target's own making.
    pub(crate) sections: Arc<Sections>,
    loops: Mutex<Vec<Watched>>,
    delay: Arc<Tally>,
}

impl PauseState {
    /// None so far; `now` in ns.
    pub(crate) fn new(now: u64) -> Self {
        Self {
            hiccups: Arc::new(Hiccups::new(now)),
            sections: Arc::default(),
            loops: Mutex::default(),
            delay: Arc::default(),
        }
    }

    /// Watches `runtime` too.
    pub(crate) fn watch(&self, runtime: &Handle) {
        let mut loops = lock(&self.loops);
        if loops.len() < MOST_LOOPS {
            loops.push(Watched::start(runtime, Arc::clone(&self.delay)));
        }
    }

    /// Ends the tasks on watched runtimes.
    pub(crate) fn unwatch(&self) {
        lock(&self.loops).clear();
    }
}

/// The lanes and events of pauses.
pub(crate) struct Pauses {
    state: Arc<PauseState>,
    longest: Option<LaneNo>,
    delay: Option<LaneNo>,
    utilisation: Option<LaneNo>,
}

impl Pauses {
    pub(crate) const fn new(state: Arc<PauseState>) -> Self {
        Self { state, longest: None, delay: None, utilisation: None }
    }

    /// Stalls that can be judged, as events; the longest of them or of those still lasting.
    fn stalls(&self, loops: &[Watched], draft: &mut Draft<'_>) -> u64 {
        let hiccups = &self.state.hiccups;
        let known_until = hiccups.known_until();
        let mut top = Top::new(MOST_EVENTS);
        let mut longest = 0;
        for watched in loops {
            longest = longest.max(watched.state.overdue(draft.now.0));
            for stall in watched.state.take_stalls(known_until) {
                for piece in stall.stretch.unexplained(&hiccups.within(stall.stretch), EVENT_NS) {
                    longest = longest.max(piece.length());
                    let value = stall.waited_in(piece) as f64;
                    top.offer(piece.length() as f64, || ProbeEvent {
                        value,
                        ..piece.event(kinds::PAUSE_WORKER_STALL)
                    });
                }
            }
        }
        draft.pauses(top.take());
        longest
    }

    fn loop_lanes(&mut self, loops: &mut Vec<Watched>, draft: &mut Draft<'_>) {
        let lane = *self
            .delay
            .get_or_insert_with(|| draft.lanes.declare(LaneSpec::histogram(names::LOOP_DELAY, "")));
        draft.histogram(lane, &self.state.delay);
        loops.retain(|w| w.state.alive());
        let elapsed = draft.elapsed_ns;
        // The busiest loop speaks for the process, as the worst process does for the service.
        let busiest = loops.iter_mut().filter_map(|w| w.utilisation(elapsed)).reduce(f64::max);
        if let Some(busiest) = busiest {
            let lane = *self.utilisation.get_or_insert_with(|| {
                draft.lanes.declare(LaneSpec::level(names::LOOP_UTILISATION, "", Unit::Ratio).worst())
            });
            draft.level(lane, busiest);
        }
    }
}

impl Collect for Pauses {
    fn collect(&mut self, draft: &mut Draft<'_>) {
        let hiccups = self.state.hiccups.take();
        draft.pauses(hiccups.events);
        let (section, sections) = self.state.sections.take(draft.now.0);
        draft.pauses(sections);

        let state = Arc::clone(&self.state);
        let mut loops = lock(&state.loops);
        let stall = self.stalls(&loops, draft);
        if !loops.is_empty() || self.delay.is_some() {
            self.loop_lanes(&mut loops, draft);
        }

        let lane = *self
            .longest
            .get_or_insert_with(|| draft.lanes.declare(LaneSpec::level(names::PAUSE, "", Unit::Ns).worst()));
        draft.level(lane, hiccups.longest.max(section).max(stall) as f64);
    }
}
