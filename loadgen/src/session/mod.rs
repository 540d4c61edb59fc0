//! A session: one simulated client, run as one task from its start to its end.
//!
//! Owns the interpreter of a [`Program`](crate::program::Program), the session's state, and when each step was
//! intended, could start, started and finished. `request` does HTTP steps, `carry` those over HTTP/2, `parallel` several at once, `socket` and `message` WebSocket ones,
//! `stream` and `events` those on event streams; `pushed` counts what comes unasked, `kept` holds it for a step that awaits it later.
//! Idle, a session owns its sockets and a few hundred bytes: what is rare is boxed, buffers belong to the shard.

mod carry;
mod events;
mod follow;
mod journey;
mod judge;
mod kept;
mod message;
mod parallel;
mod pushed;
mod request;
mod socket;
mod stream;
mod upload;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use scenarios::plan::{Dist, Times};

use crate::condition::Condition;
use crate::connection::Connection;
use crate::cookies::Jar;
use crate::figures;
use crate::http2::hub::Hub;
use crate::kind::ErrorKind;
use crate::program::{Ahead, GoesOn, Op};
use crate::random::Stream;
use crate::seats::SeatId;
use crate::shard::{Offer, Shard};
use crate::template::Values;
use crate::token::Tokens;
use socket::Socket;
use stream::{EventStream, Seen};

/// How long a session waits after it could not connect, ns: a target that refuses is not to be hammered
/// as fast as the loop turns.
const BRAKE_NS: u64 = 100_000_000;
/// How long a turn of a loop lasts at least if nothing was done in it, ns.
const IDLE_TURN_NS: u64 = 10_000_000;
/// How long an ending session waits for the other side to close the WebSocket too, ns.
const GOODBYE_NS: u64 = 1_000_000_000;

/// How a session came to be.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Its number, unique over all workers.
    pub number: u64,
    /// Its kind.
    pub kind: u32,
    /// Does it use pooled connections? Over HTTP/2 those that it was told to go on with, if it was.
    pub pooled: bool,
}

/// One simulated client.
#[derive(Debug)]
pub struct Session {
    shard: Rc<Shard>,
    seat: SeatId,
    origin: Origin,
    stream: Stream,
    vars: Box<[Option<Box<str>>]>,
    rows: Box<[u32]>,
    turns: Vec<Turn>,
    http: Option<Connection>,
    socket: Option<Box<Socket>>,
    /// What few sessions have; made when the first of it comes.
    rare: Option<Box<Rare>>,
    /// When the next step was intended to start.
    intended: u64,
    /// When it could start: not before the last one had finished.
    due: u64,
    /// For how long the load had stood still when both were said.
    stood: u64,
    state: State,
}

/// What few sessions have.
#[derive(Debug, Default)]
struct Rare {
    /// Lanes of a group share them, and the links.
    cookies: Rc<RefCell<Jar>>,
    /// Lanes share them too.
    tokens: Rc<RefCell<Tokens>>,
    /// The session's own link of HTTP/2, or that of its place; none before it is needed, or where those of a pool are.
    hub: Option<Rc<Hub>>,
    /// Connections of HTTP/1.1 that groups have used beside [`Session::http`].
    spare: Vec<Connection>,
    events: Option<Box<EventStream>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Was the next step's start counted as offered already?
    announced: bool,
    /// Has it waited for anything yet?
    waited: bool,
    /// Was anything done since the loop's turn began?
    moved: bool,
    /// The load has ended and an endless loop was left: what follows it is done without waiting.
    winding_up: bool,
    /// Could the last step not reach the target?
    unreached: bool,
    /// Has an answer been looked at for what it saves?
    saved: bool,
    /// Is it a lane of another session, for a group of requests?
    lane: bool,
    /// Does it wait for a halt's end?
    standing: bool,
}

/// A loop that a session is in.
#[derive(Debug)]
struct Turn {
    enter: usize,
    /// Turns left, this one included; none: until the end.
    left: Option<u32>,
    /// The intended start of this turn.
    start: u64,
}

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    End,
}

