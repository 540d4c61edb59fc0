//! What `--attach` names is read beside a run, several things at once, and each is told in a line; what cannot be attached is refused
//! in one line and by its exit code.
//!
//! What becomes of each figure is the sources' business and tested with them (`profiler/tests`); here the built program is asked, and
//! the recording that it leaves. Needs Node.js and the packages of `profiler/tests/libraries`, a JDK, PostgreSQL, Redis and RabbitMQ.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "../backend/tests/common/servers/mod.rs"]
#[expect(dead_code, reason = "the backend's own tests use the rest")]
mod servers;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{Guarded, Run, dyno, holding, run, run_valid, run_valid_with, signal, wait_for};
use rustix::process::Signal;
use servers::free_port;
use servers::postgres::{self, Postgres};
use servers::rabbit::{self, Rabbit};
use servers::redis::{self, Redis};

/// Longest wait for what an idle machine does within seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A script of `profiler/tests/libraries` on Node.js, which ends with the test.
fn node(script: &str, args: &[&str]) -> Guarded {
    let libraries = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiler/tests/libraries");
    let mut node = Command::new("node");
    node.arg(libraries.join(script)).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    Guarded(node.spawn().expect("this test needs node 20 or later"))
}

/// A service with the page of prom-client, and its port.
fn service() -> (Guarded, u16) {
    with_port(node("prom-client.js", &[]))
}

/// A service on a JVM, and its port.
fn jvm() -> (Guarded, u16) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attach/Service.java");
    let mut java = Command::new("java");
    // A small heap, so that what its requests allocate has to be collected.
    java.args(["-XX:+UseSerialGC", "-Xmx96m"]).arg(source).stdin(Stdio::piped()).stdout(Stdio::piped());
    with_port(Guarded(java.spawn().expect("this test needs a JDK: ./test installs it")))
}

/// A service that says its port first, and that port.
fn with_port(mut service: Guarded) -> (Guarded, u16) {
    let mut line = String::new();
    BufReader::new(service.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (service, line.trim().parse().expect("./test installs what the service needs"))
}

/// Answers every request: with `ok`, and where metrics are asked for with `page` of how often they were; without end if that gives none.
fn serve(page: impl Fn(usize) -> Option<String> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = AtomicUsize::new(0);
    let page = Arc::new(move || page(asked.fetch_add(1, Ordering::Relaxed)));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let page = Arc::clone(&page);
            std::thread::spawn(move || while answer(&stream, &*page).is_ok() {});
        }
    });
    port
}

/// Answers one request; an error once the connection is over.
fn answer(mut stream: &TcpStream, page: &dyn Fn() -> Option<String>) -> io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let body = if head.starts_with(b"GET /metrics ") { page() } else { Some("ok".to_owned()) };
    if let Some(body) = body {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        return stream.write_all((head + &body).as_bytes());
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let lines = b"nodejs_heap_size_used_bytes 1\n".repeat(1_000);
    // Twice what is taken: a reader without a limit would take it all.
    (0..600).try_for_each(|_| stream.write_all(&lines))?;
    Err(io::Error::other("that was all"))
}

/// An address that nobody has.
fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// `lanes.csv` of a run, which may be going on.
struct Lanes(String);

impl Lanes {
    fn of(run: &Path) -> Option<Self> {
        let out = tempfile::tempdir().unwrap();
        let mut report = dyno();
        report.args(["report", "--format", "csv", "--out"]).arg(out.path()).arg(run).output().unwrap();
        std::fs::read_to_string(out.path().join("lanes.csv")).ok().map(Self)
    }

    /// Every value of an instance's lane; of a histogram, how much there was in each interval.
    fn values(&self, lane: &str, instance: &str) -> Vec<f64> {
        let rows = self.0.lines().map(|row| row.split(',').collect::<Vec<_>>());
        let of = rows.filter_map(|row| match row[..] {
            [_, name, _, who, _, _, "value" | "count", value] if name == lane && who == instance => {
                Some(value.parse().unwrap())
            }
            _ => None,
        });
        of.collect()
    }

    /// Is there anything of it but zeros?
    fn tells(&self, lane: &str, instance: &str) -> bool {
        self.values(lane, instance).iter().any(|value| *value > 0.0)
    }
}

