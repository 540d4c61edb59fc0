//! The metrics source against servers, and what receives OpenTelemetry against senders: real libraries, one that goes away and comes
//! back, and hostile ones.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

#[path = "../../tests/readers/python.rs"]
mod python;
mod watched;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dynamometer_profiler::sources::{
    Attached, Precedence, Rank, attach_metrics, attach_otlp, look_for_metrics,
};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit as RegistryUnit};
use timeline::event::kinds;
use timeline::lane::names;
use timeline::metric::Mapping;
use timeline::{LaneSpec, MonoNs};

use watched::{Kept, patiently, soon};

const GRACE: Duration = Duration::from_secs(10);

type Answer = dyn Fn(usize, &mut TcpStream) + Send + Sync;

/// Answers every request with `answer(number of the request, stream)`.
struct Server {
    address: SocketAddr,
    done: Arc<AtomicBool>,
}

impl Server {
    fn start(answer: Arc<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&done);
        let asked = Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
                std::thread::spawn(move || {
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                        head.push(byte[0]);
                    }
                    if head.starts_with(b"GET /metrics ") {
                        answer(asked.fetch_add(1, Ordering::Relaxed), &mut stream);
                    }
                });
            }
        });
        Self { address, done }
    }

    /// A page that depends on how often it was asked for.
    fn page(page: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        Self::start(Arc::new(move |n, stream| reply(stream, "200 OK", page(n).as_bytes())))
    }

    fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    fn instance(&self) -> String {
        format!("metrics-{}", self.address.port())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

fn reply(stream: &mut TcpStream, status: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)));
}

#[test]
fn levels_rates_and_ages_arrive_and_an_outage_is_said_once_and_survived() {
    let broken = Arc::new(AtomicBool::new(false));
    let is_broken = Arc::clone(&broken);
    let server = Server::start(Arc::new(move |n, stream: &mut TcpStream| {
        let page = format!(
            "app_hikaricp_connections_pending{{pool=\"main\"}} 3\ncache_gets_total{{cache=\"c\",result=\"hit\"}} {}\n",
            n * 10
        );
        let status = if is_broken.load(Ordering::Relaxed) { "503 Service Unavailable" } else { "200 OK" };
        reply(stream, status, page.as_bytes());
    }));
    let kept = Kept::default();
    let attached = attach_metrics(&server.url(), None, &[], Box::new(kept.clone())).unwrap();
    assert!(attached.about().contains("Micrometer"), "{}", attached.about());
    let me = server.instance();
    soon("rates", || kept.values("cache.c.hits", &me).len() >= 3);
    assert!(kept.values("pool.main.waiters", &me).iter().all(|v| *v == 3.0));
    assert!(kept.values("cache.c.hits", &me).iter().all(|v| *v > 0.0));
    broken.store(true, Ordering::Relaxed);
    soon("trouble", || kept.noted("status 503") && kept.happened("failing"));
    let before = kept.values("cache.c.hits", &me).len();
    soon("ages while it is out", || {
        kept.values(names::SOURCE_AGE, "metrics").last().is_some_and(|a| *a > 1e9)
    });
    assert_eq!(kept.values("cache.c.hits", &me).len(), before, "a gap stays a gap");
    broken.store(false, Ordering::Relaxed);
    soon("back", || kept.happened("back") && kept.values("cache.c.hits", &me).len() > before);
    let said = kept.0.lock().unwrap().notes.iter().filter(|n| n.contains("503")).count();
    assert_eq!(said, 1);
    assert!(attached.join(GRACE));
}

