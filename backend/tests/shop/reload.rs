//! Workers that are relieved, and workers that are killed, under load: what is lost and what is not.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::common::servers::postgres::Postgres;
use crate::common::{self, Backend, Socket, connect, signal, wait_for};
use rustix::process::Signal;
use timeline::MonoNs;

/// A client that keeps its connection as long as the server lets it.
struct Client<'a> {
    shop: &'a str,
    stream: Option<BufReader<TcpStream>>,
}

impl<'a> Client<'a> {
    fn new(shop: &'a str) -> Self {
        Self { shop, stream: None }
    }

    /// The status and the body, or nothing when the connection broke.
    fn ask(&mut self, method: &str, path: &str, token: &str, body: &str) -> Option<(u16, String)> {
        let mut stream = self.stream.take().unwrap_or_else(|| BufReader::new(connect(self.shop)));
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(head.as_bytes()).ok()?;
        let (mut length, mut close, mut status) = (0, false, 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if status == 0 {
                status = line.split(' ').nth(1)?.parse().ok()?;
            } else if line.is_empty() {
                break;
            } else if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().ok()?;
            } else if line == "connection: close" {
                close = true;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        if !close {
            self.stream = Some(stream);
        }
        Some((status, String::from_utf8(body).ok()?))
    }
}

/// Stops those who load when it is dropped, also by a test that fails: nobody else would.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn generations(backend: &Backend) -> Vec<u64> {
    let instances = backend.order("GET", "/v1/instances", "").json();
    let shops = instances["instances"].as_array().unwrap().iter();
    shops.filter(|i| i["name"] != "services-0").map(|i| i["generation"].as_u64().unwrap()).collect()
}

#[test]
fn a_reload_under_load_loses_no_request() {
    let backend = Backend::start(2);
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let lost = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let _stops = Stops(&stop);
        for n in 0..8 {
            let (backend, stop, done, lost) = (&backend, &stop, &done, &lost);
            scope.spawn(move || {
                let mut client = Client::new(backend.shop());
                while !stop.load(Ordering::Relaxed) {
                    let path = if n % 2 == 0 { "/products/7" } else { "/" };
                    let began = MonoNs::now();
                    match client.ask("GET", path, "", "") {
                        Some((200, _)) => {
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        other => {
                            let after = MonoNs::now().since(began);
                            lost.lock().unwrap().push(format!("{path}: {other:?} after {after:?}"));
                        }
                    }
                    if n < 2 {
                        // Somebody who thinks between requests has an idle connection when it happens.
                        std::thread::sleep(Duration::from_millis(150));
                    }
                }
            });
        }
        let mut listener = Socket::open(backend.shop(), "/ws").expect("open");
        for round in 1..=2 {
            let before = done.load(Ordering::Relaxed);
            let reload = backend.order("POST", "/v1/reload", "");
            assert_eq!(reload.status, 200, "{}", reload.body);
            assert_eq!(generations(&backend), [round, round]);
            assert!(wait_for(|| done.load(Ordering::Relaxed) > before + 100), "load goes on");
        }
        let (opcode, payload) = listener.read().expect("a farewell");
        assert_eq!((opcode, &payload[..2]), (8, &1001_u16.to_be_bytes()[..]), "go away, and come back");
    });
    assert_eq!(*lost.lock().unwrap(), Vec::<String>::new(), "of {}", done.load(Ordering::Relaxed));
    let old = backend.pids();
    assert!(wait_for(|| old.iter().all(|pid| !common::alive(*pid))), "the old ones end");
    assert!(!backend.said().contains("started again"), "{}", backend.said());
}

#[test]
fn a_new_worker_that_does_not_come_up_leaves_the_old_one_in_its_place() {
    let postgres = Postgres::start();
    let backend = Backend::with(1, &[("DYNO_DATABASE_URL", &postgres.url())]);
    assert_eq!(backend.get("/products/7").status, 200);
    postgres.ask("ALTER ROLE tester NOLOGIN");
    let reload = backend.order("POST", "/v1/reload", "");
    assert_eq!(reload.status, 500);
    assert!(reload.error().contains("shop-0: the new process"), "{}", reload.error());
    assert_eq!(generations(&backend), [0]);
    assert_eq!(backend.get("/").status, 200);
    assert!(!backend.said().contains("pa55"), "{}", backend.said());
}

/// The worker processes of `backend` that run.
fn workers(backend: &Backend) -> Vec<u32> {
    let supervisor = backend.child.id();
    let is_its_worker = |pid: &u32| {
        let read = |what: &str| std::fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default();
        // Behind the name in brackets come the state and the parent.
        let stat = read("stat");
        let parent =
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        // Until it is this program with its own arguments, the supervisor waits for it.
        parent == Some(supervisor) && read("cmdline").contains("backend-worker")
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|p| p.file_name().to_string_lossy().parse::<u32>().ok());
    numbers.filter(is_its_worker).collect()
}

