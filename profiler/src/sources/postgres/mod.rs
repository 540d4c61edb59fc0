//! The PostgreSQL source: what a server counts of its connections, tables and statements, and how it plans the slowest.
//!
//! Owns attaching, the order of the questions, and what is said where the server tells less than it could. It keeps one connection, reads,
//! and changes nothing. The connection is tokio-postgres's, on a runtime of this thread alone (the crate `postgres` is the same with less
//! of a say in it): what it reads can be counted and cut short there.

mod link;
mod plan;
mod server;
mod statements;

use std::time::Duration;

use thiserror::Error;
use timeline::MonoNs;
use timeline::text::clean;

use super::age::Age;
use super::patience::patiently;
use super::place::{Place, deadline, holds_password, shown};
use super::troubles::Troubles;
use super::{AttachError, Attached, Crew, Shared, Sink, Source};
use link::{Link, Rows, number, text};
use plan::Plans;
use server::Server;
use statements::Statements;

/// Name of the source.
const NAME: &str = "postgres";
/// From reading to reading of who is connected and waits for what.
const PERIOD: Duration = Duration::from_millis(250);
/// Counters are asked for every so many readings: the server's own processes tell theirs once a second.
const COUNTERS_EVERY: u32 = 4;
/// From reading to reading while it fails.
const RETRY_PERIOD: Duration = Duration::from_secs(1);
/// Longest time for one reading, with connecting.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Port where none is named.
const PORT: u16 = 5432;
/// What the server can and we may.
const ABOUT: &str = "/* dyno */ SELECT current_setting('server_version_num'), current_setting('server_version'), \
    current_database(), pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), \
    (SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
     WHERE e.extname = 'pg_stat_statements')";
/// The first version whose counters go by these names.
const OLDEST: u32 = 13_00_00;
/// The extension is there, but the server has not loaded it.
const NOT_LOADED: &str = "55000";

/// Why a server cannot be read.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum PostgresError {
    /// The address is none that we ask.
    #[error("`{0}` is not an address of the form postgres://USER@HOST[:PORT][/DATABASE]")]
    BadAddress(String),
    /// Its address holds a password: a command line is no place for one.
    #[error("its address holds a password: leave it out there and give it in DYNO_POSTGRES_PASSWORD")]
    Password,
    /// Nobody listens, or the connection broke.
    #[error("nobody answers ({0})")]
    Unreachable(String),
    /// No whole answer in time.
    #[error("no answer within 2 s")]
    TimedOut,
    /// It answered with an error: its SQLSTATE.
    #[error("the server refuses: {}", explained(.0))]
    Refused(String),
    /// It speaks something else.
    #[error("the answer is not one of PostgreSQL")]
    NotPostgres,
    /// It is older than what we know to ask.
    #[error("the server is of version {0}; 13 and later can be read")]
    TooOld(String),
    /// The answer is longer than it may be.
    #[error("the answer is longer than 4 MiB")]
    TooLong,
}

impl PostgresError {
    fn state(&self) -> &'static str {
        match self {
            Self::TimedOut => "silent",
            Self::Unreachable(_) => "refused",
            _ => "failing",
        }
    }
}

/// A SQLSTATE with what it means here.
fn explained(code: &str) -> String {
    let meaning = match code {
        "28P01" => ", wrong password; it is read from DYNO_POSTGRES_PASSWORD",
        "28000" => ", such a connection is not allowed (pg_hba.conf); ours has no TLS",
        "3D000" => ", no such database",
        "53300" => ", too many connections",
        "57P03" => ", it starts or stops",
        "57P01" | "57P02" => ", it stops",
        "57014" => ", a statement took longer than 1.5 s",
        "08P01" => ", it does not take our settings; attach the server itself, not a pooler before it",
        "42501" => ", no right to it",
        _ => "",
    };
    format!("{code}{meaning}")
}

/// Attaches the server at `url` (`postgres://USER@HOST[:PORT][/DATABASE]`); `password` is empty where it takes none.
///
/// Asks before it returns; later failures are told to the sink, and the connection is taken up again.
///
/// # Errors
/// [`AttachError::Postgres`]: nobody answers there, or not as PostgreSQL does, or not us.
pub fn attach(url: &str, password: &str, sink: Box<dyn Sink>) -> Result<Attached, AttachError> {
    let mut sink = Shared::new(sink);
    let failed = |why| AttachError::Postgres { url: shown(url), why };
    let mut postgres = Postgres::new(url, password, &mut sink).map_err(failed)?;
    patiently(&PostgresError::TimedOut, || postgres.read(&mut sink)).map_err(failed)?;
    let about = format!("postgres at {}: {}", postgres.place.address(), postgres.about());
    sink.note(NAME, &about);
    let crew = Crew::default();
    crew.run(postgres, sink);
    Ok(Attached::new(about, crew))
}