#[test]
fn the_line_of_a_page_says_what_has_come_to_stand_on_it_since() {
    let grown = Arc::new(AtomicBool::new(false));
    let has_grown = Arc::clone(&grown);
    let server = Server::page(move |n| {
        let hits = format!("cache_gets_total{{cache=\"c\",result=\"hit\"}} {n}\n");
        let more = if has_grown.load(Ordering::Relaxed) { hits } else { String::new() };
        format!("nodejs_heap_size_used_bytes 1\n{more}")
    });
    let (kept, me) = (Kept::default(), server.instance());
    let attached = attach_metrics(&server.url(), None, &[], Box::new(kept.clone())).unwrap();
    let first = attached.about();
    assert!(first.contains(": heap; nothing of "), "{first}");
    soon("readings", || kept.values(names::HEAP_USED, &me).len() > 3);
    assert_eq!((attached.about(), kept.times(&first)), (first, 1), "it is said once");
    grown.store(true, Ordering::Relaxed);
    soon("a line that says more", || attached.about().contains(": heap, cache; nothing of "));
    assert!(kept.noted(&attached.about()));
    assert!(attached.join(GRACE));
}

#[test]
fn a_page_that_processes_answer_in_turn_says_so_once_and_is_told_no_more() {
    // By when they began, or where that is not told by how the counter goes.
    for (began, rates) in [(Some([100, 200]), 1), (None, 2)] {
        let server = Server::page(move |n| {
            let began = began.map(|b| format!("shop_process_start_time_seconds {}\n", b[n % 2]));
            format!(
                "cache_gets_total{{cache=\"c\",result=\"hit\"}} {}\ncache_size{{cache=\"c\"}} 7\n{}",
                [5_000, 4_000][n % 2] + n,
                began.unwrap_or_default()
            )
        });
        let (kept, me) = (Kept::default(), server.instance());
        let attached = attach_metrics(&server.url(), None, &[], Box::new(kept.clone())).unwrap();
        let remark = format!("metrics: {me}: the page is answered by several processes in turn");
        soon("the remark", || kept.noted(&remark));
        let told = || ["cache.c.hits", "cache.c.entries"].map(|name| kept.values(name, &me).len());
        let before = told();
        assert!(before[0] <= rates, "{before:?}");
        let ages = || kept.values(names::SOURCE_AGE, "metrics").len();
        let readings = ages();
        soon("readings after it", || ages() > readings + 5);
        assert_eq!(told(), before);
        assert_eq!(kept.0.lock().unwrap().notes.iter().filter(|n| n.starts_with(&remark)).count(), 1);
        assert!(attached.join(GRACE));
    }
}

#[test]
fn a_process_that_is_started_again_counts_from_zero() {
    let page = |n: usize| {
        let (gets, began) = if n < 4 { (1_000 + 10 * n, 100) } else { (7 + 10 * (n - 4), 900) };
        format!(
            "cache_gets_total{{cache=\"c\",result=\"hit\"}} {gets}\nnodejs_heap_size_used_bytes 1\nprocess_start_time_seconds {began}\n"
        )
    };
    // Each page says more than the one before: where one does not come in time, as on a busy machine, all is read once more.
    let mut tries = (0..3).map(|_| {
        let (server, kept, asked) = (Server::page(page), Kept::default(), MonoNs::now());
        let attached = attach_metrics(&server.url(), None, &[], Box::new(kept.clone())).unwrap();
        let in_time = MonoNs::now().since(asked) < Duration::from_secs(2);
        soon("rates", || kept.values("cache.c.hits", &server.instance()).len() >= 20);
        assert!(attached.join(GRACE));
        (in_time && !kept.happened("silent"), kept, server.instance())
    });
    let (_, kept, me) = tries.find(|(in_time, ..)| *in_time).unwrap();
    let readings = kept.values("cache.c.hits", &me).len() as f64;
    let counted = kept.counted("cache.c.hits", "");
    assert!((counted - (10.0 * readings - 3.0)).abs() < 0.01, "{counted} in {readings} readings");
    assert!(!kept.noted("in turn"));
}

#[test]
fn wrong_addresses_and_answers_are_named_and_secrets_are_not_shown() {
    let attach = |url: &str| match attach_metrics(url, None, &[], Box::new(Kept::default())) {
        Ok(_) => panic!("{url} attached"),
        Err(e) => e.to_string(),
    };
    assert_eq!(
        attach("http://me:hunter2@127.0.0.1:1/metrics?token=hunter3"),
        "cannot attach the metrics at http://127.0.0.1:1/metrics: its address holds a user or a password, and a page is read without: leave them out"
    );
    assert!(attach("https://127.0.0.1:1/metrics").contains("is not an address of the form"));
    assert!(
        attach("http://127.0.0.1:1/metrics?token=hunter3")
            .contains("http://127.0.0.1:1/metrics: nobody answers")
    );
    let html = Server::page(|_| "<!doctype html>\n<html>\n<body>\n</body>\n".to_owned());
    assert!(
        attach(&html.url())
            .contains("the answer is not a page of metrics: line 1: no metric's name at its beginning")
    );
}