/// The one line that begins so, of what a run says that it attached: in its summary and on standard output, where it is folded.
fn said(run: &Run, begins: &str) -> String {
    let summary = run.summary();
    let attached = &summary["target"]["attached"];
    let lines = attached.as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    let found: Vec<&str> = lines.filter(|line| line.starts_with(begins)).collect();
    let [line] = found[..] else { panic!("{begins}: {attached:#}") };
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(&run.stdout()).contains(&words(line)), "{line}: {}", run.stdout());
    line.to_owned()
}

/// Does a note of the run begin so?
fn noted(run: &Run, begins: &str) -> bool {
    let summary = run.summary();
    summary["notes"].as_array().unwrap().iter().any(|note| note.as_str().unwrap().starts_with(begins))
}

#[test]
fn what_is_named_is_read_beside_the_load_and_nothing_else_is() {
    let ((_service, port), otlp) = (service(), free());
    let url = format!("http://127.0.0.1:{port}/");
    let page = format!("metrics={url}metrics");
    let receive = format!("otlp={otlp}");
    let load = ["--url", &url, "--rate", "20/s", "--for", "4s"];
    let run = run_valid(&[&load[..], &["--attach", &page, "--attach", &receive]].concat());
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    let told = said(&run, &format!("metrics at {url}metrics as metrics-{port}: "));
    assert!(told.contains("prom-client 15 (Node.js)"), "{told}");
    assert!(told.contains("; nothing of ") && told.contains("offload, pool, cache"), "{told}");
    said(&run, &format!("OpenTelemetry metrics received at http://{otlp}/v1/metrics and by gRPC there"));
    assert!(noted(&run, &format!("otlp: nobody has sent metrics to http://{otlp}/v1/metrics; ")));
    let (lanes, me) = (Lanes::of(&run.folder).unwrap(), format!("metrics-{port}"));
    for lane in ["heap.used", "heap.old.used", "process.resident", "server.handler"] {
        assert!(lanes.tells(lane, &me), "{lane}");
    }
    assert!(!lanes.0.contains(",pid-"), "nobody has named the process itself");
}

#[test]
fn a_port_is_watched_by_all_that_is_named_at_once() {
    let ((service, port), otlp) = (service(), free());
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("watch");
    let mut watch = dyno();
    watch.args(["watch", &format!(":{port}"), "--ui", "none", "--attach", "auto"]);
    watch.args(["--attach", &format!("metrics=http://127.0.0.1:{port}/metrics")]);
    watch.args(["--attach", &format!("otlp={otlp}"), "--out"]).arg(&folder);
    let mut watch = Guarded(watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert!(wait_for(PATIENCE, || TcpStream::connect(otlp).is_ok()), "it receives");
    let sender = node("opentelemetry-sdk.js", &[&format!("http://{otlp}/v1/metrics")]);
    let process = format!("pid-{}", service.0.id());
    let (page, sent) = (format!("metrics-{port}"), format!("otlp-node-shop-{}", sender.0.id()));
    let wanted = [
        ("process.resident", &process),
        ("heap.used", &page),
        ("server.handler", &page),
        ("heap.used", &sent),
        ("server.handler", &sent),
    ];
    let came = wait_for(PATIENCE, || {
        Lanes::of(&folder).is_some_and(|lanes| wanted.iter().all(|(lane, who)| lanes.tells(lane, who)))
    });
    signal(watch.0.id(), Signal::INT);
    assert!(wait_for(PATIENCE, || watch.0.try_wait().unwrap().is_some()), "it ends");
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    watch.0.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    watch.0.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    let status = watch.0.wait().unwrap();
    let run = Run::of(folder.clone(), Output { status, stdout, stderr });
    assert!(came, "{:#}\n{}", run.summary()["lanes"], run.stderr());
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());

    said(&run, &format!("port {port} is served by node (pid {})", service.0.id()));
    said(&run, "not looked inside: `--attach node` or `--yes`");
    said(&run, &format!("metrics at http://127.0.0.1:{port}/metrics as metrics-{port}: "));
    said(&run, &format!("OpenTelemetry metrics received at http://{otlp}/v1/metrics"));
    let told = said(&run, &format!("process of port {port}: "));
    assert!(!told.contains("not available without"), "the page and the sender tell of its inside: {told}");
    assert!(!run.stdout().contains("--attach auto --attach metrics=URL"), "{}", run.stdout());
    assert!(!noted(&run, "otlp: nobody has sent"), "{:#}", run.summary()["notes"]);
}

