//! Sessions as tasks: one that arrives, or those that follow each other in a held place.
//!
//! Owns a held place (numbers, passes and link of its sessions) and what a task does around a session: takes its seat, lives as
//! long as the phase says, waits for the next one's time and for the end of a halt, leaves. When one starts is the release task's
//! business, what it does then is `session`'s.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use scenarios::plan::HttpVersion;

use crate::figures;
use crate::http2::hub::Hub;
use crate::random::Stream;
use crate::rules::{self, Left};
use crate::schedule::Numbering;
use crate::seats::SeatId;
use crate::session::{Origin, Session};
use crate::shard::Shard;

/// A held place.
pub(super) struct Place {
    /// The numbers of the sessions that follow each other there.
    numbers: Numbering,
    /// Sessions that have started there; a place that is given up and held again goes on counting.
    generation: Cell<u64>,
    /// Its session's seat while it is held.
    seat: Cell<Option<SeatId>>,
    passes: RefCell<Passes>,
}

/// The passes through a place.
#[derive(Default)]
struct Passes {
    /// How many it may still begin; none: any number.
    left: Option<Left>,
    /// The link of HTTP/2 that its sessions go on with while they are one client's passes.
    links: Option<Rc<Hub>>,
}

impl Place {
    pub(super) fn new(numbers: Numbering) -> Self {
        Self { numbers, generation: Cell::new(0), seat: Cell::new(None), passes: RefCell::default() }
    }

    /// From now on it may begin `left` passes; none: any number.
    pub(super) fn allow(&self, left: Option<Left>) {
        self.passes.borrow_mut().left = left;
    }

    /// It is held from `seat`, over connections of this version.
    pub(super) fn hold_from(&self, seat: SeatId, http: HttpVersion) {
        self.seat.set(Some(seat));
        let linked = self.is_one_client() && http != HttpVersion::Http1;
        self.passes.borrow_mut().links = linked.then(|| Hub::new(false));
    }

    /// Whoever holds it lives by the rules of the phase at `now` from then on.
    pub(super) fn live_on(&self, shard: &Shard, now: u64) {
        if let Some(seat) = self.seat.get() {
            retire_later(shard, seat, self.numbers.held(self.generation.get()), now);
        }
    }

    /// Passes that are counted are one client's, again and again: it keeps its connection.
    fn is_one_client(&self) -> bool {
        self.passes.borrow().left.is_some()
    }

    /// The next session's number.
    fn next(&self) -> u64 {
        let generation = self.generation.get();
        self.generation.set(generation + 1);
        self.numbers.held(generation)
    }

    /// May a session pass through, where its passes are counted?
    pub(super) fn take_pass(&self) -> bool {
        rules::take(self.passes.borrow().left.as_ref())
    }

    fn links(&self) -> Option<Rc<Hub>> {
        self.passes.borrow().links.clone()
    }

    /// It is given up: whoever holds it is the last one. Says where that one sits.
    pub(super) fn give_up(&self) -> Option<SeatId> {
        self.passes.borrow_mut().links = None;
        self.seat.take()
    }

    /// It stays empty: the seat will be another's.
    fn leave(&self, seat: SeatId) {
        if self.seat.get() == Some(seat) {
            self.give_up();
        }
    }
}

/// A session's seat, from when its task is made to its end.
pub(super) struct Sitting {
    pub(super) shard: Rc<Shard>,
    pub(super) seat: SeatId,
}

impl Sitting {
    /// Makes the running task the one that the seat wakes.
    fn down(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            self.shard.seats.sit(self.seat, cx);
            Poll::Ready(())
        })
    }
}

impl Drop for Sitting {
    fn drop(&mut self) {
        self.shard.seats.leave(self.seat);
    }
}

/// The one place where sessions become tasks: a seat is each one's supervisor, and the runtime's end theirs.
pub(super) fn spawn(session: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(session);
}