#[test]
fn an_endless_page_is_named_and_given_up() {
    let endless = Server::start(Arc::new(|_, stream: &mut TcpStream| {
        let line = b"nodejs_heap_size_used_bytes 1\n".repeat(1_000);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        // Twice what is taken: a reader without a limit would take it all.
        for _ in 0..600 {
            if stream.write_all(&line).is_err() {
                return;
            }
        }
    }));
    let error = attach_metrics(&endless.url(), None, &[], Box::new(Kept::default())).map(|_| ()).unwrap_err();
    assert!(error.to_string().ends_with("the answer is longer than 8 MiB"), "{error}");
}

#[test]
fn hostile_names_and_values_do_no_harm_and_are_told() {
    let server = Server::page(|_| {
        let huge = "x".repeat(10_000);
        format!(
            "cache_size{{cache=\"\u{1b}[2J\u{202e}evil\"}} 1\ncache_size{{cache=\"{huge}\"}} 2\nnodejs_heap_size_used_bytes NaN\n\
             cache_gets_total{{cache=\"c\",result=\"hit\"}} -5\nhikaricp_connections_max{{pool=\"p\"}} {}\nhikaricp_connections_idle{{pool=\"{}\"}} 1\n\
             a 1\nb 2\nc 3\nd 4\nhttp_request_duration_seconds_bucket{{le=\"high\",route=\"/\"}} 1\n",
            "9".repeat(400),
            "y".repeat(20_000)
        )
    });
    let kept = Kept::default();
    let attached = attach_metrics(&server.url(), None, &[], Box::new(kept.clone())).unwrap();
    soon("reasons", || {
        ["counters that are no positive number", "buckets without a limit", "longer than 16 KiB"]
            .iter()
            .all(|w| kept.noted(w))
    });
    let got = kept.0.lock().unwrap();
    assert!(got.lanes.iter().all(|l| !l.name.contains(['\u{1b}', '\u{202e}']) && l.name.len() < 100));
    assert!(got.samples.iter().all(|s| s.2.is_finite()));
    assert!(got.lanes.iter().any(|l| l.name.starts_with("cache.xxx")));
    drop(got);
    assert!(attached.join(GRACE));
}

#[test]
fn a_page_is_found_by_custom_if_it_tells_something() {
    let at = |server: &Server| format!("http://{}", server.address);
    let found = |page: &'static str, mappings: &[Mapping]| {
        let server = Server::page(move |_| page.to_owned());
        look_for_metrics(&at(&server), mappings).map(|url| url == server.url())
    };
    assert_eq!(found("jobs_waiting 3\nhikaricp_connections_max{pool=\"db\"} 8\n", &[]), Some(true));
    for nothing in ["", "<html>all paths lead here</html>", "jobs_waiting 3\n"] {
        assert_eq!(found(nothing, &[]), None, "{nothing:?}");
    }
    let own = Mapping {
        metric: "jobs_waiting".to_owned(),
        labels: Vec::new(),
        lane: "pool.jobs.waiters".to_owned(),
        member: None,
        subject: None,
        unit: None,
    };
    assert_eq!(found("jobs_waiting 3\n", &[own]), Some(true));
    assert_eq!(look_for_metrics("http://127.0.0.1:1", &[]), None);
}

/// A process of another language that serves its library's page, for as long as the test lasts.
struct Service(Child, u16);

