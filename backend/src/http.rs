//! Serving a router on a listener: connections with time limits, and their orderly end.
//!
//! Shop, services and control endpoint share it. Owns the connections (one task each, in a [`JoinSet`]); routes
//! belong to whoever made the router, what is no request to [`heads`], and the time that a client may take to [`turns`].

mod heads;
mod turns;

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use heads::{Broken, Reasoned};
use turns::{Answered, Turns, UnderWay};

/// A connection that sends no whole head for so long is closed. Idle time between requests counts,
/// too, so it must exceed every think time that is worth keeping a connection for.
const HEAD_PATIENCE: Duration = Duration::from_secs(75);
/// The longest head, its request line included, bytes; hyper alone would take six times as much of every connection.
/// Not its `max_buf_size`, which also bounds what it reads of bodies and what it writes.
const MAX_HEAD: usize = 64 * 1024;
/// Pause after a failed `accept` (mostly: no descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The kernel cuts it down to `net.core.somaxconn`.
pub const BACKLOG: u32 = 4_096;

/// How far a server has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It takes connections.
    Open,
    /// It takes no new ones. On those that are open it answers, and asks the client to leave with each answer: a
    /// server that closes an idle connection may lose the request that is on its way there.
    Leaving,
    /// It closes connections on which no request is under way, and finishes the others, however long that takes.
    Emptying,
    /// It finishes requests in flight, for as long as its grace lasts.
    Ending,
}

/// Where connections come from.
pub trait Entrance: Send {
    /// Held by a connection while it is open.
    type Guest: Send + 'static;

    /// The next connection. Dropping it loses none.
    fn accept(&mut self) -> impl Future<Output = std::io::Result<TcpStream>> + Send;

    /// Is this client let in? No other is taken before that is clear.
    fn admit(&mut self, client: &TcpStream) -> impl Future<Output = Option<Self::Guest>> + Send;
}

/// Everybody is let in.
impl Entrance for TcpListener {
    type Guest = ();

    async fn accept(&mut self) -> std::io::Result<TcpStream> {
        Ok(Self::accept(self).await?.0)
    }

    async fn admit(&mut self, _client: &TcpStream) -> Option<()> {
        Some(())
    }
}

/// What is done to every answer on its way out.
pub type Finish = fn(&mut Response);

/// Answers a request without looking at its path.
pub type Direct = Box<dyn Fn(Request<Body>) -> Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync>;

/// Which request is answered by whom.
pub struct Routing {
    router: TowerToHyperService<Router>,
    /// `GET` of paths without parameters, past the router, which makes a service, a future and parameters of a path for every request.
    direct: HashMap<&'static str, Direct>,
}

impl Routing {
    /// By `router`, which must answer in the same way what is asked of `direct`.
    pub fn new(router: Router, direct: HashMap<&'static str, Direct>) -> Self {
        Self { router: TowerToHyperService::new(router), direct }
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response, Infallible> {
        let direct =
            if *request.method() == Method::GET { self.direct.get(request.uri().path()) } else { None };
        match direct {
            Some(answer) => Ok(answer(request).await),
            None => self.router.call(request).await,
        }
    }
}

impl From<Router> for Routing {
    fn from(router: Router) -> Self {
        Self::new(router, HashMap::new())
    }
}

/// What all connections of a server share. Answers are finished here and not in layers of the router: each of those
/// takes a box for the service and one for the future of every request, and they came to a tenth of a plain one.
struct Server {
    routing: Routing,
    finish: Finish,
    stage: watch::Receiver<Stage>,
}

/// Serves until `stage` says otherwise: then it stops accepting, serves open connections while the stage is
/// [`Stage::Leaving`], closes idle ones from [`Stage::Emptying`] on, lets requests in flight finish for `grace` when it is
/// [`Stage::Ending`], and closes what is left. Dropping the future closes everything at once.
pub async fn serve(
    mut entrance: impl Entrance,
    routing: impl Into<Routing>,
    finish: Finish,
    stage: watch::Receiver<Stage>,
    grace: Duration,
) {
    let server = Arc::new(Server { routing: routing.into(), finish, stage: stage.clone() });
    let mut connections = JoinSet::new();
    let mut leave = stage.clone();
    loop {
        tokio::select! {
            accepted = entrance.accept() => match accepted {
                Ok(stream) => if let Some(guest) = entrance.admit(&stream).await {
                    let served = connection(stream, server.clone(), HEAD_PATIENCE);
                    connections.spawn(async move {
                        served.await;
                        drop(guest);
                    });
                },
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
            () = reached(&mut leave, Stage::Leaving) => break,
        }
    }
    drop(entrance);
    let mut end = stage;
    let patience = async {
        reached(&mut end, Stage::Ending).await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        () = async { while connections.join_next().await.is_some() {} } => {}
        () = patience => {}
    }
    connections.shutdown().await;
}

/// Waits until `stage` has come so far. A sender that is gone means the same.
pub async fn reached(stage: &mut watch::Receiver<Stage>, wanted: Stage) {
    let _ = stage.wait_for(|s| *s >= wanted).await;
}

/// Waits until `flag` is `wanted`. A sender that is gone means the same.
pub async fn told(flag: &mut watch::Receiver<bool>, wanted: bool) {
    let _ = flag.wait_for(|f| *f == wanted).await;
}

impl Server {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        under_way: UnderWay,
    ) -> Result<Response<Answered>, Infallible> {
        // An empty one takes no box.
        let body = |sent: Incoming| if sent.is_end_stream() { Body::empty() } else { Body::new(sent) };
        let mut response = self.routing.answer(request.map(body)).await?;
        (self.finish)(&mut response);
        if *self.stage.borrow() != Stage::Open && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| Answered::new(body, under_way)))
    }
}