struct Postgres {
    place: Place,
    instance: String,
    link: Option<Link>,
    facts: Facts,
    server: Server,
    statements: Statements,
    plans: Plans,
    turn: u32,
    /// When an answer last came; before the first one: when it was attached.
    newest: MonoNs,
    /// When counters were last read.
    counted: Option<MonoNs>,
    age: Age,
    troubles: Troubles,
}

/// What the server can, and what we may see of it.
struct Facts {
    number: u32,
    version: String,
    database: String,
    sees_all: bool,
    /// Where `pg_stat_statements` is; or why it cannot be read.
    statements: Result<String, &'static str>,
}

impl Default for Facts {
    /// Of a server that has not answered yet.
    fn default() -> Self {
        Self {
            number: OLDEST,
            version: String::new(),
            database: String::new(),
            sees_all: false,
            statements: Err(NO_EXTENSION),
        }
    }
}

const NO_EXTENSION: &str = "statements: shared_preload_libraries = 'pg_stat_statements' in postgresql.conf, a restart, \
    then CREATE EXTENSION pg_stat_statements";
const NO_LIBRARY: &str =
    "statements: shared_preload_libraries = 'pg_stat_statements' in postgresql.conf and a restart load them";
const NO_STATEMENTS: &str = "statements (no right to pg_stat_statements)";
const NOT_OURS: &str = "no plan of the slowest statement: another role sends it, and planning it would run functions that it calls with \
    our rights; attached as that role, dyno shows its plan";
const NO_SIGHT: &str =
    "what others' connections do, and their statements: GRANT pg_monitor TO the user lets it see them";

impl Facts {
    fn read(link: &mut Link, deadline: MonoNs) -> Result<Self, PostgresError> {
        let answer = link.ask(ABOUT, deadline)?;
        let row = answer.first().and_then(|rows| rows.first()).ok_or(PostgresError::NotPostgres)?;
        let number = number(row, 0).ok_or(PostgresError::NotPostgres)? as u32;
        let said = |i| clean(text(row, i).unwrap_or_default(), 60);
        if number < OLDEST {
            return Err(PostgresError::TooOld(said(1)));
        }
        let schema = text(row, 4).map(str::to_owned);
        let sees_all = text(row, 3) == Some("t");
        let (version, database) = (said(1), said(2));
        let statements = match schema {
            None => Err(NO_EXTENSION),
            Some(schema) => match refusable(link.ask(&statements::figures(&schema), deadline))? {
                Ok(_) => Ok(schema),
                Err(code) if code == NOT_LOADED => Err(NO_LIBRARY),
                Err(_) => Err(NO_STATEMENTS),
            },
        };
        Ok(Self { number, version, database, sees_all, statements })
    }
}

/// The server may refuse it; whatever else goes wrong is an error.
fn refusable<T>(asked: Result<T, PostgresError>) -> Result<Result<T, String>, PostgresError> {
    match asked {
        Ok(answer) => Ok(Ok(answer)),
        Err(PostgresError::Refused(code)) => Ok(Err(code)),
        Err(e) => Err(e),
    }
}

impl Postgres {
    fn new(url: &str, password: &str, sink: &mut dyn Sink) -> Result<Self, PostgresError> {
        if holds_password(url) {
            return Err(PostgresError::Password);
        }
        let place = Place::read(url, &["postgres", "postgresql"], PORT, password);
        let place = place.filter(|p| !p.user.is_empty());
        let place = place.ok_or_else(|| PostgresError::BadAddress(shown(url)))?;
        let instance = place.instance(NAME, sink);
        Ok(Self {
            age: Age::declare(NAME, &instance, sink),
            server: Server::new(&instance),
            statements: Statements::new(&instance),
            place,
            instance,
            link: None,
            facts: Facts::default(),
            plans: Plans::default(),
            turn: 0,
            newest: MonoNs::now(),
            counted: None,
            troubles: Troubles::new(NAME),
        })
    }

