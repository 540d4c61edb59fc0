//! The clients that are compared: ours, and the peers that `benches/peers` installs.
//!
//! Owns finding them, their versions and their command lines. A peer is told to run much longer than it is measured, and is
//! killed when it has been.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::process::{Place, Recipe};
use super::scenario::{self, Work};

/// How long a client is told to run, seconds: more than connecting and any window take.
pub const RUN_S: u64 = 180;

/// Who ours is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Wrk,
    Oha,
    Goose,
    K6,
    Fastwebsockets,
    TokioWebsockets,
    /// Ours again: what differs is noise.
    Ourselves,
}

impl Peer {
    const OTHERS: [Self; 6] =
        [Self::Wrk, Self::Oha, Self::Goose, Self::K6, Self::Fastwebsockets, Self::TokioWebsockets];

    pub fn name(self) -> &'static str {
        match self {
            Self::Wrk => "wrk",
            Self::Oha => "oha",
            Self::Goose => "goose",
            Self::K6 => "k6",
            Self::Fastwebsockets => "fastwebsockets",
            Self::TokioWebsockets => "tokio-websockets",
            Self::Ourselves => "self",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Wrk => "wrk",
            Self::Oha => "oha",
            Self::Goose => "dyno-bench-goose",
            Self::K6 => "k6",
            Self::Fastwebsockets | Self::TokioWebsockets => "dyno-bench-websockets",
            Self::Ourselves => "dyno",
        }
    }

    /// What makes its program tell its version, and a word that the line which does holds.
    fn version_question(self) -> (&'static str, &'static str) {
        match self {
            Self::Wrk => ("-v", "wrk "),
            Self::Oha => ("--version", "oha"),
            Self::K6 => ("version", "k6"),
            _ => ("--bench-version", ""),
        }
    }
}

/// Where each peer was found.
pub struct Peers {
    found: BTreeMap<&'static str, (PathBuf, String)>,
    wanted: bool,
}

impl Peers {
    /// Looks in `folder`, where `benches/peers` puts them, and in the path.
    pub fn find(folder: Option<&Path>) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> =
            folder.map(|f| f.join("bin")).into_iter().chain(std::env::split_paths(&path)).collect();
        let locate = |peer: Peer| {
            let program = folders.iter().map(|f| f.join(peer.program())).find(|p| p.is_file())?;
            let version = version(&program, peer.version_question())?;
            Some((peer.name(), (program, version)))
        };
        Self { found: Peer::OTHERS.into_iter().filter_map(locate).collect(), wanted: true }
    }

    /// None are wanted.
    pub fn none() -> Self {
        Self { found: BTreeMap::new(), wanted: false }
    }

    /// The version of every peer that was looked for; none: it is not there.
    pub fn versions(&self) -> BTreeMap<String, Option<String>> {
        let of = |peer: Peer| {
            (peer.name().to_owned(), self.found.get(peer.name()).map(|(_, version)| version.clone()))
        };
        Peer::OTHERS.into_iter().filter(|_| self.wanted).map(of).collect()
    }

    /// How a peer is started to do `work` over so many connections; none if it is not there.
    pub fn recipe(
        &self,
        peer: Peer,
        work: Work,
        place: &Place<'_>,
        at: At,
    ) -> anyhow::Result<Option<Recipe>> {
        if peer == Peer::Ourselves {
            return ours(work, place, at).map(|r| Some(Recipe { name: "dyno again".to_owned(), ..r }));
        }
        let Some((program, _)) = self.found.get(peer.name()) else { return Ok(None) };
        let (args, env) = command(peer, work, place, at)?;
        Ok(Some(Recipe {
            name: peer.name().to_owned(),
            program: program.clone(),
            args: args.into_iter().map(OsString::from).collect(),
            env,
            folder: None,
        }))
    }
}

/// The target, and how many connections to it.
#[derive(Debug, Clone, Copy)]
pub struct At {
    pub port: u16,
    pub connections: u64,
}

fn version(program: &Path, (question, word): (&str, &str)) -> Option<String> {
    let said = Command::new(program).arg(question).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    let line = text.lines().find(|l| l.contains(word) && !l.trim().is_empty())?;
    Some(timeline::text::clean(line.trim(), 80))
}

