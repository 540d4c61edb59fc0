//! A run on another host, as it is served there by [`crate::serve`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use timeline::text::clean;

use crate::cli::WatchArgs;
use crate::outcome::UserError;
use crate::serve::tls::{self, Fingerprint};
use crate::serve::{PATH, TOKEN_VARIABLE};

/// Time for connecting, and for each step of the handshake and of the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest head of an answer, bytes.
const LONGEST_HEAD: usize = 4_096;
/// Bytes that are taken in at a time.
const CHUNK: usize = 64 << 10;
/// Chunks that may wait while the detectors run over the history: 256 MiB, an hour of a large run. Then the run's side waits.
const PENDING: usize = 4_096;

/// What arrives.
pub enum Arrived {
    Bytes(Vec<u8>),
    /// Nothing more will; if the connection broke, why.
    Over(Option<String>),
}

/// A connection over which a recording arrives.
pub struct Remote(Receiver<Arrived>);

impl Remote {
    /// Connects to `address`, shows the token, and lets the recording come, on a thread of its own: it ends with the connection, or with the
    /// first bytes that nobody takes any more.
    pub fn connect(address: &str, under_tls: bool, args: &WatchArgs) -> anyhow::Result<Self> {
        let token = token(args.token_file.as_deref())?;
        let socket = reach(address, under_tls)?;
        let failed = |e: io::Error| UserError::unreachable(format!("{address}: {}", told(&e, under_tls)));
        let mut stream: Box<dyn Both> = if under_tls {
            Box::new(secured(address, args, socket.try_clone()?)?)
        } else {
            Box::new(socket.try_clone()?)
        };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let request = format!("GET {PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).and_then(|()| stream.flush()).map_err(failed)?;
        let (status, rest) = answer(&mut stream).map_err(failed)?;
        refused(address, status)?;
        // A run may say nothing for a while: a load worker that starts, a machine that is suspended.
        socket.set_read_timeout(None)?;

        let (send, receive) = sync_channel(PENDING);
        std::thread::Builder::new().name("follow".to_owned()).spawn(move || {
            let mut next = Arrived::Bytes(rest);
            let mut chunk = vec![0; CHUNK];
            loop {
                let over = matches!(next, Arrived::Over(_));
                if send.send(next).is_err() || over {
                    return;
                }
                next = match stream.read(&mut chunk) {
                    Ok(0) => Arrived::Over(None),
                    Ok(n) => Arrived::Bytes(chunk[..n].to_vec()),
                    Err(e) => Arrived::Over(Some(told(&e, under_tls))),
                };
            }
        })?;
        Ok(Self(receive))
    }

    /// What has arrived; none if nothing has.
    pub fn take(&self) -> Option<Arrived> {
        match self.0.try_recv() {
            Ok(arrived) => Some(arrived),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Arrived::Over(None)),
        }
    }
}

trait Both: Read + Write + Send {}
impl<T: Read + Write + Send> Both for T {}

/// From the environment or from a file that nobody else may read; never from the command line, which everybody may.
fn token(file: Option<&Path>) -> anyhow::Result<String> {
    let Some(file) = file else {
        let token = std::env::var(TOKEN_VARIABLE).unwrap_or_default();
        return if token.is_empty() {
            Err(UserError::wrong(format!(
                "the run's token is expected in the environment variable {TOKEN_VARIABLE} or in a file: --token-file FILE"
            )))
        } else {
            checked(token.trim(), TOKEN_VARIABLE)
        };
    };
    let wrong = |e: &dyn std::fmt::Display| UserError::wrong(format!("--token-file {}: {e}", file.display()));
    let mode = std::fs::metadata(file).map_err(|e| wrong(&e))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(wrong(&"others may read it too; say chmod 600"));
    }
    let text = std::fs::read_to_string(file).map_err(|e| wrong(&e))?;
    checked(text.trim(), &file.display().to_string())
}

fn checked(token: &str, whence: &str) -> anyhow::Result<String> {
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(UserError::wrong(format!("{whence} holds no token: expected one word")));
    }
    Ok(token.to_owned())
}

