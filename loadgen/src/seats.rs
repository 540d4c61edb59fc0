//! Seats: one for each open session of a worker, where the release task reaches it.
//!
//! Owns naps (until when a session waits), time limits of steps and the sign to end. Sessions own no timers:
//! one heap and one sweep serve all, so an idle session costs 48 bytes here, 16 while it naps, and no entry in tokio's wheel.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::{Index, IndexMut};
use std::task::{Context, Poll, Waker};

use crate::kind::ErrorKind;

/// Number of a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeatId(u32);

#[derive(Debug)]
struct Seat {
    waker: Option<Waker>,
    /// Until when the session naps, run time in ns; 0 while it does not.
    nap: u64,
    /// When the step's time is over; `u64::MAX` without a limit.
    deadline: u64,
    /// When `stay` goes on, run time in ns; 0 for never.
    retire: u64,
    stay: Stay,
    expired: bool,
    ending: bool,
    taken: bool,
}

/// How long a session stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stay {
    /// Until something is said.
    On,
    /// To the end of its turn; another takes the place.
    ToTurn,
    /// To the end of its turn, and no other takes the place. When its time is over it ends after its step.
    Leaving,
}

const EMPTY: Seat = Seat {
    waker: None,
    nap: 0,
    deadline: u64::MAX,
    retire: 0,
    stay: Stay::On,
    expired: false,
    ending: false,
    taken: false,
};

/// Seats in rows that never move: a list that grows copies all seats each time, and leaves the old copies behind.
#[derive(Debug, Default)]
struct Rows {
    rows: Vec<Box<[Seat; ROW]>>,
    seats: u32,
}

/// Seats of a row, 12 KiB.
const ROW: usize = 256;

impl Rows {
    /// A further seat.
    fn add(&mut self) -> SeatId {
        let id = SeatId(self.seats);
        if self.seats as usize == self.rows.len() * ROW {
            self.rows.push(Box::new([EMPTY; ROW]));
        }
        self.seats += 1;
        id
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Seat> {
        self.rows.iter_mut().flat_map(|row| row.iter_mut())
    }
}

impl Index<SeatId> for Rows {
    type Output = Seat;

    fn index(&self, id: SeatId) -> &Seat {
        &self.rows[id.0 as usize / ROW][id.0 as usize % ROW]
    }
}

impl IndexMut<SeatId> for Rows {
    fn index_mut(&mut self, id: SeatId) -> &mut Seat {
        &mut self.rows[id.0 as usize / ROW][id.0 as usize % ROW]
    }
}

/// All seats of a worker.
#[derive(Debug, Default)]
pub struct Seats {
    seats: RefCell<Rows>,
    free: RefCell<Vec<SeatId>>,
    naps: RefCell<BinaryHeap<Reverse<(u64, SeatId)>>>,
    retirements: RefCell<BinaryHeap<Reverse<(u64, SeatId)>>>,
    taken: Cell<u64>,
    /// Those of them that are no session's own.
    lent: Cell<u64>,
    all_ending: Cell<bool>,
    /// When the release task wakes by itself; an earlier nap must wake it.
    alarm: Cell<u64>,
    sleeper: RefCell<Option<Waker>>,
}

impl Seats {
    /// Takes a seat.
    pub fn take(&self) -> SeatId {
        let mut seats = self.seats.borrow_mut();
        let id = self.free.borrow_mut().pop().unwrap_or_else(|| seats.add());
        seats[id] = Seat { taken: true, ..EMPTY };
        self.taken.set(self.taken.get() + 1);
        id
    }

    /// Seats that are taken: sessions that are open, or whose task was just made.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.get() - self.lent.get()
    }

    /// A further seat for a session that does several things at once, each with a time limit.
    pub fn lend(&self) -> SeatId {
        self.lent.set(self.lent.get() + 1);
        self.take()
    }

    /// Gives such a seat back.
    pub fn give_back(&self, id: SeatId) {
        self.leave(id);
        self.lent.set(self.lent.get() - 1);
    }

    /// Gives a seat back.
    pub fn leave(&self, id: SeatId) {
        // The waker is dropped after the borrow has ended.
        let left = std::mem::replace(&mut self.seats.borrow_mut()[id], EMPTY);
        self.free.borrow_mut().push(id);
        self.taken.set(self.taken.get() - 1);
        drop(left);
    }

    /// Is the session to end after its current step?
    #[must_use]
    pub fn ending(&self, id: SeatId) -> bool {
        self.all_ending.get() || self.seats.borrow()[id].ending
    }