/// Serves one connection to its end; one that sends no whole head for `patience` is closed.
async fn connection(stream: TcpStream, server: Arc<Server>, patience: Duration) {
    // Small answers must not wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let (mut stage, finish, turns) = (server.stage.clone(), server.finish, Turns::default());
    let asked = turns.clone();
    let service = service_fn(move |request| server.clone().answer(request, asked.begin()));
    let mut connection = http1::Builder::new()
        .max_header_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Reasoned::new(stream, finish)), service)
        .with_upgrades();
    let mut late = pin!(turns.run_out(patience));
    let mut emptying = pin!(reached(&mut stage, Stage::Emptying));
    let mut empties = false;
    let ended = loop {
        tokio::select! {
            // An order of its own would be drawn at each turn.
            biased;
            ended = &mut connection => break ended.map_err(Broken::Failed),
            () = &mut late => break Err(Broken::Late),
            () = &mut emptying, if !empties => {
                Pin::new(&mut connection).graceful_shutdown();
                empties = true;
            }
        }
    };
    // Errors here are the client's: resets, patience at its end, bad heads (hyper has answered those with 400, long ones with 431).
    if let Err(broken) = ended
        && let Some(left) = connection.into_parts()
    {
        left.io.into_inner().explain(&broken, &left.read_buf);
    }
}

/// Does a request bear `token`? Takes as long for a wrong one of its length as for the right one.
pub fn bears(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|h| h.as_bytes().strip_prefix(b"Bearer "));
    given.is_some_and(|given| verify_slices_are_equal(given, token.as_bytes()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// All that a client hears which sends `bytes` and then waits, of a server that waits for nobody.
    async fn heard(bytes: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(bytes.as_bytes()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        if !bytes.is_empty() {
            stream.readable().await.unwrap();
        }
        let (_open, stage) = watch::channel(Stage::Open);
        let routing = Router::new().route("/", get(|| async { "here" })).into();
        connection(stream, Arc::new(Server { routing, finish: |_| {}, stage }), Duration::ZERO).await;
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        heard
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_in_time_is_told_so_and_idleness_ends_in_silence() {
        let whole = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for nothing in ["", "\r\n"] {
            assert_eq!(heard(nothing).await, "");
            let answer = heard(&format!("{whole}{nothing}")).await;
            assert!(
                answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhere"),
                "{answer}"
            );
        }
        for begun in ["G", "GET / HTTP/1.1\r\nHost: "] {
            let late = heard(begun).await;
            assert!(late.starts_with("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n"), "{late}");
            assert!(
                late.ends_with("\r\n\r\n{\"error\":\"the head of the request does not come in time\"}"),
                "{late}"
            );
            let answer = heard(&format!("{whole}{begun}")).await;
            assert!(answer.contains("\r\n\r\nhereHTTP/1.1 408 "), "{answer}");
        }
    }

    /// Reads until what came ends with `last`.
    async fn read_to(client: &mut TcpStream, last: &str) -> String {
        let mut heard = Vec::new();
        while !heard.ends_with(last.as_bytes()) {
            heard.push(client.read_u8().await.unwrap());
        }
        String::from_utf8(heard).unwrap()
    }

    #[tokio::test]
    async fn a_server_that_empties_closes_idle_connections_and_finishes_what_is_in_flight() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (say_stage, stage) = watch::channel(Stage::Open);
        let router = Router::new().route("/", get(|| async { "here" }).post(|body: String| async { body }));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, router, |_| {}, stage, Duration::ZERO));
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        read_to(&mut idle, "\r\n\r\nhere").await;
        let mut busy = TcpStream::connect(address).await.unwrap();
        let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
        busy.write_all(head.as_bytes()).await.unwrap();
        assert!(read_to(&mut busy, "\r\n\r\n").await.starts_with("HTTP/1.1 100"), "it is under way");
        say_stage.send(Stage::Emptying).unwrap();
        assert_eq!(idle.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        busy.write_all(b"late").await.unwrap();
        let mut answer = String::new();
        busy.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nlate"), "{answer}");
        // It is done when it is empty.
        server.join_next().await.unwrap().unwrap();
    }
}
