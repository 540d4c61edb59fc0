//! Which stores the backend uses: embedded ones, or servers by URL.
//!
//! A URL may carry a password. So it is taken from the environment or, without one, from the command line; it is
//! handed to workers over their standard input; and it is shown without user, password and query.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::BackendError;

/// Environment variable that names the database.
pub const DATABASE_VARIABLE: &str = "DYNO_DATABASE_URL";
/// Environment variable that names the cache.
pub const CACHE_VARIABLE: &str = "DYNO_CACHE_URL";
/// Environment variable that names the broker.
pub const BROKER_VARIABLE: &str = "DYNO_BROKER_URL";

/// The stores of a backend; embedded by default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stores {
    /// Where orders and everything else that must last are kept.
    pub database: DatabaseUrl,
    /// Where product details are kept for a while.
    pub cache: CacheUrl,
    /// What carries events to the services.
    pub broker: BrokerUrl,
}

impl Stores {
    /// From the command line where something was given there, else from the environment.
    ///
    /// # Errors
    /// When a URL is none of a store, or one with a password was given on the command line.
    pub fn choose(
        database: Option<&str>,
        cache: Option<&str>,
        broker: Option<&str>,
    ) -> Result<Self, BackendError> {
        Ok(Self {
            database: one(database, DATABASE_VARIABLE)?,
            cache: one(cache, CACHE_VARIABLE)?,
            broker: one(broker, BROKER_VARIABLE)?,
        })
    }
}

fn one<T: FromStr<Err = String> + Default>(
    argument: Option<&str>,
    variable: &'static str,
) -> Result<T, BackendError> {
    let text = match argument {
        Some(text) if has_password(text) => {
            let why = "everybody on this machine can read a password on a command line";
            return Err(BackendError::Option(format!("{why}: put the URL into {variable}")));
        }
        Some(text) => Some(text.to_owned()),
        None => std::env::var(variable).ok().filter(|text| !text.is_empty()),
    };
    let parse = |t: String| t.parse().map_err(|e| BackendError::Option(format!("{variable}: {e}")));
    text.map_or_else(|| Ok(T::default()), parse)
}

/// The database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatabaseUrl {
    /// SQLite inside the workers.
    #[default]
    Sqlite,
    /// A PostgreSQL server.
    Postgres(StoreUrl),
}

/// The cache.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheUrl {
    /// In each worker.
    #[default]
    Memory,
    /// A Redis server, which all workers share.
    Redis(StoreUrl),
}

/// The broker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BrokerUrl {
    /// A queue in the process of the services.
    #[default]
    Memory,
    /// A RabbitMQ server.
    Rabbit(StoreUrl),
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sqlite" => Ok(Self::Sqlite),
            _ => server(text, &["postgres", "postgresql"], "`sqlite` or `postgres://USER@HOST/NAME`")
                .map(Self::Postgres),
        }
    }
}

impl FromStr for CacheUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Self::Memory),
            _ => server(text, &["redis"], "`memory` or `redis://HOST`").map(Self::Redis),
        }
    }
}

impl FromStr for BrokerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Self::Memory),
            _ => server(text, &["amqp"], "`memory` or `amqp://USER@HOST`").map(Self::Rabbit),
        }
    }
}

fn server(text: &str, schemes: &[&str], expected: &str) -> Result<StoreUrl, String> {
    let url = StoreUrl(text.to_owned());
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    match scheme {
        Some(scheme) if schemes.contains(&scheme) => Ok(url),
        Some("rediss" | "amqps") => Err(format!(
            "`{url}` asks for TLS, which the reference backend does not speak; expected {expected}"
        )),
        Some(_) => Err(format!("`{url}` is of no kind that is known here; expected {expected}")),
        None => Err(format!("expected {expected}")),
    }
}

/// The address of a server, which may carry a password: what is shown of it does not.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// All of it, for the client that connects; never for a text that somebody reads.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let plain = rest.split(['?', '#']).next().unwrap_or_default();
        let plain = plain.rsplit_once('@').map_or(plain, |(_, plain)| plain);
        let (host, path) = plain.split_at(plain.find('/').unwrap_or(plain.len()));
        // What does not look like a host and its port may be a part of a password with odd characters.
        let port = host.rsplit_once(':').map_or("", |(_, port)| port);
        let is_host = host.ends_with(']') || port.bytes().all(|b| b.is_ascii_digit());
        write!(f, "{scheme}://{}{path}", if is_host { host } else { "..." })
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// In the user's part or, as PostgreSQL allows, in the query.
fn has_password(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
    user.contains(':') || rest.contains("password=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        let shown = |text: &str| StoreUrl(text.to_owned()).to_string();
        let all = [
            "postgres://me:pa55@db:5432/shop?sslmode=disable&password=pa55",
            "redis://:pa55@127.0.0.1:6379/1",
            "amqp://me:p@ss:pa55@host/%2f",
            "postgres://me:pa55/x@host/db",
            "postgres://me:pa55?x@host/db",
            "redis://[::1]:7",
        ]
        .map(shown);
        assert!(all.iter().all(|t| !t.contains("pa55")), "{all:?}");
        assert_eq!(all[5], "redis://[::1]:7");
        assert_eq!(all[0], "postgres://db:5432/shop");
        assert_eq!(all[1], "redis://127.0.0.1:6379/1");
        assert_eq!(all[2], "amqp://host/%2f");
    }

    #[test]
    fn what_is_no_store_is_refused_and_a_password_has_no_place_on_a_command_line() {
        let said = |database: Option<&str>, cache: Option<&str>, broker: Option<&str>| {
            Stores::choose(database, cache, broker).unwrap_err().to_string()
        };
        insta::assert_snapshot!(said(Some("mysql://root@db/x"), None, None), @"DYNO_DATABASE_URL: `mysql://db/x` is of no kind that is known here; expected `sqlite` or `postgres://USER@HOST/NAME`");
        insta::assert_snapshot!(said(Some("shop.db"), None, None), @"DYNO_DATABASE_URL: expected `sqlite` or `postgres://USER@HOST/NAME`");
        insta::assert_snapshot!(said(None, Some("rediss://h"), None), @"DYNO_CACHE_URL: `rediss://h` asks for TLS, which the reference backend does not speak; expected `memory` or `redis://HOST`");
        insta::assert_snapshot!(said(None, None, Some("kafka://h")), @"DYNO_BROKER_URL: `kafka://h` is of no kind that is known here; expected `memory` or `amqp://USER@HOST`");
        insta::assert_snapshot!(said(Some("postgres://me:pa55@db/x"), None, None), @"everybody on this machine can read a password on a command line: put the URL into DYNO_DATABASE_URL");
        insta::assert_snapshot!(said(Some("postgres://db/x?password=pa55"), None, None), @"everybody on this machine can read a password on a command line: put the URL into DYNO_DATABASE_URL");
    }

    #[test]
    fn embedded_stores_have_names_of_their_own() {
        let chosen = Stores::choose(Some("sqlite"), Some("memory"), Some("memory")).unwrap();
        assert_eq!(chosen, Stores::default());
        let url: DatabaseUrl = "postgresql://me@h/x".parse().unwrap();
        assert!(matches!(url, DatabaseUrl::Postgres(_)));
    }
}