impl Session {
    /// A session in `seat` that was to start at `intended` (run time, ns), which was counted as offered; none if a feeder has
    /// no row left for it, which is counted as dropped. Boxed: a future that holds it by value holds it twice, once on its way into a variable.
    #[must_use]
    pub fn new(shard: &Rc<Shard>, seat: SeatId, origin: Origin, intended: u64) -> Option<Box<Self>> {
        let mut stream = Stream::of(shard.program.seed, origin.number);
        let rows = shard.draw_rows(origin.kind as usize, &mut stream)?;
        shard.figures.opened(origin.kind as usize);
        Some(Box::new(Self {
            shard: Rc::clone(shard),
            seat,
            origin,
            stream,
            vars: vec![None; shard.program.slots].into_boxed_slice(),
            rows,
            turns: Vec::new(),
            http: None,
            socket: None,
            // Tokens are kept there, and lanes share them.
            rare: (!shard.program.signers.is_empty()).then(Box::default),
            intended,
            due: intended,
            stood: shard.halt.stood(shard.now()),
            state: State { announced: true, ..State::default() },
        }))
    }

    /// It is one client with the session before it, and goes on with that one's link of HTTP/2.
    pub fn go_on_with(&mut self, links: Rc<Hub>) {
        self.rare.get_or_insert_default().hub = Some(links);
    }

    /// Runs it to its end, once; says how long its place should stay empty, ns. Dropped, it ends where it is; the step
    /// under way is not counted.
    pub async fn run(&mut self) -> u64 {
        let shard = Rc::clone(&self.shard);
        let kind = &shard.program.kinds[self.origin.kind as usize];
        let mut at = 0;
        let mut did_anything = false;
        loop {
            if self.is_to_wind_up() {
                match self.wind_up(&kind.ops) {
                    Some(past) => at = past,
                    None => break,
                }
            }
            self.look_ahead(kind.ahead.get(at).copied().unwrap_or_default());
            if kind.ops.get(at).is_some_and(Op::starts_something) && self.shard.halt.since(self.stood) {
                Box::pin(self.stand_still()).await;
                if self.lost_socket() || self.lost_events() {
                    break;
                }
                if self.is_to_wind_up() {
                    continue;
                }
            }
            // Only now: what is held over a wait, every session has room for.
            let Some(op) = kind.ops.get(at) else { break };
            at += 1;
            let flow = match op {
                Op::Request(request) => self.request(request).await,
                Op::Parallel(parallel) => Box::pin(self.parallel(parallel)).await,
                Op::Connect(connect) => Box::pin(self.connect(connect)).await,
                Op::Send(send) => self.send(send).await,
                Op::Close { id, code } => Box::pin(self.close(*id, *code)).await,
                Op::OpenEvents(step) => Box::pin(self.open_events(step)).await,
                Op::AwaitEvent(step) => Box::pin(self.await_event(step)).await,
                Op::CloseEvents(id) => self.close_events(*id),
                Op::Wait(dist) => self.wait(*dist).await,
                Op::Ignore(dist) => self.ignore(*dist).await,
                Op::Journey(coded) => Box::pin(self.journey(coded)).await,
                Op::Enter { times, first, again } => {
                    at = self.enter(at - 1, *times, first.as_ref(), *again);
                    Flow::On
                }
                Op::Again { enter, every, goes_on } => {
                    let (flow, next) = self.again(*enter, *every, goes_on.as_ref(), at).await;
                    at = next;
                    flow
                }
                Op::If { when, otherwise } => {
                    if !when.holds(&self.values()) {
                        at = *otherwise;
                    }
                    Flow::On
                }
                Op::Jump(to) => {
                    at = *to;
                    Flow::On
                }
                Op::Choose { total, courses } => {
                    at = self.draw(*total, courses);
                    Flow::On
                }
            };
            did_anything |= self.state.moved;
            if flow == Flow::End || self.lost_socket() || self.lost_events() {
                break;
            }
        }
        if self.socket.is_some() {
            Box::pin(self.say_goodbye()).await;
        }
        if let Some(connection) = self.http.take().filter(|_| self.origin.pooled) {
            shard.give_pooled(connection);
        }
        if self.state.unreached || !did_anything { BRAKE_NS } else { 0 }
    }

