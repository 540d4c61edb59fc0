//! The services that sources watch in a bench, and how each is watched: one line of [`Watched`] and of its matches for each source.
//!
//! Owns starting them on their half of the cores, asking the one that speaks no HTTP, and what a machine lacks for them. Libraries of
//! Node.js are looked for where the bench is started and in `profiler/tests/libraries`, where the tests install them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::machine;
use super::process::Place;
use super::servers::{Kind, Server};
use super::watching::Attach;
use crate::secret::TOKEN_VARIABLE;

/// How long a service may take until it listens: a JVM compiles its source first.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Commands that Redis is sent in one go.
const BATCH: u64 = 20;
/// An answer of Redis that takes longer is none.
const ANSWER: Duration = Duration::from_secs(5);

/// What is watched, named after the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// The bundled backend by its agent, beside itself with the agent at rest.
    Agent,
    /// Node.js by its inspector.
    Node,
    /// Node.js with prom-client by its page.
    Metrics,
    /// Node.js that sends by OpenTelemetry's SDK ten times a second, beside itself without the SDK.
    Otlp,
    /// A JVM by its counters.
    Jvm,
    /// A hyper server from outside.
    Process,
    /// Redis by its own statistics.
    Redis,
}

impl Watched {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Agent, Self::Node, Self::Metrics, Self::Otlp, Self::Jvm, Self::Process, Self::Redis];

    /// The source.
    pub const fn source(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Node => "node",
            Self::Metrics => "metrics",
            Self::Otlp => "otlp",
            Self::Jvm => "jvm",
            Self::Process => "process",
            Self::Redis => "redis",
        }
    }

    /// As a person reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "shop",
            Self::Node => "Node.js",
            Self::Metrics => "Node.js with prom-client",
            Self::Otlp => "Node.js with OpenTelemetry",
            Self::Jvm => "JVM",
            Self::Process => "bare hyper",
            Self::Redis => "Redis",
        }
    }

    /// Requests a second that its worker bears with room to spare.
    pub const fn per_s(self, quick: bool) -> u64 {
        match (self, quick) {
            (Self::Agent | Self::Process | Self::Redis, false) => 20_000,
            (Self::Agent | Self::Process | Self::Redis, true) => 5_000,
            (_, false) => 3_000,
            (_, true) => 1_000,
        }
    }

    /// What of it is not on this machine.
    pub fn missing(self) -> Option<String> {
        let program = match self {
            Self::Agent | Self::Process => return None,
            Self::Node | Self::Metrics | Self::Otlp => "node",
            Self::Jvm => "javac", // what runs a source file
            Self::Redis => "redis-server",
        };
        let paths = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&paths).any(|p| p.join(program).is_file()) {
            return Some(format!("{program} is missing"));
        }
        let library = match self {
            Self::Metrics => "prom-client",
            Self::Otlp => "@opentelemetry/sdk-metrics",
            _ => return None,
        };
        let there = library_folders().iter().any(|f| f.join(library).is_dir());
        (!there)
            .then(|| format!("{library} is missing: `npm ci --prefix profiler/tests/libraries` installs it"))
    }
}

fn library_folders() -> Vec<PathBuf> {
    let here = std::env::current_dir().unwrap_or_default();
    vec![here.join("node_modules"), here.join("profiler/tests/libraries/node_modules")]
}

/// A service that runs. Dropping it ends it.
pub struct Service {
    watched: Watched,
    /// Where it listens.
    pub port: u16,
    running: Running,
    /// Sockets that it has without any client.
    pub own_sockets: u64,
}

