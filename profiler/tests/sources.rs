//! Sources against a probe that we play ourselves, well-behaved and hostile, and against our own process.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod watched;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dynamometer_profiler::sources::discover::{Process, Runtime, Served, discover};
use dynamometer_profiler::sources::process::UNSEEN;
use dynamometer_profiler::sources::{AttachError, Attached, attach_agent, attach_host, attach_served};
use timeline::histogram::Sparse;
use timeline::lane::names;
use timeline::probe::{Batch, InstanceInfo, Instances, ProbeEvent, Tick, VERSION};
use timeline::{LaneSpec, MonoNs, Unit};

use watched::{Kept, own_port, patiently, soon};

const TOKEN: &str = "secret";
const GRACE: Duration = Duration::from_secs(10);

type Answer = dyn Fn(&str, &mut TcpStream) + Send + Sync;

/// A probe that answers every request with `answer(path, stream)`, each on a thread of its own.
struct Probe {
    url: String,
    done: Arc<AtomicBool>,
    address: std::net::SocketAddr,
}

impl Probe {
    fn serve(answer: Arc<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&done);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let answer = Arc::clone(&answer);
                std::thread::spawn(move || one(stream, &*answer));
            }
        });
        Self { url: format!("http://{address}"), done, address }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

fn one(mut stream: TcpStream, answer: &Answer) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let path = head.split(' ').nth(1).unwrap_or("").to_owned();
    if head.contains(&format!("bearer {TOKEN}")) {
        answer(&path, &mut stream);
    } else {
        reply(&mut stream, "401 Unauthorized", b"{}");
    }
}

fn reply(stream: &mut TcpStream, status: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)));
}

fn json(stream: &mut TcpStream, value: &impl serde::Serialize) {
    reply(stream, "200 OK", &serde_json::to_vec(value).unwrap());
}

fn instances(names: &[&str]) -> Instances {
    let one = |(i, n): (usize, &&str)| InstanceInfo {
        name: (*n).to_owned(),
        pid: 100 + i as u32,
        generation: 0,
        deaths: 0,
    };
    Instances {
        version: VERSION,
        service: "shop".into(),
        instances: names.iter().enumerate().map(one).collect(),
    }
}

fn since(path: &str) -> u64 {
    path.rsplit_once("since=").map_or(0, |s| s.1.parse().unwrap())
}

/// One tick after `since`, with one level and one histogram.
fn batch(instance: &str, pid: u32, seq: u64) -> Batch {
    let now = MonoNs::now();
    Batch {
        version: VERSION,
        instance: instance.into(),
        pid,
        began: 0,
        now,
        lanes: vec![
            LaneSpec::level("pool.db.waiters", instance, Unit::Count),
            LaneSpec::histogram("pool.db.wait", instance),
        ],
        ticks: vec![Tick {
            seq,
            at: now.0,
            values: vec![(0, seq as f64)],
            histograms: vec![(1, Sparse { cells: vec![(10, 2)] })],
            events: Vec::new(),
        }],
        lost: 0,
    }
}

/// A probe with one instance whose samples `make` writes.
fn hostile(make: impl Fn(u64, &mut TcpStream) + Send + Sync + 'static) -> Probe {
    Probe::serve(Arc::new(move |path: &str, stream: &mut TcpStream| {
        if path.contains("/samples") {
            make(since(path), stream)
        } else {
            json(stream, &instances(&["shop-0"]))
        }
    }))
}

