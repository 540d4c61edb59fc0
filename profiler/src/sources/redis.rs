//! The Redis source: what a Redis server says of itself in `INFO`, and its latency monitor in `LATENCY LATEST`.
//!
//! Owns the questions and the lanes of their answers; what is made of the second is `latency`'s, the few bytes of protocol that both take
//! are `reply`'s. Not the client that the backend uses: that one takes an answer of any length, and this server is not trusted. Works for
//! Valkey and others that speak as Redis does. It reads, and changes nothing: the latency monitor is off unless somebody has given it a
//! threshold (`latency-monitor-threshold`), and stays so.

mod latency;
mod reply;

use std::collections::HashMap;
use std::io;
use std::net::TcpStream;
use std::time::Duration;

use thiserror::Error;
use timeline::lane::names;
use timeline::text::clean;
use timeline::{LaneId, LaneSpec, MonoNs, Shape, Unit};

use super::age::Age;
use super::counters::{Counters, pace};
use super::patience::patiently;
use super::place::{Place, deadline, holds_password, shown, timed_out};
use super::troubles::Troubles;
use super::{AttachError, Attached, Crew, Shared, Sink, Source};
use latency::Latency;
use reply::{Reply, command};

/// Name of the source, and of the cache in its lanes.
const NAME: &str = "redis";
/// From reading to reading. `INFO` takes the server, which has one thread, about 0.1 ms.
const PERIOD: Duration = Duration::from_millis(200);
/// The same while it fails.
const RETRY_PERIOD: Duration = Duration::from_secs(1);
/// Longest time for one command, with connecting.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Port where none is named.
const PORT: u16 = 6379;

/// Fields of `INFO`, sections `stats`, `memory` and `clients`, and the last part of the lane `cache.redis.*` that each becomes.
const FIELDS: &[(&str, &str, Shape, Unit)] = &[
    ("keyspace_hits", "hits", Shape::Rate, Unit::PerSecond),
    ("keyspace_misses", "misses", Shape::Rate, Unit::PerSecond),
    ("evicted_keys", "evictions", Shape::Rate, Unit::PerSecond),
    ("expired_keys", "expired", Shape::Rate, Unit::PerSecond),
    ("total_commands_processed", "commands", Shape::Rate, Unit::PerSecond),
    ("used_memory", "memory", Shape::Level, Unit::Bytes),
    ("maxmemory", "memory-limit", Shape::Level, Unit::Bytes),
    ("connected_clients", "connections", Shape::Level, Unit::Count),
    ("blocked_clients", "blocked", Shape::Level, Unit::Count),
    (KEYS, "entries", Shape::Level, Unit::Count),
];
/// Stands for the sum of `keys=` over all databases.
const KEYS: &str = "keys";

/// Why a server cannot be read.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum RedisError {
    /// The address is none that we ask.
    #[error("`{0}` is not an address of the form redis://[USER@]HOST[:PORT]")]
    BadAddress(String),
    /// Its address holds a password: a command line is no place for one.
    #[error("its address holds a password: leave it out there and give it in DYNO_REDIS_PASSWORD")]
    Password,
    /// Nobody listens, or the connection broke.
    #[error("nobody answers ({0})")]
    Unreachable(String),
    /// No whole answer in time.
    #[error("no answer within 2 s")]
    TimedOut,
    /// It answered with an error: its first word.
    #[error("the server refuses: {0}; a password is read from DYNO_REDIS_PASSWORD")]
    Refused(String),
    /// It speaks something else.
    #[error("the answer is not one of Redis")]
    NotRedis,
    /// The answer is longer than it may be.
    #[error("the answer is longer than 1 MiB")]
    TooLong,
}

impl RedisError {
    fn state(&self) -> &'static str {
        match self {
            Self::TimedOut => "silent",
            Self::Unreachable(_) => "refused",
            _ => "failing",
        }
    }
}

/// Attaches the server at `url` (`redis://[USER@]HOST[:PORT]`); `password` is empty where it takes none.
///
/// Asks before it returns; later failures are told to the sink, and the connection is taken up again.
///
/// # Errors
/// [`AttachError::Redis`]: nobody answers there, or not as Redis does, or not us.
pub fn attach(url: &str, password: &str, sink: Box<dyn Sink>) -> Result<Attached, AttachError> {
    let mut sink = Shared::new(sink);
    let failed = |why| AttachError::Redis { url: shown(url), why };
    let mut redis = Redis::new(url, password, &mut sink).map_err(failed)?;
    let version = patiently(&RedisError::TimedOut, || redis.read(&mut sink)).map_err(failed)?;
    let about = format!(
        "redis at {}: {version}: hits, misses, evictions, memory, connections; pauses where its latency monitor is on (CONFIG SET latency-monitor-threshold)",
        redis.place.address()
    );
    sink.note(NAME, &about);
    let crew = Crew::default();
    crew.run(redis, sink);
    Ok(Attached::new(about, crew))
}

struct Redis {
    instance: String,
    place: Place,
    line: Option<TcpStream>,
    lanes: Vec<Option<LaneId>>,
    counters: Counters<&'static str>,
    latency: Latency,
    /// When they were last asked for.
    asked: Option<MonoNs>,
    /// When an answer last came; before the first one: when it was attached.
    newest: MonoNs,
    age: Age,
    troubles: Troubles,
}