    /// Tells one session to end; wakes it from a nap.
    pub fn end(&self, id: SeatId) {
        let waker = {
            let seat = &mut self.seats.borrow_mut()[id];
            seat.ending = true;
            seat.waker.clone()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// The session is to end after the turn in which `at` (run time, ns) lies; another takes the seat.
    pub fn retire_at(&self, id: SeatId, at: u64) {
        // 0 stands for never.
        let at = at.max(1);
        self.seats.borrow_mut()[id].retire = at;
        self.retirements.borrow_mut().push(Reverse((at, id)));
    }

    /// The session may stay: it is new in the seat, or the phase in which sessions retire is over.
    pub fn stay(&self, id: SeatId) {
        let seat = &mut self.seats.borrow_mut()[id];
        if seat.stay != Stay::Leaving {
            (seat.stay, seat.retire) = (Stay::On, 0);
        }
    }

    /// The session is to end after its turn, but after its current step from `at` (run time, ns) on.
    pub fn let_go(&self, id: SeatId, at: u64) {
        self.seats.borrow_mut()[id].stay = Stay::Leaving;
        self.retire_at(id, at);
    }

    /// Is the session to end after its current turn?
    #[must_use]
    pub fn retiring(&self, id: SeatId) -> bool {
        self.seats.borrow()[id].stay != Stay::On
    }

    /// Is the session the last one in this seat?
    #[must_use]
    pub fn leaving(&self, id: SeatId) -> bool {
        self.ending(id) || self.seats.borrow()[id].stay == Stay::Leaving
    }

    /// Tells those whose time to retire has come.
    pub fn retire(&self, now: u64) {
        loop {
            let Reverse((at, id)) = {
                let mut retirements = self.retirements.borrow_mut();
                match retirements.peek() {
                    Some(Reverse((at, _))) if *at <= now => retirements.pop().expect("it was just seen"),
                    _ => return,
                }
            };
            let over = {
                let seat = &mut self.seats.borrow_mut()[id];
                // That of a session which has left, or may stay after all, is not in the seat any more.
                if seat.retire != at {
                    continue;
                }
                seat.retire = 0;
                let over = seat.stay == Stay::Leaving;
                if !over {
                    seat.stay = Stay::ToTurn;
                }
                over
            };
            if over {
                self.end(id);
            }
        }
    }

    /// Tells all sessions to end, those that come later too.
    pub fn end_all(&self) {
        self.all_ending.set(true);
        self.wake_where(|_| true);
    }

    /// The step must be over at `deadline` (run time, ns).
    pub fn limit(&self, id: SeatId, deadline: u64) {
        let seat = &mut self.seats.borrow_mut()[id];
        (seat.deadline, seat.expired) = (deadline, false);
    }

    /// When the step must be over, run time in ns.
    #[must_use]
    pub fn deadline(&self, id: SeatId) -> u64 {
        self.seats.borrow()[id].deadline
    }

    /// The step is over.
    pub fn unlimit(&self, id: SeatId) {
        self.limit(id, u64::MAX);
    }

    /// Is the step's time over?
    #[must_use]
    pub fn expired(&self, id: SeatId) -> bool {
        self.seats.borrow()[id].expired
    }

    /// What a step comes to that has found nothing to read: it goes on waiting, or its time is over. Asked behind the reading, since what is there
    /// has come, however late this worker is to read it.
    pub fn pending<T>(&self, id: SeatId) -> Poll<Result<T, ErrorKind>> {
        if self.expired(id) { Poll::Ready(Err(ErrorKind::Timeout)) } else { Poll::Pending }
    }

    /// Marks the steps whose time is over at `now`, and wakes their sessions.
    pub fn sweep(&self, now: u64) {
        self.wake_where(|seat| {
            let over = seat.deadline <= now && !seat.expired;
            seat.expired |= over;
            over
        });
    }

    fn wake_where(&self, mut which: impl FnMut(&mut Seat) -> bool) {
        let mut seats = self.seats.borrow_mut();
        let woken: Vec<Waker> = seats
            .iter_mut()
            .filter_map(|s| if s.taken && which(s) { s.waker.clone() } else { None })
            .collect();
        drop(seats);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Remembers how to wake the session: once for a task, whose waker stays the same.
    pub fn sit(&self, id: SeatId, cx: &Context<'_>) {
        let old = self.seats.borrow_mut()[id].waker.replace(cx.waker().clone());
        drop(old);
    }

    /// Wakes all sessions, so that they look again at what they wait for.
    pub fn wake_all(&self) {
        self.wake_where(|_| true);
    }

    /// Waits until `until` (run time, ns; `u64::MAX`: for good) or until the session is to end. Call it again and again with the same instant.
    pub fn poll_nap(&self, id: SeatId, until: u64, now: impl FnOnce() -> u64) -> Poll<()> {
        if self.all_ending.get() {
            return Poll::Ready(());
        }
        let mut seats = self.seats.borrow_mut();
        let seat = &mut seats[id];
        if seat.ending {
            return Poll::Ready(());
        }
        // 0 stands for no nap: one until then is over before it begins.
        if until != 0 && seat.nap == until {
            return Poll::Pending;
        }
        // Either it was never begun, or the release task has ended it.
        if now() >= until {
            return Poll::Ready(());
        }
        seat.nap = until;
        drop(seats);
        if until == u64::MAX {
            return Poll::Pending;
        }
        self.naps.borrow_mut().push(Reverse((until, id)));
        if until < self.alarm.get() {
            let sleeper = self.sleeper.borrow_mut().take();
            sleeper.into_iter().for_each(Waker::wake);
        }
        Poll::Pending
    }

    /// Wakes a session whose nap is over at `now`; says when it was due.
    pub fn release(&self, now: u64) -> Option<u64> {
        loop {
            let Reverse((due, id)) = {
                let mut naps = self.naps.borrow_mut();
                match naps.peek() {
                    Some(Reverse((due, _))) if *due <= now => naps.pop()?,
                    _ => return None,
                }
            };
            let waker = {
                let seat = &mut self.seats.borrow_mut()[id];
                // A nap that was cut short, or whose seat has another session now, is not in the seat any more.
                if seat.nap != due {
                    continue;
                }
                seat.nap = 0;
                seat.waker.clone()
            };
            waker.into_iter().for_each(Waker::wake);
            return Some(due);
        }
    }

    /// When the next nap is over.
    #[must_use]
    pub fn next_nap(&self) -> Option<u64> {
        self.naps.borrow().peek().map(|Reverse((due, _))| *due)
    }

    /// For the release task, about to sleep until `alarm`: is a nap due earlier? If not, one that comes will wake it.
    pub fn poll_earlier(&self, alarm: u64, cx: &Context<'_>) -> Poll<()> {
        if self.next_nap().is_some_and(|due| due < alarm) {
            return Poll::Ready(());
        }
        self.alarm.set(alarm);
        let old = self.sleeper.borrow_mut().replace(cx.waker().clone());
        drop(old);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_stays_small() {
        assert!(size_of::<Seat>() <= 48, "{} bytes", size_of::<Seat>());
        assert!(size_of::<Reverse<(u64, SeatId)>>() <= 16);
    }

    #[test]
    fn a_nap_is_over_when_released_and_not_before() {
        let seats = Seats::default();
        let (a, b) = (seats.take(), seats.take());
        assert!(seats.poll_nap(a, 50, || 10).is_pending());
        assert!(seats.poll_nap(b, 30, || 10).is_pending());
        assert_eq!(seats.next_nap(), Some(30));
        assert_eq!((seats.release(40), seats.release(40)), (Some(30), None));
        assert!(seats.poll_nap(b, 30, || 40).is_ready());
        assert!(seats.poll_nap(a, 50, || 40).is_pending());
    }

    #[test]
    fn a_nap_until_the_runs_first_instant_is_over_at_once() {
        let seats = Seats::default();
        let a = seats.take();
        assert!(seats.poll_nap(a, 0, || 0).is_ready());
        assert_eq!(seats.next_nap(), None);
    }

    #[test]
    fn a_nap_of_a_seat_that_was_left_wakes_nobody() {
        let seats = Seats::default();
        let a = seats.take();
        assert!(seats.poll_nap(a, 50, || 10).is_pending());
        seats.leave(a);
        assert_eq!(seats.take(), a);
        assert_eq!(seats.release(100), None);
    }

    #[test]
    fn a_lent_seat_is_no_session() {
        let seats = Seats::default();
        let (a, b) = (seats.take(), seats.lend());
        seats.limit(b, 100);
        seats.sweep(150);
        assert_eq!((seats.taken(), seats.expired(a), seats.expired(b)), (1, false, true));
        seats.give_back(b);
        assert_eq!((seats.taken(), seats.lend()), (1, b));
    }

    #[test]
    fn only_what_is_over_expires() {
        let seats = Seats::default();
        let (a, b) = (seats.take(), seats.take());
        seats.limit(a, 100);
        seats.limit(b, 200);
        seats.sweep(150);
        assert!(seats.expired(a) && !seats.expired(b));
        seats.unlimit(a);
        assert!(!seats.expired(a));
    }

    #[test]
    fn a_session_retires_once_and_its_successor_may_stay() {
        let seats = Seats::default();
        let (a, b) = (seats.take(), seats.take());
        seats.retire_at(a, 50);
        seats.retire_at(b, 60);
        seats.stay(b);
        seats.retire(100);
        assert!(seats.retiring(a) && !seats.leaving(a) && !seats.retiring(b));
        seats.stay(a);
        assert!(!seats.retiring(a));
    }

    #[test]
    fn one_that_is_let_go_has_its_grace_and_then_ends() {
        let seats = Seats::default();
        let a = seats.take();
        seats.let_go(a, 100);
        seats.stay(a);
        seats.retire(99);
        assert!(seats.retiring(a) && seats.leaving(a) && !seats.ending(a));
        seats.retire(100);
        assert!(seats.ending(a));
    }
}
