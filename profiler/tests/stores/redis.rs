//! The Redis source against a real server, and against ones that only pretend.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dynamometer_profiler::sources::attach_redis;
use timeline::lane::names;

use crate::watched::{Kept, soon};

const GRACE: Duration = Duration::from_secs(3);
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
        let mut line = TcpStream::connect(("127.0.0.1", self.1)).unwrap();
        let all =
            format!("AUTH {PASSWORD}\r\nSET there 1\r\n{}", "GET there\r\nGET absent\r\n".repeat(times));
        line.write_all(format!("{all}QUIT\r\n").as_bytes()).unwrap();
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

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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
    let told = attach("redis://me:hunter2@127.0.0.1:1", "");
    assert!(told.contains("is not an address of the form redis://") && !told.contains(PASSWORD), "{told}");
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
