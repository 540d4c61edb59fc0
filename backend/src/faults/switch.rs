//! One fault's switch, and the log of what it truly did.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use timeline::MonoNs;
use timeline::fault::{FaultKind, FaultOrder, Truth, TruthPoint};
use tokio::sync::mpsc;

use crate::wire::Report;

/// Where a worker writes what truly happened. Cheap to clone.
#[derive(Clone)]
pub struct TruthLog {
    instance: Arc<str>,
    reports: mpsc::Sender<Report>,
}

impl TruthLog {
    /// Of the instance of this name.
    pub fn new(instance: &str, reports: mpsc::Sender<Report>) -> Self {
        Self { instance: instance.into(), reports }
    }

    /// A fault has three lines in its life, so the queue is full only if the supervisor reads no more;
    /// then the line is lost with everything else.
    fn write(&self, fault: FaultKind, what: TruthPoint) {
        self.write_at(fault, what, MonoNs::now());
    }

    fn write_at(&self, fault: FaultKind, what: TruthPoint, at: MonoNs) {
        let truth = Truth { fault, instance: self.instance.to_string(), what, at };
        let _ = self.reports.try_send(Report::Truth(truth));
    }
}

/// On or off, with its life written down: armed, first effect, ended.
pub struct Switch {
    kind: FaultKind,
    /// Read on hot paths; changed under `life` only.
    on: AtomicBool,
    life: Mutex<Life>,
    truth: TruthLog,
}

#[derive(Default)]
struct Life {
    /// Counts arms, so that the timer of an earlier one cannot end a later one.
    arms: u64,
    begun: bool,
    /// Ordered, and off because its cure is held.
    in_vain: bool,
    /// What was ordered last.
    order: Option<Arc<FaultOrder>>,
}

impl Switch {
    /// Off.
    pub fn new(kind: FaultKind, truth: TruthLog) -> Self {
        Self { kind, on: AtomicBool::new(false), life: Mutex::default(), truth }
    }

    /// Does the fault run (and not its cure)?
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// What was ordered, if the fault runs.
    pub fn order(&self) -> Option<Arc<FaultOrder>> {
        if !self.is_on() {
            return None;
        }
        self.life.lock().unwrap_or_else(PoisonError::into_inner).order.clone()
    }

    /// What was ordered, also where the cure is held against it: the cure has the same work to do.
    pub fn ordered(&self) -> Option<Arc<FaultOrder>> {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        life.order.clone().filter(|_| life.in_vain || self.is_on())
    }

    /// What was ordered, if the fault runs and this request falls into its `share`, 0 to 1.
    pub fn meets(&self) -> Option<Arc<FaultOrder>> {
        self.order().filter(|order| rand::random::<f64>() < order.knob("share"))
    }

    /// Switches on. Gives the number with which its timer may end it. A fault that is on already goes on as a
    /// new one: its old life ends here.
    pub fn arm(&self, order: &FaultOrder) -> u64 {
        self.begin(order, false)
    }

    /// Is ordered, and stays off because its cure is held: that is all there is to write down, and nothing of its end.
    pub fn arm_in_vain(&self, order: &FaultOrder) -> u64 {
        self.begin(order, true)
    }

    fn begin(&self, order: &FaultOrder, in_vain: bool) -> u64 {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if self.on.swap(!in_vain, Ordering::Relaxed) {
            self.truth.write(self.kind, TruthPoint::Ended);
        }
        *life = Life { arms: life.arms + 1, begun: false, in_vain, order: Some(Arc::new(order.clone())) };
        self.truth.write(self.kind, TruthPoint::Armed);
        life.arms
    }

    /// The fault has an effect now; the first one is written down.
    pub fn took_effect(&self) {
        self.took_effect_at(MonoNs::now());
    }

    /// The fault has had an effect since `at`, which shows only now; the first one is written down.
    pub fn took_effect_at(&self, at: MonoNs) {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_on() && !life.begun {
            life.begun = true;
            self.truth.write_at(self.kind, TruthPoint::Onset, at);
        }
    }

    /// Switches off: the arm of this number, or whichever is on. Says whether it was on.
    pub fn end(&self, arm: Option<u64>) -> bool {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if arm.is_some_and(|a| a != life.arms) {
            return false;
        }
        life.in_vain = false;
        if !self.on.swap(false, Ordering::Relaxed) {
            return false;
        }
        self.truth.write(self.kind, TruthPoint::Ended);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(reports: &mut mpsc::Receiver<Report>) -> Vec<TruthPoint> {
        std::iter::from_fn(|| reports.try_recv().ok())
            .map(|r| match r {
                Report::Truth(t) => t.what,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_life_is_armed_takes_effect_once_and_ends_once() {
        let (send, mut reports) = mpsc::channel(16);
        let switch = Switch::new(FaultKind::Leak, TruthLog::new("shop-0", send));
        switch.took_effect();
        assert!(!switch.end(None));
        assert_eq!(told(&mut reports), []);
        let order = FaultOrder { name: FaultKind::Leak, for_ms: 1, knobs: Default::default() };
        let first = switch.arm(&order);
        switch.took_effect();
        switch.took_effect();
        let second = switch.arm(&order);
        assert_eq!(switch.order().as_deref(), Some(&order));
        assert!(!switch.end(Some(first)), "the timer of the first life came late");
        assert!(switch.is_on());
        assert!(switch.end(Some(second)) && switch.order().is_none());
        use TruthPoint::{Armed, Ended, Onset};
        assert_eq!(told(&mut reports), [Armed, Onset, Ended, Armed, Ended]);
    }

    #[test]
    fn what_is_ordered_in_vain_is_work_for_the_cure_until_its_end() {
        let (send, mut reports) = mpsc::channel(16);
        let switch = Switch::new(FaultKind::Churn, TruthLog::new("shop-0", send));
        let order = FaultOrder { name: FaultKind::Churn, for_ms: 1, knobs: Default::default() };
        let number = switch.arm_in_vain(&order);
        switch.took_effect();
        assert!(!switch.is_on() && switch.order().is_none());
        assert_eq!(switch.ordered().as_deref(), Some(&order));
        assert!(!switch.end(Some(number)) && switch.ordered().is_none());
        assert_eq!(told(&mut reports), [TruthPoint::Armed]);
    }
}
