//! The release task: starts and wakes all that is due, on one timer.
//!
//! Owns the running of a segment: arrivals, held places, naps, time limits, amendments and halts, the hand-over of figures, and the
//! end (no new arrivals, what was due is dropped, drain within the grace, abort). What a session does once it has started is left
//! to its task (`tasks`). One task on tokio's wheel errs by about 0.6 ms; the error is recorded.

mod tasks;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use scenarios::plan::Timer;
use timeline::{Amendment, MonoNs, RunTime};
use tokio::time::{Instant, Sleep};

use crate::figures;
use crate::health::{self, Hiccups};
use crate::precise::Precise;
use crate::protocol::{Amended, BadMessage, Done, FromWorker, ToWorker};
use crate::schedule::{Action, Planned, Schedule};
use crate::seats::SeatId;
use crate::session::Origin;
use crate::shard::Shard;
use crate::worker::Outbox;
use tasks::{Place, Sitting, arrive, hold, spawn};

/// How often counters are handed over, ns; half of it lies between two at least, the last ones apart.
pub(crate) const COUNTERS_NS: u64 = 100_000_000;
/// How often time limits are looked at, ns: so much later than its limit a step may fail, and once more than that where the worker
/// stood still.
const SWEEP_NS: u64 = 20_000_000;
/// Most starts between two looks at naps and clock, so that a burst does not delay all else.
const BURST: usize = 256;

/// What the coordinator says.
pub type Commands = tokio::sync::mpsc::Receiver<Result<ToWorker, BadMessage>>;

/// Runs one worker's part of a run.
pub struct Release {
    shard: Rc<Shard>,
    schedule: Schedule,
    outbox: Outbox,
    commands: Commands,
    inbox: VecDeque<Result<ToWorker, BadMessage>>,
    hiccups: Hiccups,
    places: BTreeMap<u32, Rc<Place>>,
    /// Places that were to be held since the load was halted: once it goes on.
    put_off: BTreeSet<u32>,
    /// The phase that was begun last.
    phase: usize,
    /// Amendments whose time has not come, in order of time.
    amendments: Vec<Amended>,
    next_counters: u64,
    /// Were the last counters that were due left out?
    put_off_counters: bool,
    next_sweep: u64,
    /// The precise timer, if the plan wants it and the system has one.
    precise: Option<Precise>,
    /// When the drain began, once the load has ended.
    draining: Option<u64>,
    aborted: bool,
    grace: u64,
}

impl Release {
    /// Ready to run; nothing has started.
    #[must_use]
    pub fn new(shard: Rc<Shard>, schedule: Schedule, grace: u64, outbox: Outbox, commands: Commands) -> Self {
        Self {
            shard,
            schedule,
            outbox,
            commands,
            inbox: VecDeque::new(),
            hiccups: Hiccups::start(),
            places: BTreeMap::new(),
            put_off: BTreeSet::new(),
            phase: 0,
            amendments: Vec::new(),
            next_counters: COUNTERS_NS,
            put_off_counters: false,
            next_sweep: 0,
            precise: None,
            draining: None,
            aborted: false,
            grace,
        }
    }

    /// Runs the segment to its end; must be awaited inside a local runtime. Dropped, it starts nothing more;
    /// open sessions end with the runtime.
    pub async fn run(mut self) -> Done {
        let mut sleep = Box::pin(tokio::time::sleep(Duration::ZERO));
        // Without it the wheel does, and the release error says so.
        self.precise = (self.shard.timer == Timer::Precise).then(Precise::new).and_then(Result::ok);
        self.before_the_start(&mut sleep).await;
        while !self.turn() {
            let alarm = self.next_alarm();
            self.sleep_until(alarm, &mut sleep).await;
        }
        let now = self.shard.now();
        let figures = &self.shard.figures;
        let (cut, completed) = (self.shard.seats.taken(), figures.completed.get());
        let (notes, failed_checks) = (self.shard.notes(), figures.failed_checks());
        let done = Done { at: now, cut, completed, notes, failed_checks };
        figures.close_last(now);
        self.hand_over_counters(now);
        while let Some(interval) = self.shard.figures.take_closed() {
            self.outbox.send(FromWorker::Histograms(interval));
        }
        done
    }