/// A session that arrives, and leaves when it is done.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` would hold its arguments twice, in every waiting session"
)]
pub(super) fn arrive(sitting: Sitting, origin: Origin, intended: u64) -> impl Future<Output = ()> {
    async move {
        sitting.down().await;
        let Some(mut session) = Session::new(&sitting.shard, sitting.seat, origin, intended) else { return };
        session.run().await;
    }
}

/// A held place: one session after the other, at once, until it is given up.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` would hold its arguments twice, in every waiting session"
)]
pub(super) fn hold(sitting: Sitting, place: Rc<Place>, mut intended: u64) -> impl Future<Output = ()> {
    async move {
        sitting.down().await;
        let seat = sitting.seat;
        loop {
            let number = place.next();
            let now = sitting.shard.now();
            retire_later(&sitting.shard, seat, number, now.max(intended));
            // The place's first number decides which kind of session holds it, for good: were each one drawn anew, kinds
            // that never end would take over place after place, and the plan's shares would be lost.
            let kind = sitting.shard.kind(place.numbers.held(0));
            let origin = Origin { number, kind, pooled: place.is_one_client() };
            let empty_for = {
                // A place for which no row is left stays empty.
                let Some(mut session) = Session::new(&sitting.shard, seat, origin, intended) else { break };
                if let Some(links) = place.links() {
                    session.go_on_with(links);
                }
                session.run().await
            };
            if sitting.shard.seats.leaving(seat) {
                break;
            }
            intended = sitting.shard.now() + empty_for;
            poll_fn(|_| sitting.shard.seats.poll_nap(seat, intended, || sitting.shard.now())).await;
            if sitting.shard.halt.lasts() {
                poll_fn(|_| poll_going_on(&sitting.shard, seat)).await;
                intended = sitting.shard.now();
            }
            if sitting.shard.seats.leaving(seat) || !place.take_pass() {
                break;
            }
            figures::add(&sitting.shard.figures.offered, 1);
        }
        place.leave(seat);
    }
}

/// Waits until the load is not halted, or until the session is to end.
fn poll_going_on(shard: &Shard, seat: SeatId) -> Poll<()> {
    if shard.halt.lasts() { shard.seats.poll_nap(seat, u64::MAX, || shard.now()) } else { Poll::Ready(()) }
}

/// Keeps the draws of lifetimes apart from those of the sessions themselves.
const LIFETIMES: u64 = 0x6C69_6665_0000_0000;

/// Lets the session that is in `seat` from `now` on live as long as the phase says; `number` is its own.
fn retire_later(shard: &Shard, seat: SeatId, number: u64, now: u64) {
    shard.seats.stay(seat);
    if let Some(lifetime) = shard.rules.at(now).lifetime {
        let length = Stream::of(shard.program.seed ^ LIFETIMES, number).duration(lifetime);
        shard.seats.retire_at(seat, now.saturating_add(length));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Schedule;
    use crate::testing::{get, plan_of, segment};

    /// What a waiting session costs is the size of its future, beside its sockets and seat.
    #[test]
    fn the_futures_of_sessions_stay_small() {
        let segment = segment(plan_of(vec![get(0, "/")]));
        let shard = Rc::new(Shard::new(&segment, 1000).unwrap());
        let place = Place::new(Schedule::new(&segment.plan, 0, 1).numbering(0));
        let sitting = || Sitting { shard: Rc::clone(&shard), seat: shard.seats.take() };
        let held = size_of_val(&hold(sitting(), Rc::new(place), 0));
        let origin = Origin { number: 0, kind: 0, pooled: false };
        let arrived = size_of_val(&arrive(sitting(), origin, 0));
        // With what tokio adds, 104 bytes, each fits into a block of 512. Tasks begin at multiples of 128: the next larger one
        // is 640.
        assert!(held <= 408 && arrived <= 408, "{held} and {arrived} bytes");
    }

    /// An `Rc` adds its two counts; the next larger block is 80.
    #[test]
    fn a_held_place_fits_into_a_block_of_64() {
        assert!(size_of::<Place>() + 2 * size_of::<usize>() <= 64, "{} bytes", size_of::<Place>());
    }
}