#[test]
fn a_jvm_is_read_once_whether_it_was_named_by_the_port_or_by_its_id() {
    let (service, port) = jvm();
    let (url, named) = (format!("http://127.0.0.1:{port}/"), format!("jvm={}", service.0.id()));
    let load = ["--url", &url, "--rate", "20/s", "--for", "4s"];
    let run = run_valid(&[&load[..], &["--attach", "jvm", "--attach", &named]].concat());
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    let told = said(&run, &format!("jvm {}: ", service.0.id()));
    assert!(told.contains(": heap by generation, pauses, "), "{told}");
    let (lanes, me) = (Lanes::of(&run.folder).unwrap(), format!("pid-{}", service.0.id()));
    for lane in ["heap.used", "heap.young.used", "heap.limit", "pause.longest", "runtime.threads"] {
        assert!(lanes.tells(lane, &me), "{lane}");
    }
    assert_eq!(lanes.values("process.resident", &me), [0.0; 0], "nobody has named the process itself");
}

/// Variables with the passwords of the stores that the tests start.
const PASSWORDS: [(&str, &str); 3] = [
    ("DYNO_POSTGRES_PASSWORD", postgres::PASSWORD),
    ("DYNO_REDIS_PASSWORD", redis::PASSWORD),
    ("DYNO_RABBITMQ_PASSWORD", rabbit::PASSWORD),
];

#[test]
fn stores_are_read_beside_the_load_and_their_passwords_are_nowhere() {
    let (postgres, redis, rabbit) = (Postgres::start(), Redis::start(), Rabbit::managed());
    let management = rabbit.management();
    let (_, plugin) = management.split_once('@').unwrap();
    assert!(wait_for(PATIENCE, || TcpStream::connect(plugin).is_ok()), "the plugin listens");
    let (postgres, redis) = (format!("127.0.0.1:{}", postgres.port()), format!("127.0.0.1:{}", redis.port()));
    let attach = [
        format!("postgres=postgres://tester@{postgres}/postgres"),
        format!("redis=redis://{redis}"),
        format!("rabbitmq={management}"),
    ];
    let url = format!("http://127.0.0.1:{}/", serve(|_| None));
    let mut args = vec!["--url", &url, "--rate", "20/s", "--for", "4s"];
    args.extend(attach.iter().flat_map(|one| ["--attach", one.as_str()]));
    let run = run_valid_with(&args, &PASSWORDS);
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    let lanes = Lanes::of(&run.folder).unwrap();
    for (store, place, filled) in [
        ("postgres", postgres.as_str(), ["db.connections", "db.connection-limit"]),
        ("redis", redis.as_str(), ["cache.redis.commands", "cache.redis.memory"]),
        ("rabbitmq", plugin, ["broker.rabbitmq.memory", "broker.rabbitmq.memory-limit"]),
    ] {
        said(&run, &format!("{store} at {place}: "));
        let (_, port) = place.split_once(':').unwrap();
        for lane in filled {
            assert!(lanes.tells(lane, &format!("{store}-{port}")), "{lane}");
        }
    }
    // So all of them begin.
    let secret = "pa55";
    assert!(PASSWORDS.iter().all(|(_, password)| password.starts_with(secret)));
    assert!(!run.stdout().contains(secret) && !run.stderr().contains(secret));
    assert_eq!(holding(&run.folder, secret), Vec::<String>::new());

    for (attach, (variable, _)) in attach.iter().zip(PASSWORDS) {
        let output = watching(attach).env(variable, "hunter2").output().unwrap();
        refused(attach, &output, "the server refuses: ");
        assert_eq!(output.status.code(), Some(2), "{attach}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
    }
}

/// Sends the same metrics ten times a second, until it is dropped.
struct Sender(Arc<AtomicBool>);

impl Sender {
    fn start(to: SocketAddr, body: &'static str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let head = "POST /v1/metrics HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: ";
        let request = format!("{head}{}\r\n\r\n{body}", body.len());
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                let Ok(mut stream) = TcpStream::connect(to) else { continue };
                drop(stream.write_all(request.as_bytes()));
                drop(stream.read_to_end(&mut Vec::new()));
            }
        });
        Self(over)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the metrics of a service are called that no library calls so.
const MAPPINGS: &str = r#"[[target.metric]]
name = "shop_jobs_pending"
lane = "pool.*.waiters"
member = "pool"
[[target.metric]]
name = "shop_mail_backlog"
labels = { queue = "outgoing" }
lane = "broker.mail.depth"
"#;

