//! The Chrome DevTools protocol as far as it is needed: call a method, evaluate one expression and get its text.
//!
//! Owns the connection and its limits: time, size, and how much is read that was not asked for. No domain is enabled that sends messages of
//! its own (`Runtime.enable` would keep alive whatever the target logs); what comes all the same is thrown away.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use timeline::MonoNs;
use timeline::text::clean;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Error, Message, WebSocket, client::client_with_config};

use super::V8Error;
use super::inspector;
use crate::sources::place::deadline;

/// Longest message, bytes: 20 ticks of a process with every lane take 60 KB, a profile with 5,000 different stacks 2 MB.
const MAX_MESSAGE: usize = 8 << 20;
/// Longest time for an answer, and for opening a connection.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long one looks once it has passed.
const LAST_LOOK: Duration = Duration::from_millis(1);
/// Objects that we have named in the target, until they are released.
const GROUP: &str = "dyno";
/// Most messages before the answer that nobody asked for.
const MAX_OTHERS: usize = 1_000;
/// Most characters of the target's own words in an error.
const WORDS: usize = 160;
/// What an inspector says when the process has left its context behind: it ends as soon as nobody is connected to it.
const NO_CONTEXT: [&str; 2] = ["Cannot find context", "context was destroyed"];

/// A connection to an inspector.
pub(super) struct Session {
    socket: WebSocket<Timed>,
    id: u64,
}

impl Session {
    /// Connects to the first target that the inspector at `address` lists.
    pub fn open(address: SocketAddr) -> Result<Self, V8Error> {
        let path = inspector::path(address)?;
        let tcp = TcpStream::connect_timeout(&address, TIMEOUT)
            .map_err(|e| V8Error::Unreachable(clean(&e.to_string(), WORDS)))?;
        let _ = tcp.set_nodelay(true); // only costs time where it fails
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE))
            .read_buffer_size(16 << 10);
        let stream = Timed { tcp, until: deadline(TIMEOUT), looked: false };
        let (socket, _) = client_with_config(format!("ws://{address}{path}"), stream, Some(config)).map_err(
            |e| match e {
                tungstenite::HandshakeError::Failure(e) => named(&e),
                tungstenite::HandshakeError::Interrupted(_) => V8Error::TimedOut,
            },
        )?;
        Ok(Self { socket, id: 0 })
    }

    /// The text that `expression` gives; none if it gives nothing.
    pub fn evaluate(&mut self, expression: &str) -> Result<Option<String>, V8Error> {
        let params = serde_json::json!({
            "expression": expression,
            "includeCommandLineAPI": true, // `require`, in every version and kind of module
            "returnByValue": true, // leaves no object in the target that we would hold
            "silent": true,
        });
        given(self.call("Runtime.evaluate", params, TIMEOUT)?)
    }

    /// The object that `expression` gives, by its number in the target. Whoever asks has it released.
    pub fn object(&mut self, expression: &str) -> Result<String, V8Error> {
        let params = serde_json::json!({ "expression": expression, "includeCommandLineAPI": true, "silent": true, "objectGroup": GROUP });
        self.call::<Evaluated>("Runtime.evaluate", params, TIMEOUT)?.result.named()
    }

    /// Hands all objects that inherit from `prototype` to `function` as its `this`, and gives the text that comes back. A collection of the whole
    /// heap: the target stands still meanwhile.
    pub fn with_all(
        &mut self,
        prototype: &str,
        function: &str,
        patience: Duration,
    ) -> Result<Option<String>, V8Error> {
        #[derive(Deserialize)]
        struct Found {
            objects: Remote,
        }
        let params = serde_json::json!({ "prototypeObjectId": prototype, "objectGroup": GROUP });
        let found: Found = self.call("Runtime.queryObjects", params, patience)?;
        let params = serde_json::json!({
            "objectId": found.objects.named()?,
            "functionDeclaration": function,
            "returnByValue": true,
            "silent": true,
        });
        given(self.call("Runtime.callFunctionOn", params, patience)?)
    }

    /// Lets go of all that [`Session::object`] and [`Session::with_all`] have named.
    pub fn release(&mut self) -> Result<(), V8Error> {
        let params = serde_json::json!({ "objectGroup": GROUP });
        self.call::<IgnoredAny>("Runtime.releaseObjectGroup", params, TIMEOUT).map(|_| ())
    }

    /// Calls a method that answers nothing of interest.
    pub fn tell(&mut self, method: &str, params: serde_json::Value) -> Result<(), V8Error> {
        self.call::<IgnoredAny>(method, params, TIMEOUT).map(|_| ())
    }

    /// What `method` answers within `patience`.
    pub fn call<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: serde_json::Value,
        patience: Duration,
    ) -> Result<T, V8Error> {
        self.id += 1;
        let request = serde_json::json!({ "id": self.id, "method": method, "params": params });
        let stream = self.socket.get_mut();
        (stream.until, stream.looked) = (deadline(patience), false);
        self.socket.send(Message::text(request.to_string())).map_err(|e| named(&e))?;
        for _ in 0..MAX_OTHERS {
            match self.socket.read().map_err(|e| named(&e))? {
                Message::Text(text) => {
                    if let Some(answer) = answer(&text, self.id)? {
                        return Ok(answer);
                    }
                }
                Message::Close(_) => return Err(V8Error::Unreachable("it closed the connection".to_owned())),
                _ => {}
            }
        }
        Err(V8Error::NotInspector(format!("{MAX_OTHERS} messages that were not asked for, and no answer")))
    }
}

