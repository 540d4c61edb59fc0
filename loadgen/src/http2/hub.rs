//! The links of one client: a session's own, which those that follow each other in a place share where passes are counted, or
//! those that all sessions of a `requests` phase share.
//!
//! Owns the choice of the link that carries a request, and that nobody opens one while another is about to be there.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;

use tokio::sync::Notify;

use super::STREAMS_MAX;
use super::link::Link;

/// Links, and who waits for one.
#[derive(Debug)]
pub struct Hub {
    links: RefCell<Vec<Rc<Link>>>,
    /// Has it any number of links? A session's own has one, and leaves it to h2 to hold back what the server has no room for.
    many: bool,
    /// Links that are being opened.
    opening: Cell<usize>,
    /// How many streams a link that is being opened will have room for, as far as earlier ones tell.
    expected: Cell<usize>,
    waiting: Cell<usize>,
    changed: Notify,
    /// The server has chosen HTTP/1.1.
    plain: Cell<bool>,
}

/// What carries a request.
#[derive(Debug)]
pub enum Place {
    /// A stream of an open link.
    Stream(Lease),
    /// A link is to be opened.
    Open(Opening),
    /// The server speaks HTTP/1.1.
    Http1,
}

impl Hub {
    /// A hub with no links.
    #[must_use]
    pub fn new(many: bool) -> Rc<Self> {
        Rc::new(Self {
            links: RefCell::default(),
            many,
            opening: Cell::new(0),
            expected: Cell::new(STREAMS_MAX),
            waiting: Cell::new(0),
            changed: Notify::new(),
            plain: Cell::new(false),
        })
    }

    /// Waits for a place. Dropped, it has taken none.
    pub async fn place(self: &Rc<Self>) -> Place {
        loop {
            if let Some(place) = self.place_now() {
                return place;
            }
            let _waiting = Counted::one(&self.waiting);
            self.changed.notified().await;
        }
    }

    /// Has the server chosen HTTP/2? None until a link was opened.
    #[must_use]
    pub fn framed(&self) -> Option<bool> {
        match (self.plain.get(), self.links.borrow().is_empty()) {
            (true, _) => Some(false),
            (false, false) => Some(true),
            (false, true) => None,
        }
    }

    fn place_now(self: &Rc<Self>) -> Option<Place> {
        if self.plain.get() {
            return Some(Place::Http1);
        }
        self.links.borrow_mut().retain(|link| link.usable());
        let room = |link: &Link| if self.many { link.room().min(STREAMS_MAX) } else { usize::MAX };
        let free = self.links.borrow().iter().find(|link| link.streams.get() < room(link)).map(Rc::clone);
        if let Some(link) = free {
            return Some(Place::Stream(self.lease(link)));
        }
        let to_come = self.opening.get() * if self.many { self.expected.get() } else { usize::MAX };
        if self.waiting.get() < to_come {
            return None;
        }
        self.opening.set(self.opening.get() + 1);
        Some(Place::Open(Opening { hub: Rc::clone(self) }))
    }

    fn lease(self: &Rc<Self>, link: Rc<Link>) -> Lease {
        link.streams.set(link.streams.get() + 1);
        Lease { hub: Rc::clone(self), link }
    }
}

/// The right to open a link; others wait for it.
#[derive(Debug)]
pub struct Opening {
    hub: Rc<Hub>,
}

impl Opening {
    /// The link is open; its first stream is the opener's.
    #[must_use]
    pub fn done(self, link: Link) -> Lease {
        let link = Rc::new(link);
        self.hub.expected.set(link.room().clamp(1, STREAMS_MAX));
        self.hub.links.borrow_mut().push(Rc::clone(&link));
        self.hub.lease(link)
    }

    /// The server has chosen HTTP/1.1.
    pub fn plain(self) {
        self.hub.plain.set(true);
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.hub.opening.set(self.hub.opening.get() - 1);
        self.hub.changed.notify_waiters();
    }
}

/// A stream's place on a link.
#[derive(Debug)]
pub struct Lease {
    hub: Rc<Hub>,
    link: Rc<Link>,
}

impl Deref for Lease {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.link.streams.set(self.link.streams.get() - 1);
        if self.hub.waiting.get() > 0 {
            self.hub.changed.notify_one();
        }
    }
}

/// Counted as long as it lives.
struct Counted<'a>(&'a Cell<usize>);

impl<'a> Counted<'a> {
    fn one(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