/// What no library calls so.
const PAGE: &str = "shop_jobs_pending{pool=\"mail\"} 4\nshop_jobs_pending{pool=\"print\"} 2\n\
    shop_mail_backlog{queue=\"outgoing\"} 17\nshop_mail_backlog{queue=\"incoming\"} 5\n";
const SENT: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"renderer"}}]},
    "scopeMetrics":[{"metrics":[{"name":"shop.render.queue","gauge":{"dataPoints":[{"asInt":"6"}]}}]}]}]}"#;

/// [`PAGE`] at `port` is read, and fills the lanes that [`MAPPINGS`] name.
fn fills_its_lanes(run: &Run, port: u16) {
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    let told = said(run, &format!("metrics at http://127.0.0.1:{port}/metrics"));
    assert!(told.contains("lanes of the given mapping: pool, broker"), "{told}");
    let (lanes, page) = (Lanes::of(&run.folder).unwrap(), format!("metrics-{port}"));
    for (lane, value) in
        [("pool.mail.waiters", 4.0), ("pool.print.waiters", 2.0), ("broker.mail.depth", 17.0)]
    {
        let values = lanes.values(lane, &page);
        assert!(!values.is_empty() && values.iter().all(|v| *v == value), "{lane}: {values:?}");
    }
}

#[test]
fn a_scenario_says_what_metrics_of_the_service_s_own_are() {
    let (port, otlp) = (serve(|_| Some(PAGE.to_owned())), free());
    let _sender = Sender::start(otlp, SENT);
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("own.toml");
    let text = format!(
        r#"
about = "metrics that no library calls so"
[target]
url = "http://127.0.0.1:{port}"
attach = ["metrics=http://127.0.0.1:{port}/metrics", "otlp={otlp}"]
{MAPPINGS}[[target.metric]]
name = "shop_render_queue"
lane = "server.in-flight"
[[phase]]
name = "steady"
for = "4s"
arrivals = "20/s"
[[session]]
name = "visitor"
steps = [{{ name = "home", get = "/" }}]
"#
    );
    std::fs::write(&scenario, text).unwrap();
    let run = run_valid(&[scenario.to_str().unwrap()]);
    fills_its_lanes(&run, port);
    let sent = Lanes::of(&run.folder).unwrap().values("server.in-flight", "otlp-renderer");
    assert!(!sent.is_empty() && sent.iter().all(|v| *v == 6.0), "{sent:?}");
}

#[test]
fn a_file_says_to_a_watch_what_metrics_of_the_service_s_own_are() {
    let port = serve(|_| Some(PAGE.to_owned()));
    let dir = tempfile::tempdir().unwrap();
    let (own, folder) = (dir.path().join("own.toml"), dir.path().join("watch"));
    std::fs::write(&own, MAPPINGS).unwrap();
    // Nothing on the page is known but for the file, so without it `auto` would not find one.
    let url = format!("http://127.0.0.1:{port}");
    let mut watch = dyno();
    watch.args(["watch", &url, "--for", "3s", "--ui", "none", "--metrics"]).arg(&own);
    watch.arg("--out").arg(&folder);
    let run = Run::of(folder, watch.output().unwrap());
    fills_its_lanes(&run, port);
    assert!(!run.stderr().contains("nobody"), "somebody listens: {}", run.stderr());
}

#[test]
fn a_file_says_the_same_to_a_run_without_a_scenario() {
    let port = serve(|_| Some(PAGE.to_owned()));
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own.toml");
    std::fs::write(&own, MAPPINGS).unwrap();
    // As with a watch, `auto` finds the page by the file alone.
    let url = format!("http://127.0.0.1:{port}/");
    let load = ["--url", &url, "--rate", "20/s", "--for", "4s"];
    let run = run_valid(&[&load[..], &["--metrics", own.to_str().unwrap()]].concat());
    fills_its_lanes(&run, port);
}