    /// Is it to end here? Not before its first step, whose start was promised, unless it would wait for that.
    fn is_to_wind_up(&self) -> bool {
        let promised = self.state.announced && !self.state.waited;
        !promised && !self.state.winding_up && self.shard.seats.ending(self.seat)
    }

    /// A step is to start, and the load is or was halted since the last one: waits for the halt's end. A session's own time
    /// stands still meanwhile: all that it had intended is put off by as much, so that nothing is to be made up for, and
    /// sessions that were due one after the other are so again.
    async fn stand_still(&mut self) {
        loop {
            self.state.standing = true;
            // Whoever is on the way out goes, in a halt too.
            let leaves = |s: &Self| s.state.winding_up || s.shard.seats.ending(s.seat) || s.is_cut_off();
            while self.shard.halt.lasts() && !leaves(self) {
                self.nap(u64::MAX).await;
            }
            self.state.standing = false;
            let stood = self.shard.halt.stood(self.shard.now());
            let longer = stood - std::mem::replace(&mut self.stood, stood);
            self.intended += longer;
            self.due += longer;
            self.turns.iter_mut().for_each(|turn| turn.start += longer);
            // A nap of one that leaves is none: with the halt still lasting it would turn here for ever.
            if longer == 0 || leaves(self) {
                return;
            }
            self.nap(self.due.max(self.intended)).await;
        }
    }

    /// Has what it listens to ended?
    fn is_cut_off(&self) -> bool {
        self.socket.as_ref().is_some_and(|s| s.ended().is_some())
            || self.events().is_some_and(|e| e.failed().is_some())
    }

    /// Has kept what may still be awaited, and nothing else.
    fn look_ahead(&mut self, ahead: Ahead) {
        if let Some(socket) = &mut self.socket {
            socket.keep(ahead.message);
        }
        if let Some(events) = stream_of(&mut self.rare) {
            events.keep(ahead.event);
        }
    }

    /// The load has ended: a session leaves its outermost endless loop and does what follows, or ends.
    fn wind_up(&mut self, ops: &[Op]) -> Option<usize> {
        let endless = self.turns.iter().position(|t| t.left.is_none())?;
        let enter = self.turns[endless].enter;
        self.turns.truncate(endless);
        self.state.winding_up = true;
        match ops.get(enter) {
            Some(Op::Enter { again, .. }) => Some(again + 1),
            _ => None,
        }
    }

    /// Begins a loop, or skips it; says where to go on.
    fn enter(&mut self, enter: usize, times: Times, first: Option<&Condition>, again: usize) -> usize {
        if first.is_some_and(|first| !first.holds(&self.values())) {
            return again + 1;
        }
        let left = match times {
            Times::UntilEnd if self.state.winding_up => return again + 1,
            Times::UntilEnd => None,
            Times::Count(0) => return again + 1,
            Times::Count(n) => Some(n),
        };
        self.turns.push(Turn { enter, left, start: self.intended });
        self.state.moved = false;
        enter + 1
    }

    /// Ends a turn and waits for the next one's start; says where to go on.
    async fn again(
        &mut self,
        enter: usize,
        every: Option<Dist>,
        goes_on: Option<&GoesOn>,
        past: usize,
    ) -> (Flow, usize) {
        if goes_on.is_some_and(|g| g.condition.holds(&self.values()) != g.wanted) {
            self.turns.pop();
            return (Flow::On, past);
        }
        let Some(turn) = self.turns.last_mut() else { return (Flow::On, past) };
        if let Some(left) = &mut turn.left {
            *left -= 1;
            if *left == 0 {
                self.turns.pop();
                return (Flow::On, past);
            }
        } else if self.shard.seats.retiring(self.seat) {
            self.turns.pop();
            self.state.winding_up = true;
            return (Flow::On, past);
        }
        let mut flow = Flow::On;
        if let Some(every) = every {
            turn.start += self.stream.duration(every);
            self.intended = turn.start;
            self.due = turn.start.max(self.due);
            flow = self.nap(self.intended).await;
        }
        if !std::mem::take(&mut self.state.moved) && flow == Flow::On {
            flow = self.rest(IDLE_TURN_NS).await;
        }
        // A turn that only sends never waits: it must yield all the same.
        tokio::task::coop::consume_budget().await;
        (flow, enter + 1)
    }

