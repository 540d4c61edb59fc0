//! The shard: what all sessions of a worker share, on one thread.
//!
//! Owns the buffers that are lent while bytes are in flight, the rows that feeders have left, idle pooled
//! connections, and where new connections go. Single-threaded by construction: cells, no locks.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use scenarios::plan::{HttpVersion, Order, Timer};
use timeline::{MonoNs, RunClock, text};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::dial::dial;
use crate::figures::Figures;
use crate::halt::Halt;
use crate::http2::hub::Hub;
use crate::kind::ErrorKind;
use crate::program::{BadPlan, Program};
use crate::protocol::Segment;
use crate::random::{self, Stream, Zipf};
use crate::rules::Parts;
use crate::seats::Seats;
use crate::sizing;
use crate::tls::{self, Client};

/// Length of the buffer that reads go to, bytes: what a socket's default receive buffer yields at once.
const INPUT: usize = 64 << 10;
/// Most idle connections kept for `requests` phases; more than that cannot all be busy again soon.
const POOL_MAX: usize = 4096;

/// Most characters of a peer's words that a note repeats: a certificate may hold hundreds of names.
const NOTE_MAX: usize = 400;

/// What all sessions of a worker share.
#[derive(Debug)]
pub struct Shard {
    /// What sessions run.
    pub program: Program,
    /// What they record into.
    pub figures: Rc<Figures>,
    /// Where they are reached.
    pub seats: Seats,
    /// Lent for reading.
    pub input: RefCell<Box<[u8]>>,
    /// Lent for writing.
    pub output: RefCell<Output>,
    /// What visitors in code share; none where the plan has no coded journey.
    pub stage: Option<Arc<journeys::Stage>>,
    /// Most sessions that the descriptors allow.
    pub sessions_max: u64,
    /// What releases arrivals.
    pub timer: Timer,
    /// What holds in each phase.
    pub rules: Parts,
    /// For how long the load has stood still.
    pub halt: Halt,
    clock: RunClock,
    address: SocketAddr,
    sources: Vec<IpAddr>,
    next_source: Cell<usize>,
    pool: RefCell<Vec<Connection>>,
    /// The same of HTTP/2, and what drives its connections.
    hub: Rc<Hub>,
    drivers: RefCell<JoinSet<()>>,
    tls: Option<Tls>,
    rows: Vec<Rows>,
    weights: Vec<u32>,
}

/// What TLS connections share, by what they offer.
#[derive(Debug)]
struct Tls {
    http1: Client,
    chosen: Client,
}

/// What a new connection offers to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1.
    Http1,
    /// What the plan chooses.
    Chosen,
}

/// Two scratch buffers: a head or frame, and the body or text inside it.
#[derive(Debug, Default)]
pub struct Output {
    /// What is written to the socket.
    pub wire: Vec<u8>,
    /// What is put into it.
    pub inner: Vec<u8>,
}

/// How one feeder's rows are drawn.
#[derive(Debug)]
enum Rows {
    /// From `next` on in steps, over and over, or once.
    Turn {
        next: Cell<u64>,
        step: u64,
        len: u64,
        once: bool,
    },
    Even(u64),
    Zipf(Zipf),
}

impl Shard {
    /// The shard of a worker that may open so many descriptors.
    ///
    /// # Errors
    /// [`BadPlan`].
    pub fn new(segment: &Segment, descriptors: u64) -> Result<Self, BadPlan> {
        let program = Program::new(&segment.plan, &segment.url)?;
        let tls = segment.url.tls.then(|| Tls::of(segment)).transpose().map_err(BadPlan::Tls)?;
        let (worker, workers) = (u64::from(segment.worker), u64::from(segment.workers));
        let rows = program.feeders.iter().map(|feeder| {
            let len = feeder.rows.len() as u64;
            match feeder.order {
                Order::Sequential => {
                    Rows::Turn { next: Cell::new(worker * len / workers), step: 1, len, once: false }
                }
                Order::Unique => Rows::Turn { next: Cell::new(worker), step: workers, len, once: true },
                Order::Random => Rows::Even(len),
                Order::Zipf(s) => Rows::Zipf(Zipf::new(len as u32, s)),
            }
        });
        let ends = segment.plan.phases.iter().scan(0, |end, phase| {
            *end += phase.length_ns;
            Some(*end)
        });
        Ok(Self {
            rows: rows.collect(),
            figures: Rc::new(Figures::new(program.steps, program.kinds.len(), program.feeders.len(), ends)),
            seats: Seats::default(),
            stage: crate::journey::stage(segment)?,
            input: RefCell::new(vec![0; INPUT].into_boxed_slice()),
            output: RefCell::default(),
            sessions_max: sizing::usable(descriptors) / sizing::connections_each(&segment.plan),
            timer: segment.plan.timer,
            halt: Halt::default(),
            rules: Parts::of(&segment.plan, segment.worker, segment.workers),
            clock: RunClock::with_origin(MonoNs::now()),
            address: segment.address,
            sources: segment.sources.clone(),
            next_source: Cell::new(0),
            pool: RefCell::default(),
            hub: Hub::new(true),
            drivers: RefCell::default(),
            tls,
            weights: segment.plan.sessions.iter().map(|s| s.weight.max(1)).collect(),
            program,
        })
    }

    /// The run starts at `origin`; until that is said, its clock is of no use.
    pub fn begin(&mut self, origin: MonoNs) {
        self.clock = RunClock::with_origin(origin);
    }

