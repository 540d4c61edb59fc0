//! The command line: what can be said to `dyno`, and nothing of what it does.
//!
//! Help, completions and man pages are all generated from these types.

mod ended;

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
pub use ended::{
    BaselineCommand, CompareArgs, ExplainArgs, RecordingCommand, RedactArgs, ReportArgs, ScoreArgs,
};

/// Most worker processes of the load generator: no machine has more cores to spare for it.
const MOST_LOAD_WORKERS: u64 = 256;

/// Load testing that explains itself.
///
/// Applies load to a backend, reads the backend's instruments on the same time axis, and says what
/// broke, when, on what evidence, and what to change. Without a command it runs the `flash-sale`
/// scenario against the bundled reference backend: about a minute, nothing to install.
#[derive(Debug, Parser)]
#[command(name = "dyno", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do; `run flash-sale` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes: 0 pass (or no gate was set; without --ci also one undecided), 1 internal fault, 2 usage,
scenario or environment error, 3 gate failed (under --ci also one undecided), 4 worse than the
baseline, 5 invalid run (it measured itself badly: its report says why), 6 target or source
unreachable, 130 interrupted.";

/// Everything that dyno can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a load scenario and explain what happened.
    Run(Box<RunArgs>),
    /// Serve the bundled reference backend alone, until Ctrl-C.
    Backend(BackendArgs),
    /// Show a running run, or a backend without applying load.
    Watch(WatchArgs),
    /// Play a recorded run on the screens of a live one.
    Replay(ReplayArgs),
    /// Run somebody's own goose load test under the profiler, unmodified.
    Goose(GooseArgs),
    /// Write the reports of a recorded run again, from its recording alone.
    Report(ReportArgs),
    /// Tell in plain words what happened in a recorded run.
    Explain(ExplainArgs),
    /// Copy a run without names, addresses, statements and other texts, to give it away.
    Redact(RedactArgs),
    /// Measure how well the diagnosis tells what is wrong, over cases that are drawn at random.
    Score(ScoreArgs),
    /// Compare runs with earlier ones: what got better or worse, by more than noise.
    Compare(CompareArgs),
    /// Keep runs to compare later ones with.
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// List, show and check scenarios.
    #[command(subcommand)]
    Scenarios(ScenariosCommand),
    /// Show what a scenario would do, without doing it.
    Plan(PlanArgs),
    /// Look into a recording.
    #[command(subcommand)]
    Recording(RecordingCommand),
    /// Measure dyno itself.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the man page; of a command, or all of them into a folder.
    Man(ManArgs),
    /// Print a Grafana dashboard of live runs (`dyno run --metrics-listen`), to be imported as it is.
    Grafana,
    /// The server that `dyno bench` loads; it ends with its standard input.
    #[command(hide = true)]
    BenchTarget {
        /// What it is made of.
        #[arg(long, default_value = "hyper")]
        kind: TargetKind,
        /// Its port, shared with others of its kind; 0: any.
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// A worker process of the bundled backend; started by `dyno backend`.
    #[command(hide = true)]
    BackendWorker,
    /// A worker process of the load generator; started by `dyno run`.
    #[command(hide = true)]
    LoadWorker,
    /// Ends what a dyno which died had started in a process group of its own; started with it, and ends with its standard input.
    #[command(hide = true)]
    GroupGuard {
        /// The group.
        #[arg(value_parser = clap::value_parser!(i32).range(2..))]
        group: i32,
    },
    /// Closes inspectors that a dyno which died had opened; started with it, and ends with its standard input.
    #[command(hide = true)]
    InspectorGuard {
        /// Each process, and where it listened before: `PID=ADDRESS:PORT,...`.
        processes: Vec<String>,
    },
}

