//! The RabbitMQ source.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dynamometer_profiler::sources::attach_rabbitmq;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use timeline::FindingKind;

use crate::Run;
use crate::servers::free_port;
use crate::servers::rabbit::{PASSWORD, Rabbit};
use crate::watched::{Kept, patiently, soon};

const GRACE: Duration = Duration::from_secs(10);
/// Published fifty times a second; one in five is taken.
const BETWEEN: Duration = Duration::from_millis(20);
const TAKEN: u32 = 5;
const HARMLESS: &str = "odd\u{FFFD}[2J";

/// A client that fills a queue, with another beside it whose name is odd, until it is told to end.
fn fill(url: &str, enough: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let queues = ["orders", "odd\x1b[2J"];
        for queue in queues {
            channel
                .queue_declare(queue.into(), QueueDeclareOptions::default(), FieldTable::default())
                .await
                .unwrap();
        }
        let mut sent = 0;
        while !enough.load(Ordering::Relaxed) {
            let queue = queues[usize::from(sent % 25 == 0)];
            let publish = channel.basic_publish(
                "".into(),
                queue.into(),
                BasicPublishOptions::default(),
                b"x",
                BasicProperties::default(),
            );
            drop(publish.await.unwrap());
            sent += 1;
            if sent % TAKEN == 0
                && let Some(got) =
                    channel.basic_get("orders".into(), BasicGetOptions::default()).await.unwrap()
            {
                got.ack(BasicAckOptions::default()).await.unwrap();
            }
            tokio::time::sleep(BETWEEN).await;
        }
        for queue in queues {
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
        }
    });
}

/// Tells the client to end when it is dropped.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Stands between us and the server, and can be away.
struct Door {
    port: u16,
    open: Arc<AtomicBool>,
}

impl Door {
    fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, server) = (Arc::new(AtomicBool::new(true)), server.to_owned());
        let is_open = Arc::clone(&open);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                for (mut from, mut to) in
                    [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
                {
                    let is_open = Arc::clone(&is_open);
                    std::thread::spawn(move || {
                        let mut part = [0; 16_384];
                        while let Ok(n @ 1..) = std::io::Read::read(&mut from, &mut part) {
                            if !is_open.load(Ordering::Relaxed) || to.write_all(&part[..n]).is_err() {
                                break;
                            }
                        }
                        for end in [from, to] {
                            drop(end.shutdown(std::net::Shutdown::Both));
                        }
                    });
                }
            }
        });
        Self { port, open }
    }
}

#[test]
fn a_backlog_is_found_through_the_server_alone() {
    let rabbit = Rabbit::managed();
    let management = rabbit.management();
    let (_, address) = management.split_once('@').unwrap();
    patiently("the plugin listens", || TcpStream::connect(address).is_ok());
    let door = Door::to(address);
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("recording.dyno");
    let run = Run::start(&recording);
    let (kept, me) = (run.kept.clone(), format!("rabbitmq-{}", door.port));
    let values = |part: &str| kept.values(&format!("broker.{part}"), &me);
    let enough = AtomicBool::new(false);
    let url = rabbit.url();
    std::thread::scope(|scope| {
        // Also when an assertion fails: the scope waits for its threads.
        let ending = Ending(&enough);
        let filling = scope.spawn(|| fill(&url, &enough));
        let door_url = format!("http://tester@127.0.0.1:{}", door.port);
        let attached = attach_rabbitmq(&door_url, PASSWORD, run.sink()).unwrap();
        let about = attached.about();
        assert!(about.contains("version 3.") && !about.contains("not available"), "{about}");
        let told = refused(&door_url, "wrong");
        assert!(
            told.contains("refuses: status 401; the password is read from DYNO_RABBITMQ_PASSWORD"),
            "{told}"
        );

        patiently("found", || run.finding("orders").is_some());
        let found = run.finding("orders").unwrap();
        assert_eq!(found.kind, FindingKind::BrokerBacklog);
        assert!(found.missing.contains(&"broker.orders.age".to_owned()), "{found:#?}");
        for (part, least) in [
            ("orders.depth", 100.0),
            ("orders.published", 20.0),
            ("orders.consumed", 4.0),
            ("orders.acknowledged", 4.0),
            ("rabbitmq.connections", 1.0),
            ("rabbitmq.channels", 1.0),
            ("rabbitmq.memory", 1e6),
            ("rabbitmq.memory-limit", 1e6),
            ("rabbitmq.disk-free", 1e6),
        ] {
            patiently(part, || values(part).iter().any(|v| *v >= least));
        }
        assert!(values("orders.published").iter().all(|v| *v <= 200.0), "{:?}", values("orders.published"));
        patiently("the odd one, made harmless", || {
            values(&format!("{HARMLESS}.depth")).iter().any(|v| *v >= 1.0)
        });
        assert!(values("rabbitmq.alarms").iter().all(|v| *v == 0.0));

        let again = kept.times("answers again");
        door.open.store(false, Ordering::Relaxed);
        soon("trouble", || kept.happened("refused"));
        let gap = values("orders.depth").len();
        std::thread::sleep(Duration::from_millis(1_200));
        assert_eq!(values("orders.depth").len(), gap, "a gap stays a gap");
        door.open.store(true, Ordering::Relaxed);
        soon("back", || kept.times("answers again") > again && values("orders.depth").len() > gap);
        assert!(kept.happened("back"));
        assert_eq!(kept.times("answers again"), again + 1, "said once");
        drop(ending);
        filling.join().unwrap();

        rabbit.ask(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
        patiently("the alarm", || {
            values("rabbitmq.alarms").contains(&1.0)
                && kept.noted("the memory alarm of dyno-test@localhost rings")
        });
        assert!(attached.join(GRACE));
    });
    assert!(!run.end(&recording, PASSWORD));
}

fn refused(url: &str, password: &str) -> String {
    match attach_rabbitmq(url, password, Box::new(Kept::default())) {
        Ok(_) => panic!("{url} attached"),
        Err(e) => e.to_string(),
    }
}

/// Answers each request for a path that begins so with `answer`.
fn pretender(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut line in listener.incoming().flatten() {
            let mut head = String::new();
            let mut reader = BufReader::new(line.try_clone().unwrap());
            while reader.read_line(&mut head).is_ok_and(|n| n > 2) {}
            answer(head.split([' ', '?']).nth(1).unwrap_or_default(), &mut line);
        }
    });
    url
}

