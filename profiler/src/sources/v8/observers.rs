//! The observers in the target: installing, reading and removing them, an expression each.
//!
//! Owns the words that are sent to `observers.js` and the types that come back. What the readings are worth is `admit`'s to say.

use serde::Deserialize;
use timeline::MonoNs;
use timeline::probe::{Batch, VERSION};
use timeline::text::clean;

use super::V8Error;
use super::devtools::Session;
use crate::sources::batches::Answered;

/// One expression: a function that installs the observers.
const SOURCE: &str = include_str!("observers.js");
/// Built-in modules, in every version and kind of module of Node.js from 16, and in Deno. `import()` would be an unhandled rejection, which ends
/// the process.
const LOAD: &str = "(name) => process.getBuiltinModule ? process.getBuiltinModule(name) : require(name)";

/// What the observers tell of themselves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct About {
    pub pid: u32,
    pub runtime: Runtime,
    pub version: String,
    /// Does the runtime tell of its collections?
    pub collections: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Runtime {
    Node,
    Deno,
}

impl Runtime {
    /// The source's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Deno => "deno",
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
        let expression = format!("({SOURCE})(\"{}\", {}, {LOAD})", self.name, self.opened);
        let text = session.evaluate(&expression)?.unwrap_or_default();
        let about: About = serde_json::from_str(&text).map_err(unexpected)?;
        Ok(About { version: clean(&about.version, 20), ..about })
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
        session.evaluate(&self.call("remove()")).map(|_| ())
    }

    /// Has the inspector go to a free port as soon as nobody is connected.
    pub fn move_on(&self, session: &mut Session) -> Result<(), V8Error> {
        session.evaluate(&self.call("move()")).map(|_| ())
    }

    fn call(&self, what: &str) -> String {
        format!("globalThis[Symbol.for(\"{}\")]?.{what}", self.name)
    }
}

fn unexpected(error: serde_json::Error) -> V8Error {
    V8Error::Observers(clean(&error.to_string(), 160))
}