    /// Where one of the courses begins, drawn by weight.
    fn draw(&mut self, total: u64, courses: &[(u64, usize)]) -> usize {
        let mut at = self.stream.below(total);
        for (weight, start) in courses {
            if at < *weight {
                return *start;
            }
            at -= weight;
        }
        // Not reached: the weights add up to the total.
        courses.last().map_or(usize::MAX, |(_, start)| *start)
    }

    /// Thinks or listens.
    async fn wait(&mut self, dist: Dist) -> Flow {
        let length = self.stream.duration(dist);
        if self.state.winding_up {
            return Flow::On;
        }
        self.state.moved = true;
        self.rest(length).await
    }

    /// Leaves everything unread for a while, so that it piles up on the other side; cut short where the session is to end.
    async fn ignore(&mut self, dist: Dist) -> Flow {
        let length = self.stream.duration(dist);
        if self.state.winding_up {
            return Flow::On;
        }
        (self.state.moved, self.state.waited) = (true, true);
        self.due = self.due.max(self.intended) + length;
        self.intended = self.due;
        let until = self.due;
        poll_fn(|_| self.shard.seats.poll_nap(self.seat, until, || self.shard.now())).await;
        Flow::On
    }

    /// Waits from the last step's end on; the next one is intended for then.
    async fn rest(&mut self, length: u64) -> Flow {
        self.due = self.due.max(self.intended) + length;
        self.intended = self.due;
        self.nap(self.due).await
    }

    /// Waits until `until`, reading what is pushed; cut short where the session is to end.
    async fn nap(&mut self, until: u64) -> Flow {
        if self.state.winding_up {
            return Flow::On;
        }
        self.state.waited = true;
        loop {
            let ping = self.socket.as_ref().and_then(|s| s.ping_due());
            let open = self.events().and_then(EventStream::due);
            let stop = ping.into_iter().chain(open).fold(until, u64::min);
            if self.nap_once(stop).await {
                continue;
            }
            let now = self.shard.now();
            // Over, or cut short: because the session is to end, or what it listens to has.
            if stop == until || now < stop || self.is_cut_off() {
                return Flow::On;
            }
            if let Some(socket) = &mut self.socket {
                socket.ping(now);
            }
            self.revive_events(now);
        }
    }

    /// Waits until `until`, or less; says whether there is something new to be woken for.
    async fn nap_once(&mut self, until: u64) -> bool {
        let Self { shard, seat, socket, rare, state, .. } = self;
        poll_fn(|cx| {
            if state.standing && !shard.halt.lasts() {
                return Poll::Ready(false);
            }
            if let Some(socket) = socket
                && socket.poll_messages(cx, shard, &mut |_| false).is_ready()
            {
                return Poll::Ready(false);
            }
            if let Some(events) = stream_of(rare)
                && let Poll::Ready(seen) = events.poll_events(cx, shard, &mut |_| false)
            {
                return Poll::Ready(seen == Seen::Down);
            }
            shard.seats.poll_nap(*seat, until, || shard.now()).map(|()| false)
        })
        .await
    }