impl Service {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|e| panic!("{command:?}: {e}; ./test installs what is needed"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("{command:?} told no port"));
        Self(child, port)
    }

    fn watch(&self, kept: &Kept) -> Attached {
        attach_metrics(&format!("http://127.0.0.1:{}/metrics", self.1), None, &[], Box::new(kept.clone()))
            .unwrap()
    }

    fn instance(&self) -> String {
        format!("metrics-{}", self.1)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn libraries() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libraries")
}

#[test]
fn node_with_prom_client_shows_generations_pauses_and_handlers() {
    let node = Service::start(Command::new("node").arg(libraries().join("prom-client.js")));
    let kept = Kept::default();
    let attached = node.watch(&kept);
    let me = node.instance();
    assert!(attached.about().contains("prom-client"), "{}", attached.about());
    soon("pauses", || kept.0.lock().unwrap().events.iter().any(|e| e.kind == kinds::PAUSE_MINOR));
    soon("handlers", || kept.recorded(names::SERVER_HANDLER).iter().any(|h| h.count() > 0));
    let [young, old, used] =
        [names::HEAP_YOUNG, names::HEAP_OLD, names::HEAP_USED].map(|n| kept.values(n, &me));
    assert!(young.iter().zip(&old).zip(&used).all(|((y, o), u)| *y > 0.0 && *o > 0.0 && y + o <= *u));
    assert!(kept.values(names::LOOP_DELAY_LONGEST, &me).iter().all(|v| (1e6..60e9).contains(v)));
    // Each was 20 ms, which lies in the bucket from 10 to 25 ms.
    let handlers = kept.recorded(names::SERVER_HANDLER);
    assert!(
        handlers.iter().flat_map(|h| &h.cells).all(|(us, _)| (19_900..=20_100).contains(us)),
        "{handlers:?}"
    );
    assert!(attached.join(GRACE));
}

/// A process that sends its metrics, for as long as the test lasts.
struct Sender(Child);