#[test]
fn a_file_of_metrics_with_mistakes_is_refused_with_their_places() {
    let dir = tempfile::tempdir().unwrap();
    let (own, folder) = (dir.path().join("own.toml"), dir.path().join("out"));
    let refused = |args: &[&str]| {
        let mut command = dyno();
        command.args(args).args(["--for", "1s", "--ui", "none", "--metrics"]).arg(&own);
        let output = command.arg("--out").arg(&folder).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!folder.exists(), "{args:?} leaves nothing half made");
        String::from_utf8(output.stderr).unwrap()
    };
    let takers: [&[&str]; 2] = [&["watch", ":1"], &["run", "--url", "http://127.0.0.1:1/"]];
    for taker in takers {
        let told = refused(taker);
        assert!(told.contains(&format!("{} cannot be read: there is no such file", own.display())), "{told}");
    }
    let wrong = "[[target.metric]]\nname = \"shop_jobs\"\nlane = \"pool.mail.waitres\"\n";
    std::fs::write(&own, wrong).unwrap();
    for taker in takers {
        let told = refused(taker);
        for part in [
            "there is no lane `pool.mail.waitres` that a metric can fill".to_owned(),
            format!("{}:3:8", own.display()),
            "expected: one of heap.used, ".to_owned(),
            "did you mean `pool.*.waiters`?".to_owned(),
        ] {
            assert!(told.contains(&part), "{part}: {told}");
        }
    }
}