/// What to show while a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ui {
    /// The dashboard if there is a terminal, plain lines if not or under CI.
    Auto,
    /// The dashboard.
    Tui,
    /// Calm `key=value` lines on standard error; everything appears here, also for screen readers.
    Plain,
    /// One snapshot a second as a JSON line on standard error.
    Json,
    /// Nothing.
    None,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// In a terminal, unless `NO_COLOR` or `TERM=dumb` says otherwise.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The ground that the terminal draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ground {
    /// What the terminal says in `COLORFGBG`; dark if it says nothing.
    Auto,
    /// Light text on a dark ground.
    Dark,
    /// Dark text on a light ground.
    Light,
}

/// How things look.
#[derive(Debug, Clone, Args)]
pub struct Look {
    /// What to show while the run goes on.
    #[arg(long, value_enum, default_value = "auto", env = "DYNO_UI")]
    pub ui: Ui,
    /// When to use colour.
    #[arg(long, value_enum, default_value = "auto")]
    pub color: Color,
    /// The terminal's ground, for which the dashboard chooses its colours.
    #[arg(long, value_enum, default_value = "auto", env = "DYNO_GROUND")]
    pub ground: Ground,
    /// Draw with ASCII characters only, as where the locale is not UTF-8.
    #[arg(long)]
    pub ascii: bool,
    /// Let the mouse choose tabs and rows, place the cursor and turn lists (keeps the terminal from
    /// selecting text).
    #[arg(long)]
    pub mouse: bool,
}