#[test]
fn a_new_worker_that_comes_too_late_does_not_take_the_name() {
    let settings = r#"{"history_rows":3000,"round_trip_ms":200}"#;
    let backend = Backend::with(1, &[("DYNO_SHOP_SETTINGS", settings)]);
    let known = workers(&backend);
    assert_eq!(known.len(), 2, "the shop's and the services'");
    let (late, reload) = std::thread::scope(|scope| {
        let reload = scope.spawn(|| backend.order("POST", "/v1/reload", ""));
        // Before it is ready it warms its cache, which takes five seconds.
        let mut late = None;
        wait_for(|| {
            late = workers(&backend).into_iter().find(|pid| !known.contains(pid));
            late.is_some()
        });
        let late = late.expect("a new process");
        signal(late, Signal::STOP);
        (late, reload.join().unwrap())
    });
    assert_eq!((reload.status, reload.error().contains("said nothing for too long")), (500, true));
    // It goes on, becomes ready, and ends.
    assert!(wait_for(|| !common::alive(late)));
    assert_eq!(generations(&backend), [0]);
    backend.tick("shop-0");
    assert_eq!(backend.order("POST", "/v1/faults", r#"{"name":"leak","for_ms":1}"#).status, 202);
    assert_eq!(backend.get("/").status, 200);
    assert_eq!(backend.order("POST", "/v1/reload", "").status, 200, "the next one is in time");
    assert_eq!(generations(&backend), [2]);
}

/// What a buyer has met.
#[derive(Default)]
struct Met {
    /// The numbers of all orders that it was told of.
    orders: Vec<i64>,
    /// Requests whose connection broke before they were answered.
    broken: usize,
    /// Answers that are neither 200 nor 409.
    wrong: Vec<String>,
}

impl Met {
    /// The body of an answer that says that it is done; what else comes is kept in mind.
    fn done(&mut self, path: &str, answer: Option<(u16, String)>) -> Option<String> {
        match answer {
            Some((200, body)) => return Some(body),
            // The product is sold out, or what broke off has bought the cart or still changes it.
            Some((409, _)) => {}
            Some((status, body)) => self.wrong.push(format!("{path}: {status} {body}")),
            None => self.broken += 1,
        }
        None
    }
}

/// Buys one product after another until it is told to stop.
fn buy(backend: &Backend, token: &str, stop: &AtomicBool, bought: &AtomicU64) -> Met {
    let mut client = Client::new(backend.shop());
    let mut met = Met::default();
    while !stop.load(Ordering::Relaxed) {
        let item = r#"{"product":3,"quantity":1}"#;
        // What breaks off is tried again: it may have been done.
        if met.done("/cart", client.ask("POST", "/cart", token, item)).is_some()
            && let Some(body) = met.done("/checkout", client.ask("POST", "/checkout", token, ""))
        {
            let receipt: serde_json::Value = serde_json::from_str(&body).unwrap();
            met.orders.push(receipt["order"].as_i64().unwrap());
            bought.fetch_add(1, Ordering::Relaxed);
        }
    }
    met
}

fn nothing_committed_is_lost(environment: &[(&str, &str)]) {
    let backend = Backend::with(2, environment);
    let tokens: Vec<String> = (1..=4).map(|n| backend.log_in_as(&format!("user-{n}"))).collect();
    let (stop, bought) = (AtomicBool::new(false), AtomicU64::new(0));
    let some_more = || {
        let enough = bought.load(Ordering::Relaxed) + 6;
        assert!(wait_for(|| bought.load(Ordering::Relaxed) >= enough), "buying goes on");
    };
    let victims: [usize; 2] = [0, 1];
    let met: Vec<Met> = std::thread::scope(|scope| {
        let stops = Stops(&stop);
        let buyers: Vec<_> =
            tokens.iter().map(|token| scope.spawn(|| buy(&backend, token, &stop, &bought))).collect();
        for victim in victims {
            some_more();
            signal(backend.pids()[victim], Signal::KILL);
        }
        some_more();
        drop(stops);
        buyers.into_iter().map(|buyer| buyer.join().unwrap()).collect()
    });
    // A customer's page holds the last twenty.
    for (n, (token, met)) in tokens.iter().zip(&met).enumerate() {
        // A kill breaks what is in flight there, and a buyer asks one thing at a time. Its next connection waits at a socket that the
        // supervisor holds; were it refused, `connect` would have ended the buyer.
        assert!(met.broken <= victims.len(), "customer {n} lost {} requests", met.broken);
        assert_eq!(met.wrong, Vec::<String>::new(), "customer {n}");
        let page = backend.get_as("/orders", token).json();
        let known: Vec<i64> =
            page["orders"].as_array().unwrap().iter().map(|o| o["id"].as_i64().unwrap()).collect();
        for order in met.orders.iter().rev().take(15) {
            assert!(known.contains(order), "order {order} of customer {n} is lost: {known:?}");
        }
    }
    // The services hear of every order, of those that the killed ones had only just written, too.
    let all: u64 = met.iter().map(|met| met.orders.len() as u64).sum();
    assert!(wait_for(|| backend.counts()[..2].iter().all(|n| *n >= all)), "{all}: {:?}", backend.counts());
    assert!(wait_for(|| generations(&backend) == [1, 1]), "{:?}", generations(&backend));
}

#[test]
fn a_killed_worker_loses_nothing_committed_in_sqlite() {
    nothing_committed_is_lost(&[]);
}

#[test]
fn a_killed_worker_loses_nothing_committed_in_postgresql() {
    let postgres = Postgres::start();
    nothing_committed_is_lost(&[("DYNO_DATABASE_URL", &postgres.url())]);
}