/// What is of interest in a message.
#[derive(Deserialize)]
struct Reply<T> {
    result: Option<T>,
    error: Option<ProtocolError>,
}

#[derive(Deserialize)]
struct Evaluated {
    result: Remote,
    #[serde(rename = "exceptionDetails")]
    exception: Option<Exception>,
    /// So Bun says it: then the result is what was thrown.
    #[serde(rename = "wasThrown", default)]
    thrown: bool,
}

#[derive(Deserialize)]
struct Remote {
    #[serde(rename = "type")]
    kind: String,
    value: Option<serde_json::Value>,
    #[serde(rename = "objectId")]
    object: Option<String>,
    description: Option<String>,
}

impl Remote {
    fn named(self) -> Result<String, V8Error> {
        self.object.ok_or_else(|| V8Error::Observers("an object was expected, a value came".to_owned()))
    }
}

#[derive(Deserialize)]
struct Exception {
    exception: Option<Thrown>,
}

#[derive(Deserialize)]
struct Thrown {
    description: Option<String>,
}

#[derive(Deserialize)]
struct ProtocolError {
    message: String,
}

/// What came is not what the protocol has.
pub(super) fn malformed(e: serde_json::Error) -> V8Error {
    V8Error::NotInspector(clean(&e.to_string(), WORDS))
}

/// The reply to request `id`; none if `text` is something else.
fn answer<T: DeserializeOwned>(text: &str, id: u64) -> Result<Option<T>, V8Error> {
    #[derive(Deserialize)]
    struct IdOnly {
        id: Option<u64>,
    }
    let only: IdOnly = serde_json::from_str(text).map_err(malformed)?;
    if only.id != Some(id) {
        return Ok(None);
    }
    let reply: Reply<T> = serde_json::from_str(text).map_err(malformed)?;
    if let Some(error) = reply.error {
        if NO_CONTEXT.iter().any(|words| error.message.contains(words)) {
            return Err(V8Error::Ending);
        }
        return Err(V8Error::NotInspector(clean(&error.message, WORDS)));
    }
    reply.result.map(Some).ok_or_else(|| V8Error::NotInspector("a reply without a result".to_owned()))
}

fn given(evaluated: Evaluated) -> Result<Option<String>, V8Error> {
    let thrown = match evaluated.exception {
        Some(exception) => Some(exception.exception.and_then(|e| e.description)),
        None => evaluated.thrown.then_some(evaluated.result.description),
    };
    if let Some(said) = thrown {
        let said = said.unwrap_or_default();
        let first = said.lines().next().unwrap_or("an exception");
        return Err(V8Error::Observers(format!("the target threw {}", clean(first, WORDS))));
    }
    match (evaluated.result.kind.as_str(), evaluated.result.value) {
        ("string", Some(serde_json::Value::String(text))) => Ok(Some(text)),
        ("undefined", None) => Ok(None),
        (kind, _) => {
            Err(V8Error::Observers(format!("a text was expected, a value of type {} came", clean(kind, 20))))
        }
    }
}

fn named(error: &Error) -> V8Error {
    match error {
        Error::Io(e) if matches!(e.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
            V8Error::TimedOut
        }
        Error::Io(e) => V8Error::Unreachable(clean(&e.to_string(), WORDS)),
        Error::ConnectionClosed | Error::AlreadyClosed => {
            V8Error::Unreachable("it closed the connection".to_owned())
        }
        e => V8Error::NotInspector(clean(&e.to_string(), WORDS)),
    }
}

/// A stream with one deadline for all that is read and written until it is set anew: a peer that sends a byte now and then gains nothing.
struct Timed {
    tcp: TcpStream,
    until: MonoNs,
    /// Once it has passed there is one look more: it may be we who stood still, and the answer is there.
    looked: bool,
}

impl Timed {
    fn left(&mut self) -> io::Result<Duration> {
        let left = self.until.since(MonoNs::now());
        if !left.is_zero() {
            Ok(left)
        } else if std::mem::replace(&mut self.looked, true) {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            Ok(LAST_LOOK)
        }
    }
}

/// What came of `call`. Whoever was stopped and goes on finds it interrupted, and makes it again; what a socket calls `would block` after its timeout
/// would have tungstenite wait on.
fn within<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        return match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
            done => done,
        };
    }
}

impl Read for Timed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        within(|| {
            let left = self.left()?;
            self.tcp.set_read_timeout(Some(left))?;
            self.tcp.read(buf)
        })
    }
}

impl Write for Timed {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        within(|| {
            let left = self.left()?;
            self.tcp.set_write_timeout(Some(left))?;
            self.tcp.write(buf)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}