/// `dyno run`
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// A scenario of the catalogue (`dyno scenarios list`) or a TOML file.
    #[arg(conflicts_with = "url")]
    pub scenario: Option<String>,
    /// Run the scenario against this address instead of the one that it names.
    #[arg(long, value_name = "URL", conflicts_with = "url")]
    pub target: Option<String>,
    /// Without a scenario: get this address again and again.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The load, instead of the scenario's phases.
    #[command(flatten)]
    pub load: LoadArgs,
    /// What releases arrivals: `wheel`, or `precise` for a machine with a core to spare [default: the scenario's].
    #[arg(long, value_name = "TIMER", value_parser = ["wheel", "precise"])]
    pub timer: Option<String>,
    /// Which version of HTTP requests speak: `1.1`, `2`, or `auto`, what an https target chooses [default: the scenario's, or 1.1].
    #[arg(long, value_name = "VERSION", value_parser = ["1.1", "2", "auto"])]
    pub http: Option<String>,
    /// Take any certificate of an https target for good; the scenario's is `tls = { insecure = true }`.
    #[arg(long)]
    pub insecure: bool,
    /// A PEM file of authorities to trust beside the machine's own, instead of those that the scenario's `tls` names.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// With --url: the method [default: GET, or POST with a body].
    #[arg(long, value_name = "METHOD", requires = "url", conflicts_with = "scenario")]
    pub method: Option<String>,
    /// With --url: the body, or @FILE, whose text it is; ${uuid()}, ${int(1, 9)} and other functions work in it.
    #[arg(long, value_name = "TEXT", requires = "url", conflicts_with = "scenario")]
    pub body: Option<String>,
    /// With --url: a header, such as 'Authorization: Bearer abc'. Can be repeated.
    #[arg(long, short = 'H', value_name = "HEADER", requires = "url", conflicts_with = "scenario")]
    pub header: Vec<String>,
    /// With --url: a file of `[[target.metric]]` tables, as a scenario has them: what metrics of the service's own are called.
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Values for the scenario's variables.
    #[command(flatten)]
    pub vars: Vars,
    /// What to read beside the load: `auto`, `none`, `process`, `node`, `deno`, `bun`, `node=PID`, `node=127.0.0.1:9229`, `node+heap` (searches the heap
    /// for pools, too), `jvm`, `jvm=PID`,
    /// `metrics=http://127.0.0.1:PORT/metrics`, `otlp` (receives at 127.0.0.1:4318, and 4317 by gRPC), `otlp=127.0.0.1:PORT`,
    /// `agent=http://127.0.0.1:PORT` (its token in DYNO_TOKEN),
    /// `redis=redis://127.0.0.1:PORT` (its password in DYNO_REDIS_PASSWORD), `postgres=postgres://USER@127.0.0.1:PORT/DATABASE`
    /// (DYNO_POSTGRES_PASSWORD), `rabbitmq=http://USER@127.0.0.1:15672` (its management plugin; DYNO_RABBITMQ_PASSWORD). Can be
    /// repeated; what is named replaces `auto`, which can be named beside it
    /// [default: the scenario's, else `auto`; of the bundled backend its own agent].
    #[arg(long, value_name = "SOURCE")]
    pub attach: Vec<String>,
    /// A condition that must hold, such as 'p99 < 250ms for checkout'; with 'abort after 10s' at its end it ends the run
    /// once it has failed for so long. Can be repeated.
    #[arg(long, value_name = "EXPR")]
    pub gate: Vec<String>,
    /// An address of this machine to connect from, instead of those that the scenario names. Can be repeated.
    #[arg(long, value_name = "IP")]
    pub source_address: Vec<std::net::IpAddr>,
    /// Folder for recording and reports [default: dyno-runs/ID].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Seed of everything random [default: the scenario's].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Take a CPU profile of so many seconds (1 to 30) of each process that links the agent, in the middle of the run; it costs
    /// each some 80 MB of memory.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "5", value_parser = clap::value_parser!(u64).range(1..=30))]
    pub profile: Option<u64>,
    /// For continuous integration: plain lines, an undecided gate fails, and what GitHub Actions (annotations, step summary)
    /// and GitLab CI (`ci/` in the run's folder: JUnit, code quality, metrics) read. All reports and the log go without statements and
    /// addresses; the recording and the logs of other programs have them.
    #[arg(long)]
    pub ci: bool,
    /// With --ci: leave statements and addresses in reports and log.
    #[arg(long, requires = "ci")]
    pub ci_open: bool,
    /// Serve the run's figures for Prometheus at /metrics while it goes on: PORT of loopback, or ADDRESS:PORT.
    #[arg(long, value_name = "ADDR", value_parser = crate::live::address)]
    pub metrics_listen: Option<std::net::SocketAddr>,
    /// Send the run's figures once a second to an OpenTelemetry collector, such as http://127.0.0.1:4318, by OTLP over HTTP.
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
    /// Worker processes of the bundled backend [default: 2, or as many as the connections need
    /// descriptors for, up to 16].
    #[arg(long, value_name = "N", value_parser = up_to(backend::MAX_WORKERS as u64))]
    pub workers: Option<usize>,
    /// What the bundled backend runs on.
    #[arg(long, value_name = "RUNTIME", default_value = "rust")]
    pub runtime: Runtime,
    /// Worker processes of the load generator [default: worked out from the machine's limits].
    #[arg(long, value_name = "N", value_parser = up_to(MOST_LOAD_WORKERS))]
    pub load_workers: Option<usize>,
    /// Ask nothing: open the inspector of a target that runs on V8, and install observers in it, if `auto` finds one.
    #[arg(long, short)]
    pub yes: bool,
    /// Who may watch from elsewhere.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// How it looks.
    #[command(flatten)]
    pub look: Look,
}

/// Who may watch a run from elsewhere.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Let `dyno watch` follow this run from another host: PORT (loopback, for a tunnel) or ADDRESS:PORT (TLS). The token is the one in
    /// DYNO_WATCH_TOKEN, or is written to the run's folder.
    #[arg(long, value_name = "ADDRESS", value_parser = crate::serve::address)]
    pub serve: Option<std::net::SocketAddr>,
    /// Certificate chain (PEM) to serve with [default: one is made, and its fingerprint shown].
    #[arg(long, value_name = "FILE", requires_all = ["serve", "serve_key"])]
    pub serve_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires_all = ["serve", "serve_cert"])]
    pub serve_key: Option<PathBuf>,
}

