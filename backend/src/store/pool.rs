//! The bounded pool of connections, metered, and the way of a statement through it.
//!
//! One pool for both databases, so that its figures mean the same. Dropping any future of this file is safe: a
//! connection goes back to the pool, and one that is not as it was is not used again. Where a connection comes from and
//! whether it comes back are choices between faults and their cures ([`connect_per_request`], [`pool_leak`]).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent::{DatabaseMeter, Held, PoolMeter, Visit};
use deadpool::Runtime;
use deadpool::managed::{self, Object, PoolError, TimeoutType, Timeouts};
use futures_util::{StreamExt, stream};
use timeline::fault::FaultKind;
use tokio::task::JoinSet;

use super::link::{Counted, Link, Opener};
use super::value::{Outcome, Row, Step, Value};
use super::{Place, StoreError};
use crate::faults::pool_leak::Forgotten;
use crate::faults::{Faults, connect_per_request, pool_leak};
use crate::settings::ShopSettings;

/// Connections that are opened at once, and how long it rests after each where a server makes a process for each, which takes some
/// milliseconds of a core, and has other work to do.
const OPENED_AT_ONCE: usize = 4;
const BETWEEN_OPENS: Duration = Duration::from_millis(40);
/// Between the ends of connections that are too many: half as many in a second.
const BETWEEN_CLOSES: Duration = Duration::from_millis(20);
/// A place that is free is taken, and none is waited for.
const AT_ONCE: Timeouts = Timeouts { wait: Some(Duration::ZERO), create: None, recycle: None };

/// The database as routes see it. Cheap to share behind an `Arc`.
pub struct Database {
    pool: Mutex<managed::Pool<Opener>>,
    /// The size that it has now, whatever of it is kept from it.
    capacity: AtomicUsize,
    opener: Opener,
    meters: Meters,
    patience: Duration,
    planned_capacity: usize,
    faults: Arc<Faults>,
    /// Those that a fault does not give back.
    pub forgotten: Arc<Forgotten>,
    /// Whose turn it is to operate the database.
    operator: tokio::sync::Mutex<()>,
    /// What is done to the database beside the requests.
    chores: Mutex<JoinSet<()>>,
}

/// Who is told of it.
#[derive(Clone)]
pub struct Meters {
    /// The pool.
    pub pool: PoolMeter,
    /// The statements.
    pub database: DatabaseMeter,
}

impl Database {
    /// A pool over `place`, whose connections are opened when they are first wanted.
    pub fn new(place: Place, settings: &ShopSettings, meters: Meters, faults: Arc<Faults>) -> Self {
        let opener = Opener::new(place, settings.round_trip(), meters.pool.clone());
        Self {
            pool: Mutex::new(build(&opener, settings.pool_capacity)),
            capacity: settings.pool_capacity.into(),
            opener,
            meters,
            patience: Duration::from_millis(settings.pool_patience_ms),
            planned_capacity: settings.pool_capacity,
            faults,
            forgotten: Arc::default(),
            operator: tokio::sync::Mutex::default(),
            chores: Mutex::default(),
        }
    }

    /// The size for which the shop was planned.
    pub fn planned_capacity(&self) -> usize {
        self.planned_capacity
    }

    /// The size that it has now.
    pub fn capacity(&self) -> usize {
        self.capacity.load(Ordering::Relaxed)
    }

    /// Puts a pool of another size in place; one that has the size stays, since a new one has no connection open. Those that
    /// are [forgotten](Forgotten) take their places in the new one, too: a leak is not mended by another size.
    pub fn resize(&self, capacity: usize) {
        if self.capacity.swap(capacity, Ordering::Relaxed) != capacity {
            self.exchange();
        }
    }

    /// Gives back all that was forgotten, and puts a pool in place that has all its places again, if one was made smaller
    /// for those.
    pub fn remember(&self) {
        self.forgotten.give_back_all();
        if self.places() != self.capacity() {
            self.exchange();
        }
    }