    async fn before_the_start(&mut self, sleep: &mut Pin<Box<Sleep>>) {
        while MonoNs::now() < self.shard.clock().origin() && !self.aborted {
            self.sleep_until(0, sleep).await;
            self.take_commands();
            self.aborted |= self.amendments.iter().any(|a| a.what == Amendment::Abort);
        }
    }

    /// Does all that is due; says whether the segment is over.
    fn turn(&mut self) -> bool {
        self.take_commands();
        let now = self.shard.now();
        self.amend(now);
        if self.draining.is_none() {
            self.begin_phase(now);
            self.start_sessions(now, now);
            if now >= self.schedule.end() || self.all_passes_done() {
                self.drain(now, now);
            }
        }
        while let Some(due) = self.shard.seats.release(now) {
            self.shard.figures.released(due, now);
        }
        if now >= self.next_sweep {
            self.shard.seats.sweep(limits_until(self.next_sweep, now));
            self.next_sweep = now + SWEEP_NS;
            self.shard.seats.retire(now);
            self.shard.figures.roll(now);
        }
        if now >= self.next_counters {
            // What has piled up while this worker stood still starts, and is read, within the next milliseconds: a rate of those alone
            // would tell of a load that there never was, so they are counted together with the standstill. Once: whoever stands
            // still time and again is heard all the same.
            let stood_still = now - self.next_counters >= COUNTERS_NS / 2;
            self.put_off_counters = stood_still && !self.put_off_counters;
            self.next_counters = counters_after(now);
            if !self.put_off_counters {
                self.hand_over_counters(now);
            }
            self.hand_over_histograms();
        }
        let drained = self
            .draining
            .is_some_and(|since| self.shard.seats.taken() == 0 || now >= since.saturating_add(self.grace));
        self.aborted || drained
    }

    fn take_commands(&mut self) {
        while let Some(command) = self.inbox.pop_front().or_else(|| self.commands.try_recv().ok()) {
            // After an unreadable message the listener is gone, which ends the run below.
            let Ok(ToWorker::Amendment(amendment)) = command else { continue };
            // The schedule itself knows from when on.
            let at = amendment.at.max(self.shard.now());
            match amendment.what {
                Amendment::Scale(factor) => {
                    self.schedule.scale(at, factor);
                    continue;
                }
                Amendment::Halt => self.schedule.halt(at, true),
                Amendment::GoOn => self.schedule.halt(at, false),
                Amendment::Stop | Amendment::Abort => {}
            }
            self.amendments.push(Amended { at, ..amendment });
            self.amendments.sort_by_key(|a| a.at);
        }
        // Nobody is there any more to load for.
        self.aborted |= self.commands.is_closed() && self.commands.is_empty();
    }

    fn amend(&mut self, now: u64) {
        while self.amendments.first().is_some_and(|a| a.at <= now) {
            let Amended { at, what } = self.amendments.remove(0);
            match what {
                Amendment::Stop if self.draining.is_none() => {
                    self.start_sessions(at, now);
                    self.drain(at, now);
                }
                Amendment::Abort => {
                    if self.draining.is_none() {
                        self.forgo(at);
                    }
                    self.aborted = true;
                }
                Amendment::Halt if self.draining.is_none() => self.shard.halt.begin(now),
                Amendment::GoOn => self.go_on(now),
                Amendment::Stop | Amendment::Halt | Amendment::Scale(_) => {}
            }
        }
    }

    /// The halt is over: places that were put off are held from now on, whoever stood still is told.
    fn go_on(&mut self, now: u64) {
        if self.shard.halt.end(now) {
            for place in std::mem::take(&mut self.put_off) {
                self.hold(place, now);
            }
            self.shard.seats.wake_all();
        }
    }