/// How much load, for those commands that make some.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// Sessions held at once; with --rate, the most that may be open; with --stage, how many it begins from [default: 50; without any of these
    /// flags the scenario's phases, which all but --for alone replace].
    #[arg(long, short = 'u', visible_alias = "vus", value_name = "N")]
    pub sessions: Option<u64>,
    /// How long, such as 30s or 2m; alone beside a scenario, how long the level is held that its load comes to [default: 30s; with --iterations
    /// 10m; without any of these flags the scenario's phases].
    #[arg(long = "for", short = 'd', visible_alias = "duration", value_name = "DURATION")]
    pub for_: Option<String>,
    /// Arrivals, such as 100/s: single requests with --url, sessions of a scenario.
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
    /// A ramp to 1000 sessions within 30s: 30s:1000; to a rate: 30s:100/s. Can be repeated.
    #[arg(long = "stage", short = 's', value_name = "DURATION:TARGET")]
    pub stages: Vec<String>,
    /// Passes that all sessions share; the run ends when they are done.
    #[arg(long, short = 'i', value_name = "N")]
    pub iterations: Option<u64>,
}

impl From<&LoadArgs> for scenarios::LoadFlags {
    fn from(args: &LoadArgs) -> Self {
        let LoadArgs { sessions, for_, rate, stages, iterations } = args.clone();
        Self { sessions, for_, rate, stages, iterations }
    }
}

/// What the bundled backend can run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// This binary itself.
    Rust,
    /// Node.js 20 or later.
    Node,
    /// Deno 2 or later.
    Deno,
    /// Bun 1.3 or later.
    Bun,
}

/// `dyno backend`
#[derive(Debug, Clone, Args)]
pub struct BackendArgs {
    /// Address of the shop.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: std::net::SocketAddr,
    /// Address of control and probe; it wants the token in DYNO_TOKEN (one is made up and written to a file if unset).
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub control: std::net::SocketAddr,
    /// Worker processes that share the address.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub workers: usize,
    /// Database: `sqlite` or `postgres://USER@HOST/NAME` [default: DYNO_DATABASE_URL, else sqlite]. One with a password
    /// belongs in the variable, which bundled runs read, too.
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Cache: `memory` or `redis://HOST` [default: DYNO_CACHE_URL, else memory].
    #[arg(long, value_name = "URL")]
    pub cache: Option<String>,
    /// Broker: `memory` or `amqp://USER@HOST` [default: DYNO_BROKER_URL, else memory].
    #[arg(long, value_name = "URL")]
    pub broker: Option<String>,
    /// What keeps requests that miss the cache at once from loading at once: `none`, `single-flight`, `lock` (over all
    /// workers; needs Redis) or `xfetch`.
    #[arg(long, value_name = "KIND", value_parser = ["none", "single-flight", "lock", "xfetch"], default_value = "single-flight")]
    pub cache_protection: String,
    /// Rows of past orders with which the shop begins, up to ten million [default: DYNO_ROWS, else 300000].
    #[arg(long, value_name = "N", env = "DYNO_ROWS", hide_env = true)]
    pub rows: Option<u32>,
    /// Do not watch it from inside: its probe has no lanes. For measuring what watching costs.
    #[arg(long)]
    pub unwatched: bool,
    /// What the shop runs on: this binary, or its port to a runtime that is installed.
    #[arg(long, value_name = "RUNTIME", default_value = "rust")]
    pub runtime: Runtime,
    /// End when standard input ends: for whoever starts it as a child.
    #[arg(long, hide = true)]
    pub follow_stdin: bool,
}

