//! `--serve`: a running run can be watched from another host.
//!
//! What is served is the recording, over HTTP/1.1: its bytes from the first on, then what is appended, until the run ends. So a late
//! joiner has the whole history, there is no second format that could differ from the first, and `curl` can copy a run while it
//! goes on. Watchers read the *file*, each on a thread of its own that owns nothing but a buffer: the recorder does
//! not know that they exist, so none of them can slow it, however slow or hostile it is. One that takes nothing for
//! [`PATIENCE`] is dropped, with a notice in the run's log.
//!
//! Only who has the token is served. On loopback it goes in the clear (a tunnel of one's own choice ends there); any other address
//! is served under TLS alone. Nothing that a watcher sends can change the run. On the same host none of this is needed:
//! [`crate::follow`] reads the file itself.
//!
//! Here the port is opened, and whoever may watch is told how; `watchers` serves. Connections on which nothing waits without end
//! (`line`) and heads of requests (`request`) are the metrics page's, too.

pub mod line;
pub mod request;
pub mod tls;
mod watchers;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use timeline::recorder::Handle;
use timeline::recording::FILE_NAME;

use crate::cli::ServeArgs;
use crate::outcome::UserError;
use crate::secret;
use tls::Fingerprint;
use watchers::{PATIENCE, Shared};

/// Where the recording is.
pub const PATH: &str = "/v1/recording";
/// Name of the environment variable that carries the token of watchers.
pub const TOKEN_VARIABLE: &str = "DYNO_WATCH_TOKEN";
/// Name of the file with the token in the run's folder, where none was given.
const TOKEN_FILE: &str = "watch.token";
/// Shortest token that can be given: 16 characters cannot be guessed over a network within the length of a run.
const SHORTEST_TOKEN: usize = 16;

/// An open port, before there is a run.
pub struct Door {
    listener: TcpListener,
    at: SocketAddr,
    token: Option<String>,
    tls: Option<tls::Server>,
}

impl Door {
    /// Opens the port that was asked for, if one was.
    pub fn open(asked: &ServeArgs) -> anyhow::Result<Option<Self>> {
        let Some(at) = asked.serve else { return Ok(None) };
        let wrong = |e: &dyn std::fmt::Display| UserError::wrong(format!("--serve {at}: {e}"));
        let token = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        if token.as_ref().is_some_and(|token| token.len() < SHORTEST_TOKEN || !plain(token)) {
            return Err(wrong(&format!(
                "the token in {TOKEN_VARIABLE} must have {SHORTEST_TOKEN} or more characters, and no spaces among them"
            )));
        }
        let listener = TcpListener::bind(at).map_err(|e| wrong(&e))?;
        listener.set_nonblocking(true)?;
        let at = listener.local_addr()?;
        let names = || vec![at.ip().to_string(), "localhost".to_owned()];
        let tls = match (&asked.serve_cert, &asked.serve_key) {
            (Some(chain), Some(key)) => Some(tls::Server::given(chain, key).map_err(|e| wrong(&e))?),
            _ if !at.ip().is_loopback() => Some(tls::Server::made(names()).map_err(|e| wrong(&e))?),
            _ => None,
        };
        Ok(Some(Self { listener, at, token, tls }))
    }

    /// Serves the run in `folder` from now on.
    pub fn serve(self, folder: &Path, handle: &Handle) -> anyhow::Result<Serving> {
        self.serve_with(folder, handle, PATIENCE)
    }

    fn serve_with(self, folder: &Path, handle: &Handle, patience: Duration) -> anyhow::Result<Serving> {
        let made;
        let (token, whence) = match &self.token {
            Some(token) => (token, format!("the token is the one in {TOKEN_VARIABLE}")),
            None => {
                made = secret::new_token()?;
                let file = folder.join(TOKEN_FILE);
                secret::write_token(&file, &made)?;
                (&made, format!("the token is in {}", file.display()))
            }
        };
        let about = about(self.at, self.tls.as_ref().map(|tls| tls.fingerprint), &whence);
        handle.log(&about);
        let recording = folder.join(FILE_NAME);
        let tls = self.tls.map(|tls| tls.config);
        let shared = Arc::new(Shared::new(recording, token.clone(), tls, handle.clone(), patience));
        let (own, listener) = (Arc::clone(&shared), self.listener);
        let thread =
            std::thread::Builder::new().name("serve".to_owned()).spawn(move || own.accept(&listener))?;
        Ok(Serving { shared, thread: Some(thread), about })
    }
}

/// What can stand in a header's value as one word.
fn plain(token: &str) -> bool {
    token.bytes().all(|b| b.is_ascii_graphic())
}

fn about(at: SocketAddr, fingerprint: Option<Fingerprint>, whence: &str) -> String {
    let host = if at.ip().is_unspecified() { "HOST".to_owned() } else { at.ip().to_string() };
    let host = if at.is_ipv6() && !at.ip().is_unspecified() { format!("[{host}]") } else { host };
    let port = at.port();
    match fingerprint {
        None => format!("to be watched by `dyno watch dyno://{host}:{port}`; {whence}"),
        Some(f) => format!("to be watched by `dyno watch dynos://{host}:{port} --fingerprint {f}`; {whence}"),
    }
}

/// What `--serve` takes: a port alone means loopback.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.replace("localhost:", "127.0.0.1:");
    let port = text.strip_prefix(':').unwrap_or(&text).parse::<u16>();
    let loopback = port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    loopback.or_else(|_| text.parse()).map_err(|_| {
        "expected PORT, which is served on loopback, or ADDRESS:PORT with an IP address of this machine"
            .to_owned()
    })
}

/// A run that is being served. Dropping it lets watchers take the rest, while they do and for at most [`watchers::WHOLE_GRACE`], and
/// ends them.
pub struct Serving {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    about: String,
}

impl Serving {
    /// How it can be watched, one line.
    pub fn about(&self) -> &str {
        &self.about
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_served_on_loopback() {
        for text in ["7000", ":7000", "localhost:7000", "127.0.0.1:7000"] {
            assert_eq!(address(text).map(|a| a.to_string()), Ok("127.0.0.1:7000".to_owned()), "{text}");
        }
        assert!(address("[::1]:7000").unwrap().ip().is_loopback());
        assert!(!address("0.0.0.0:7000").unwrap().ip().is_loopback());
        for wrong in ["", "here", "70000", "10.0.0.1"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn whoever_may_watch_is_told_how() {
        let all =
            about("0.0.0.0:7".parse().unwrap(), Some(Fingerprint::parse(&"a".repeat(64)).unwrap()), "x");
        assert!(all.contains("dynos://HOST:7 --fingerprint aaaa"), "{all}");
        assert!(about("[::1]:7".parse().unwrap(), None, "x").contains("dyno://[::1]:7`"));
    }
}