    /// The load is over since `end`.
    fn drain(&mut self, end: u64, now: u64) {
        self.draining = Some(now);
        self.forgo(end);
        // What is done on the way out is done in a halt too.
        self.put_off.clear();
        self.go_on(now);
        self.places.clear();
        self.shard.seats.end_all();
    }

    /// Sessions that are held on into another phase live by its rules from then on.
    fn begin_phase(&mut self, now: u64) {
        let phase = self.shard.rules.phase_at(now);
        if std::mem::replace(&mut self.phase, phase) == phase {
            return;
        }
        for place in self.places.values() {
            place.live_on(&self.shard, now);
        }
    }

    /// Has the last phase, which counts passes, none left to begin and none under way?
    fn all_passes_done(&mut self) -> bool {
        self.shard.rules.last_may_end_early()
            && self.schedule.peek().is_none()
            && self.put_off.is_empty()
            && self.shard.seats.taken() == 0
    }

    /// What was to arrive by `end` and has not started never will: it was planned, and the load fell short of it. What the plan
    /// has behind `end` is not due any more.
    fn forgo(&mut self, end: u64) {
        let figures = &self.shard.figures;
        while let Some(planned) = self.schedule.peek().filter(|p| p.at <= end) {
            self.schedule.next();
            if matches!(planned.action, Action::Arrive { .. }) {
                figures::add(&figures.offered, 1);
                figures::add(&figures.dropped, 1);
            }
        }
    }

    /// Starts what is due by `due`, or some of it.
    fn start_sessions(&mut self, due: u64, now: u64) {
        for _ in 0..BURST {
            match self.schedule.peek() {
                Some(planned) if planned.at <= due => {
                    self.schedule.next();
                    self.start(planned, now);
                }
                _ => break,
            }
        }
    }

    fn start(&mut self, planned: Planned, now: u64) {
        match planned.action {
            Action::Arrive { number, pooled } => {
                self.shard.figures.released(planned.at, now);
                let kind = self.shard.kind(number);
                let origin = Origin { number, kind, pooled };
                let most = self.shard.rules.at(planned.at).max_sessions.unwrap_or(u64::MAX);
                if let Some(seat) = self.seat(most) {
                    spawn(arrive(Sitting { shard: Rc::clone(&self.shard), seat }, origin, planned.at));
                }
            }
            Action::Hold { place } if self.shard.halt.lasts() => {
                self.put_off.insert(place);
            }
            Action::Hold { place } => self.hold(place, planned.at),
            Action::LetGo { place } if self.put_off.remove(&place) => {}
            Action::LetGo { place } => {
                if let Some(seat) = self.places.get(&place).and_then(|p| p.give_up()) {
                    // What falls on the border of two phases is let go by either's leave.
                    let grace = |at| self.shard.rules.at(at).ramp_down_ns;
                    match grace(planned.at).max(grace(planned.at.saturating_sub(1))) {
                        Some(grace) => self.shard.seats.let_go(seat, now.saturating_add(grace)),
                        None => self.shard.seats.end(seat),
                    }
                }
            }
        }
    }

    fn hold(&mut self, number: u32, at: u64) {
        let numbers = self.schedule.numbering(number);
        let place = Rc::clone(self.places.entry(number).or_insert_with(|| Rc::new(Place::new(numbers))));
        place.allow(self.shard.rules.at(at).passes());
        if !place.take_pass() {
            return;
        }
        let Some(seat) = self.seat(u64::MAX) else { return };
        place.hold_from(seat, self.shard.program.http);
        spawn(hold(Sitting { shard: Rc::clone(&self.shard), seat }, place, at));
    }

    /// A seat for a planned start; none where `most` or the descriptors allow no further session, which is counted.
    fn seat(&self, most: u64) -> Option<SeatId> {
        let figures = &self.shard.figures;
        figures::add(&figures.offered, 1);
        let (taken, bearable) = (self.shard.seats.taken(), self.shard.sessions_max);
        if taken >= bearable.min(most) {
            figures::add(&figures.dropped, 1);
            figures::add(if taken >= most { &figures.over_cap } else { &figures.over_descriptors }, 1);
            return None;
        }
        Some(self.shard.seats.take())
    }