/// `dyno watch`
#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// What to watch: a running run by its identity or folder, or `dyno://127.0.0.1:PORT` or `dynos://HOST:PORT` where it is served; or a
    /// backend: `:3000`, `http://127.0.0.1:3000`. Without one, the run that is going on in dyno-runs; else a bundled backend
    /// is started and watched.
    pub target: Option<String>,
    /// What to read [default: auto]; see `dyno run --help`. Can be repeated.
    #[arg(long, value_name = "SOURCE")]
    pub attach: Vec<String>,
    /// File of `[[target.metric]]` tables, as a scenario has them: what metrics of the service's own are called.
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// For how long, such as 30s [default: until q or Ctrl-C].
    #[arg(long = "for", value_name = "DURATION")]
    pub for_: Option<String>,
    /// Ask nothing: open the inspector of a target that runs on V8, and install observers in it, if `auto` finds one.
    #[arg(long, short)]
    pub yes: bool,
    /// Folder for recording and reports [default: none is written].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// SHA-256 of the certificate of a run that is served under TLS, as that run shows it [default: trust what this machine's authorities vouch
    /// for].
    #[arg(long, value_name = "HEX", value_parser = crate::serve::tls::Fingerprint::parse)]
    pub fingerprint: Option<crate::serve::tls::Fingerprint>,
    /// File with the token of a run that is served; only its owner may read it [default: the variable DYNO_WATCH_TOKEN].
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// How it looks.
    #[command(flatten)]
    pub look: Look,
}

/// `dyno replay`
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// A run's folder or its recording [default: the newest in dyno-runs].
    pub run: Option<PathBuf>,
    /// Begin here, such as 30s.
    #[arg(long, value_name = "TIME", default_value = "0s")]
    pub at: String,
    /// So many times as fast as it happened.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(dashboard::app::FASTEST)))]
    pub speed: u16,
    /// How it looks.
    #[command(flatten)]
    pub look: Look,
}

/// `dyno goose`
#[derive(Debug, Clone, Args)]
pub struct GooseArgs {
    /// What to read beside the load [default: auto]; see `dyno run --help`. Can be repeated.
    #[arg(long, value_name = "SOURCE")]
    pub attach: Vec<String>,
    /// A condition that must hold, such as 'errors < 1%'. Can be repeated.
    #[arg(long, value_name = "EXPR")]
    pub gate: Vec<String>,
    /// Ask nothing: open the inspector of a target that runs on V8, and install observers in it, if `auto` finds one.
    #[arg(long, short)]
    pub yes: bool,
    /// Folder for recording and reports [default: dyno-runs/ID].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// For continuous integration: plain lines, an undecided gate fails, and reports and log go without statements and addresses; the
    /// recording and the logs of other programs (goose.log) have them.
    #[arg(long)]
    pub ci: bool,
    /// How it looks.
    #[command(flatten)]
    pub look: Look,
    /// The goose binary (0.18 or 0.19) and its arguments; its telnet controller must not be switched off.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<std::ffi::OsString>,
}

/// Values for variables of a scenario.
#[derive(Debug, Clone, Default, Args)]
pub struct Vars {
    /// A value for a variable of the scenario's `[vars]` or `[target] env`. Can be repeated.
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub env: Vec<(String, String)>,
}

/// What `dyno run` could be told beside a scenario that is only read here.
#[derive(Debug, Clone, Default, Args)]
pub struct Beside {
    /// Values for its variables.
    #[command(flatten)]
    pub vars: Vars,
    /// Address instead of the scenario's.
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// HTTP version instead of the scenario's.
    #[arg(long, value_name = "VERSION", value_parser = ["1.1", "2", "auto"])]
    pub http: Option<String>,
}

/// A count of processes.
fn up_to(most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=most)
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// `dyno plan`
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// A scenario of the catalogue or a TOML file.
    pub scenario: String,
    /// What it is read with.
    #[command(flatten)]
    pub beside: Beside,
    /// The whole plan as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `dyno scenarios ...`
