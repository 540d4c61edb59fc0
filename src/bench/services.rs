//! The services that sources watch in a bench, and how each is watched: one line of [`Watched`] and of its matches for each source.
//!
//! Owns starting them on their half of the cores, and what a machine lacks for them; stores, which speak no HTTP, are `stores`'s. Libraries of
//! Node.js are looked for where the bench is started and in `profiler/tests/libraries`, where the tests install them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

use super::machine;
use super::process::Place;
use super::servers::{Kind, Server};
use super::stores::{self, Asking, Store};
use super::watching::Attach;
use crate::secret::TOKEN_VARIABLE;

/// What is watched, named after the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// The bundled backend by its agent, beside itself with the agent at rest.
    Agent,
    /// Node.js by its inspector.
    Node,
    /// Node.js whose requests take what those of a shop do, and not next to nothing.
    NodePage,
    /// The same, and each takes a place of a pool, whose methods are observed.
    NodePool,
    /// Deno by its inspector.
    Deno,
    /// Bun by its inspector.
    Bun,
    /// Node.js with prom-client by its page.
    Metrics,
    /// Node.js that sends by OpenTelemetry's SDK ten times a second, beside itself without the SDK.
    Otlp,
    /// A JVM by its counters.
    Jvm,
    /// A hyper server from outside.
    Process,
    /// The same, and the machine alone is watched.
    Host,
    /// A server of a database, a cache or a broker by its own statistics.
    Store(stores::Kind),
}

impl Watched {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Agent,
        Self::Node,
        Self::Deno,
        Self::Bun,
        Self::Metrics,
        Self::Otlp,
        Self::Jvm,
        Self::Process,
        Self::Host,
        Self::Store(stores::Kind::Redis),
        Self::Store(stores::Kind::Postgres),
        Self::Store(stores::Kind::Rabbit),
    ];

    /// The source.
    pub const fn source(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Node | Self::NodePage | Self::NodePool => "node",
            Self::Deno => "deno",
            Self::Bun => "bun",
            Self::Metrics => "metrics",
            Self::Otlp => "otlp",
            Self::Jvm => "jvm",
            Self::Process => "process",
            Self::Host => "host",
            Self::Store(kind) => kind.source(),
        }
    }

    /// As a person reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "shop",
            Self::Node => "Node.js",
            Self::NodePage => "Node.js with a page of 1,000 products",
            Self::NodePool => "Node.js with a page of 1,000 products and a pool",
            Self::Deno => "Deno",
            Self::Bun => "Bun",
            Self::Metrics => "Node.js with prom-client",
            Self::Otlp => "Node.js with OpenTelemetry",
            Self::Jvm => "JVM",
            Self::Process | Self::Host => "bare hyper",
            Self::Store(kind) => kind.name(),
        }
    }

    /// Requests a second that its worker bears with room to spare.
    pub const fn per_s(self, quick: bool) -> u64 {
        match (self, quick) {
            (Self::Store(kind), quick) => kind.per_s(quick),
            (Self::Agent | Self::Process | Self::Host, false) => 20_000,
            (Self::Agent | Self::Process | Self::Host, true) => 5_000,
            (Self::NodePage | Self::NodePool, _) => 500,
            (_, false) => 3_000,
            (_, true) => 1_000,
        }
    }

    /// What of it is not on this machine.
    pub fn missing(self) -> Option<String> {
        let program = match self {
            Self::Agent | Self::Process | Self::Host => return None,
            Self::Node | Self::NodePage | Self::NodePool | Self::Metrics | Self::Otlp => "node",
            Self::Deno => "deno",
            Self::Bun => "bun",
            Self::Jvm => "javac", // what runs a source file
            Self::Store(kind) => return kind.missing(),
        };
        if in_path(program).is_none() {
            return Some(format!("{program} is missing"));
        }
        let library = match self {
            Self::NodePool => "generic-pool",
            Self::Metrics => "prom-client",
            Self::Otlp => "@opentelemetry/sdk-metrics",
            _ => return None,
        };
        let there = library_folders().iter().any(|f| f.join(library).is_dir());
        (!there)
            .then(|| format!("{library} is missing: `npm ci --prefix profiler/tests/libraries` installs it"))
    }
}

/// Where the search path has a program.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).map(|p| p.join(program)).find(|p| p.is_file())
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
    Store(Store),
}