impl Redis {
    fn new(url: &str, password: &str, sink: &mut dyn Sink) -> Result<Self, RedisError> {
        if holds_password(url) {
            return Err(RedisError::Password);
        }
        let place = Place::read(url, &["redis"], PORT, password).filter(|p| p.path.is_empty());
        let place = place.ok_or_else(|| RedisError::BadAddress(shown(url)))?;
        let instance = place.instance(NAME, sink);
        let lanes = FIELDS.iter().map(|&(_, part, shape, unit)| {
            let name = names::of(names::CACHE, NAME, part);
            sink.declare(LaneSpec { shape, ..LaneSpec::level(name, &instance, unit) })
        });
        let lanes = lanes.collect();
        Ok(Self {
            lanes,
            age: Age::declare(NAME, &instance, sink),
            latency: Latency::new(&instance),
            instance,
            place,
            line: None,
            counters: Counters::default(),
            asked: None,
            newest: MonoNs::now(),
            troubles: Troubles::new(NAME),
        })
    }

    /// Asks once and hands over; returns the server's version.
    fn read(&mut self, sink: &mut dyn Sink) -> Result<String, RedisError> {
        let deadline = deadline(TIMEOUT);
        let answer = self.ask(deadline);
        if answer.is_err() {
            self.line = None;
        }
        let (answer, sent) = answer?;
        let info = Info::of(&answer)?;
        let now = MonoNs::now();
        self.take(&info, sent, now, sink);
        if let Some(line) = &mut self.line {
            let looked = self.latency.look(line, now, deadline, &mut self.troubles, sink);
            // If it is the server and not the question, the next reading says so.
            if looked.is_err() {
                self.line = None;
            }
        }
        Ok(info.version)
    }

    /// Hands over what was asked for at `sent` and was there `now`.
    fn take(&mut self, info: &Info, sent: MonoNs, now: MonoNs, sink: &mut dyn Sink) {
        for (lane, &(field, _, shape, _)) in self.lanes.iter().zip(FIELDS) {
            let Some(value) = info.figures.get(field).copied() else { continue };
            let value = match shape {
                Shape::Level => value,
                _ => match self.counters.grown(field, value).zip(self.asked) {
                    Some((more, asked)) => pace(more, asked, now),
                    None => continue,
                },
            };
            // A limit of zero is none.
            if let (Some(lane), true) = (lane, field != "maxmemory" || value > 0.0) {
                sink.sample(*lane, now, value);
            }
        }
        self.asked = Some(sent);
        self.newest = now;
    }

    /// `INFO`, over a new connection if need be, and when it was sent.
    fn ask(&mut self, deadline: MonoNs) -> Result<(String, MonoNs), RedisError> {
        let line = match &mut self.line {
            Some(line) => line,
            none => {
                let line = none.insert(self.place.connect(deadline).map_err(|e| unreachable(&e))?);
                let Place { user, password, .. } = &self.place;
                match (user.is_empty(), password.is_empty()) {
                    (_, true) => {}
                    (true, false) => drop(command(line, &["AUTH", password], deadline)?),
                    (false, false) => drop(command(line, &["AUTH", user, password], deadline)?),
                }
                line
            }
        };
        let sent = MonoNs::now();
        match command(line, &["INFO"], deadline)? {
            Reply::Text(text) => Ok((text, sent)),
            _ => Err(RedisError::NotRedis),
        }
    }
}

impl Source for Redis {
    fn name(&self) -> &str {
        NAME
    }

    fn period(&self) -> Duration {
        if self.troubles.lasting() { RETRY_PERIOD } else { PERIOD }
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        let read = self.read(sink);
        self.age.tell(self.newest, MonoNs::now(), sink);
        self.troubles.after(&self.instance, read.map(drop), RedisError::state, sink);
    }
}

/// The figures of one answer.
struct Info {
    version: String,
    figures: HashMap<&'static str, f64>,
}

impl Info {
    fn of(text: &str) -> Result<Self, RedisError> {
        let mut info = Self { version: String::new(), figures: HashMap::new() };
        let mut keys = None;
        for (name, value) in text.lines().filter_map(|l| l.split_once(':')) {
            if name == "redis_version" {
                info.version = clean(value, 40);
            } else if name.strip_prefix("db").is_some_and(|n| n.parse::<u32>().is_ok()) {
                let n = value.split(',').find_map(|p| p.strip_prefix("keys=")?.parse::<u64>().ok());
                keys = Some(keys.unwrap_or(0.0) + n.unwrap_or(0) as f64);
            } else if let Some((field, ..)) = FIELDS.iter().find(|f| f.0 == name) {
                // Whole numbers, all of them; anything else is not taken for one.
                if let Ok(number) = value.parse::<u64>() {
                    info.figures.insert(field, number as f64);
                }
            }
        }
        if info.version.is_empty() {
            return Err(RedisError::NotRedis);
        }
        // Databases without a key are not listed.
        info.figures.insert(KEYS, keys.unwrap_or(0.0));
        Ok(info)
    }
}

fn unreachable(error: &io::Error) -> RedisError {
    if timed_out(error) {
        RedisError::TimedOut
    } else {
        RedisError::Unreachable(clean(&error.to_string(), 120))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::testing::{FIRST_LATE, Keeping};

    #[test]
    fn what_came_late_is_not_told_as_if_it_had_come_at_once() {
        let mut told = Keeping::default();
        let mut redis = Redis::new("redis://127.0.0.1:1", "", &mut told).unwrap();
        for (commands, sent, received) in FIRST_LATE {
            let text = format!("redis_version:9\r\ntotal_commands_processed:{commands}\r\n");
            redis.take(&Info::of(&text).unwrap(), sent, received, &mut told);
        }
        // The number of keys is told each time, too.
        assert_eq!(told.values, [0.0, 1_000.0, 0.0, 500.0, 0.0]);
    }
}