#[test]
fn samples_arrive_once_each_in_order_with_times_of_our_clock() {
    let probe = hostile(|since, s| json(s, &batch("shop-0", 100, since + 1)));
    let kept = Kept::default();
    let began = MonoNs::now();
    let attached = attach_agent(&probe.url, TOKEN, Box::new(kept.clone())).unwrap();
    assert!(attached.about().contains("agent of shop"), "{}", attached.about());
    soon("five samples", || kept.values("pool.db.waiters", "shop-0").len() >= 5);
    soon("an age", || !kept.values(names::SOURCE_AGE, "agent").is_empty());
    assert!(attached.join(GRACE));
    let values = kept.values("pool.db.waiters", "shop-0");
    let whole: Vec<f64> = (1..=values.len()).map(|i| i as f64).collect();
    assert_eq!(values, whole);
    let got = kept.0.lock().unwrap();
    assert!(got.samples.iter().all(|s| s.1 >= began && s.1 <= MonoNs::now()));
    assert!(got.histograms.iter().all(|h| h.1 < h.2 && h.3.count() == 2));
    drop(got);
    assert!(kept.noted("shares our clock"));
}

/// A probe with two processes; `second` gives the samples of the other one.
fn two(second: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Probe {
    Probe::serve(Arc::new(move |path: &str, stream: &mut TcpStream| {
        if path.contains("shop-1/samples") {
            second(stream);
        } else if path.contains("/samples") {
            json(stream, &batch("shop-0", 100, since(path) + 1));
        } else {
            json(stream, &instances(&["shop-0", "shop-1"]));
        }
    }))
}

#[test]
fn the_line_of_an_agent_says_what_its_processes_tell_and_what_not_yet() {
    // A machine that is busy may keep them from saying it in time: then they are asked again.
    let says = |probe: &Probe, wanted: &str| {
        let wanted = format!("agent of shop at {}: 2 processes{wanted}", probe.url);
        soon(&wanted, || {
            let attached = attach_agent(&probe.url, TOKEN, Box::new(Kept::default())).unwrap();
            attached.about() == wanted
        });
    };
    let with = |lanes: &[&str]| {
        let lanes = lanes.iter().map(|name| LaneSpec::level(*name, "shop-1", Unit::Count)).collect();
        Batch { lanes, ticks: Vec::new(), ..batch("shop-1", 101, 1) }
    };
    let (full, empty) = (with(&["heap.used", "pause.longest", "broker.depth"]), with(&[]));
    let both =
        ": heap, pauses, pool, broker; at the start nothing of loop, offload, cache, requests, process";
    let (first, none) = (full.clone(), empty.clone());
    says(&two(move |stream| json(stream, &first)), both);
    says(
        &two(move |stream| json(stream, &none)),
        ": pool; at the start nothing of heap, pauses, loop, offload, cache, requests, process",
    );
    // Its first tick comes meanwhile.
    let asked = AtomicBool::new(false);
    let late = move |stream: &mut TcpStream| {
        json(stream, if asked.swap(true, Ordering::Relaxed) { &full } else { &empty });
    };
    says(&two(late), both);
    // Who does not say what it has may have all.
    says(&two(|stream| reply(stream, "502 Bad Gateway", b"{}")), "");
}

#[test]
fn a_target_that_stands_still_at_the_first_question_is_asked_again() {
    let still = AtomicBool::new(true);
    let probe = Probe::serve(Arc::new(move |path: &str, stream: &mut TcpStream| {
        if path.contains("/samples") {
            return json(stream, &batch("shop-0", 100, since(path) + 1));
        }
        if still.swap(false, Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(2_500)); // longer than an answer may take
        }
        json(stream, &instances(&["shop-0"]));
    }));
    let kept = Kept::default();
    let attached = attach_agent(&probe.url, TOKEN, Box::new(kept.clone())).unwrap();
    soon("samples", || !kept.values("pool.db.waiters", "shop-0").is_empty());
    assert!(attached.join(GRACE));
}

