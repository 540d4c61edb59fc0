//! The Redis source against a real server, and against ones that only pretend.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dynamometer_profiler::sources::attach_redis;
use timeline::lane::names;

use crate::servers::free_port;
use crate::watched::{Kept, soon};

const GRACE: Duration = Duration::from_secs(10);
const PASSWORD: &str = "hunter2";

/// A Redis of the test's own, without files, for as long as the test lasts.
struct Server(Child, u16);

impl Server {
    fn start(port: u16) -> Self {
        let mut command = Command::new("redis-server");
        command.args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--requirepass",
            PASSWORD,
            "--port",
            &port.to_string(),
        ]);
        let child = command.current_dir(std::env::temp_dir()).stdout(Stdio::null()).spawn();
        let server =
            Self(child.unwrap_or_else(|e| panic!("{command:?}: {e}; ./test installs what is needed")), port);
        soon("the server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    }

    fn get(&self, times: usize) {
        self.asked(&format!("SET there 1\r\n{}", "GET there\r\nGET absent\r\n".repeat(times)));
    }

    /// Has it carry out these commands.
    fn asked(&self, commands: &str) {
        let mut line = TcpStream::connect(("127.0.0.1", self.1)).unwrap();
        line.write_all(format!("AUTH {PASSWORD}\r\n{commands}QUIT\r\n").as_bytes()).unwrap();
        let mut answers = Vec::new();
        line.read_to_end(&mut answers).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_real_server_tells_hits_misses_and_memory_and_is_taken_up_again() {
    let port = free_port();
    let server = Server::start(port);
    let kept = Kept::default();
    let (url, me) = (format!("redis://127.0.0.1:{port}"), format!("redis-{port}"));
    let attached = attach_redis(&url, PASSWORD, Box::new(kept.clone())).unwrap();
    server.get(500);
    let some = |part: &str| kept.values(&format!("cache.redis.{part}"), &me).iter().any(|v| *v > 0.0);
    for part in ["hits", "misses", "memory", "connections", "entries", "commands"] {
        soon(part, || some(part));
    }
    assert!(!some("memory-limit"), "without a limit there is none");
    drop(server);
    soon("trouble", || kept.happened("refused"));
    let before = kept.values("cache.redis.hits", &me).len();
    let server = Server::start(port);
    server.get(5);
    soon("back", || kept.happened("back") && kept.values("cache.redis.hits", &me).len() > before);
    assert!(kept.values("cache.redis.hits", &me).iter().all(|v| *v >= 0.0));
    assert!(!kept.values(names::SOURCE_AGE, "redis").is_empty());
    assert!(
        kept.0.lock().unwrap().notes.iter().all(|n| !n.contains(PASSWORD))
            && !attached.about().contains(PASSWORD)
    );
    assert!(attached.join(GRACE));
}

#[test]
fn what_holds_a_real_server_up_is_told_by_its_latency_monitor() {
    let server = Server::start(free_port());
    server.asked("CONFIG SET latency-monitor-threshold 40\r\n");
    let kept = Kept::default();
    let (url, me) = (format!("redis://127.0.0.1:{}", server.1), format!("redis-{}", server.1));
    let attached = attach_redis(&url, PASSWORD, Box::new(kept.clone())).unwrap();
    soon("figures", || kept.values("cache.redis.commands", &me).len() > 6);
    server.asked("EVAL \"local n = 0 for i = 1, 30000000 do n = n + i end return n\" 0\r\n");
    soon("a pause", || kept.values("cache.redis.pause", &me).iter().any(|v| *v >= 40e6));
    assert!(kept.noted("by `command`, as its latency monitor tells"));
    assert!(attached.join(GRACE));
}

/// One that knows no `LATENCY`, or answers it with something else.
#[test]
fn a_server_without_a_latency_monitor_is_read_all_the_same() {
    for says in ["-ERR unknown command\r\n", "+OK\r\n", "!what\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut line in listener.incoming().flatten() {
                let mut question = [0; 100];
                while let Ok(n @ 1..) = line.read(&mut question) {
                    let info = "redis_version:9\r\ntotal_commands_processed:7\r\n";
                    let info = format!("${}\r\n{info}\r\n", info.len());
                    let latency = question[..n].windows(7).any(|w| w == b"LATENCY");
                    drop(line.write_all(if latency { says } else { info.as_str() }.as_bytes()));
                }
            }
        });
        let kept = Kept::default();
        let attached =
            attach_redis(&format!("redis://127.0.0.1:{port}"), "", Box::new(kept.clone())).unwrap();
        soon("figures", || kept.values("cache.redis.commands", &format!("redis-{port}")).len() > 8);
        assert!(!kept.happened("failing") && !kept.happened("refused"), "{says:?}");
        assert!(attached.join(GRACE));
    }
}

#[test]
fn servers_that_refuse_or_pretend_are_named() {
    let attach = |url: &str, password: &str| match attach_redis(url, password, Box::new(Kept::default())) {
        Ok(_) => panic!("{url} attached"),
        Err(e) => e.to_string(),
    };
    let server = Server::start(free_port());
    let url = format!("redis://127.0.0.1:{}", server.1);
    assert!(
        attach(&url, "").ends_with("the server refuses: NOAUTH; a password is read from DYNO_REDIS_PASSWORD")
    );
    assert!(attach(&url, "wrong").contains("the server refuses: WRONGPASS"));
    for url in ["redis://me:hunter2@127.0.0.1:1", "redis://:hunter2@127.0.0.1:1"] {
        let told = attach(url, "");
        assert_eq!(
            told,
            "cannot attach Redis at redis://127.0.0.1:1: its address holds a password: leave it out there and give it in DYNO_REDIS_PASSWORD"
        );
    }
    assert!(attach("rediss://127.0.0.1:1", "").contains("is not an address of the form redis://"));
    for (says, error) in
        [("HTTP/1.1 400 Bad Request\r\n\r\n", "not one of Redis"), ("$99999999\r\n", "longer than 1 MiB")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut line, _) = listener.accept().unwrap();
            line.write_all(says.as_bytes()).unwrap();
            drop(line.read(&mut [0; 100]));
        });
        assert!(attach(&url, "").contains(error), "{says}");
    }
}