#[derive(Debug, Subcommand)]
pub enum ScenariosCommand {
    /// The shipped scenarios: what each teaches and how long it takes.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a scenario's text, to copy and change.
    Show {
        /// Its name.
        name: String,
    },
    /// Say everything that is wrong with scenario files.
    Check {
        /// Files, or names of the catalogue.
        #[arg(required = true)]
        scenarios: Vec<String>,
        /// What they are read with: values for their variables, and the like.
        #[command(flatten)]
        vars: Beside,
    },
    /// Print the JSON Schema of scenario files, for editors.
    Schema,
    /// Make a scenario of a browser's recording (HAR) or of a description of an interface (OpenAPI 3).
    Import(ImportArgs),
}

/// `dyno scenarios import`
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// A HAR 1.2 file, or an OpenAPI 3.0 or 3.1 file as JSON or YAML.
    pub file: PathBuf,
    /// What the file is [default: found out from its content].
    #[arg(long, value_enum)]
    pub kind: Option<ImportKind>,
    /// Where the scenario is written; an existing file is left alone [default: standard output].
    #[arg(long, short, value_name = "OUT.toml")]
    pub out: Option<PathBuf>,
    /// HAR: keep the requests to this origin [default: the first document's].
    #[arg(long, value_name = "URL")]
    pub origin: Option<String>,
    /// OpenAPI: load this address instead of the first server.
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// Keep files of pages (HAR), or operations that write and deprecated ones (OpenAPI).
    #[arg(long)]
    pub all: bool,
}

/// What can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ImportKind {
    /// A browser's recording.
    Har,
    /// A description of an interface.
    Openapi,
}

/// `dyno bench ...`
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// The load engine beside other load generators on this machine: CPU for a request, requests per second, memory for a
    /// session, and how much can be held. Half an hour and more; --quick a few minutes.
    Engine(BenchEngineArgs),
    /// The bundled backend beside a bare server: CPU for a request, what the agent adds to it, memory for an idle
    /// WebSocket, and memory while a file is imported. A quarter of an hour and more; --quick a few minutes.
    Backend(BenchArgs),
    /// Services watched by each source beside themselves unwatched: CPU for a request that watching adds, and what dyno takes itself.
    /// A quarter of an hour; --quick a few minutes.
    Sources(BenchArgs),
}

/// What a bench's server is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TargetKind {
    /// hyper, with WebSockets of next to no buffer.
    Hyper,
    /// axum, with its WebSockets as they come.
    Axum,
}

/// `dyno bench engine`
#[derive(Debug, Clone, Args)]
pub struct BenchEngineArgs {
    /// What every bench takes.
    #[command(flatten)]
    pub bench: BenchArgs,
    /// Folder in which `benches/peers` has installed the peers [default: what is in the PATH].
    #[arg(long, value_name = "DIR", conflicts_with = "from")]
    pub peers: Option<PathBuf>,
}

/// What every `dyno bench` takes.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Fewer pairs, shorter windows, smaller sizes: says whether something is badly wrong, and little more.
    #[arg(long)]
    pub quick: bool,
    /// All of it as JSON on standard output instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Only rows whose name holds one of these, separated by commas, such as `http-1000,websocket`; the engine's `million` is
    /// measured only if named.
    #[arg(long, value_name = "FILTER", value_delimiter = ',')]
    pub rows: Vec<String>,
    /// File for what was measured, a JSON line for each row [default: dyno-runs/bench-SUBJECT-ID.jsonl].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Measure nothing: make the table of such a file again.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "rows", "out"])]
    pub from: Option<PathBuf>,
}

/// `dyno man`
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// A command, such as `run` or `baseline save` [default: dyno itself].
    #[arg(num_args = 0.., conflicts_with = "out")]
    pub command: Vec<String>,
    /// Write the pages of all commands into this folder instead.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// What `dyno` alone means.
#[must_use]
pub fn default_command() -> Command {
    match Cli::parse_from(["dyno", "run"]).command {
        Some(command) => command,
        None => unreachable!("`run` is a command"),
    }
}