fn page(line: &mut TcpStream, body: &str) {
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    drop(line.write_all(format!("{head}{body}").as_bytes()));
}

#[test]
fn servers_that_refuse_or_pretend_are_named() {
    let told = refused("http://me:hunter2@127.0.0.1:1", "");
    assert!(told.ends_with("give it in DYNO_RABBITMQ_PASSWORD") && !told.contains("hunter2"), "{told}");
    assert!(!told.contains("is not an address"), "{told}");
    assert!(refused("amqp://me@127.0.0.1:5672", "").contains("is not an address of the management plugin"));
    assert!(refused(&format!("http://127.0.0.1:{}", free_port()), "").contains("nobody answers"));
    let endless = pretender(|_, line| {
        drop(line.write_all(b"HTTP/1.1 200 OK\r\n\r\n["));
        while line.write_all(&[b'1'; 65_536]).is_ok() {}
    });
    assert!(refused(&endless, "").ends_with("the answer is longer than 4 MiB"));
    let short =
        pretender(|_, line| drop(line.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"rabbit")));
    assert!(refused(&short, "").contains("nobody answers"));
    for body in ["<html>", "{}", "[]", "{\"rabbitmq_version\": 3}", &"[".repeat(100_000)] {
        let body = body.to_owned();
        let url = pretender(move |_, line| page(line, &body));
        assert!(refused(&url, "").ends_with("not one of RabbitMQ's management plugin"));
    }
    // Right in form, and wrong in all else.
    let odd = odd_but_readable();
    let kept = Kept::default();
    let attached = attach_rabbitmq(&odd, "", Box::new(kept.clone())).unwrap();
    assert!(!attached.about().contains('\x1b'), "{}", attached.about());
    assert!(kept.noted("more than 64 queues"));
    let lanes = kept.0.lock().unwrap().lanes.clone();
    assert!(lanes.len() < 500 && lanes.iter().all(|l| l.name.chars().count() < 100), "{}", lanes.len());
    assert!(attached.join(GRACE));
}

fn odd_but_readable() -> String {
    pretender(|path, line| match path {
        "/api/overview" => page(
            line,
            r#"{"rabbitmq_version": "\u001b[2J", "object_totals": {"connections": -4, "channels": "many"}}"#,
        ),
        "/api/nodes" => page(line, r#"[7, {"mem_used": [], "mem_alarm": "yes"}]"#),
        _ => {
            let queues: Vec<String> = (0..3_000)
                .map(|n| format!(r#"{{"name": "q{n}", "messages_ready": 1e300, "consumers": {{}}}}"#))
                .collect();
            page(
                line,
                &format!(
                    r#"{{"total_count": 3000, "items": [{{"name": "{}"}}, null, {}]}}"#,
                    "\\u202e".repeat(500),
                    queues.join(",")
                ),
            );
        }
    })
}
