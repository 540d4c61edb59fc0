//! Link: one connection to a PostgreSQL server that is not trusted.
//!
//! Owns connecting, the settings of the session, and what an answer may cost: time and bytes. Statements go by the simple protocol, whose
//! answers are text: the other one makes the client ask about types, and a server can send it round in circles. What is asked is
//! for whoever asks.

use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use timeline::MonoNs;
use timeline::text::clean;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, SimpleQueryRow};

use super::PostgresError;
use crate::sources::place::{Place, left, timed_out};

/// Most bytes of all answers to one question: 5,000 statements with their figures take 0.4 MB, 64 texts of 16 KB a megabyte.
const MAX_ANSWER: usize = 4 << 20;
/// The server gives up a statement after so long, before we do; and never waits for a lock that somebody's change of a table holds.
const SETTINGS: &str = "-c statement_timeout=1500 -c lock_timeout=100 -c default_transaction_read_only=on";
/// Keeps what we ask out of `pg_stat_statements`; a superuser may say so.
const UNCOUNTED: &str = "-c pg_stat_statements.track=none";
/// Longest farewell.
const FAREWELL: Duration = Duration::from_millis(200);

/// The rows of one statement's answer.
pub(super) type Rows = Vec<SimpleQueryRow>;

/// A connection, driven on whatever thread asks.
pub(super) struct Link {
    /// None only while it is dropped.
    client: Option<Client>,
    driver: JoinSet<Result<(), tokio_postgres::Error>>,
    allowance: Arc<AtomicUsize>,
    /// Last, because the others live on it.
    runtime: Runtime,
}

impl Link {
    /// Connects, and proves who we are. Where we may, our statements are not counted among everybody's.
    pub fn open(place: &Place, deadline: MonoNs) -> Result<Self, PostgresError> {
        let (link, superuser) = Self::connect(place, SETTINGS, deadline)?;
        if !superuser {
            return Ok(link);
        }
        drop(link);
        Ok(Self::connect(place, &format!("{SETTINGS} {UNCOUNTED}"), deadline)?.0)
    }

    /// The link, and whether we may change everything.
    fn connect(place: &Place, settings: &str, deadline: MonoNs) -> Result<(Self, bool), PostgresError> {
        let stream = place.connect(deadline).map_err(|e| broken(&e))?;
        let allowance = Arc::new(AtomicUsize::new(MAX_ANSWER));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|e| broken(&e))?;
        let mut driver = JoinSet::new();
        let (client, superuser) = runtime.block_on(async {
            let metered = Metered::new(stream, Arc::clone(&allowance)).map_err(|e| broken(&e))?;
            let config = config(place, settings);
            let connecting = config.connect_raw(metered, NoTls);
            let connected = tokio::time::timeout(left(deadline).map_err(|e| broken(&e))?, connecting).await;
            let (client, connection) =
                connected.map_err(|_| PostgresError::TimedOut)?.map_err(|e| named(&e, &allowance))?;
            let superuser = connection.parameter("is_superuser") == Some("on");
            driver.spawn(connection);
            Ok((client, superuser))
        })?;
        Ok((Self { client: Some(client), driver, allowance, runtime }, superuser))
    }

    /// The rows of each of the statements in `sql`. After an error that is not the server's refusal, the link is of no more use.
    pub fn ask(&mut self, sql: &str, deadline: MonoNs) -> Result<Vec<Rows>, PostgresError> {
        let Some(client) = &self.client else { return Err(PostgresError::Unreachable("closed".to_owned())) };
        self.allowance.store(MAX_ANSWER, Ordering::Relaxed);
        let left = left(deadline).map_err(|e| broken(&e))?;
        let (driver, allowance) = (&mut self.driver, &self.allowance);
        let messages = self.runtime.block_on(async {
            match tokio::time::timeout(left, client.simple_query(sql)).await {
                Err(_) => Err(PostgresError::TimedOut),
                Ok(Ok(messages)) => Ok(messages),
                // Whoever asks learns only that it is over; the driver knows why.
                Ok(Err(e)) if e.is_closed() => match driver.join_next().await {
                    Some(Ok(Err(e))) => Err(named(&e, allowance)),
                    _ => Err(named(&e, allowance)),
                },
                Ok(Err(e)) => Err(named(&e, allowance)),
            }
        })?;
        let mut all = Vec::new();
        let mut rows = Vec::new();
        for message in messages {
            match message {
                SimpleQueryMessage::Row(row) => rows.push(row),
                SimpleQueryMessage::CommandComplete(_) => all.push(std::mem::take(&mut rows)),
                _ => {}
            }
        }
        Ok(all)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Says that it goes, so that the server has nothing to complain about in its log.
        drop(self.client.take());
        let driver = &mut self.driver;
        self.runtime.block_on(async {
            // Gone without farewell is gone all the same.
            let _ = tokio::time::timeout(FAREWELL, driver.join_next()).await;
        });
    }
}

fn config(place: &Place, settings: &str) -> Config {
    let mut config = Config::new();
    config.user(&place.user).application_name("dyno").options(settings).ssl_mode(SslMode::Disable);
    if !place.path.is_empty() {
        config.dbname(&place.path);
    }
    if !place.password.is_empty() {
        config.password(&place.password);
    }
    config
}

/// A number in column `i`; none where there is none, or no finite one.
pub(super) fn number(row: &SimpleQueryRow, i: usize) -> Option<f64> {
    text(row, i)?.parse().ok().filter(|n: &f64| n.is_finite())
}

/// The text in column `i`.
pub(super) fn text(row: &SimpleQueryRow, i: usize) -> Option<&str> {
    row.try_get(i).ok().flatten()
}

fn broken(error: &io::Error) -> PostgresError {
    match error.kind() {
        _ if timed_out(error) => PostgresError::TimedOut,
        // What tokio-postgres says of bytes that it cannot read.
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => PostgresError::NotPostgres,
        _ if error.to_string() == "bytes remaining on stream" => PostgresError::NotPostgres,
        _ => PostgresError::Unreachable(clean(&error.to_string(), 120)),
    }
}

fn named(error: &tokio_postgres::Error, allowance: &AtomicUsize) -> PostgresError {
    if let Some(said) = error.as_db_error() {
        // Its code only: the words are the server's to choose, and might be what we have sent.
        let code = said.code().code().chars().filter(char::is_ascii_alphanumeric).take(5).collect();
        return PostgresError::Refused(code);
    }
    if allowance.load(Ordering::Relaxed) == 0 {
        return PostgresError::TooLong;
    }
    let cause = std::error::Error::source(error).and_then(|e| e.downcast_ref::<io::Error>());
    match cause {
        Some(e) => broken(e),
        None if error.is_closed() => PostgresError::Unreachable("it hung up".to_owned()),
        None => PostgresError::NotPostgres,
    }
}

/// A stream that gives no more bytes than it may.
struct Metered {
    stream: tokio::net::TcpStream,
    allowance: Arc<AtomicUsize>,
}

impl Metered {
    fn new(stream: TcpStream, allowance: Arc<AtomicUsize>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: tokio::net::TcpStream::from_std(stream)?, allowance })
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let got = buf.filled().len() - before;
        let allowed = self.allowance.load(Ordering::Relaxed);
        self.allowance.store(allowed.saturating_sub(got), Ordering::Relaxed);
        if got >= allowed && got > 0 {
            return Poll::Ready(Err(io::Error::other("too long")));
        }
        read
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
