//! The OTLP source: receives metrics of OpenTelemetry over loopback, by HTTP with protobuf or JSON, packed by gzip or not.
//!
//! Owns the listener and its threads. How a request is read is in `http`, its two forms in `wire` and `json`, what lines come of points in
//! `points`, who sends in `inbox`; names and lanes are the metrics page's (`metrics`). gRPC is not taken: every SDK that offers it sends by
//! HTTP as well, and a sender that tries is told so. A target's export interval is its own: dyno cannot ask for more.

mod http;
mod inbox;
mod json;
mod points;
#[cfg(test)]
mod points_test;
mod wire;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thiserror::Error;
use timeline::MonoNs;
use timeline::metric::Mapping;

use super::metrics::Own;
use super::{Agreement, AttachError, Attached, Crew, Shared, Sink, Source, locked};
use http::{Connection, Refusal};
use inbox::Inbox;

/// Name of the source.
const NAME: &str = "otlp";
/// Where every SDK sends unless it is told otherwise.
pub const STANDARD: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4318);
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

/// Receives at `address`, a loopback address; port 0 takes a free one, which [`Attached::about`] names.
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
    let listener = Arc::new(listener);
    let mut sink = Shared::new(sink);
    let inbox = Arc::new(Mutex::new(Inbox::new(Arc::new(Own::new(mappings)), beside)));
    let about = format!("OpenTelemetry metrics received at http://{address}/v1/metrics");
    sink.note(NAME, &about);
    let crew = Crew::default();
    for _ in 0..LISTENERS {
        let one = Listener { listener: Arc::clone(&listener), inbox: Arc::clone(&inbox) };
        crew.run(one, sink.clone());
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

/// Takes one request after the other.
struct Listener {
    listener: Arc<TcpListener>,
    inbox: Arc<Mutex<Inbox>>,
}

impl Listener {
    fn serve(&self, stream: TcpStream, sink: &mut dyn Sink) -> io::Result<()> {
        let mut connection = Connection::new(stream)?;
        let taken = match connection.read(json::MAX_BYTES) {
            Ok(None) => return Ok(()),
            Ok(Some(request)) => {
                let received = MonoNs::now();
                locked(&self.inbox).take(&request, received, sink).map(|()| request.form)
            }
            Err(refusal) => Err(refusal),
        };
        match taken {
            Ok(form) => connection.done(form),
            Err(refusal) => {
                self.say(&connection, &refusal, sink);
                connection.refuse(&refusal);
            }
        }
        Ok(())
    }

    /// Once for each sender and mistake.
    fn say(&self, connection: &Connection, refusal: &Refusal, sink: &mut dyn Sink) {
        let who = match connection.agent() {
            "" => "a sender without a name".to_owned(),
            agent => format!("a sender ({agent})"),
        };
        let what = format!("turned away with status {}: {}", refusal.status, refusal.why);
        locked(&self.inbox).troubles.say(&who, &what, sink);
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
        for _ in 0..LISTENERS {
            let Ok((stream, _)) = self.listener.accept() else { return };
            let _ = self.serve(stream, sink); // who is gone already has sent nothing
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