#[test]
fn an_instance_that_stands_still_holds_up_no_other() {
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let probe = two(move |_| {
        while !is_over.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let kept = Kept::default();
    let attached = attach_agent(&probe.url, TOKEN, Box::new(kept.clone())).unwrap();
    // Held up for 2 s each time, a reader would take half a minute for as many: longer than we wait.
    soon("fifteen samples", || kept.values("pool.db.waiters", "shop-0").len() >= 15);
    soon("silence", || kept.noted("shop-1: no answer within 2 s") && kept.happened("silent"));
    over.store(true, Ordering::Relaxed);
    drop(attached);
}

#[test]
fn another_process_behind_the_name_is_told_and_read_from_its_first_tick() {
    let turned = Arc::new(AtomicBool::new(false));
    let turn = Arc::clone(&turned);
    let probe = hostile(move |since, s| {
        let second = turn.load(Ordering::Relaxed);
        let mut b = batch("shop-0", if second { 200 } else { 100 }, since + 1);
        if second && since > 3 {
            b.ticks.clear(); // it has not come so far yet
        }
        json(s, &b);
    });
    let kept = Kept::default();
    let attached = attach_agent(&probe.url, TOKEN, Box::new(kept.clone())).unwrap();
    soon("eight samples", || kept.values("pool.db.waiters", "shop-0").len() >= 8);
    turned.store(true, Ordering::Relaxed);
    soon("restart", || kept.happened("restarted"));
    // Values grow with the ticks of one process: where they fall, the next one begins.
    let begins = || {
        let values = kept.values("pool.db.waiters", "shop-0");
        values.windows(2).find(|pair| pair[1] < pair[0]).map(|pair| pair[1])
    };
    soon("new samples", || begins().is_some());
    assert_eq!(begins(), Some(1.0));
    assert!(attached.join(GRACE));
}

#[test]
fn lost_ticks_are_counted_and_a_broken_endpoint_is_taken_up_again() {
    let broken = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&broken);
    let probe = hostile(move |since, s| {
        if state.load(Ordering::Relaxed) {
            return reply(s, "500 Oops", b"");
        }
        let mut b = batch("shop-0", 100, since + 1);
        b.lost = u64::from(since == 3) * 7;
        json(s, &b);
    });
    let kept = Kept::default();
    let attached = attach_agent(&probe.url, TOKEN, Box::new(kept.clone())).unwrap();
    soon("the loss", || kept.noted("7 ticks lost"));
    broken.store(true, Ordering::Relaxed);
    soon("failure", || kept.noted("shop-0: status 500") && kept.happened("failing"));
    broken.store(false, Ordering::Relaxed);
    soon("recovery", || kept.happened("back"));
    let notes = kept.0.lock().unwrap().notes.iter().filter(|n| n.contains("status 500")).count();
    assert_eq!(notes, 1, "said once");
    assert!(attached.join(GRACE));
}

#[test]
fn what_cannot_be_attached_says_why() {
    let attach = |url: &str, token: &str| {
        attach_agent(url, token, Box::new(Kept::default())).map(drop).unwrap_err().to_string()
    };
    let probe = hostile(|_, _| ());
    let newer = Probe::serve(Arc::new(|_: &str, s: &mut TcpStream| {
        reply(s, "200 OK", br#"{"version":99,"shape":"other"}"#)
    }));
    let page =
        Probe::serve(Arc::new(|_: &str, s: &mut TcpStream| reply(s, "200 OK", b"<html>\x1b[2J</html>")));
    let away = Probe::serve(Arc::new(|_: &str, s: &mut TcpStream| {
        drop(
            s.write_all(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"),
        );
    }));
    let garbage =
        Probe::serve(Arc::new(|_: &str, s: &mut TcpStream| drop(s.write_all(b"\x00\x01\x02 what?\r\n\r\n"))));
    assert!(
        attach(&probe.url, "wrong")
            .ends_with("the token was refused (status 401); it is read from DYNO_TOKEN")
    );
    assert!(
        attach(&newer.url, TOKEN)
            .contains("speaks version 99 of the probe, this dyno knows versions up to 1")
    );
    let text = attach(&page.url, TOKEN);
    assert!(text.contains("not the probe's") && !text.contains('\x1b'), "{text:?}");
    assert!(attach(&away.url, TOKEN).ends_with("status 302"));
    assert!(attach(&garbage.url, TOKEN).contains("not the probe's"), "{}", attach(&garbage.url, TOKEN));
    assert!(attach("http://127.0.0.1:1", TOKEN).contains("nobody answers"));
    assert!(attach("https://shop.example", TOKEN).contains("not an address of the form"));
    let told = attach("http://user:hunter2@shop.example", TOKEN);
    assert!(told.contains("its address holds a user or a password") && !told.contains("hunter2"), "{told}");
}

#[test]
fn hostile_samples_are_named_once_and_never_let_in() {
    // Each gives another kind of nonsense; the note that must come of it.
    let cases: Vec<(&str, Arc<Answer>)> = vec![
        (
            "longer than 4 MiB",
            Arc::new(|_: &str, s: &mut TcpStream| {
                drop(s.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n"));
                let block = vec![b'['; 1 << 16];
                while s.write_all(&block).is_ok() {}
            }),
        ),
        (
            "not the probe's",
            Arc::new(|_: &str, s: &mut TcpStream| reply(s, "200 OK", br#"{"version":1,"instance":7}"#)),
        ),
        (
            "not the probe's",
            Arc::new(|_: &str, s: &mut TcpStream| reply(s, "200 OK", "[".repeat(100_000).as_bytes())),
        ),
        (
            "not the probe's",
            Arc::new(|_: &str, s: &mut TcpStream| {
                let body = serde_json::to_string(&batch("shop-0", 100, 1))
                    .unwrap()
                    .replace("[[0,1.0]]", "[[0,NaN]]");
                reply(s, "200 OK", body.as_bytes());
            }),
        ),
        (
            "no answer within 2 s",
            Arc::new(|_: &str, s: &mut TcpStream| {
                // Drips for ever: every byte is in time, the whole never is.
                drop(s.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"));
                while s.write_all(b"1\r\n[\r\n").is_ok() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            }),
        ),
        ("there is no such process", Arc::new(|_: &str, s: &mut TcpStream| reply(s, "404 Not Found", b""))),
    ];
    for (words, answer) in cases {
        let probe = Probe::serve(Arc::new(move |path: &str, s: &mut TcpStream| {
            if path.contains("/samples") { answer(path, s) } else { json(s, &instances(&["shop-0"])) }
        }));
        let kept = Kept::default();
        let attached = attach_agent(&probe.url, TOKEN, Box::new(kept.clone())).unwrap();
        soon(words, || kept.noted(words));
        assert!(kept.values("pool.db.waiters", "shop-0").is_empty(), "{words}");
        drop(attached);
    }
}

#[test]
fn what_is_wrong_inside_a_batch_is_left_out_and_the_rest_taken() {
    let probe = hostile(|since, s| {
        let mut b = batch("shop-0", 100, since + 1);
        let long = "x".repeat(10_000);
        b.lanes.push(LaneSpec::level("client.lateness", "gen-0", Unit::Ns));
        b.lanes.push(LaneSpec::level(long.clone(), "shop-0", Unit::Count));
        b.lanes.push(LaneSpec::level("server.in-flight", "gen-0\x1b[2J", Unit::Count).about("a\u{202E}b"));
        let now = b.now.0;
        let tick = &mut b.ticks[0];
        tick.values.extend([(1, 5.0), (2, 1e18), (3, 1.0), (4, 8.0), (99, 1.0)]);
        tick.histograms.extend([
            (0, Sparse { cells: vec![(1, 1)] }),
            (1, Sparse { cells: vec![(9, 1), (3, 1)] }),
            (1, Sparse { cells: vec![(0, 0)] }),
        ]);
        let event = |kind: &str, start, end| ProbeEvent {
            kind: kind.into(),
            start,
            end,
            labels: vec![("key".into(), long.clone()); 20],
            value: 1.0,
            others: 0,
        };
        tick.events = vec![
            event("cache.refresh", now - 10, now),
            event("cache.refresh", now, now - 10),
            event("cache.refresh", 0, u64::MAX),
            event("generator.worker-lost", now, now),
        ];
        b.ticks.push(Tick { seq: since + 1, at: u64::MAX, values: vec![(0, 666.0)], ..Tick::default() });
        b.ticks.push(Tick { seq: since + 2, at: u64::MAX, values: vec![(0, 666.0)], ..Tick::default() });
        json(s, &b);
    });
    let kept = Kept::default();
    let attached = attach_agent(&probe.url, TOKEN, Box::new(kept.clone())).unwrap();
    soon("three samples", || kept.values("server.in-flight", "shop-0").len() >= 3);
    soon("a note", || kept.noted("not taken: "));
    assert!(attached.join(GRACE));
    let got = kept.0.lock().unwrap();
    assert!(
        got.lanes
            .iter()
            .all(|l| l.name.len() < 120 && l.instance != "gen-0" && !l.name.starts_with("client.")),
        "{:?}",
        got.lanes
    );
    assert!(got.lanes.iter().any(|l| l.subject == "a\u{FFFD}b"));
    assert!(got.samples.iter().all(|s| s.2 != 666.0 && s.2 < 1e12));
    assert!(got.histograms.iter().all(|h| h.3.cells == [(10, 2)]));
    let refreshes: Vec<_> = got.events.iter().filter(|e| e.kind == "cache.refresh").collect();
    assert!(
        !refreshes.is_empty()
            && refreshes
                .iter()
                .all(|e| e.start <= e.end && e.labels.len() == 8 && e.labels[0].1.chars().count() == 120)
    );
    assert!(got.events.iter().all(|e| e.kind != "generator.worker-lost"));
}

/// Attaches whoever serves `port`.
fn attach_port(port: u16, kept: &Kept) -> Result<Attached, AttachError> {
    attach_served(&discover(port)?, UNSEEN, Box::new(kept.clone()))
}

/// Attaches `child` as if it served a port that is nobody's.
fn attach_alone(child: &Child, kept: &Kept) -> Attached {
    let process = Process { pid: child.id(), runtime: Runtime::Other("child".to_owned()), worker: false };
    let (processes, forwarders) = (vec![process], Vec::new());
    let served = Served { port: own_port(), processes, forwarders, hidden: 0, apart: false };
    attach_served(&served, UNSEEN, Box::new(kept.clone())).unwrap()
}

#[test]
fn how_bun_is_looked_into_is_part_of_its_line() {
    let line = |runtime, unseen| {
        let process = Process { pid: std::process::id(), runtime, worker: false };
        let (processes, forwarders) = (vec![process], Vec::new());
        let served = Served { port: own_port(), processes, forwarders, hidden: 0, apart: false };
        attach_served(&served, unseen, Box::new(Kept::default())).unwrap().about().to_owned()
    };
    let said = "; Bun's heap and loop are told by an inspector whose path is known: start it with --inspect=127.0.0.1:6499/dyno";
    let told = line(Runtime::Bun, UNSEEN);
    assert!(told.ends_with(&format!("{UNSEEN}{said}")), "{told}");
    // An agent tells what it has.
    assert!(!line(Runtime::Bun, "").contains(said));
    assert!(!line(Runtime::Node, UNSEEN).contains(said));
}

#[test]
fn our_own_process_is_found_by_its_port_and_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let kept = Kept::default();
    let attached = attach_port(port, &kept).unwrap();
    let pid = std::process::id();
    assert!(
        attached.about().contains(&format!("pid {pid}: CPU, memory, descriptors, threads, context switches")),
        "{}",
        attached.about()
    );
    assert!(attached.about().contains("; heap, pauses"), "{}", attached.about());
    let busy = Arc::new(AtomicBool::new(true));
    let spinning = Arc::clone(&busy);
    let spinner = std::thread::spawn(move || while spinning.load(Ordering::Relaxed) {});
    let me = format!("pid-{pid}");
    soon("CPU", || kept.values(names::PROCESS_CPU, &me).iter().any(|&c| c > 0.2));
    busy.store(false, Ordering::Relaxed);
    spinner.join().unwrap();
    let last = |name: &str| *kept.values(name, &me).last().unwrap();
    assert!(last(names::PROCESS_RESIDENT) > 1e6);
    assert!(last(names::PROCESS_THREADS) >= 2.0);
    assert!((4.0..=last(names::PROCESS_DESCRIPTOR_LIMIT)).contains(&last(names::PROCESS_DESCRIPTORS)));
    // Whoever reads us sleeps ten times a second.
    soon("switches", || kept.values(names::PROCESS_VOLUNTARY_SWITCHES, &me).iter().any(|&n| n > 5.0));
    assert!(kept.values(names::PROCESS_INVOLUNTARY_SWITCHES, &me).iter().all(|&n| n >= 0.0));
    assert!(kept.values(names::PROCESS_THROTTLED, &me).iter().all(|share| (0.0..=1.0).contains(share)));
    assert!(attached.join(GRACE));
}

/// A process that serves the listener's port, as far as anybody can see: it has it for its standard input.
fn server(listener: &TcpListener) -> Child {
    let listener = OwnedFd::from(listener.try_clone().unwrap());
    Command::new("sleep").arg("60").stdin(Stdio::from(listener)).spawn().unwrap()
}

fn ends(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn processes_that_come_to_serve_the_port_are_watched_and_so_is_one_that_was_started_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let first = server(&listener);
    let kept = Kept::default();
    let attached = attach_port(port, &kept).unwrap();
    let read = |child: &Child| kept.values(names::PROCESS_RESIDENT, &format!("pid-{}", child.id())).len();
    soon("samples of the first", || read(&first) > 3);
    let worker = server(&listener);
    soon("samples of a worker that joins", || read(&worker) > 3);
    assert!(kept.noted(&format!("process {} has come to serve the port and is watched", worker.id())));
    let worker_id = worker.id();
    ends(worker);
    ends(first);
    soon("their end", || kept.noted(&format!("process {worker_id} has ended")) && kept.happened("gone"));
    let again = server(&listener);
    soon("samples of one in their place", || read(&again) > 3);
    ends(again);
    assert!(attached.join(GRACE));
}

/// What [`who_comes_to_serve_a_port_that_nobody_served_is_watched`] starts: this program once more.
#[test]
fn a_listener() {
    if let Some(port) = std::env::var_os("DYNO_TEST_LISTENS") {
        let port: u16 = port.to_str().unwrap().parse().unwrap();
        let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        std::thread::sleep(Duration::from_secs(120));
    }
}

/// A process that alone listens on `port`.
fn listening_on(port: u16) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_listener"])
        .env("DYNO_TEST_LISTENS", port.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn who_comes_to_serve_a_port_that_nobody_served_is_watched() {
    let (port, kept) = (own_port(), Kept::default());
    let attached = attach_served(&Served::nobody(port), UNSEEN, Box::new(kept.clone())).unwrap();
    let about = attached.about();
    assert!(about.starts_with(&format!("process of port {port}: nobody at first, ")), "{about}");
    let vain = format!("process: nobody has come to serve port {port}");
    assert_eq!(attached.lack(), Some(vain));
    // One that is started again is found as the first one was.
    for turn in 1..=2 {
        let child = listening_on(port);
        let me = format!("pid-{}", child.id());
        soon("samples", || kept.values(names::PROCESS_RESIDENT, &me).len() > 3);
        assert_eq!(attached.lack(), None);
        let ages = kept.values(names::SOURCE_AGE, "process");
        assert!(
            turn > 1 || ages.iter().all(|age| *age == 0.0),
            "none of a time when nobody was there: {ages:?}"
        );
        ends(child);
        let none = format!("none of those that served port {port} is left");
        soon("that none is left", || kept.times(&none) == turn);
        assert!(attached.lack().is_some_and(|lack| lack.contains("nobody was found who serves it since")));
    }
    assert!(attached.join(GRACE));
}

#[test]
fn a_port_without_a_listener_and_a_process_that_ends_are_told() {
    let e = attach_port(own_port(), &Kept::default()).map(drop).unwrap_err();
    assert!(
        matches!(e, AttachError::Process { .. })
            && e.to_string().ends_with("nobody on this machine listens on it"),
        "{e}"
    );
    // Its parent may not look for its end.
    for is_reaped in [true, false] {
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        let kept = Kept::default();
        let attached = attach_alone(&child, &kept);
        let me = format!("pid-{}", child.id());
        soon("memory", || !kept.values(names::PROCESS_RESIDENT, &me).is_empty());
        let ages = || kept.values(names::SOURCE_AGE, "process");
        soon("an age of what has just been read", || ages().iter().any(|age| *age < 3e8));
        child.kill().unwrap();
        if is_reaped {
            child.wait().unwrap();
        }
        soon("its end", || kept.happened("gone"));
        // The source goes on and says that nothing is old: of who has gone nothing is awaited.
        let before = ages().len();
        soon("further ages", || ages().len() > before + 3);
        assert!(ages()[before..].iter().all(|age| *age == 0.0), "{:?}", ages());
        assert!(attached.join(GRACE));
        child.wait().unwrap();
    }
}

/// What [`a_busy_native_process_is_sampled`] starts: this program once more.
#[test]
fn a_burner() {
    if std::env::var_os("DYNO_TEST_BURNS").is_some() {
        burn_a_core();
    }
}

#[inline(never)]
fn burn_a_core() {
    let begin = MonoNs::now();
    let mut number = 1_u64;
    // No calls, so that it is found here also where nothing is inlined.
    while MonoNs::now().since(begin) < Duration::from_secs(60) {
        let mut left = 1_000_000;
        while left > 0 {
            number ^= number << 13;
            number ^= number >> 7;
            number ^= number << 17;
            left -= 1;
        }
        std::hint::black_box(number);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_busy_native_process_is_sampled() {
    use timeline::event::kinds;

    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_burner"])
        .env("DYNO_TEST_BURNS", "1")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let kept = Kept::default();
    let attached = attach_alone(&child, &kept);
    let me = format!("pid-{}", child.id());
    // A system that does not allow it is said not to.
    if attached.about().contains("CPU samples while it is busy") {
        patiently("who burns", || {
            let got = kept.0.lock().unwrap();
            let mut profiles = got.events.iter().filter(|e| e.kind == kinds::PROFILE_CPU && e.value > 0.5);
            profiles.any(|e| e.instance == me && e.labels[0].1.contains("burn_a_core"))
        });
        let pprof = attached.stacks().unwrap().pprof().unwrap();
        assert!(String::from_utf8_lossy(&pprof).contains("burn_a_core"));
    } else {
        assert!(attached.about().contains("no CPU samples: "), "{}", attached.about());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(attached.join(GRACE));
}

#[test]
fn the_host_tells_its_cpu_and_what_was_stolen() {
    let kept = Kept::default();
    let attached = attach_host(Box::new(kept.clone())).unwrap();
    soon("two shares", || kept.values(names::HOST_CPU, "host").len() >= 2);
    soon("an age", || kept.values(names::SOURCE_AGE, "host").len() >= 2);
    assert!(attached.join(GRACE));
    for name in [names::HOST_CPU, names::HOST_STEAL] {
        assert!(kept.values(name, "host").iter().all(|v| (0.0..=1.0).contains(v)));
    }
    let queue = kept.values(names::HOST_RUN_QUEUE, "host");
    assert!(!queue.is_empty() && queue.iter().all(|n| *n >= 1.0), "who looks runs: {queue:?}");
}