enum Running {
    Server(Server),
    Child(Process),
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Service {
    /// Starts one, and says how it is watched if it is to be.
    pub fn start(place: &Place<'_>, watched: Watched, is: bool) -> anyhow::Result<(Self, Option<Attach>)> {
        let otlp = if watched == Watched::Otlp && is { Some(free_port()?) } else { None };
        let (port, running) = match watched {
            Watched::Agent => of_server(Server::start(place, if is { Kind::Shop } else { Kind::Unwatched })?),
            Watched::Process => of_server(Server::start(place, Kind::Bare)?),
            Watched::Redis => redis(place)?,
            Watched::Jvm => script(place, "java", &[], "Served.java", JAVA, &[])?,
            Watched::Node | Watched::Metrics | Watched::Otlp => {
                let to = otlp.map(|port| format!("http://127.0.0.1:{port}/v1/metrics")).unwrap_or_default();
                let page = if watched == Watched::Metrics { "page" } else { "" };
                script(place, "node", &["--inspect-port=0"], "served.cjs", NODE, &[page, &to])?
            }
        };
        let mut service = Self { watched, port, running, own_sockets: 0 };
        service.own_sockets = machine::sockets(&service.pids());
        let attach = is.then(|| service.attach(otlp));
        Ok((service, attach))
    }

    /// Its processes.
    pub fn pids(&self) -> Vec<u32> {
        match &self.running {
            Running::Server(server) => server.serving(),
            Running::Child(child) => vec![child.0.id()],
        }
    }

    fn attach(&self, otlp: Option<u16>) -> Attach {
        let (port, pid) = (self.port, self.pids().first().copied().unwrap_or_default());
        let mut env = Vec::new();
        let what = match (self.watched, &self.running) {
            (Watched::Agent, Running::Server(server)) => {
                let (url, token) = server.probe().unwrap_or_default();
                env.push((TOKEN_VARIABLE, token.to_owned()));
                format!("agent={url}")
            }
            (Watched::Node, _) => format!("node={pid}"),
            (Watched::Metrics, _) => format!("metrics=http://127.0.0.1:{port}/metrics"),
            (Watched::Otlp, _) => format!("otlp=127.0.0.1:{}", otlp.unwrap_or_default()),
            (Watched::Jvm, _) => format!("jvm={pid}"),
            (Watched::Redis, _) => format!("redis=redis://127.0.0.1:{port}"),
            (Watched::Process | Watched::Agent, _) => "process".to_owned(),
        };
        Attach { what, env }
    }

    /// Asks it at a rate, if it speaks no HTTP.
    pub fn asking(&self, per_s: u64) -> anyhow::Result<Option<Asking>> {
        (self.watched == Watched::Redis).then(|| Asking::start(self.port, per_s)).transpose()
    }
}

fn of_server(server: Server) -> (u16, Running) {
    (server.port, Running::Server(server))
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A program of another language that says its port first and ends with its standard input.
fn script(
    place: &Place<'_>,
    program: &str,
    flags: &[&str],
    name: &str,
    text: &str,
    args: &[&str],
) -> anyhow::Result<(u16, Running)> {
    let file = place.scratch.join(name);
    std::fs::write(&file, text)?;
    let folders: Vec<String> = library_folders().iter().map(|f| f.display().to_string()).collect();
    let mut command = Command::new(program);
    command.args(flags).arg(&file).args(args).env("NODE_PATH", folders.join(":"));
    let mut child = spawn(place, command.stdin(Stdio::piped()).stdout(Stdio::piped()), "service.log")?;
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().context("it was asked for")?).read_line(&mut line)?;
    match line.trim().parse() {
        Ok(port) => Ok((port, Running::Child(child))),
        Err(_) => bail!("{program} said no port: {}", said(&place.scratch.join("service.log"))),
    }
}

fn spawn(place: &Place<'_>, command: &mut Command, log: &str) -> anyhow::Result<Process> {
    place.keep_to(|s| &s.target);
    command.stderr(File::create(place.scratch.join(log))?);
    let program = command.get_program().to_string_lossy().into_owned();
    Ok(Process(command.spawn().with_context(|| format!("{program} cannot be started"))?))
}

fn said(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    timeline::text::clean(text.trim().lines().last().unwrap_or("it said nothing"), 200)
}

fn redis(place: &Place<'_>) -> anyhow::Result<(u16, Running)> {
    let port = free_port()?;
    let text = port.to_string();
    let args =
        ["--port", &text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"];
    let mut command = Command::new("redis-server");
    command.args(args).current_dir(place.scratch).stdin(Stdio::null()).stdout(Stdio::null());
    let child = spawn(place, &mut command, "service.log")?;
    let listens = place.wait_for(START_PATIENCE, || Some(TcpStream::connect(("127.0.0.1", port)).is_ok()))?;
    if !listens {
        bail!("redis-server does not listen: {}", said(&place.scratch.join("service.log")));
    }
    Ok((port, Running::Child(child)))
}

/// A thread that asks Redis at a fixed rate.
pub struct Asking {
    done: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<()>>,
}

impl Asking {
    fn start(port: u16, per_s: u64) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let done = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&done);
        let thread = std::thread::Builder::new().name("asking".to_owned()).spawn(move || {
            let batch = b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n".repeat(BATCH as usize);
            let mut answers = vec![0; b"$-1\r\n".len() * BATCH as usize];
            let mut next = timeline::MonoNs::now();
            while !ended.load(Ordering::Relaxed) {
                stream.write_all(&batch)?;
                stream.read_exact(&mut answers)?;
                next.0 += 1_000_000_000 * BATCH / per_s.max(1);
                std::thread::sleep(next.since(timeline::MonoNs::now()));
            }
            Ok(())
        })?;
        Ok(Self { done, thread })
    }

    /// Ends it; an error if it did not ask to the end.
    pub fn end(self) -> anyhow::Result<()> {
        self.done.store(true, Ordering::Relaxed);
        let ended = self.thread.join().map_err(|_| anyhow::anyhow!("whoever asked Redis panicked"))?;
        ended.context("Redis gave no answer")
    }
}

/// Answers, allocates a little, and serves prom-client's page or sends by OpenTelemetry if told so.
const NODE: &str = r"
const http = require('node:http');
const [page, to] = process.argv.slice(2);
let client;
if (page) { client = require('prom-client'); client.collectDefaultMetrics(); }
if (to) {
  const { MeterProvider, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics');
  const { OTLPMetricExporter } = require('@opentelemetry/exporter-metrics-otlp-http');
  const { RuntimeNodeInstrumentation } = require('@opentelemetry/instrumentation-runtime-node');
  const exporter = new OTLPMetricExporter({ url: to });
  const readers = [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 100, exportTimeoutMillis: 100 })];
  new RuntimeNodeInstrumentation({ monitoringPrecision: 50 }).setMeterProvider(new MeterProvider({ readers }));
}
http.createServer(async (request, answer) => {
  if (client && request.url === '/metrics') return answer.end(await client.register.metrics());
  answer.end(JSON.stringify({ items: Array.from({ length: 20 }, (_, i) => ({ i, name: `item ${i}` })) }));
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.on('end', () => process.exit(0)).resume();
";

/// The JDK's own server, on one thread.
const JAVA: &str = r#"
import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
public class Served {
  public static void main(String[] args) throws Exception {
    HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 1024);
    server.createContext("/", exchange -> {
      StringBuilder text = new StringBuilder();
      for (int i = 0; i < 20; i++) text.append("item ").append(i).append(',');
      byte[] body = text.toString().getBytes();
      exchange.sendResponseHeaders(200, body.length);
      exchange.getResponseBody().write(body);
      exchange.close();
    });
    server.start();
    System.out.println(server.getAddress().getPort());
    System.in.read();
    System.exit(0);
  }
}
"#;