type Told = (Vec<String>, Vec<(&'static str, String)>);

fn command(peer: Peer, work: Work, place: &Place<'_>, at: At) -> anyhow::Result<Told> {
    let At { port, connections } = at;
    let path = if work == Work::Script { "/item/500?s=1" } else { "/" };
    let base = format!("http://127.0.0.1:{port}");
    let (n, s) = (connections.to_string(), format!("{RUN_S}s"));
    let line = match peer {
        Peer::Wrk => format!("-t{} -c{n} -d{s} --timeout 30s {base}{path}", place.client_cores()),
        Peer::Oha => format!("--no-tui -z {s} -c {n} {base}{path}"),
        Peer::Goose => format!(
            "--host {base} --users {n} --increase-rate {n} --run-time {s} --no-telnet --no-websocket --no-print-metrics --quiet"
        ),
        Peer::K6 => format!("run --quiet --no-summary --vus {n} --duration {s} {}", script(place, work)?),
        Peer::Fastwebsockets | Peer::TokioWebsockets => format!("{} {port} {n}", peer.name()),
        Peer::Ourselves => String::new(),
    };
    let env = vec![
        ("BENCH_PATH", path.to_owned()),
        ("BENCH_URL", format!("{base}{path}")),
        ("BENCH_SOCKET", format!("ws://127.0.0.1:{port}/echo")),
        ("K6_NO_USAGE_REPORT", "true".to_owned()),
    ];
    Ok((line.split(' ').map(str::to_owned).collect(), env))
}

/// Writes what k6 does, and gives back where.
fn script(place: &Place<'_>, work: Work) -> anyhow::Result<String> {
    let text = match work {
        Work::Echo | Work::EchoScript => K6_ECHO,
        _ => K6_GET,
    };
    let path = place.scratch.join("k6.js");
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

const K6_GET: &str = "\
import http from 'k6/http';
export const options = { discardResponseBodies: true };
export default function () { http.get(__ENV.BENCH_URL); }
";

const K6_ECHO: &str = "\
import ws from 'k6/ws';
const text = '{\"id\":123456,\"say\":\"hello, you\"}';
export default function () {
  ws.connect(__ENV.BENCH_SOCKET, {}, (socket) => {
    socket.on('open', () => socket.send(text));
    socket.on('message', () => socket.send(text));
  });
}
";

/// How ours is started to do the same, on as many workers as there are cores.
pub fn ours(work: Work, place: &Place<'_>, at: At) -> anyhow::Result<Recipe> {
    let text = scenario::held(work, at.port, at.connections, RUN_S);
    let mut recipe = run(place, "dyno", &text)?;
    recipe.args.extend(["--load-workers".into(), place.client_cores().to_string().into()]);
    Ok(recipe)
}

/// How a `dyno run` of a scenario is started.
pub fn run(place: &Place<'_>, name: &str, scenario: &str) -> anyhow::Result<Recipe> {
    run_watching(place, name, scenario, "none")
}

/// The same, reading what is `attached` to it. Its folder is cleared: `dyno run` takes none that is in use, and a row that fails leaves
/// its own behind.
pub fn run_watching(place: &Place<'_>, name: &str, scenario: &str, attached: &str) -> anyhow::Result<Recipe> {
    let file = place.scratch.join(format!("{name}.toml"));
    std::fs::write(&file, scenario)?;
    let folder = place.scratch.join(format!("{name}-run"));
    match std::fs::remove_dir_all(&folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("cannot clear {}", folder.display()));
        }
        _ => {}
    }
    let mut args: Vec<OsString> = vec!["run".into(), file.into()];
    args.extend(["--ui", "none", "--attach", attached, "--yes", "--out"].map(OsString::from));
    args.push(folder.clone().into());
    Ok(Recipe {
        name: name.to_owned(),
        program: std::env::current_exe()?,
        args,
        env: Vec::new(),
        folder: Some(folder),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::stop::Stops;

    #[test]
    fn what_a_failed_row_left_is_gone_before_the_next_one() {
        let (scratch, stops) = (tempfile::tempdir().unwrap(), Stops::default());
        let place = Place { split: None, stops: &stops, scratch: scratch.path() };
        let at = At { port: 1, connections: 1 };
        let folder = ours(Work::Get, &place, at).unwrap().folder.unwrap();
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("recording.dyno"), "").unwrap();
        assert_eq!(ours(Work::Get, &place, at).unwrap().folder.unwrap(), folder);
        assert!(!folder.exists());
    }
}
