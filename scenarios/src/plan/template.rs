//! Templates in a plan: texts with holes, and what fills a hole.
//!
//! Owns what a hole can say. Filling it is the engine's business, and keeping secrets out of a plan that is shown is that
//! of `secrets`.

use serde::{Deserialize, Serialize};

use super::Slot;

/// A text with holes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Template(pub Vec<Part>);

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// `${token}`: a saved variable; an empty text while unset.
    Var(Slot),
    /// `${users.name}`: a column of a feeder's row; a session draws one row of each feeder when it starts.
    Column {
        /// Index into [`RunPlan::feeders`](super::RunPlan::feeders).
        feeder: u16,
        /// Index into [`Feeder::columns`](super::Feeder::columns).
        column: u16,
    },
    /// `${uuid()}`: a random UUID, version 4.
    Uuid,
    /// `${int(1, 20)}`: a whole number, both ends possible.
    Int(i64, i64),
    /// `${zipf(500, 1.1)}`: a rank from 1 to n, rank k with weight 1/k^s.
    Zipf(u32, f64),
    /// `${float(1, 9.99, 2)}`: a number, evenly between the two, with so many digits behind the point.
    Float {
        /// The lower end.
        low: f64,
        /// The upper one.
        high: f64,
        /// Digits behind the point, 0 to 15.
        digits: u8,
    },
    /// `${text(12)}`: so many small letters at random.
    Letters(u32),
    /// `${pick("a", "b")}`: one of these at random; at least one.
    Pick(Vec<String>),
    /// `${date("%Y-%m-%d", "+7d")}`: now, or so many ms from now, in UTC.
    Date {
        /// What is written.
        parts: Vec<DatePart>,
        /// How far from now, ms.
        shift_ms: i64,
    },
    /// `${base64(token)}`: what this gives with its holes filled, in base64.
    Base64(Template),
    /// A signed token: an index into [`Assets::signers`](super::Assets::signers); at most one in a text.
    Token(u16),
    /// `${session}`: the session's number, unique over all workers.
    Session,
    /// `${now}`: milliseconds since the Unix epoch.
    Now,
    /// `${sent.id}`: a top-level field of the JSON message sent by the same step.
    Sent(String),
    /// `${NAME}`: the value of an environment variable that `[target] env` lists, read when the plan was made.
    Secret(Secret),
    /// A hole inside a text that has an escape of its own: the value of the inner part (never a
    /// [`Part::Text`] and never another `Escaped`) is put in by the rules of `Escape`.
    Escaped(Escape, Box<Part>),
}

/// A piece of a date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DatePart {
    /// As it stands.
    Text(String),
    /// Four digits.
    Year,
    /// `01` to `12`.
    Month,
    /// `01` to `31`.
    Day,
    /// `00` to `23`.
    Hour,
    /// `00` to `59`.
    Minute,
    /// `00` to `59`.
    Second,
    /// `000` to `999`.
    Millisecond,
    /// Seconds since the Unix epoch.
    Unix,
}

/// How a value is written into the text around its hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Escape {
    /// Inside a JSON string: `"`, `\` and control characters are escaped; the quotes are in the text around.
    Json,
    /// Inside a form body: percent-encoded after `application/x-www-form-urlencoded`.
    Form,
}

/// A value that must not be shown or recorded; workers need it, so it is serialised.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Name of the environment variable.
    pub name: String,
    /// Its value. Whoever keeps a plan anywhere calls [`RunPlan::without_secrets`](super::RunPlan::without_secrets) first.
    pub value: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "${{{}}}", self.name)
    }
}