impl Sender {
    fn start(command: &mut Command, to: SocketAddr, how: &[&str]) -> Self {
        let url = format!("http://{to}/v1/metrics");
        Self(
            command
                .arg(url)
                .args(how)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap_or_else(|e| panic!("{command:?}: {e}")),
        )
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Receives on a free port.
fn receive(kept: &Kept, mappings: &[Mapping]) -> (Attached, SocketAddr) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let attached = attach_otlp(any, None, mappings, Box::new(kept.clone())).unwrap();
    let address = attached.about().split(['/', ' ']).find_map(|word| word.parse().ok()).unwrap();
    (attached, address)
}

#[test]
fn the_libraries_of_python_are_read_by_their_page_and_by_what_they_send() {
    let python = python::with_packages();
    let service = Service::start(Command::new(&python).arg(libraries().join("prometheus_client_page.py")));
    let kept = Kept::default();
    let attached = service.watch(&kept);
    let backlog = Mapping {
        metric: "shop.mail.backlog".to_owned(),
        labels: vec![("queue".to_owned(), "outgoing".to_owned())],
        lane: "broker.mail.depth".to_owned(),
        member: None,
        subject: None,
        unit: None,
    };
    let senders = [&[][..], &["grpc"]].map(|how| {
        let sent = Kept::default();
        let (receiver, address) = receive(&sent, std::slice::from_ref(&backlog));
        let script = libraries().join("opentelemetry_sdk.py");
        (Sender::start(Command::new(&python).arg(script), address, how), sent, receiver)
    });
    soon("handlers", || kept.recorded(names::SERVER_HANDLER).iter().map(|h| h.count()).sum::<u64>() > 20);
    let requests = kept.values(names::SERVER_REQUESTS, &service.instance());
    assert!(requests.iter().all(|r| *r >= 0.0) && requests.iter().any(|r| *r > 0.0), "{requests:?}");

    for (sender, sent, receiver) in senders {
        is_told(&sender, &sent);
        assert!(receiver.join(GRACE));
    }
    assert!(attached.join(GRACE));
}

/// What the script of Python sends comes to its lanes.
fn is_told(sender: &Sender, sent: &Kept) {
    patiently("handlers that were sent", || {
        sent.recorded(names::SERVER_HANDLER).iter().filter(|h| h.count() > 0).count() > 2
    });
    let me = format!("otlp-python-shop-{}", sender.0.id());
    assert!(sent.values("pool.orders.in-use", &me).iter().all(|v| *v == 3.0), "{me}");
    assert!(sent.values("pool.orders.idle", &me).contains(&1.0));
    assert!(sent.values("broker.mail.depth", &me).contains(&17.0), "a mapped metric");
    let within = |name: &str, us: u32| {
        let cells: Vec<u32> = sent.recorded(name).iter().flat_map(|h| h.cells.clone()).map(|c| c.0).collect();
        assert!(!cells.is_empty() && cells.iter().all(|c| c.abs_diff(us) <= us / 20), "{name}: {cells:?}");
    };
    within(names::SERVER_HANDLER, 20_000);
    within("pool.orders.wait", 4_000); // from exponential buckets
}

#[test]
fn node_with_the_sdk_of_opentelemetry_sends_generations_and_pauses() {
    let kept = Kept::default();
    let (attached, address) = receive(&kept, &[]);
    let sender =
        Sender::start(Command::new("node").arg(libraries().join("opentelemetry-sdk.js")), address, &[]);
    let me = format!("otlp-node-shop-{}", sender.0.id());
    patiently("pauses", || kept.0.lock().unwrap().events.iter().any(|e| e.kind == kinds::PAUSE_MINOR));
    soon("handlers", || kept.recorded(names::SERVER_HANDLER).iter().any(|h| h.count() > 0));
    let [young, old, used] =
        [names::HEAP_YOUNG, names::HEAP_OLD, names::HEAP_USED].map(|n| kept.values(n, &me));
    assert!(!used.is_empty() && young.iter().zip(&old).zip(&used).all(|((y, o), u)| *y > 0.0 && y + o <= *u));
    // Each was 20 ms; about 200 a second, however many a busy machine lets through.
    let handlers = kept.recorded(names::SERVER_HANDLER);
    assert!(
        handlers.iter().flat_map(|h| &h.cells).all(|(us, _)| (19_900..=20_100).contains(us)),
        "{handlers:?}"
    );
    assert!(kept.values(names::SERVER_REQUESTS, &me).iter().all(|r| *r < 2_000.0));
    assert!(kept.noted("OpenTelemetry, Node.js"));
    soon("its age", || !kept.values(names::SOURCE_AGE, "otlp").is_empty());
    assert!(attached.join(GRACE));
}

#[test]
fn requests_that_who_sees_the_process_tells_are_not_told_by_its_page() {
    let server = Server::page(|n| {
        format!(
            "http_request_duration_seconds_sum {n}\nhttp_request_duration_seconds_count {n}\nshop_hikaricp_connections_idle 2\n"
        )
    });
    let (precedence, kept) = (Precedence::default(), Kept::default());
    let page = precedence.of(Rank::Page, Box::new(kept.clone()));
    let attached = attach_metrics(&server.url(), None, &[], page).unwrap();
    let told = || kept.values(names::SERVER_REQUESTS, &server.instance()).len();
    soon("requests", || told() > 2);
    let mut inside = precedence.of(Rank::Inside, Box::new(kept.clone()));
    inside.declare(LaneSpec::rate(names::SERVER_REQUESTS, "pid-7", timeline::Unit::PerSecond)).unwrap();
    soon("that they are left out", || {
        kept.noted("requests left out: who sees the process itself tells them")
    });
    let (requests, idle) = (told(), kept.values("pool.db.idle", &server.instance()).len());
    soon("the rest", || kept.values("pool.db.idle", &server.instance()).len() > idle + 3);
    assert_eq!(told(), requests);
    assert!(attached.join(GRACE));
}

#[test]
fn that_nobody_has_sent_is_told_until_somebody_does() {
    let kept = Kept::default();
    let (attached, address) = receive(&kept, &[]);
    let lack = attached.lack().unwrap();
    assert!(
        lack.starts_with(&format!("otlp: nobody has sent metrics to http://{address}/v1/metrics; ")),
        "{lack}"
    );
    let body = r#"{"resourceMetrics":[{"scopeMetrics":[]}]}"#;
    let head = "POST /v1/metrics HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: ";
    assert!(raw(address, format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes()).contains(" 200 "));
    assert_eq!(attached.lack(), None);
    assert!(attached.join(GRACE));
}

/// Sends bytes as they are and gives back the answer's first line. Once more if it was held up on its way and therefore turned away.
fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut answers = (0..3).map(|_| {
        let mut stream = TcpStream::connect(address).unwrap();
        drop(stream.write_all(bytes));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    });
    answers.find(|answer| !answer.starts_with("HTTP/1.1 408 ")).unwrap()
}

