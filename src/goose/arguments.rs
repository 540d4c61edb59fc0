//! What the arguments of a goose binary tell us, and which ones we add.
//!
//! Owns the few options of goose that matter here; all others are passed on as they are.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use crate::sources::Located;

/// Where goose's telnet controller is unless told otherwise.
const TELNET_PORT: u16 = 5116;
/// Options of goose that bring their own rule for when figures begin, and refuse `--no-reset-metrics`.
const OWN_RESET: [&str; 4] = ["--no-reset-metrics", "--test-plan", "--iterations", "--no-metrics"];
/// `COMMAND` may be started by another one, such as `cargo run --release --`; goose's options follow this.
const SEPARATOR: &str = "--";

/// The command line of a goose binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    all: Vec<OsString>,
    added: Vec<String>,
    host: Option<String>,
    controller: SocketAddr,
}

impl Arguments {
    /// Reads a command with its arguments; finds a free port for the controller where none is given.
    ///
    /// # Errors
    /// The sentence that a person reads, where the binary would tell us nothing.
    pub fn read(command: &[OsString]) -> Result<Self, String> {
        let all = command.to_vec();
        if all.is_empty() {
            return Err(
                "expected a command: dyno goose -- ./my-load-test --host http://127.0.0.1:3000".to_owned()
            );
        }
        if flag(&all, "--no-telnet") {
            return Err(
                "--no-telnet switches off the controller that dyno reads goose's figures from; leave it out \
                        (dyno has it listen on 127.0.0.1 alone)"
                    .to_owned(),
            );
        }
        if flag(&all, "--no-metrics") {
            return Err("--no-metrics switches off the figures that dyno is to read; leave it out".to_owned());
        }
        let mut added = Vec::new();
        let ip = value(&all, &["--telnet-host"]).and_then(|h| h.parse().ok());
        let port = value(&all, &["--telnet-port"]).and_then(|p| p.parse().ok());
        if value(&all, &["--telnet-host"]).is_none() {
            added.extend(["--telnet-host".to_owned(), Ipv4Addr::LOCALHOST.to_string()]);
        }
        let port = port.unwrap_or_else(|| {
            let port = free_port();
            added.extend(["--telnet-port".to_owned(), port.to_string()]);
            port
        });
        // goose forgets everything once all users have started, and a fall of its counters would hide what was before.
        if !OWN_RESET.iter().any(|o| flag(&all, o)) {
            added.push("--no-reset-metrics".to_owned());
        }
        let ip = ip.filter(|ip: &IpAddr| !ip.is_unspecified()).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let host = value(&all, &["--host", "-H"]);
        Ok(Self { controller: SocketAddr::new(ip, port), host, all, added })
    }

    /// The program to start.
    pub fn program(&self) -> &Path {
        Path::new(&self.all[0])
    }

    /// Its arguments, ours after the user's.
    pub fn passed(&self) -> Vec<OsString> {
        self.all[1..].iter().cloned().chain(self.added.iter().map(OsString::from)).collect()
    }

    /// Name of the program.
    pub fn name(&self) -> String {
        let name = self.program().file_name().unwrap_or(OsStr::new("goose"));
        timeline::text::clean(&name.to_string_lossy(), 64)
    }

    /// Where its controller should listen.
    pub fn controller(&self) -> SocketAddr {
        self.controller
    }

    /// What is loaded, as far as the command line says; without user, password and query.
    pub fn target(&self) -> String {
        match self.host.as_deref().map(scenarios::base_url) {
            Some(Ok(url)) => url.to_string(),
            _ => "a host set in the code of the goose binary".to_owned(),
        }
    }

    /// What is loaded, for what is attached to it.
    pub fn here(&self) -> Located<'static> {
        let url = self.host.as_deref().and_then(|host| scenarios::base_url(host).ok());
        url.map_or_else(Located::default, |url| Located::at(&url, &[]))
    }

    /// What was added to the command line, and what cannot be known.
    pub fn notes(&self) -> Vec<String> {
        let mut notes =
            vec![format!("passed on to goose beside its own arguments: {}", self.added.join(" "))];
        notes.push(
            "goose is asked once a second: what it did after the last answer is not in the figures"
                .to_owned(),
        );
        notes
    }
}

fn flag(all: &[OsString], name: &str) -> bool {
    let is = |a: &str| a == name || a.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
    all[1..].iter().any(|a| a.to_str().is_some_and(is))
}

/// The value of an option: `--host X`, `--host=X`, `-H X`, `-HX`; the last one counts.
fn value(all: &[OsString], names: &[&str]) -> Option<String> {
    let mut found = None;
    let mut words = all[1..].iter().map(|a| a.to_string_lossy()).peekable();
    while let Some(word) = words.next() {
        for name in names {
            if word == *name {
                found = words.peek().filter(|w| **w != SEPARATOR).map(ToString::to_string).or(found.take());
            } else if let Some(rest) = word.strip_prefix(name) {
                match (rest.strip_prefix('='), name.starts_with(SEPARATOR)) {
                    (Some(rest), _) => found = Some(rest.to_owned()),
                    (None, false) => found = Some(rest.to_owned()),
                    (None, true) => {}
                }
            }
        }
    }
    found
}

/// A port that was free a moment ago; if none can be had, goose's own.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).map_or(TELNET_PORT, |a| a.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Arguments, String> {
        Arguments::read(&text.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_missing_is_added_once() {
        let a = read("./x -H http://user:pw@127.0.0.1:3000/?q=1 -u 5 --telnet-port 6000").unwrap();
        assert_eq!(a.added, ["--telnet-host", "127.0.0.1", "--no-reset-metrics"]);
        assert_eq!(a.controller(), "127.0.0.1:6000".parse().unwrap());
        let a = read("./x --host=http://localhost:3000 --telnet-host 0.0.0.0 --test-plan 10,1m").unwrap();
        assert_eq!(a.added.len(), 2, "{:?}", a.added);
        assert_eq!(a.added[0], "--telnet-port");
        assert_eq!((a.controller().ip().is_loopback(), a.here().port), (true, Some(3000)));
        assert_eq!(a.target(), "http://localhost:3000");
        assert_eq!(read("./x -Hhttp://10.0.0.1:80").unwrap().here().port, None);
        // Reports write what stands here behind "against".
        assert_eq!(read("./x -u 5").unwrap().target(), "a host set in the code of the goose binary");
    }

    #[test]
    fn what_would_keep_us_blind_is_refused() {
        assert!(read("./x --no-telnet").unwrap_err().contains("--no-telnet switches off the controller"));
        assert!(read("./x --no-metrics").unwrap_err().contains("--no-metrics"));
    }
}
