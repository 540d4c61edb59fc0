//! The observers in the target: installing, reading and removing them, an expression each.
//!
//! Owns the words that are sent to `observers.js` and the types that come back. What the readings are worth is `admit`'s to say.

use std::time::Duration;

use serde::Deserialize;
use timeline::MonoNs;
use timeline::probe::{Batch, VERSION};
use timeline::text::clean;

use super::V8Error;
use super::devtools::Session;
use crate::sources::batches::Answered;

/// One expression: a function that installs the observers.
const SOURCE: &str = include_str!("observers.js");
/// Their parts, an expression each: what is observed of requests and of libraries.
const PARTS: [&str; 6] = [
    include_str!("workers.js"),
    include_str!("connections.js"),
    include_str!("requests.js"),
    include_str!("downstream.js"),
    include_str!("pools.js"),
    include_str!("caches.js"),
];
/// One expression: a function that tells a good moment for what changes something in the target.
const CALM: &str = include_str!("calm.js");
/// What stands for the answer at another moment, how long one is waited for, and from look to look.
const BUSY: &str = "busy";
const CALM_PATIENCE: Duration = Duration::from_secs(2);
const CALM_LOOK: Duration = Duration::from_millis(2);
/// Live bytes from which on a heap is not searched: 15 ms of standstill for each MB make two seconds of it.
const MAX_SEARCHED: u64 = 128 << 20;
/// Longest time for the search.
const SEARCH_PATIENCE: Duration = Duration::from_secs(15);
/// Built-in modules, in every version and kind of module of Node.js from 16, and in Deno and Bun. `import()` would be an unhandled rejection, which ends
/// the process.
const LOAD: &str = "(name) => process.getBuiltinModule ? process.getBuiltinModule(name) : require(name)";

/// What the observers tell of themselves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct About {
    /// Its id as we know it: on this host, where it runs here.
    pub pid: u32,
    /// The same, where it is known to be that.
    #[serde(skip)]
    pub host: Option<u32>,
    /// When it began, in its own words.
    #[serde(default)]
    pub born: String,
    pub runtime: Runtime,
    pub version: String,
    /// Does the runtime tell of its collections?
    pub collections: bool,
    /// By what a loop that works is told from one that stands still.
    #[serde(default)]
    pub times: Times,
    /// Ports at which its main thread listens, where that is known.
    #[serde(default)]
    pub ports: Option<Vec<u16>>,
}

/// Whose CPU time is known from turn to turn of the loop; the worst comes last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Times {
    /// That of the main thread.
    #[default]
    Thread,
    /// That of all threads together.
    Process,
    /// Nobody's.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Runtime {
    Node,
    Deno,
    Bun,
}

impl Runtime {
    /// The source's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Deno => "deno",
            Self::Bun => "bun",
        }
    }
}

/// The observers that we install in one process.
pub(super) struct Observers {
    /// Names them, so that two dynos on one process do not take each other's away.
    name: String,
    /// Did dyno open the inspector?
    pub opened: bool,
}

impl Observers {
    pub fn new(opened: bool) -> Self {
        Self { name: format!("dyno.{}.{}", std::process::id(), MonoNs::now().0), opened }
    }

    /// Installs them; those that are there already are left as they are.
    pub fn install(&self, session: &mut Session) -> Result<About, V8Error> {
        let parts: Vec<String> = PARTS.iter().map(|part| format!("({part})")).collect();
        let expression =
            format!("({SOURCE})(\"{}\", {}, {LOAD}, [{}], {CALM})", self.name, self.opened, parts.join(","));
        let text = when_calm(session, &expression)?.unwrap_or_default();
        let about: About = serde_json::from_str(&text).map_err(unexpected)?;
        Ok(About { version: clean(&about.version, 20), born: clean(&about.born, 40), ..about })
    }

    /// Has the heap searched for pools, caches and their clients by their shape; how many were found. For programs whose libraries are not among the
    /// loaded modules of CommonJS: bundled into one file, or with a build of their own for `import`.
    pub fn search(&self, session: &mut Session) -> Result<u64, V8Error> {
        let used = session.evaluate("String(process.memoryUsage().heapUsed)")?;
        let used = used.and_then(|text| text.parse::<u64>().ok()).unwrap_or(u64::MAX);
        if used > MAX_SEARCHED {
            return Err(V8Error::Observers(format!(
                "a heap of {} MB is not searched, the process would stand still for seconds",
                used >> 20
            )));
        }
        let prototype = session.object("Object.prototype")?;
        let function =
            format!("function () {{ return globalThis[Symbol.for(\"{}\")]?.adopt(this) }}", self.name);
        let found = session.with_all(&prototype, &function, SEARCH_PATIENCE);
        session.release()?;
        Ok(found?.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// Has measuring begin: what happened before is told by no reading. It keeps them in place as a reading does. In the midst of an observer's own
    /// turn it would come between looking at the clock and noting what was seen.
    pub fn begin(&self, session: &mut Session) -> Result<(), V8Error> {
        when_calm(session, &self.call("begin()")).map(|_| ())
    }

    /// What happened after tick `since`; none if they are not there.
    pub fn read(&self, session: &mut Session, since: u64) -> Result<Option<Answered>, V8Error> {
        let sent = MonoNs::now();
        let text = session.evaluate(&self.call(&format!("read({since})")))?;
        let received = MonoNs::now();
        let Some(text) = text else { return Ok(None) };
        let batch: Batch = serde_json::from_str(&text).map_err(unexpected)?;
        if batch.version > VERSION {
            return Err(V8Error::Observers(format!("their version {} is not ours", batch.version)));
        }
        Ok(Some(Answered { batch, sent, received }))
    }

    /// Takes them back, and has the inspector closed if dyno opened it.
    pub fn remove(&self, session: &mut Session) -> Result<(), V8Error> {
        when_calm(session, &self.call("remove()")).map(|_| ())
    }

    /// Has the inspector go to `port` as soon as nobody is connected, but not after `until`; to any that is free, if that is taken or 0.
    pub fn move_on(&self, session: &mut Session, port: u16, until: MonoNs) -> Result<(), V8Error> {
        when_calm(session, &self.call(&format!("move({port}, {})", until.0))).map(|_| ())
    }

    fn call(&self, what: &str) -> String {
        format!("globalThis[Symbol.for(\"{}\")]?.{what}", self.name)
    }
}

/// What `expression` gives, once the target is in a state to be changed.
fn when_calm(session: &mut Session, expression: &str) -> Result<Option<String>, V8Error> {
    let expression = format!("({CALM})() ? {expression} : \"{BUSY}\"");
    for _ in 0..CALM_PATIENCE.as_millis() / CALM_LOOK.as_millis() {
        match session.evaluate(&expression)? {
            Some(text) if text == BUSY => std::thread::sleep(CALM_LOOK),
            given => return Ok(given),
        }
    }
    Err(V8Error::Observers("the process was busy with itself at each of a thousand looks".to_owned()))
}

fn unexpected(error: serde_json::Error) -> V8Error {
    V8Error::Observers(clean(&error.to_string(), 160))
}