    /// What is seen of the server and what is not, one line.
    fn about(&self) -> String {
        let Facts { version, database, sees_all, statements, .. } = &self.facts;
        let mut seen = vec!["connections"];
        if *sees_all {
            seen.extend(["locks", "transactions"]);
        }
        seen.extend(["scans by table", "buffer hits", "temporary files", "checkpoints"]);
        let mut unseen = Vec::new();
        match statements {
            Ok(_) => {
                let plans = "plans of what our role sends";
                seen.extend(["statements (exact counts; times are means of a second)", plans]);
            }
            Err(why) => unseen.push(*why),
        }
        if !sees_all {
            unseen.push(NO_SIGHT);
        }
        let unseen =
            if unseen.is_empty() { String::new() } else { format!("; not available: {}", unseen.join("; ")) };
        format!("version {version}, database {database}: {}{unseen}", seen.join(", "))
    }

    /// Asks once and hands over.
    fn read(&mut self, sink: &mut dyn Sink) -> Result<(), PostgresError> {
        let deadline = deadline(TIMEOUT);
        let mut link = match self.link.take() {
            Some(link) => link,
            None => {
                let mut link = Link::open(&self.place, deadline)?;
                self.facts = Facts::read(&mut link, deadline)?;
                self.turn = 0;
                link
            }
        };
        let with_counters = self.turn.is_multiple_of(COUNTERS_EVERY);
        self.turn = self.turn.wrapping_add(1);
        let answered = if with_counters {
            self.counters(&mut link, deadline, sink)
        } else {
            link.ask(server::ACTIVITY, deadline).map(|answer| {
                self.activity(&answer, sink);
            })
        };
        // After a refusal the connection still stands.
        if matches!(answered, Ok(()) | Err(PostgresError::Refused(_))) {
            self.link = Some(link);
        }
        answered
    }

    fn activity(&mut self, answer: &[Rows], sink: &mut dyn Sink) {
        let now = MonoNs::now();
        self.newest = now;
        if let Some(rows) = answer.first() {
            self.server.activity(rows, self.facts.sees_all, now, sink);
        }
    }

    fn counters(
        &mut self,
        link: &mut Link,
        deadline: MonoNs,
        sink: &mut dyn Sink,
    ) -> Result<(), PostgresError> {
        let schema = self.facts.statements.clone().ok();
        let mut questions =
            vec![server::ACTIVITY, server::DATABASE, server::checkpoints(self.facts.number), server::TABLES];
        let figures = schema.as_deref().map(statements::figures);
        questions.extend(figures.as_deref());
        let answer = link.ask(&questions.join("; "), deadline)?;
        let [_, database, checkpoints, tables, rest @ ..] = answer.as_slice() else {
            return Err(PostgresError::NotPostgres);
        };
        self.activity(&answer, sink);
        let (then, now) = (self.counted, MonoNs::now());
        self.server.counted([database, checkpoints, tables], then, now, sink);
        self.counted = Some(now);
        let (Some(rows), Some(schema)) = (rest.first(), schema) else { return Ok(()) };
        let unknown = self.statements.take(rows);
        // The first figures are all of the past.
        let Some(then) = then else { return Ok(()) };
        if !unknown.is_empty() {
            let answer = link.ask(&statements::texts(&schema, &unknown), deadline)?;
            answer.first().into_iter().for_each(|rows| self.statements.name(rows));
        }
        let Some(slowest) = self.statements.tell(then, now, sink) else { return Ok(()) };
        let planned = self.plans.look(link, &schema, &slowest, &self.instance, deadline, sink);
        match refusable(planned)? {
            Ok(true) => {}
            Ok(false) => self.troubles.say(&self.instance, &NOT_OURS, sink),
            Err(code) => {
                let why =
                    format!("no plan of `{}`: the server refuses: {}", slowest.fingerprint, explained(&code));
                self.troubles.say(&self.instance, &why, sink);
            }
        }
        Ok(())
    }
}

impl Source for Postgres {
    fn name(&self) -> &str {
        NAME
    }

    fn period(&self) -> Duration {
        if self.troubles.lasting() { RETRY_PERIOD } else { PERIOD }
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        let read = self.read(sink);
        self.age.tell(self.newest, MonoNs::now(), sink);
        self.troubles.after(&self.instance, read, PostgresError::state, sink);
    }
}
