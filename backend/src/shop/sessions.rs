//! Sessions: who is logged in, by token.
//!
//! They live in the database, which all workers share; a worker keeps those it has seen in memory
//! ([`crate::faults::leak`] says how). What a customer carries is a signed token that names the session
//! ([`super::token`]).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agent::{Agent, Gauge};
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use timeline::Unit;
use timeline::fault::{FaultKind, FaultOrder};
use timeline::lane::names;
use tokio::task::spawn_blocking;

use super::Shop;
use super::answer::Refusal;
use super::token::{TokenError, Tokens};
use crate::faults::leak::{BoundedSessions, EverlastingSessions};
use crate::faults::{Faults, whole};
use crate::settings::ShopSettings;
use crate::store::{Database, Step, StoreError, now_ms, values};

/// Hexadecimal digits of a session's name.
const TOKEN_DIGITS: usize = 32;

/// A session's name, 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub u128);

impl SessionId {
    /// As a token carries it.
    pub fn token(self) -> String {
        format!("{:032x}", self.0)
    }

    /// From what a token says.
    pub fn from_token(token: &str) -> Option<Self> {
        let digits = token.len() == TOKEN_DIGITS && token.bytes().all(|b| b.is_ascii_hexdigit());
        digits.then(|| u128::from_str_radix(token, 16).ok().map(Self)).flatten()
    }

    /// As the database keeps it.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

/// Never shows the bits: who knows them can guess nothing, but logs are read by many.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId")
    }
}

/// Somebody who is logged in.
#[derive(Debug)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// Whose it is.
    pub customer: u32,
}

/// The sessions that this worker knows.
pub struct Sessions {
    kept: Mutex<Kept>,
    database: Arc<Database>,
    faults: Arc<Faults>,
    tokens: Tokens,
    /// A session ends after this.
    life_ms: i64,
    held: Gauge,
}

/// Why a token lets nobody in.
#[derive(Debug, thiserror::Error)]
pub enum NotLoggedIn {
    /// The token itself.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The session is over.
    #[error("this token is of no session")]
    Over,
    /// Nobody knows.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NotLoggedIn> for Refusal {
    fn from(e: NotLoggedIn) -> Self {
        match e {
            NotLoggedIn::Store(e) => e.into(),
            NotLoggedIn::Token(_) | NotLoggedIn::Over => Self::unauthorized(e),
        }
    }
}

struct Kept {
    bounded: BoundedSessions,
    /// Empty unless the fault `leak` is on.
    everlasting: EverlastingSessions,
    /// Bytes kept for each session while the fault is on.
    leaked_bytes: usize,
}

impl Sessions {
    /// None yet; how many are kept in memory, and how long they last, is set.
    pub fn new(
        agent: &Agent,
        database: Arc<Database>,
        faults: Arc<Faults>,
        tokens: Tokens,
        settings: &ShopSettings,
    ) -> Self {
        let kept = Kept {
            bounded: BoundedSessions::new(settings.session_capacity),
            everlasting: EverlastingSessions::default(),
            leaked_bytes: 0,
        };
        let held = agent.gauge(names::SERVER_SESSIONS, Unit::Count);
        let life_ms = settings.session_life_ms.into();
        Self { kept: Mutex::new(kept), database, faults, tokens, life_ms, held }
    }

    /// Logs a customer in; gives the token of the new session. It is good for `ttl_s` seconds where that is said, and
    /// no longer than the session.
    pub async fn begin(&self, customer: u32, ttl_s: Option<u32>) -> Result<String, StoreError> {
        let session = Arc::new(Session { id: SessionId(rand::random()), customer });
        let now = now_ms();
        let steps = vec![
            Step::new("DELETE FROM session WHERE since_ms < ?1", values![now - self.life_ms]),
            Step::new("INSERT INTO session VALUES (?1, ?2, ?3)", values![session.id.bytes(), customer, now]),
        ];
        self.database.together(steps).await?;
        let life_ms = ttl_s.map_or(self.life_ms, |ttl_s| self.life_ms.min(i64::from(ttl_s) * 1_000));
        let token = self.tokens.make(&session, life_ms);
        self.keep(session);
        Ok(token)
    }

    /// The session of this token: from memory, else from the database.
    pub async fn find(&self, token: &str) -> Result<Arc<Session>, NotLoggedIn> {
        let id = self.tokens.check(token)?;
        if let Some(session) = self.lock().get(id) {
            return Ok(session);
        }
        let find = "SELECT customer FROM session WHERE id = ?1 AND since_ms >= ?2";
        let found = self.database.row(find, values![id.bytes(), now_ms() - self.life_ms]).await?;
        let customer = found.ok_or(NotLoggedIn::Over)?.get(0)?;
        let session = Arc::new(Session { id, customer });
        let mut kept = self.lock();
        kept.bounded.put(session.clone());
        self.count(&kept);
        Ok(session)
    }

    fn keep(&self, session: Arc<Session>) {
        let mut kept = self.lock();
        if self.faults[FaultKind::Leak].is_on() {
            let bytes = kept.leaked_bytes;
            kept.everlasting.put(session, bytes);
            self.faults[FaultKind::Leak].took_effect();
        } else {
            kept.bounded.put(session);
        }
        self.count(&kept);
    }

    /// The fault begins: this many bytes for each session.
    pub fn leak(&self, order: &FaultOrder) {
        self.lock().leaked_bytes = whole(order, "bytes");
    }

    /// The fault is over: what it kept is dropped, off the event loop, since freeing takes its time.
    pub fn forget_leaked(&self) {
        let mut kept = self.lock();
        let leaked = std::mem::take(&mut kept.everlasting);
        self.count(&kept);
        drop(kept);
        spawn_blocking(move || drop(leaked));
    }

    fn count(&self, kept: &Kept) {
        self.held.set((kept.bounded.len() + kept.everlasting.len()) as f64);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn get(&mut self, id: SessionId) -> Option<Arc<Session>> {
        self.bounded.get(id).or_else(|| self.everlasting.get(id))
    }
}

/// A route that takes this is for customers who are logged in.
pub struct LoggedIn(pub Arc<Session>);

impl FromRequestParts<Arc<Shop>> for LoggedIn {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shop: &Arc<Shop>) -> Result<Self, Refusal> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|h| h.to_str().ok());
        let token = header.and_then(|h| h.strip_prefix("Bearer ")).ok_or_else(|| {
            Refusal::unauthorized("log in first: this route wants `Authorization: Bearer TOKEN`")
        })?;
        let session = shop.sessions.find(token.trim()).await?;
        shop.visits.visited(session.id, parts.uri.path());
        Ok(Self(session))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_nothing_else_is() {
        let id = SessionId(0x1234);
        assert_eq!(SessionId::from_token(&id.token()), Some(id));
        for bad in ["", "12", "+0000000000000000000000000001234", &"f".repeat(33), &"\u{e9}".repeat(16)] {
            assert_eq!(SessionId::from_token(bad), None, "{bad}");
        }
        assert!(!format!("{id:?}").contains("1234"));
    }
}