    /// Run time, ns.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.now().0
    }

    /// The run's clock.
    #[must_use]
    pub fn clock(&self) -> RunClock {
        self.clock
    }

    /// Which kind of session has `number`: it follows from the seed and the number alone.
    #[must_use]
    pub fn kind(&self, number: u64) -> u32 {
        random::share(self.program.seed, number, &self.weights) as u32
    }

    /// A row of each feeder that session kind `kind` uses (0 for the others); none if a `unique` one has no rows left, whose start is
    /// counted as dropped.
    pub fn draw_rows(&self, kind: usize, stream: &mut Stream) -> Option<Box<[u32]>> {
        let mut drawn =
            vec![0; if self.program.kinds[kind].feeders.is_empty() { 0 } else { self.rows.len() }];
        for &feeder in &self.program.kinds[kind].feeders {
            let Some(row) = self.rows.get(feeder).and_then(|rows| rows.draw(stream)) else {
                self.figures.rowless(feeder);
                return None;
            };
            drawn[feeder] = row;
        }
        Some(drawn.into_boxed_slice())
    }

    /// The handshake that makes a connection of an open socket.
    ///
    /// # Errors
    /// The kind of what went wrong in the TLS handshake, if there is one. Dropped, it closes the socket.
    pub async fn secure(&self, stream: TcpStream, offer: Offer) -> Result<Connection, ErrorKind> {
        let figures = Rc::clone(&self.figures);
        Ok(match (&self.tls, offer) {
            (None, _) => Connection::new(stream, figures),
            (Some(tls), Offer::Http1) => Connection::secure(tls.http1.handshake(stream).await?, figures),
            (Some(tls), Offer::Chosen) => Connection::secure(tls.chosen.handshake(stream).await?, figures),
        })
    }

    /// What there is to say of the run beside its figures, a sentence each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let tls = self.tls.as_ref().and_then(Tls::first_failure);
        tls.map(|why| format!("TLS failed; the first time: {}", text::clean(why, NOTE_MAX)))
            .into_iter()
            .collect()
    }

    /// Opens a socket to the target.
    ///
    /// # Errors
    /// What the system says. Dropped, it closes what it has opened.
    pub async fn open(&self) -> io::Result<TcpStream> {
        let i = self.next_source.get();
        let source = self.sources.get(i).copied();
        self.next_source.set((i + 1) % self.sources.len().max(1));
        let stream = dial(source, self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// An idle pooled connection.
    pub fn take_pooled(&self) -> Option<Connection> {
        self.pool.borrow_mut().pop()
    }

    /// Keeps a connection for the next session of a `requests` phase.
    pub fn give_pooled(&self, connection: Connection) {
        let mut pool = self.pool.borrow_mut();
        if pool.len() < POOL_MAX {
            pool.push(connection);
        }
    }

    /// The links of HTTP/2 that the sessions of `requests` phases share.
    #[must_use]
    pub fn pooled_links(&self) -> Rc<Hub> {
        Rc::clone(&self.hub)
    }

    /// Runs what drives a connection of HTTP/2; it ends by itself, or with the shard.
    pub fn drive(&self, driver: Pin<Box<dyn Future<Output = ()>>>) {
        let mut drivers = self.drivers.borrow_mut();
        while drivers.try_join_next().is_some() {}
        drivers.spawn_local(driver);
    }
}

impl Tls {
    fn of(segment: &Segment) -> Result<Self, String> {
        let transport = &segment.plan.transport;
        let client = |alpn| Client::new(&transport.tls, &segment.url, alpn);
        let http1 = client(tls::HTTP1)?;
        let chosen = match transport.http {
            HttpVersion::Http1 => http1.clone(),
            http => client(tls::offers(http))?,
        };
        Ok(Self { http1, chosen })
    }

    fn first_failure(&self) -> Option<&str> {
        self.http1.first_failure().or_else(|| self.chosen.first_failure())
    }
}

impl Rows {
    fn draw(&self, stream: &mut Stream) -> Option<u32> {
        match self {
            Self::Turn { next, step, len, once } => {
                let n = next.get();
                if *len == 0 || (*once && n >= *len) {
                    return None;
                }
                next.set(n + step);
                Some((n % len) as u32)
            }
            Self::Even(0) => None,
            Self::Even(len) => Some(stream.below(*len) as u32),
            Self::Zipf(zipf) => Some(zipf.draw(stream) - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use scenarios::plan::{Parallel, Step};

    use super::*;
    use crate::testing::{get, plan_of, segment};

    #[test]
    fn a_worker_takes_as_many_sessions_as_it_can_open_connections_for() {
        let Step::Request(request) = get(0, "/") else { panic!() };
        let group = Parallel { requests: vec![*request; 4], connections: 6 };
        let mut plan = plan_of(vec![get(0, "/"), Step::Parallel(Box::new(group))]);
        let most = |plan| Shard::new(&segment(plan), 1000).unwrap().sessions_max;
        assert_eq!(most(plan.clone()), sizing::usable(1000) / 4);
        plan.transport.http = HttpVersion::Http2;
        assert_eq!(most(plan), sizing::usable(1000), "one carries all");
    }

    #[test]
    fn unique_rows_are_drawn_once_over_all_workers() {
        let mut all = Vec::new();
        for worker in 0..3 {
            let rows = Rows::Turn { next: Cell::new(worker), step: 3, len: 10, once: true };
            let mut stream = Stream::of(1, 1);
            all.extend(std::iter::from_fn(|| rows.draw(&mut stream)));
        }
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
    }
}