    fn hand_over_counters(&self, now: u64) {
        let mut counters = self.shard.figures.counters(now);
        counters.cpu_ns = health::cpu_ns();
        counters.hiccup_ns = self.hiccups.take();
        counters.most_sessions = self.shard.figures.take_most_sessions();
        // Left out where the coordinator does not keep up: they are totals, the next ones say it all.
        let _ = self.outbox.try_send(FromWorker::Counters(Box::new(counters)));
    }

    fn hand_over_histograms(&self) {
        while let Some(interval) = self.shard.figures.take_closed() {
            if let Err(FromWorker::Histograms(interval)) =
                self.outbox.try_send(FromWorker::Histograms(interval))
            {
                self.shard.figures.untake(interval);
                break;
            }
        }
    }

    fn next_alarm(&mut self) -> u64 {
        let arrival = if self.draining.is_none() {
            self.schedule.peek().map_or(self.schedule.end(), |p| p.at)
        } else {
            u64::MAX
        };
        let amendment = self.amendments.first().map_or(u64::MAX, |a| a.at);
        let nap = self.shard.seats.next_nap().unwrap_or(u64::MAX);
        arrival.min(amendment).min(nap).min(self.next_sweep).min(self.next_counters)
    }

    async fn sleep_until(&mut self, alarm: u64, sleep: &mut Pin<Box<Sleep>>) {
        let left = self.shard.clock().mono(RunTime(alarm)).since(MonoNs::now());
        let Some(precise) = self.precise.take() else {
            sleep.as_mut().reset(Instant::now() + left);
            return poll_fn(|cx| self.poll_sleep(alarm, cx, |cx| sleep.as_mut().poll(cx))).await;
        };
        self.await_precisely(alarm, left, &precise).await;
        self.precise = Some(precise);
    }

    async fn await_precisely(&mut self, alarm: u64, left: Duration, precise: &Precise) {
        let mut near = true;
        if precise.set(left).unwrap_or(false) {
            near = false;
            let mut fired = |cx: &mut Context<'_>| precise.poll(cx).map(|()| near = true);
            poll_fn(|cx| self.poll_sleep(alarm, cx, &mut fired)).await;
        }
        // Whatever else woke it may have brought an earlier alarm.
        while near && self.shard.now() < alarm {
            let news =
                poll_fn(|cx| Poll::Ready(self.poll_sleep(alarm, cx, |_| Poll::Pending).is_ready())).await;
            if news {
                return;
            }
            // Sessions and sockets have their turn between two looks at the clock.
            tokio::task::yield_now().await;
        }
    }