/// A process that does not outlive this.
pub struct Process(pub Child);

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
            Watched::Process | Watched::Host => of_server(Server::start(place, Kind::Bare)?),
            Watched::Store(kind) => {
                let store = Store::start(place, kind)?;
                (store.port, Running::Store(store))
            }
            Watched::Jvm => script(place, "java", &[], "Served.java", JAVA, &[])?,
            // It opens no inspector later on.
            Watched::Deno => {
                let flags = ["run", "--no-prompt", "--allow-net", "--inspect=127.0.0.1:0"];
                script(place, "deno", &flags, "served.mjs", DENO, &[])?
            }
            Watched::Bun => {
                let inspector = format!("--inspect=127.0.0.1:{}/dyno", free_port()?);
                script(place, "bun", &[&inspector], "served.js", BUN, &[])?
            }
            Watched::Node | Watched::NodePage | Watched::NodePool | Watched::Metrics | Watched::Otlp => {
                let to = otlp.map(|port| format!("http://127.0.0.1:{port}/v1/metrics")).unwrap_or_default();
                let page = if watched == Watched::Metrics { "page" } else { "" };
                let pool = if watched == Watched::NodePool { "pool" } else { "" };
                let many = matches!(watched, Watched::NodePage | Watched::NodePool);
                let items = if many { "1000" } else { "20" };
                script(place, "node", &["--inspect-port=0"], "served.cjs", NODE, &[page, &to, items, pool])?
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
            Running::Store(store) => store.pids(),
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
            (Watched::Node | Watched::NodePage | Watched::NodePool, _) => format!("node={pid}"),
            (Watched::Deno, _) => format!("deno={pid}"),
            (Watched::Bun, _) => format!("bun={pid}"),
            (Watched::Metrics, _) => format!("metrics=http://127.0.0.1:{port}/metrics"),
            (Watched::Otlp, _) => format!("otlp=127.0.0.1:{}", otlp.unwrap_or_default()),
            (Watched::Jvm, _) => format!("jvm={pid}"),
            (_, Running::Store(store)) => {
                env.extend(store.secret());
                store.attach()
            }
            // The machine's own lanes come with every watch.
            (Watched::Host, _) => "none".to_owned(),
            (Watched::Process | Watched::Agent | Watched::Store(_), _) => "process".to_owned(),
        };
        Attach { what, env }
    }

    /// How many requests it has answered, in its own words: those on Node.js count them.
    pub fn served(&self) -> anyhow::Result<u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(stores::ANSWER))?;
        stream.write_all(b"GET /served HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        answer.lines().last().and_then(|n| n.parse().ok()).with_context(|| format!("it says `{answer}`"))
    }

    /// Asks it at a rate, if it speaks no HTTP.
    pub fn asking(&self, per_s: u64) -> anyhow::Result<Option<Asking>> {
        match &self.running {
            Running::Store(store) => store.asking(per_s).map(Some),
            _ => Ok(None),
        }
    }
}

fn of_server(server: Server) -> (u16, Running) {
    (server.port, Running::Server(server))
}

/// A port that is free at this moment.
pub fn free_port() -> anyhow::Result<u16> {
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
    let log = place.scratch.join("service.log");
    let mut child = spawn(place, command.stdin(Stdio::piped()).stdout(Stdio::piped()), &log)?;
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().context("it was asked for")?).read_line(&mut line)?;
    match line.trim().parse() {
        Ok(port) => Ok((port, Running::Child(child))),
        Err(_) => bail!("{program} said no port: {}", said(&log)),
    }
}

/// Starts `command` on the services' half of the cores; what it complains of goes to `log`.
pub fn spawn(place: &Place<'_>, command: &mut Command, log: &Path) -> anyhow::Result<Process> {
    place.keep_to(|s| &s.target);
    command.stderr(File::create(log)?);
    let program = command.get_program().to_string_lossy().into_owned();
    Ok(Process(command.spawn().with_context(|| format!("{program} cannot be started"))?))
}

/// The last line of a log.
pub fn said(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    timeline::text::clean(text.trim().lines().last().unwrap_or("it said nothing"), 200)
}

/// Answers with so many items, allocates for each, and serves prom-client's page, sends by OpenTelemetry or takes a place of a pool if told so.
const NODE: &str = r"
const http = require('node:http');
const [page, to, items, pooled] = process.argv.slice(2);
let client, pool;
if (pooled) pool = require('generic-pool').createPool({ create: async () => ({}), destroy: async () => {} }, { max: 4 });
if (page) { client = require('prom-client'); client.collectDefaultMetrics(); }
if (to) {
  const { MeterProvider, PeriodicExportingMetricReader } = require('@opentelemetry/sdk-metrics');
  const { OTLPMetricExporter } = require('@opentelemetry/exporter-metrics-otlp-http');
  const { RuntimeNodeInstrumentation } = require('@opentelemetry/instrumentation-runtime-node');
  const exporter = new OTLPMetricExporter({ url: to });
  const readers = [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 100, exportTimeoutMillis: 100 })];
  new RuntimeNodeInstrumentation({ monitoringPrecision: 50 }).setMeterProvider(new MeterProvider({ readers }));
}
let served = 0;
http.createServer(async (request, answer) => {
  if (request.url === '/served') return answer.end(`${served}`);
  served += 1;
  if (client && request.url === '/metrics') return answer.end(await client.register.metrics());
  const place = pool && (await pool.acquire());
  answer.end(JSON.stringify({ items: Array.from({ length: items }, (_, i) => ({ i, name: `item ${i}` })) }));
  if (pool) pool.release(place);
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
process.stdin.on('end', () => process.exit(0)).resume();
";

/// The same with twenty items.
const DENO: &str = r"
Deno.serve({ port: 0, hostname: '127.0.0.1', onListen: (at) => console.log(at.port) }, () =>
  new Response(JSON.stringify({ items: Array.from({ length: 20 }, (_, i) => ({ i, name: `item ${i}` })) })));
for await (const _ of Deno.stdin.readable);
Deno.exit();
";

const BUN: &str = r"
const fetch = () => new Response(JSON.stringify({ items: Array.from({ length: 20 }, (_, i) => ({ i, name: `item ${i}` })) }));
console.log(Bun.serve({ port: 0, hostname: '127.0.0.1', fetch }).port);
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