#[test]
fn a_file_of_metrics_is_refused_where_it_would_say_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own.toml");
    std::fs::write(&own, MAPPINGS).unwrap();
    let refused = |args: &[&str]| {
        let mut command = dyno();
        command.current_dir(dir.path()).args(args).args(["--ui", "none", "--metrics", "own.toml"]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let told = refused(&["watch", "dyno://127.0.0.1:1"]);
    assert!(told.contains("--attach, --metrics and --out belong to a target"), "{told}");
    // Without a name, a scenario of the catalogue is meant.
    for run in [&["run", "load.toml"][..], &["run", "flash-sale"], &["run"]] {
        let told = refused(run);
        let why = "--metrics own.toml: a scenario names its metrics itself; expected these [[target.metric]]";
        assert!(told.contains(why), "{run:?}: {told}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no folder is left");
}

/// Escape sequences, a formula of a spreadsheet, numbers that are none, and types that are not the metrics' own.
fn hostile() -> String {
    let endless = "9".repeat(400);
    format!(
        "# TYPE nodejs_heap_size_total_bytes histogram\nnodejs_heap_size_total_bytes 5e7\nnodejs_heap_size_used_bytes NaN\n\
         cache_size{{cache=\"\u{1b}[2J\u{202e}evil\"}} 1\ncache_size{{cache=\"=cmd()\"}} 2\n\
         cache_gets_total{{cache=\"c\",result=\"hit\"}} -5\nhikaricp_connections_pending{{pool=\"p\"}} three\n\
         hikaricp_connections_max{{pool=\"p\"}} {endless}\nhttp_request_duration_seconds_bucket{{le=\"high\"}} 1\n"
    )
}

#[test]
fn a_hostile_page_harms_neither_the_run_nor_who_reads_of_it() {
    // After a few readings it has no end.
    let port = serve(|n| (n < 6).then(hostile));
    let page = format!("metrics=http://127.0.0.1:{port}/metrics");
    let url = format!("http://127.0.0.1:{port}/");
    let run = run(&["--url", &url, "--rate", "20/s", "--for", "4s", "--attach", &page]);
    // A busy machine may make the run invalid; a second one would find the page without an end from the first.
    assert!(matches!(run.code(), Some(0 | 5)), "{}\n{}", run.stdout(), run.stderr());
    let me = format!("metrics-{port}");
    assert!(noted(&run, &format!("metrics: {me}: the answer is longer than 8 MiB")), "{}", run.stdout());
    let lanes = Lanes::of(&run.folder).unwrap();
    assert!(lanes.values("heap.capacity", &me).contains(&5e7));
    assert!(lanes.values("cache.\u{fffd}[2J\u{fffd}evil.entries", &me).contains(&1.0), "{}", lanes.0);
    assert_eq!(lanes.values("heap.used", &me), [0.0; 0]);
    let values = lanes.0.lines().skip(1).map(|row| row.rsplit(',').next().unwrap());
    assert!(values.map(|v| v.parse::<f64>().unwrap()).all(f64::is_finite));
    let read = |file: &str| std::fs::read_to_string(run.folder.join(file)).unwrap();
    for text in [run.stdout(), run.stderr(), lanes.0.clone(), read("summary.json"), read("report.html")] {
        for harm in ["\u{1b}", "\u{202e}", "\\u001b", "\\u202e"] {
            assert!(!text.contains(harm), "{harm:?} is in {text}");
        }
    }
}

/// Watches a port where nobody listens, by what is named.
fn watching(attach: &str) -> Command {
    let mut watch = dyno();
    watch.args(["watch", "http://127.0.0.1:1", "--for", "1s", "--ui", "none", "--attach", attach]);
    watch
}

fn watch(attach: &str) -> Output {
    watching(attach).output().unwrap()
}

/// That nothing was attached, and why, in one line.
fn refused(attach: &str, output: &Output, why: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.starts_with("dyno: ") && told.contains(why), "{attach}: {told}");
    assert_eq!(told.trim_end().lines().count(), 1, "{attach}: {told}");
}

#[test]
fn what_cannot_be_attached_is_refused_in_one_line_and_by_its_exit_code() {
    let nobody = free();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = (taken.local_addr().unwrap(), taken);
    let endless = serve(|_| None);
    let silent = "cannot attach the process behind port 1: nobody on this machine listens on it";
    for (attach, code, why) in [
        ("toaster".to_owned(), 2, "--attach toaster: expected one of auto, none, process, ".to_owned()),
        ("metrics".to_owned(), 2, "--attach metrics: expected one of auto, none, process, ".to_owned()),
        ("otlp=9".to_owned(), 2, "--attach otlp=9: expected one of auto, none, process, ".to_owned()),
        ("otlp=0.0.0.0:0".to_owned(), 2, "0.0.0.0:0: it is no address of loopback".to_owned()),
        (
            format!("otlp={}", taken.0),
            2,
            format!("cannot receive OpenTelemetry metrics at {}: cannot listen there", taken.0),
        ),
        ("node+heap".to_owned(), 6, silent.to_owned()),
        ("jvm".to_owned(), 6, silent.to_owned()),
        (
            format!("postgres=postgres://me@{nobody}/x"),
            6,
            format!("cannot attach PostgreSQL at postgres://{nobody}/x: nobody answers"),
        ),
        (
            format!("redis=redis://{nobody}"),
            6,
            format!("cannot attach Redis at redis://{nobody}: nobody answers"),
        ),
        (
            format!("rabbitmq=http://me@{nobody}"),
            6,
            format!("cannot attach RabbitMQ at http://{nobody}: nobody answers"),
        ),
        (
            format!("metrics=http://{nobody}/metrics"),
            6,
            format!("cannot attach the metrics at http://{nobody}/metrics: nobody answers"),
        ),
        (
            format!("metrics=http://127.0.0.1:{endless}/metrics"),
            6,
            "the answer is longer than 8 MiB".to_owned(),
        ),
    ] {
        let output = watch(&attach);
        refused(&attach, &output, &why);
        assert_eq!(output.status.code(), Some(code), "{attach}");
    }
    let page = serve(|_| Some("<!doctype html>\n<html>\n<body>\n</body>\n".to_owned()));
    for (attach, why) in [
        ("metrics=https://me:hunter2@127.0.0.1:1/?token=hunter2".to_owned(), "is not an address of the form"),
        ("metrics=http://me:hunter2@127.0.0.1:1/".to_owned(), "its address holds a user or a password"),
        ("postgres=postgres://me:hunter2@127.0.0.1:1/x".to_owned(), "give it in DYNO_POSTGRES_PASSWORD"),
        ("redis=redis://:hunter2@127.0.0.1:1".to_owned(), "give it in DYNO_REDIS_PASSWORD"),
        ("rabbitmq=http://me:hunter2@127.0.0.1:1".to_owned(), "give it in DYNO_RABBITMQ_PASSWORD"),
        (
            "postgres=postgres://127.0.0.1:1/x".to_owned(),
            "is not an address of the form postgres://USER@HOST",
        ),
        (format!("metrics=http://127.0.0.1:{page}/metrics"), "the answer is not a page of metrics: line 1"),
    ] {
        let output = watch(&attach);
        refused(&attach, &output, why);
        assert_eq!(output.status.code(), Some(2), "{attach}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
    }

    // A run is refused alike, without a report of a load that nobody has seen.
    let (url, attach) = (format!("http://127.0.0.1:{page}/"), format!("metrics=http://{nobody}/metrics"));
    let run = run(&["--url", &url, "--rate", "1/s", "--for", "1s", "--attach", &attach]);
    assert!(run.stderr().contains(&format!("http://{nobody}/metrics: nobody answers")), "{}", run.stderr());
    assert_eq!(run.code(), Some(6));
    assert!(!run.folder.join("summary.json").exists());
}

#[test]
fn a_watch_says_that_nobody_listens_yet_and_waits() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("watch");
    let mut auto = dyno();
    auto.args(["watch", ":1", "--for", "1s", "--ui", "none", "--attach", "auto", "--out"]).arg(&folder);
    let run = Run::of(folder, auto.output().unwrap());
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    // Also where nothing is shown it is said, once, and where lines are shown they say it.
    let told =
        "port 1: nobody on this machine listens on it yet: who comes to serve it is watched from then on";
    assert_eq!(run.stderr(), format!("dyno: {}\n", said(&run, told)));
    said(&run, "process of port 1: nobody at first, ");
    let vain = "process: nobody has come to serve port 1";
    assert!(noted(&run, vain), "{:#}", run.summary()["notes"]);
    assert!(
        !run.stdout().contains("--attach metrics=URL"),
        "a page could not be read, either: {}",
        run.stdout()
    );
    for ui in ["plain", "json"] {
        let output = dyno().args(["watch", ":1", "--for", "1s", "--ui", ui]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        let lines = stderr.lines().filter(|line| line.contains(told)).count();
        assert!(if ui == "plain" { lines == 1 } else { lines > 0 }, "{stderr}");
        assert!(!stderr.lines().any(|line| line.starts_with("dyno: ")), "{stderr}");
    }
    // By name, and without a report that would say how it went.
    let output = watch("process");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        matches!(lines[..], [first, last] if first.contains(told) && last == format!("dyno: {vain}")),
        "{stderr}"
    );
}

/// A server that listens on the port which it is told, until its standard input ends.
const LATE: &str = "require('http').createServer((_, answer) => answer.end('ok')).listen(process.argv[1], '127.0.0.1'); \
    process.stdin.resume().on('end', () => process.exit())";

#[test]
fn a_service_that_comes_after_the_watch_is_watched_and_looked_into_where_that_was_allowed() {
    let port = free_port();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("watch");
    let mut watch = dyno();
    watch.args(["watch", &format!(":{port}"), "--yes", "--ui", "plain", "--out"]).arg(&folder);
    let mut watch = Guarded(watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(watch.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("nobody on this machine listens on it yet")), "it waits");
    // Nobody else reads them.
    let rest = std::thread::spawn(move || lines.collect::<Vec<String>>().join("\n"));

    let mut node = Command::new("node");
    node.args(["-e", LATE, &port.to_string()]).env("NODE_OPTIONS", "--inspect-port=0").stdin(Stdio::piped());
    let node = Guarded(node.stderr(Stdio::null()).spawn().expect("this test needs node 20 or later"));
    let me = format!("pid-{}", node.0.id());
    let came = wait_for(PATIENCE, || {
        let wanted = ["process.resident", "heap.used"];
        Lanes::of(&folder).is_some_and(|lanes| wanted.iter().all(|lane| lanes.tells(lane, &me)))
    });
    signal(watch.0.id(), Signal::INT);
    assert!(wait_for(PATIENCE, || watch.0.try_wait().unwrap().is_some()), "it ends");
    let mut stdout = Vec::new();
    watch.0.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    let (status, stderr) = (watch.0.wait().unwrap(), rest.join().unwrap().into_bytes());
    let run = Run::of(folder, Output { status, stdout, stderr });
    assert!(came, "{:#}\n{}", run.summary()["lanes"], run.stderr());
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    said(&run, &format!("node at port {port}: nobody at first; "));
    assert!(!noted(&run, "process: nobody has come"), "{:#}", run.summary()["notes"]);
}

#[test]
fn a_report_says_what_has_come_to_stand_on_a_page_since_the_run_began() {
    let page = |n: usize| if n < 5 { "" } else { "pg_pool_max 5\n" };
    let port = serve(move |n| Some(format!("nodejs_heap_size_used_bytes 1\n{}", page(n))));
    let url = format!("http://127.0.0.1:{port}/");
    let load = ["--url", &url, "--rate", "20/s", "--for", "4s"];
    let run = run_valid(&[&load[..], &["--attach", &format!("metrics={url}metrics")]].concat());
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    let told = said(&run, &format!("metrics at {url}metrics as metrics-{port}: "));
    assert!(told.contains(": heap, pool; nothing of "), "{told}");
}