    /// Puts a new pool in place, with a place for each connection that is not forgotten. Who waits
    /// or works in the old one finishes there. Idle connections to a server go over as far as there is room, and the others are closed
    /// one after another: one that begins and ends hundreds of processes at once has no time for anything else. To a file they are
    /// opened in no time, and `SQLite` closes its descriptors only with the last of a process.
    ///
    /// deadpool's own `resize` (0.13) takes permits back only for connections that are open, so a pool that
    /// has not opened all of its connections keeps more permits than its new size.
    fn exchange(&self) {
        let capacity = self.capacity();
        let places = capacity.saturating_sub(self.forgotten.count());
        let mut idle = self.pool().retain(|_, _| false).removed;
        let with_server = self.opener.has_server();
        let too_many = idle.split_off(if with_server { idle.len().min(places) } else { 0 });
        self.opener.keep(idle);
        let new = build(&self.opener, places);
        let old = std::mem::replace(&mut *self.pool.lock().unwrap_or_else(PoisonError::into_inner), new);
        self.meters.pool.set_capacity(capacity);
        if with_server {
            self.beside(async move {
                for connection in too_many {
                    drop(connection);
                    tokio::time::sleep(BETWEEN_CLOSES).await;
                }
                drop(old);
            });
        } else {
            // Closing the last connection writes the log back into the file, which waits for the disk.
            tokio::task::spawn_blocking(move || drop((too_many, old)));
        }
    }

    /// Opens connections of the pool until `many` are open beside those that requests use, so that the first burst of
    /// requests need not. Where requests use more, it opens fewer and waits for none; when the pool gets another size, it
    /// gives up.
    ///
    /// # Errors
    /// When the database gives no more; those that it gave stay.
    pub async fn open(&self, many: usize) -> Result<(), StoreError> {
        let pool = self.pool();
        let places = pool.status().max_size;
        let rest = if self.opener.has_server() { BETWEEN_OPENS } else { Duration::ZERO };
        let get = |_| {
            let pool = pool.clone();
            async move {
                let connection = pool.timeout_get(&AT_ONCE).await;
                tokio::time::sleep(rest).await;
                connection
            }
        };
        let mut opening = stream::iter(0..many).map(get).buffer_unordered(OPENED_AT_ONCE);
        // Held until all are there: what is back already would be taken again.
        let mut open = Vec::with_capacity(many);
        while let Some(connection) = opening.next().await {
            match connection {
                Err(PoolError::Timeout(TimeoutType::Wait)) => {}
                other => open.push(other.map_err(refused)?),
            }
            if self.places() != places {
                break;
            }
        }
        Ok(())
    }

    /// A connection of one's own, until it is dropped.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when none came free in time.
    pub async fn checkout(&self) -> Result<Checkout, StoreError> {
        let visit = self.meters.database.visit();
        let waiting = self.meters.pool.begin_wait();
        match connect_per_request::connection(&self.faults, &self.opener, self.pooled()).await {
            Ok(taken) => Ok(Checkout {
                back: Some((taken, waiting.acquired())),
                meter: self.meters.database.clone(),
                faults: self.faults.clone(),
                forgotten: self.forgotten.clone(),
                _visit: visit,
            }),
            Err(e) => {
                if matches!(e, PoolError::Timeout(_)) {
                    waiting.timed_out();
                }
                Err(refused(e))
            }
        }
    }

    /// One out of the pool, as soon as one is free.
    async fn pooled(&self) -> Result<Object<Opener>, PoolError<StoreError>> {
        let pool = self.pool();
        let got = pool.timeout_get(&AT_ONCE).await;
        if !matches!(got, Err(PoolError::Timeout(TimeoutType::Wait))) {
            return got;
        }
        self.faults[FaultKind::PoolTooSmall].took_effect();
        let patient = Timeouts { wait: Some(self.patience), ..Timeouts::default() };
        pool.timeout_get(&patient).await
    }