    /// A step starts; it must be over within `limit` ns. Says when it started.
    fn begin(&mut self, limit: u64) -> u64 {
        let now = self.shard.now();
        // Behind a pause that was cut short: no step is intended for a time after its start.
        (self.intended, self.due) = (self.intended.min(now), self.due.min(now));
        if !std::mem::take(&mut self.state.announced) {
            figures::add(&self.shard.figures.offered, 1);
        }
        self.shard.figures.started(self.due.max(self.intended), now);
        self.shard.seats.limit(self.seat, now.saturating_add(limit));
        self.state.moved = true;
        self.revive_events(now);
        now
    }

    /// A step is over; the next one is intended for now.
    fn finish(&mut self, step: usize, started: u64, finished: u64, outcome: Result<(), ErrorKind>) {
        self.shard.seats.unlimit(self.seat);
        self.shard.figures.finished(step, self.intended, started, finished, outcome.err());
        // A refused handshake costs both sides more than anything else: that is not repeated at full speed either.
        self.state.unreached = outcome
            .is_err_and(|kind| kind.before_contact() || matches!(kind, ErrorKind::Tls | ErrorKind::NoH2));
        (self.intended, self.due) = (finished, finished);
        self.stood = self.shard.halt.stood(finished);
    }

    /// Has the WebSocket ended by itself since it was last looked at? Then its error is counted and it is dropped.
    fn lost_socket(&mut self) -> bool {
        let Some(kind) = self.socket.as_ref().and_then(|s| s.ended()) else { return false };
        self.shard.figures.error(kind);
        self.socket = None;
        true
    }

    /// The same for the event stream.
    fn lost_events(&mut self) -> bool {
        let Some(kind) = self.events().and_then(EventStream::failed) else { return false };
        self.shard.figures.error(kind);
        self.leave_events();
        true
    }

    /// The event stream.
    fn events(&self) -> Option<&EventStream> {
        self.rare.as_ref()?.events.as_deref()
    }

    /// Hangs up on it; says whether there was one.
    fn leave_events(&mut self) -> bool {
        self.rare.as_mut().and_then(|rare| rare.events.take()).is_some()
    }

    /// Opens a connection within the step's time.
    fn dial(&self, offer: Offer) -> Pin<Box<dyn Future<Output = Result<Connection, ErrorKind>> + '_>> {
        Box::pin(async move {
            let mut opening = pin!(self.shard.open());
            let stream = poll_fn(|cx| {
                if self.shard.seats.expired(self.seat) {
                    return Poll::Ready(Err(ErrorKind::ConnectTimeout));
                }
                opening.as_mut().poll(cx).map_err(|e| ErrorKind::of_connect(&e))
            })
            .await?;
            let mut securing = pin!(self.shard.secure(stream, offer));
            poll_fn(|cx| {
                if self.shard.seats.expired(self.seat) {
                    return Poll::Ready(Err(ErrorKind::Timeout));
                }
                securing.as_mut().poll(cx)
            })
            .await
        })
    }

    /// What templates are filled from.
    fn values(&mut self) -> Values<'_> {
        Values {
            vars: &self.vars,
            feeders: &self.shard.program.feeders,
            rows: &self.rows,
            number: self.origin.number,
            stream: &mut self.stream,
            sent: None,
            signers: &self.shard.program.signers,
            tokens: self.rare.as_ref().map(|rare| &*rare.tokens),
        }
    }
}

/// The event stream among what few sessions have.
fn stream_of(rare: &mut Option<Box<Rare>>) -> Option<&mut EventStream> {
    rare.as_mut()?.events.as_deref_mut()
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.state.lane {
            return self.shard.seats.give_back(self.seat);
        }
        self.shard.figures.ended(self.origin.kind as usize);
        if std::thread::panicking() {
            self.shard.figures.error(ErrorKind::Other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HTTP/2, groups of requests, cookies and event streams are behind one pointer that a session without them leaves empty.
    #[test]
    fn what_few_sessions_have_costs_the_others_a_pointer() {
        // It fits into a block of 192; the next larger one is 224.
        assert!(size_of::<Session>() <= 192, "{} bytes", size_of::<Session>());
        assert_eq!(size_of::<Option<Box<Rare>>>(), size_of::<usize>());
    }
}