fn reach(address: &str, under_tls: bool) -> anyhow::Result<TcpStream> {
    let wrong = |e: &dyn std::fmt::Display| UserError::wrong(format!("{address}: {e}; expected HOST:PORT"));
    let mut last = None;
    for at in address.to_socket_addrs().map_err(|e| wrong(&e))? {
        if !under_tls && !loopback(at.ip()) {
            return Err(UserError::wrong(format!(
                "{address} is not on this host: the token and the run would cross the network in the clear. Use dynos://, or a tunnel: \
                 ssh -L 7000:127.0.0.1:PORT HOST, then dyno watch dyno://127.0.0.1:7000"
            )));
        }
        match TcpStream::connect_timeout(&at, PATIENCE) {
            Ok(socket) => {
                socket.set_read_timeout(Some(PATIENCE))?;
                socket.set_write_timeout(Some(PATIENCE))?;
                return Ok(socket);
            }
            Err(e) => last = Some(e),
        }
    }
    let why = last.map_or_else(|| "the name has no address".to_owned(), |e| e.to_string());
    Err(UserError::unreachable(format!("no run is served at {address}: {why}")))
}

fn loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn secured(
    address: &str,
    args: &WatchArgs,
    socket: TcpStream,
) -> anyhow::Result<StreamOwned<ClientConnection, TcpStream>> {
    let wrong = |e: &dyn std::fmt::Display| UserError::wrong(format!("{address}: {e}"));
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|e| wrong(&e))?;
    let pinned: Option<Fingerprint> = args.fingerprint;
    let config = tls::client(pinned).map_err(|e| wrong(&e))?;
    let mut stream = StreamOwned::new(ClientConnection::new(config, name).map_err(|e| wrong(&e))?, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).map_err(|e| {
            let hint = if pinned.is_some() {
                ""
            } else {
                "; --fingerprint, as the run shows it, says whom to trust"
            };
            UserError::wrong(format!("{address}: {}{hint}", told(&e, true)))
        })?;
    }
    Ok(stream)
}

/// The status of the answer, and what came with its head.
fn answer(stream: &mut dyn Both) -> io::Result<(u16, Vec<u8>)> {
    let mut head = Vec::new();
    let mut part = [0; 1_024];
    loop {
        let read = stream.read(&mut part)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&part[..read]);
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Response::new(&mut headers);
        match parsed.parse(&head) {
            Ok(httparse::Status::Complete(n)) => return Ok((parsed.code.unwrap_or(0), head.split_off(n))),
            Ok(httparse::Status::Partial) if head.len() < LONGEST_HEAD => {}
            Ok(httparse::Status::Partial) => {
                return Err(io::Error::other("the head of its answer is too long"));
            }
            Err(_) => return Err(io::Error::other("what answers there speaks no HTTP, and is no run")),
        }
    }
}

fn refused(address: &str, status: u16) -> anyhow::Result<()> {
    match status {
        200 => Ok(()),
        401 => Err(UserError::wrong(format!(
            "{address} refuses the token (401): it must be the one that this run was started with or has written to its folder"
        ))),
        other => {
            Err(UserError::wrong(format!("what answers at {address} is no run of dyno: status {other}")))
        }
    }
}

fn told(e: &io::Error, under_tls: bool) -> String {
    match e.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => format!("no answer within {} s", PATIENCE.as_secs()),
        ErrorKind::UnexpectedEof if under_tls => "the connection broke off".to_owned(),
        ErrorKind::UnexpectedEof => "it hangs up; is it served under TLS (dynos://)?".to_owned(),
        ErrorKind::InvalidData => format!("TLS: {}", clean(&e.to_string(), 200)),
        _ => clean(&e.to_string(), 200),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_others_may_read_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        crate::secret::write_token(&file, "0123456789abcdef").unwrap();
        assert_eq!(token(Some(&file)).unwrap(), "0123456789abcdef");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(token(Some(&file)).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn nothing_crosses_a_network_in_the_clear() {
        // 192.0.2.0/24 is reserved for documentation; nothing is sent there.
        let error = reach("192.0.2.1:7", false).unwrap_err().to_string();
        assert!(error.contains("in the clear") && error.contains("dynos://"), "{error}");
        assert!(loopback("::ffff:127.0.0.1".parse().unwrap()));
    }
}
