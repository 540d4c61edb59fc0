//! Requests that are sent at once: lanes of one session, each with a connection of its own, or all on one of HTTP/2.
//!
//! Owns how a group's requests are shared among lanes, and what becomes of what they save. A lane is a session for as long as the
//! group lasts: it does HTTP steps as any other, in a seat of its own, for each has a time limit. Boxed, and made by the
//! first group: a session without any pays nothing for it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use scenarios::plan::HttpVersion;

use super::{Flow, Rare, Session, State, pushed};
use crate::program::{Parallel, Request};
use crate::random::Stream;

/// A lane at work; it gives back what it borrowed.
type Lane<'g> = Pin<Box<dyn Future<Output = Box<Session>> + 'g>>;

/// What the lanes of a group share.
struct Group<'p> {
    requests: &'p [Request],
    next: Cell<usize>,
    /// When all of it was intended to start, run time in ns.
    intended: u64,
    /// What the random numbers of each request follow from, whichever lane it falls to.
    seed: u64,
    saved: RefCell<Vec<Saved>>,
}

/// What a request has saved.
struct Saved {
    /// Its place in the group.
    request: usize,
    slot: usize,
    value: Option<Box<str>>,
}

impl<'p> Group<'p> {
    fn next(&self) -> Option<(usize, &'p Request)> {
        let i = self.next.get();
        let request = self.requests.get(i)?;
        self.next.set(i + 1);
        Some((i, request))
    }

    fn is_over(&self) -> bool {
        self.next.get() == self.requests.len()
    }
}

impl Session {
    /// Does a group of requests.
    pub(super) async fn parallel(&mut self, parallel: &Parallel) -> Flow {
        let group = Group {
            requests: &parallel.requests,
            next: Cell::new(0),
            intended: self.intended,
            seed: self.stream.bits(),
            saved: RefCell::default(),
        };
        self.state.unreached = false;
        // When lanes could start, and whether those of the first pass have.
        let (mut due, mut begun) = (self.due, false);
        let mut lanes: Vec<Lane<'_>> = Vec::new();
        poll_fn(|cx| {
            lanes.retain_mut(|lane| match lane.as_mut().poll(cx) {
                Poll::Ready(mut done) => {
                    self.take_back(&mut done);
                    false
                }
                Poll::Pending => true,
            });
            while !group.is_over() && lanes.len() < self.lanes_wanted(parallel) {
                if begun {
                    // Until now nobody knew that the server takes so many at once.
                    due = due.max(self.shard.now());
                }
                let mut lane: Lane<'_> = Box::pin(work(self.lane(cx), &group, due));
                match lane.as_mut().poll(cx) {
                    Poll::Ready(mut done) => self.take_back(&mut done),
                    Poll::Pending => lanes.push(lane),
                }
            }
            begun = true;
            if lanes.is_empty() {
                return Poll::Ready(());
            }
            let Self { shard, seat, socket, rare, .. } = &mut *self;
            pushed::read(cx, shard, *seat, socket, rare);
            Poll::Pending
        })
        .await;
        drop(lanes);
        let mut saved = group.saved.into_inner();
        // Stable: what one request saves keeps its own order.
        saved.sort_by_key(|saved| saved.request);
        for Saved { slot, value, .. } in saved {
            if let Some(var) = self.vars.get_mut(slot) {
                *var = value;
            }
        }
        Flow::On
    }

    /// How many lanes a group may have now: over HTTP/2 one for each request, once it is known to be spoken.
    fn lanes_wanted(&mut self, parallel: &Parallel) -> usize {
        let framed = match self.shard.program.http {
            HttpVersion::Http1 => false,
            HttpVersion::Http2 => true,
            HttpVersion::Auto => self.hub().framed() == Some(true),
        };
        if framed { parallel.requests.len() } else { parallel.connections }
    }

    /// A lane, with one of the session's connections if one is free.
    fn lane(&mut self, cx: &Context<'_>) -> Box<Self> {
        let seat = self.shard.seats.lend();
        self.shard.seats.sit(seat, cx);
        let hub = (self.shard.program.http != HttpVersion::Http1).then(|| self.hub());
        let rare = self.rare.get_or_insert_default();
        let (cookies, tokens) = (Rc::clone(&rare.cookies), Rc::clone(&rare.tokens));
        let announced = std::mem::take(&mut self.state.announced);
        Box::new(Self {
            shard: Rc::clone(&self.shard),
            seat,
            origin: self.origin,
            stream: self.stream.clone(),
            vars: self.vars.clone(),
            rows: self.rows.clone(),
            turns: Vec::new(),
            http: self.http.take().or_else(|| rare.spare.pop()),
            socket: None,
            rare: Some(Box::new(Rare { cookies, tokens, hub, spare: Vec::new(), events: None })),
            intended: self.intended,
            due: self.due,
            stood: self.stood,
            state: State { lane: true, announced, winding_up: self.state.winding_up, ..State::default() },
        })
    }

    /// A lane has done its part: its connection is kept for the next group.
    fn take_back(&mut self, lane: &mut Self) {
        let State { announced, moved, unreached, .. } = lane.state;
        self.state.announced |= announced;
        self.state.moved |= moved;
        self.state.unreached |= unreached;
        if moved {
            self.due = self.due.max(lane.due);
            self.intended = self.due;
            self.stood = self.stood.max(lane.stood);
        }
        let Some(connection) = lane.http.take() else { return };
        if self.origin.pooled {
            self.shard.give_pooled(connection);
        } else if self.http.is_none() {
            self.http = Some(connection);
        } else {
            self.rare.get_or_insert_default().spare.push(connection);
        }
    }
}

/// Does requests of the group until none is left, the first of which could start at `due` (run time, ns).
async fn work(mut lane: Box<Session>, group: &Group<'_>, mut due: u64) -> Box<Session> {
    while let Some((i, request)) = group.next() {
        lane.stream = Stream::of(group.seed, i as u64);
        (lane.intended, lane.due) = (group.intended, due);
        lane.state.saved = false;
        let before: Vec<_> =
            request.judging.saves.iter().map(|(slot, ..)| lane.vars.get(*slot).cloned()).collect();
        lane.request(request).await;
        due = lane.due;
        // What one request saves, another of the group does not see, whichever lane it falls to.
        for ((slot, ..), before) in request.judging.saves.iter().zip(before).filter(|_| lane.state.saved) {
            if let (Some(var), Some(before)) = (lane.vars.get_mut(*slot), before) {
                let value = std::mem::replace(var, before);
                group.saved.borrow_mut().push(Saved { request: i, slot: *slot, value });
            }
        }
    }
    lane
}