    /// One statement on a connection taken for it alone.
    pub async fn rows(&self, sql: &'static str, with: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        self.checkout().await?.rows(sql, with).await
    }

    /// One statement that gives one row or none.
    pub async fn row(&self, sql: &'static str, with: Vec<Value>) -> Result<Option<Row>, StoreError> {
        self.checkout().await?.row(sql, with).await
    }

    /// One transaction on a connection taken for it alone.
    pub async fn together(&self, steps: Vec<Step>) -> Result<Outcome, StoreError> {
        self.checkout().await?.together(steps).await
    }

    /// One statement as an operator of the database would send it: on a connection of its own, and told to no meter. Which
    /// one it is to be is asked when its turn has come; those that are asked for later come later.
    pub async fn operate(&self, sql: impl FnOnce() -> &'static str) -> Result<(), StoreError> {
        let _turn = self.operator.lock().await;
        let mut link = self.opener.uncounted().await?;
        link.rows(sql(), Vec::new()).await.map(drop)
    }

    /// For those who ask the database about itself.
    pub(super) fn opener(&self) -> &Opener {
        &self.opener
    }

    /// Does `chore` beside the requests. It ends with the database.
    pub fn beside(&self, chore: impl Future<Output = ()> + Send + 'static) {
        let mut chores = self.chores.lock().unwrap_or_else(PoisonError::into_inner);
        while chores.try_join_next().is_some() {}
        chores.spawn(chore);
    }

    /// How many connections the pool that is in place has at most.
    fn places(&self) -> usize {
        self.pool().status().max_size
    }

    fn pool(&self) -> managed::Pool<Opener> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn build(opener: &Opener, capacity: usize) -> managed::Pool<Opener> {
    managed::Pool::builder(opener.clone())
        .max_size(capacity)
        .runtime(Runtime::Tokio1)
        .build()
        .expect("the runtime for its time limits is given")
}

fn refused(e: PoolError<StoreError>) -> StoreError {
    match e {
        PoolError::Timeout(_) => StoreError::Busy,
        PoolError::Backend(e) => e,
        other => StoreError::Failed(other.to_string().into()),
    }
}

/// A connection that somebody has, and where it came from.
pub enum Taken {
    /// The pool has it back when it is dropped.
    Pooled(Object<Opener>),
    /// It is closed when it is dropped.
    Fresh(Counted),
}

/// A connection out of the pool.
pub struct Checkout {
    /// None only while it is given back; then the hold ends after that.
    back: Option<(Taken, Held)>,
    meter: DatabaseMeter,
    faults: Arc<Faults>,
    forgotten: Arc<Forgotten>,
    _visit: Visit,
}

impl Checkout {
    /// One statement.
    pub async fn rows(&mut self, sql: &'static str, with: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        let sent = self.meter.statement(sql);
        let given = self.link().rows(sql, with).await?;
        sent.gave(given.rows.len() as u64, given.scanned);
        Ok(given.rows)
    }

    /// One statement that gives one row or none.
    pub async fn row(&mut self, sql: &'static str, with: Vec<Value>) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, with).await?.into_iter().next())
    }

    /// All steps in one transaction, or none of them.
    pub async fn together(&mut self, steps: Vec<Step>) -> Result<Outcome, StoreError> {
        let sent = self.meter.batch(steps.iter().map(|s| s.sql));
        let outcome = self.link().together(steps).await?;
        sent.answered();
        Ok(outcome)
    }

    fn link(&mut self) -> &mut Link {
        let (taken, _) = self.back.as_mut().expect("it is there until it is dropped");
        match taken {
            Taken::Pooled(object) => &mut object.link,
            Taken::Fresh(counted) => &mut counted.link,
        }
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if let Some((taken, held)) = self.back.take() {
            pool_leak::give_back(&self.faults, &self.forgotten, taken, held);
        }
    }
}