#[test]
fn hostile_senders_are_answered_with_their_mistake_and_named_once() {
    let kept = Kept::default();
    let (attached, address) = receive(&kept, &[]);
    let post = |fields: &str, body: &[u8]| {
        let head = format!(
            "POST /v1/metrics HTTP/1.1\r\nhost: x\r\nuser-agent: evil\u{202e}\r\n{fields}content-length: {}\r\n\r\n",
            body.len()
        );
        raw(address, &[head.as_bytes(), body].concat())
    };
    let json = "content-type: application/json\r\n";
    let proto = "content-type: application/x-protobuf\r\n";
    let zipped = |byte: u8, n: usize| {
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zip.write_all(&vec![byte; n]).unwrap();
        zip.finish().unwrap()
    };
    let bomb = format!("{proto}content-encoding: gzip\r\n");
    let endless = "POST /v1/metrics HTTP/1.1\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n";
    for (what, answer, status) in [
        ("no JSON", post(json, b"[1"), 400),
        ("wrong types", post(json, br#"{"resourceMetrics":{"a":1}}"#), 400),
        ("too deep", post(json, "[".repeat(100_000).as_bytes()), 400),
        ("no protobuf", post(proto, b"\x0a\xff\xff"), 400),
        ("a bomb", post(&bomb, &zipped(0, 64 << 20)), 413),
        ("no gzip", post(&bomb, b"plain"), 400),
        ("much JSON", post(json, &b" ".repeat(2 << 20)), 413),
        ("endless chunks", raw(address, endless.as_bytes()), 413),
        ("an endless head", raw(address, &b"GET / HTTP/1.1\r\na: b\r\n".repeat(2_000)), 400),
        ("other content", post("content-type: text/html\r\n", b"x"), 415),
        ("traces", raw(address, b"POST /v1/traces HTTP/1.1\r\n\r\n"), 404),
        ("a reader", raw(address, b"GET /v1/metrics HTTP/1.1\r\n\r\n"), 405),
        (
            "no length",
            raw(address, b"POST /v1/metrics HTTP/1.1\r\ncontent-type: application/json\r\n\r\n"),
            411,
        ),
        ("nothing at all", post(proto, b""), 200),
    ] {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}");
    }
    let crowd = |senders: std::ops::Range<u32>| {
        let many = senders.map(|i| {
            format!(r#"{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"\u001b{i}{}"}}}}]}},"scopeMetrics":[]}}"#, "x".repeat(500))
        });
        format!(r#"{{"resourceMetrics":[{}]}}"#, many.collect::<Vec<_>>().join(","))
    };
    // What is taken in part is not to come again.
    assert!(post(json, crowd(0..20).as_bytes()).starts_with("HTTP/1.1 200 "));
    assert!(post(json, crowd(20..21).as_bytes()).starts_with("HTTP/1.1 429 "));
    // One that was turned away is no trouble to the next.
    assert!(post(json, br#"{"resourceMetrics":[]}"#).starts_with("HTTP/1.1 200 "));
    let got = kept.0.lock().unwrap();
    assert!(got.lanes.iter().all(|l| l.instance.len() < 100 && !l.instance.contains('\u{1b}')));
    let told: Vec<&String> = got.notes.iter().filter(|n| n.contains("turned away")).collect();
    assert!((5..=16).contains(&told.len()), "{told:?}");
    assert!(
        told.iter().all(|n| n.contains("evil") != n.contains("without a name") && !n.contains('\u{202e}')),
        "{told:?}"
    );
    drop(got);
    assert!(attached.join(GRACE));
    let elsewhere = attach_otlp(SocketAddr::from(([0, 0, 0, 0], 0)), None, &[], Box::new(Kept::default()));
    assert!(elsewhere.map(|_| ()).unwrap_err().to_string().contains("no address of loopback"));
}

/// What gRPC says of one call: status and message.
async fn called(address: SocketAddr, path: &str, packing: &str, body: Vec<u8>) -> (String, String) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(async { drop(connection.await) });
    let request = http::Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("user-agent", "evil\u{e9}")
        .header("grpc-encoding", packing)
        .body(())
        .unwrap();
    let (answer, mut stream) = client.ready().await.unwrap().send_request(request, false).unwrap();
    stream.send_data(body.into(), true).unwrap();
    let mut answer = answer.await.unwrap();
    while let Some(part) = answer.body_mut().data().await {
        assert_eq!(part.unwrap()[..], [0; 5]);
    }
    let trailers = answer.body_mut().trailers().await.unwrap_or_default().unwrap_or_default();
    let said = |name: &str| {
        let value = trailers.get(name).or(answer.headers().get(name));
        value.map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    (said("grpc-status"), said("grpc-message"))
}

#[test]
fn hostile_calls_are_answered_with_their_mistake_and_harm_no_other() {
    const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    let kept = Kept::default();
    let (attached, address) = receive(&kept, &[]);
    let frame = |packed: u8, length: usize, message: &[u8]| {
        [&[packed][..], &(length as u32).to_be_bytes(), message].concat()
    };
    // Those who say nothing more hold up nobody, and neither do more than there is room for.
    let silent: Vec<TcpStream> = (0..12)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
            stream
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let call = |path, packing, body| runtime.block_on(called(address, path, packing, body));
    let traces = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let long = 9 << 20;
    for (what, (status, message), expected, word) in [
        ("traces", call(traces, "identity", frame(0, 0, b"")), "12", "is not taken"),
        ("no message", call(EXPORT, "identity", Vec::new()), "3", "without a message"),
        ("a message cut off", call(EXPORT, "identity", frame(0, 7, b"abc")), "3", "another length"),
        (
            "no protobuf",
            call(EXPORT, "identity", frame(0, 3, b"\x0a\xff\xff")),
            "3",
            "no metrics in protobuf",
        ),
        ("unknown packing", call(EXPORT, "zstd", frame(1, 3, b"abc")), "12", "otherwise than by gzip"),
        ("much", call(EXPORT, "identity", frame(0, long, &vec![0; long])), "8", "more than 8 MiB"),
        ("nothing", call(EXPORT, "gzip", frame(0, 0, b"")), "0", ""),
    ] {
        assert!(status == expected && message.contains(word), "{what}: {status} {message}");
    }
    drop(silent);
    assert!(kept.noted("turned away: a message that is packed otherwise than by gzip"));
    assert!(attached.join(GRACE));
}

#[test]
fn rust_with_prometheus_client_is_read_in_openmetrics() {
    let handler = Histogram::new([0.01, 0.1]);
    let mut registry = Registry::default();
    registry.register_with_unit("http_request_duration", "Requests", RegistryUnit::Seconds, handler.clone());
    let server = Server::page(move |_| {
        handler.observe(0.05);
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        page
    });
    let kept = Kept::default();
    let attached = attach_metrics(&server.url(), None, &[], Box::new(kept.clone())).unwrap();
    soon("handlers", || kept.recorded(names::SERVER_HANDLER).len() > 3);
    // Of a page that did not come in time the next one tells, too.
    let handlers = kept.recorded(names::SERVER_HANDLER);
    let most = if kept.happened("silent") { u32::MAX } else { 1 };
    assert!(handlers.iter().all(|h| h.cells.len() == 1 && h.cells[0].0 == 50_000), "{handlers:?}");
    assert!(handlers.iter().all(|h| (1..=most).contains(&h.cells[0].1)), "{handlers:?}");
    assert!(attached.join(GRACE));
}
