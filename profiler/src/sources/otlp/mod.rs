//! The OTLP source: receives metrics of OpenTelemetry over loopback, by gRPC or by HTTP with protobuf or JSON, packed by gzip or not.
//!
//! Owns the listeners and their threads; each takes both protocols. How a request is read is in `http` and `grpc`, its two forms in `wire`
//! and `json`, what lines come of points in `points`, who sends in `inbox`; names and lanes are the metrics page's (`metrics`). A target's
//! export interval is its own: dyno cannot ask for more.

mod grpc;
mod http;
mod inbox;
mod json;
mod points;
#[cfg(test)]
mod points_test;
mod wire;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thiserror::Error;
use timeline::MonoNs;
use timeline::metric::Mapping;

use super::metrics::Own;
use super::{Agreement, AttachError, Attached, Crew, Shared, Sink, Source, locked};
use grpc::{Calls, Door};
use http::{Came, Connection};
use inbox::Inbox;

/// Name of the source.
const NAME: &str = "otlp";
/// Where every SDK sends by HTTP unless it is told otherwise.
pub const STANDARD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4318);
/// ... and by gRPC.
const STANDARD_GRPC: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4317);
/// Senders that are listened to at once: one that dawdles holds up no other. The system lets more wait.
const LISTENERS: usize = 4;
/// How often each looks whether somebody came.
const LOOK: Duration = Duration::from_millis(20);
/// How often ages are told.
const TELL: Duration = Duration::from_millis(500);
/// After so long without a sender it is said that nobody came: SDKs send once a minute unless they are told otherwise.
const NOBODY: Duration = Duration::from_secs(65);

/// Why nothing can be received.
#[derive(Debug, Error)]
pub enum OtlpError {
    /// What nobody else should reach.
    #[error("it is no address of loopback, where alone metrics are received")]
    NotLoopback,
    /// The system does not give the port.
    #[error("cannot listen there: {0}")]
    Listen(#[from] io::Error),
}

/// Receives at `address`, a loopback address; port 0 takes a free one, which [`Attached::about`] names. At [`STANDARD`] it
/// also receives where SDKs send by gRPC; if somebody else has that port, it says so.
///
/// Nobody need send yet. `mappings` and `beside` are as with a metrics page.
///
/// # Errors
/// [`AttachError::Otlp`]: the address is no loopback address, or is taken.
pub fn attach(
    address: SocketAddr,
    beside: Option<Agreement>,
    mappings: &[Mapping],
    sink: Box<dyn Sink>,
) -> Result<Attached, AttachError> {
    let failed = |why| AttachError::Otlp { address, why };
    let (listener, address) = listen(address).map_err(failed)?;
    let mut sink = Shared::new(sink);
    let inbox = Arc::new(Mutex::new(Inbox::new(Arc::new(Own::new(mappings)), beside)));
    let (calls, door) = Calls::new(Arc::clone(&inbox)).map_err(|e| failed(e.into()))?;
    let mut listeners = vec![listener];
    let mut about =
        format!("OpenTelemetry metrics received at http://{address}/v1/metrics and by gRPC there");
    if address == STANDARD {
        match listen(STANDARD_GRPC) {
            Ok((listener, grpc)) => {
                about = format!(
                    "OpenTelemetry metrics received at http://{address}/v1/metrics and by gRPC at {grpc}"
                );
                listeners.push(listener);
            }
            Err(why) => sink.note(NAME, &format!("not at {STANDARD_GRPC}, where SDKs send by gRPC: {why}")),
        }
    }
    sink.note(NAME, &about);
    let crew = Crew::default();
    crew.run(calls, sink.clone());
    let listeners = Arc::new(listeners);
    for _ in 0..LISTENERS {
        let listeners = Arc::clone(&listeners);
        crew.run(Listener { listeners, inbox: Arc::clone(&inbox), door: door.clone() }, sink.clone());
    }
    crew.run(Teller { inbox: Arc::clone(&inbox), attached: MonoNs::now(), said: false }, sink);
    let nobody = move || locked(&inbox).empty().then(|| nobody_at(address));
    Ok(Attached::new(about, crew).lacking(nobody))
}

/// What a run that ends without a sender is told.
fn nobody_at(address: SocketAddr) -> String {
    format!(
        "{NAME}: nobody has sent metrics to http://{address}/v1/metrics; an SDK sends them once a minute unless \
         OTEL_METRIC_EXPORT_INTERVAL (milliseconds) says otherwise"
    )
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), OtlpError> {
    if !address.ip().is_loopback() {
        return Err(OtlpError::NotLoopback);
    }
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Says what is wrong with what a sender sends: once for each sender and mistake.
fn say(inbox: &Mutex<Inbox>, agent: &str, what: &str, sink: &mut dyn Sink) {
    let who = match agent {
        "" => "a sender without a name".to_owned(),
        agent => format!("a sender ({agent})"),
    };
    locked(inbox).troubles.say(&who, &what, sink);
}

/// Takes one request after the other.
struct Listener {
    listeners: Arc<Vec<TcpListener>>,
    inbox: Arc<Mutex<Inbox>>,
    door: Door,
}

impl Listener {
    fn serve(&self, stream: TcpStream, sink: &mut dyn Sink) -> io::Result<()> {
        let mut connection = Connection::new(stream)?;
        let taken = match connection.read(json::MAX_BYTES) {
            Ok(Came::Nothing) => return Ok(()),
            Ok(Came::Http2) => {
                self.door.take(connection.into_parts());
                return Ok(());
            }
            Ok(Came::Request(request)) => {
                let received = MonoNs::now();
                locked(&self.inbox).take(&request, received, sink).map(|()| request.form)
            }
            Err(refusal) => Err(refusal),
        };
        match taken {
            Ok(form) => connection.done(form),
            Err(refusal) => {
                let what = format!("turned away with status {}: {}", refusal.status, refusal.why);
                say(&self.inbox, connection.agent(), &what, sink);
                connection.refuse(&refusal);
            }
        }
        Ok(())
    }
}

impl Source for Listener {
    fn name(&self) -> &str {
        NAME
    }

    fn period(&self) -> Duration {
        LOOK
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        // Others that wait are this turn's too; what they may cost is bounded for each, and so is the turn.
        for listener in self.listeners.iter() {
            for _ in 0..LISTENERS {
                let Ok((stream, _)) = listener.accept() else { break };
                let _ = self.serve(stream, sink); // who is gone already has sent nothing
            }
        }
    }
}

/// Tells ages, and that nobody comes.
struct Teller {
    inbox: Arc<Mutex<Inbox>>,
    attached: MonoNs,
    said: bool,
}

impl Source for Teller {
    fn name(&self) -> &str {
        NAME
    }

    fn period(&self) -> Duration {
        TELL
    }

    fn poll(&mut self, sink: &mut dyn Sink) {
        let now = MonoNs::now();
        let mut inbox = locked(&self.inbox);
        inbox.look(now, sink);
        if inbox.empty() && !self.said && now.since(self.attached) > NOBODY {
            self.said = true;
            sink.note(NAME, &format!("nobody has sent metrics within {} s", NOBODY.as_secs()));
        }
    }
}