    fn poll_sleep(
        &mut self,
        alarm: u64,
        cx: &mut Context<'_>,
        timer: impl FnOnce(&mut Context<'_>) -> Poll<()>,
    ) -> Poll<()> {
        if timer(cx).is_ready() || self.shard.seats.poll_earlier(alarm, cx).is_ready() {
            return Poll::Ready(());
        }
        match self.commands.poll_recv(cx) {
            Poll::Ready(Some(command)) => self.inbox.push_back(command),
            Poll::Ready(None) => self.aborted = true,
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(())
    }
}

/// When counters are due that follow those at `now`: on a whole tick, half a one later at least.
fn counters_after(now: u64) -> u64 {
    (now + COUNTERS_NS / 2).next_multiple_of(COUNTERS_NS)
}

/// Which limits a look at `now` that was due at `due` takes for over: those until then. If it comes late the worker has stood
/// still, and answers that came in time may lie unread: what was not over at the look before is left to the next one.
fn limits_until(due: u64, now: u64) -> u64 {
    if now.saturating_sub(due) < SWEEP_NS { now } else { due.saturating_sub(SWEEP_NS) }
}

#[cfg(test)]
mod tests {
    use scenarios::plan::Model;
    use tokio::sync::mpsc;

    use super::*;
    use crate::testing::{get, plan_of, segment};

    /// 10,000 arrivals a second were to come in `length_ms`, `run_ms` of which are over, and none has: the one session that may be
    /// open is. What was planned to start, and what of it never did, after a turn.
    fn forgone(length_ms: u64, run_ms: u64, what: Option<Amended>) -> (u64, u64) {
        let mut plan = plan_of(vec![get(0, "/")]);
        plan.phases[0].length_ns = length_ms * 1_000_000;
        plan.phases[0].model = Model::Arrivals { from: 10_000.0, to: 10_000.0 };
        let segment = segment(plan);
        let mut shard = Shard::new(&segment, 1).unwrap();
        shard.begin(MonoNs(MonoNs::now().0 - run_ms * 1_000_000));
        let shard = Rc::new(shard);
        shard.seats.take();
        let schedule = Schedule::new(&segment.plan, 0, 1);
        let (outbox, _writer) = Outbox::to(std::io::sink()).unwrap();
        let (_coordinator, commands) = mpsc::channel(1);
        let mut release = Release::new(Rc::clone(&shard), schedule, 1_000_000_000, outbox, commands);
        release.inbox.extend(what.map(|amended| Ok(ToWorker::Amendment(amended))));
        release.turn();
        (shard.figures.offered.get(), shard.figures.dropped.get())
    }

    #[test]
    fn counters_that_come_late_are_put_off_once() {
        let mut plan = plan_of(vec![get(0, "/")]);
        plan.phases[0].length_ns = 60_000_000_000;
        plan.phases[0].model = Model::Arrivals { from: 0.001, to: 0.001 };
        let segment = segment(plan);
        let mut shard = Shard::new(&segment, 1).unwrap();
        // They were due 100 ms ago.
        shard.begin(MonoNs(MonoNs::now().0 - 200_000_000));
        let schedule = Schedule::new(&segment.plan, 0, 1);
        let (outbox, _writer) = Outbox::to(std::io::sink()).unwrap();
        let (_coordinator, commands) = mpsc::channel(1);
        // The only seat is taken, so that no session starts here.
        shard.seats.take();
        let mut release = Release::new(Rc::new(shard), schedule, 1_000_000_000, outbox, commands);
        release.turn();
        assert!(release.put_off_counters && release.next_counters >= 300_000_000);
        for put_off in [false, true] {
            // The worker stands still again and again: every second time it is heard.
            release.next_counters = 0;
            release.turn();
            assert_eq!(release.put_off_counters, put_off);
        }
    }

    #[test]
    fn counters_come_on_ticks_and_never_two_at_once() {
        const MS: u64 = 1_000_000;
        for (now, next) in [(100, 200), (101, 200), (150, 200), (151, 300), (199, 300), (603, 700)] {
            assert_eq!(counters_after(now * MS), next * MS, "{now} ms");
        }
    }

    #[test]
    fn behind_a_stall_only_what_was_over_before_it_is_over() {
        let (looked, due) = (7 * SWEEP_NS, 8 * SWEEP_NS);
        assert_eq!(limits_until(due, due + 600_000), due + 600_000);
        assert_eq!(limits_until(due, due + 400_000_000), looked);
        assert_eq!(limits_until(0, 400_000_000), 0, "there was no look before");
    }

    #[test]
    fn what_was_due_by_the_end_of_the_load_and_did_not_start_is_dropped() {
        assert_eq!(forgone(100, 200, None), (1000, 1000));
        assert_eq!(forgone(60_000, 50, None), (BURST as u64, BURST as u64), "the rest may still start");
        for what in [Amendment::Stop, Amendment::Abort] {
            let (offered, dropped) = forgone(60_000, 50, Some(Amended { at: 0, what }));
            // What the plan has behind the stop was not to come any more.
            assert!((500..600_000).contains(&offered) && offered == dropped, "{what:?}: {offered} {dropped}");
        }
    }
}
