//! What the tests share: a shop of their own, and a client that says what comes back.

#![expect(dead_code, reason = "each test binary uses its own part of this")]

pub mod servers;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use timeline::MonoNs;
use timeline::probe::TICK_MS;

pub const TOKEN: &str = "a-token-of-the-tests";
/// Reached by what never comes, and not by what a busy machine holds up.
const PATIENCE: Duration = Duration::from_secs(60);
/// An import of 64 MB is one answer.
const READ_PATIENCE: Duration = Duration::from_secs(60);

/// A running backend, killed when dropped.
pub struct Backend {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    pub ready: Value,
    said: File,
}

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dyno-shop"));
    // Few past orders, which are made at once.
    command.env("DYNO_SHOP_SETTINGS", r#"{"history_rows":3000}"#);
    command.args(args).env("DYNO_TOKEN", TOKEN).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

impl Backend {
    pub fn start(workers: usize) -> Self {
        Self::with(workers, &[])
    }

    /// With these environment variables.
    pub fn with(workers: usize, environment: &[(&str, &str)]) -> Self {
        Self::logging(workers, environment, tempfile::tempfile().unwrap())
    }

    /// With these environment variables; what it says goes into that file.
    pub fn logging(workers: usize, environment: &[(&str, &str)], mut said: File) -> Self {
        let mut command = command(&[&workers.to_string()]);
        let mut child =
            command.envs(environment.iter().copied()).stderr(said.try_clone().unwrap()).spawn().unwrap();
        let stdin = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|e| {
            panic!("{e}: {line:?}; it said: {}", text_of(&mut said));
        });
        let backend = Self { child, stdin, ready: ready["ready"].clone(), said };
        // How long a worker's first tick was is a guess, so what tests count happens after its second.
        let ticks = |worker: &Value| {
            let batch = backend.samples(worker["name"].as_str().unwrap());
            batch["ticks"].as_array().map_or(0, Vec::len)
        };
        assert!(wait_for(|| backend.ready["workers"].as_array().unwrap().iter().all(|w| ticks(w) >= 2)));
        backend
    }

    /// What it has written to its standard error, and its workers to theirs.
    pub fn said(&self) -> String {
        text_of(&mut self.said.try_clone().unwrap())
    }

    pub fn shop(&self) -> &str {
        self.ready["url"].as_str().unwrap().strip_prefix("http://").unwrap()
    }

    pub fn control(&self) -> &str {
        self.ready["probe"].as_str().unwrap().strip_prefix("http://").unwrap()
    }

    pub fn pids(&self) -> Vec<u32> {
        self.ready["workers"].as_array().unwrap().iter().map(|w| w["pid"].as_u64().unwrap() as u32).collect()
    }

    /// The embedded database's file: a worker holds it open.
    pub fn database_file(&self) -> PathBuf {
        let open = self.open_files();
        open.into_iter().find(|path| path.extension().is_some_and(|e| e == "db" || e == "sqlite")).unwrap()
    }

    /// What the first worker holds open.
    pub fn open_files(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.pids()[0])).unwrap();
        folder.flatten().filter_map(|f| std::fs::read_link(f.path()).ok()).collect()
    }

    /// To the shop.
    pub fn get(&self, path: &str) -> Reply {
        ask(self.shop(), "GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, token: &str, body: &str) -> Reply {
        let bearer = format!("Bearer {token}");
        let fields = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        ask(self.shop(), "POST", path, &fields, body.as_bytes())
    }

    pub fn log_in(&self) -> String {
        let reply = self.post("/login", "", r#"{"user":"user-1","pass":"secret"}"#);
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()["token"].as_str().unwrap().to_owned()
    }

    pub fn put(&self, path: &str, token: &str, body: &str) -> Reply {
        let bearer = format!("Bearer {token}");
        let fields = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        ask(self.shop(), "PUT", path, &fields, body.as_bytes())
    }

    pub fn get_as(&self, path: &str, token: &str) -> Reply {
        ask(self.shop(), "GET", path, &[("Authorization", &format!("Bearer {token}"))], b"")
    }

    /// Like [`Self::log_in`], as somebody.
    pub fn log_in_as(&self, user: &str) -> String {
        let reply = self.post("/login", "", &format!(r#"{{"user":"{user}","pass":"secret"}}"#));
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()["token"].as_str().unwrap().to_owned()
    }

    /// The newest value of a lane of an instance.
    pub fn lane_of(&self, instance: &str, name: &str) -> Option<f64> {
        self.values(instance, name, MonoNs(0)).pop()
    }

    /// What a lane of the first worker has told since then, oldest first: what has passed by the time that somebody looks is
    /// there as well.
    pub fn told_since(&self, since: MonoNs, name: &str) -> Vec<f64> {
        self.values("shop-0", name, since)
    }

    /// The first value that a lane of the first worker tells from now on.
    pub fn told_next(&self, name: &str) -> f64 {
        let now = MonoNs::now();
        let mut told = Vec::new();
        let is_told = wait_for(|| {
            told = self.told_since(now, name);
            !told.is_empty()
        });
        assert!(is_told, "{name} is not told");
        told[0]
    }

    fn values(&self, instance: &str, name: &str, since: MonoNs) -> Vec<f64> {
        let batch = self.samples(instance);
        let index = batch["lanes"].as_array().and_then(|lanes| lanes.iter().position(|l| l["name"] == name));
        let Some(index) = index else { return Vec::new() };
        let ticks = batch["ticks"].as_array().into_iter().flatten();
        let ticks = ticks.filter(|t| t["at"].as_u64().is_some_and(|at| at >= since.0));
        let values = ticks.filter_map(|t| t["values"].as_array()).flatten();
        values.filter(|v| v[0] == index).filter_map(|v| v[1].as_f64()).collect()
    }

    /// What the services have done: e-mails, invoices, events that came twice.
    pub fn counts(&self) -> [u64; 3] {
        let counts = self.relayed("/v1/services");
        ["email", "billing", "again"].map(|what| counts[what].as_u64().unwrap())
    }

    /// To control and probe, with their token.
    pub fn order(&self, method: &str, path: &str, body: &str) -> Reply {
        let bearer = format!("Bearer {TOKEN}");
        ask(self.control(), method, path, &[("Authorization", &bearer)], body.as_bytes())
    }

    /// The newest value of a lane of the first worker.
    pub fn lane(&self, name: &str) -> Option<f64> {
        self.lane_of("shop-0", name)
    }

    /// All lanes of an instance, and the ticks that it remembers: those of half a minute.
    pub fn samples(&self, instance: &str) -> Value {
        self.relayed(&format!("/v1/instances/{instance}/samples?since=0"))
    }

    /// What a process answers through the control endpoint. One that stands still for a moment, or is being started, is
    /// asked again.
    fn relayed(&self, path: &str) -> Value {
        let mut reply = None;
        wait_for(|| reply.insert(self.order("GET", path, "")).status == 200);
        reply.unwrap().json()
    }

    /// Waits for a tick of `instance` that tells of all that has happened by now, and gives its number.
    pub fn tick(&self, instance: &str) -> u64 {
        let now = MonoNs::now();
        let mut number = None;
        let is_told = wait_for(|| {
            let batch = self.samples(instance);
            let mut ticks = batch["ticks"].as_array().into_iter().flatten();
            let later = ticks.find(|t| t["at"].as_u64().is_some_and(|at| at >= now.0));
            number = later.and_then(|t| t["seq"].as_u64());
            number.is_some()
        });
        assert!(is_told, "{instance} ticks no more");
        number.unwrap()
    }

    /// How often something happened in `instance`, as far back as it remembers.
    pub fn times(&self, instance: &str, name: &str) -> f64 {
        self.times_after(0, instance, name)
    }

    /// How often something happened in `instance` after the tick of this number.
    pub fn times_after(&self, tick: u64, instance: &str, name: &str) -> f64 {
        self.amount_in(instance, name, "", tick)
    }

    /// Changes how the cache works, and waits until every worker has heard it: orders are obeyed in their order.
    pub fn set_cache(&self, settings: &str) {
        let set = self.order("PUT", "/v1/cache", settings);
        assert_eq!(set.status, 200, "{}", set.body);
        self.cure();
    }

    /// What the first worker's rate lanes about subjects that begin with `about` amount to, as far back as it remembers.
    pub fn amount(&self, name: &str, about: &str) -> f64 {
        self.amount_after(0, name, about)
    }

    /// The same of the ticks after that of this number.
    pub fn amount_after(&self, tick: u64, name: &str, about: &str) -> f64 {
        self.amount_in("shop-0", name, about, tick).round()
    }

    fn amount_in(&self, instance: &str, name: &str, about: &str, after: u64) -> f64 {
        let batch = self.samples(instance);
        let (lanes, ticks) = (batch["lanes"].as_array().unwrap(), batch["ticks"].as_array().unwrap());
        let is = |l: &Value| l["name"] == name && l["subject"].as_str().unwrap_or("").starts_with(about);
        let wanted: Vec<u64> = (0..).zip(lanes).filter(|(_, l)| is(l)).map(|(n, _)| n).collect();
        let value = |tick: &Value| {
            let values = tick["values"].as_array().unwrap().iter();
            let wanted = values.filter(|v| wanted.contains(&v[0].as_u64().unwrap()));
            wanted.map(|v| v[1].as_f64().unwrap()).sum::<f64>()
        };
        let at = |tick: &Value| tick["at"].as_f64().unwrap() / 1e9;
        // A rate holds since the tick before; the first tick comes as long after the start as they are apart.
        let length = |n: usize| if n == 0 { TICK_MS as f64 / 1e3 } else { at(&ticks[n]) - at(&ticks[n - 1]) };
        let later = (0..ticks.len()).filter(|n| ticks[*n]["seq"].as_u64().unwrap() > after);
        later.map(|n| value(&ticks[n]) * length(n)).sum()
    }

    /// The histogram cells of the first worker's lane about `about`, as far back as it remembers: microseconds and counts.
    pub fn cells(&self, name: &str, about: &str) -> Vec<(u64, u64)> {
        let batch = self.samples("shop-0");
        let is = |l: &Value| l["name"] == name && l["subject"] == about;
        let Some(lane) = batch["lanes"].as_array().unwrap().iter().position(is) else { return Vec::new() };
        let ticks = batch["ticks"].as_array().unwrap();
        let histograms = ticks.iter().filter_map(|t| t["histograms"].as_array()).flatten();
        let cells = histograms.filter(|h| h[0] == lane).filter_map(|h| h[1].as_array()).flatten();
        cells.map(|c| (c[0].as_u64().unwrap(), c[1].as_u64().unwrap())).collect()
    }

    /// How many events of this kind the first worker still remembers.
    pub fn events(&self, kind: &str) -> u64 {
        let batch = self.samples("shop-0");
        let ticks = batch["ticks"].as_array().unwrap();
        let events = ticks.iter().filter_map(|t| t["events"].as_array()).flatten();
        events.filter(|e| e["kind"] == kind).count() as u64
    }

    /// Switches a fault on, and waits until a worker says that it is.
    pub fn arm(&self, order: &str) {
        let before = self.truth().len();
        let reply = self.order("POST", "/v1/faults", order);
        assert_eq!(reply.status, 202, "{}", reply.body);
        assert!(wait_for(|| self.truth().len() > before));
    }

    /// Ends all faults; their truth is told when it returns.
    pub fn cure(&self) {
        assert_eq!(self.order("DELETE", "/v1/faults", "").status, 200);
    }

    /// Asks for `path` over many connections at once until `enough` holds; false if it never did.
    pub fn press(&self, connections: usize, path: &str, enough: impl Fn() -> bool) -> bool {
        self.press_for(&[200], connections, path, enough)
    }

    /// The same where each answer has one of these statuses.
    pub fn press_for(
        &self,
        statuses: &[u16],
        connections: usize,
        path: &str,
        enough: impl Fn() -> bool,
    ) -> bool {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..connections {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let status = self.get(path).status;
                        assert!(statuses.contains(&status), "{path}: {status}");
                    }
                });
            }
            // Also when `enough` panics: the scope waits for its threads.
            let _stopping = Stop(&stop);
            wait_for(&enough)
        })
    }

    /// `fault instance what` of each line of the truth.
    pub fn truth(&self) -> Vec<String> {
        let page = self.order("GET", "/v1/truth", "").json();
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        let lines = page["lines"].as_array().unwrap();
        lines.iter().map(|l| [text(&l["fault"]), text(&l["instance"]), text(&l["what"])].join(" ")).collect()
    }
}

/// Set when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text_of(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

/// The truth of `fault` in the one worker, from its order to its end.
pub fn life(fault: &str) -> [String; 3] {
    ["armed", "onset", "ended"].map(|what| format!("{fault} shop-0 {what}"))
}

/// An answer.
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// The text of an error answer.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_else(|| panic!("no error: {}", self.body)).to_owned()
    }
}

pub fn connect(to: &str) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(READ_PATIENCE)).unwrap();
    stream
}

pub fn ask(to: &str, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n");
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    let mut stream = connect(to);
    stream.write_all(head.as_bytes()).unwrap();
    // A body that is refused early may find the connection closed.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    // Pictures are no texts, and nobody here looks at them.
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let head = head.to_ascii_lowercase();
    let body = if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() };
    Reply { status, head, body }
}

/// A body without the sizes of its chunks.
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").expect("a size");
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole += &rest[..size];
        body = &rest[size + 2..];
    }
}

/// A WebSocket of the tests: small text frames only.
#[derive(Debug)]
pub struct Socket(BufReader<TcpStream>);

impl Socket {
    /// The socket, or the status with which it was refused.
    pub fn open(to: &str, path: &str) -> Result<Self, u16> {
        let mut stream = connect(to);
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let status: u16 = line.split(' ').nth(1).unwrap().parse().unwrap();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).unwrap();
        }
        if status == 101 { Ok(Self(stream)) } else { Err(status) }
    }

    /// Masked with zeros, which is a mask.
    pub fn send(&mut self, text: &str) {
        let mut frame = vec![0x81];
        match u8::try_from(text.len()) {
            Ok(n @ 0..=125) => frame.push(0x80 | n),
            _ => {
                frame.push(0x80 | 127);
                frame.extend((text.len() as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        let _ = self.0.get_mut().write_all(&frame);
    }

    /// The next frame: its opcode and payload. None at the end.
    pub fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        let length = match head[1] {
            126 => {
                let mut more = [0; 2];
                self.0.read_exact(&mut more).ok()?;
                usize::from(u16::from_be_bytes(more))
            }
            n => usize::from(n),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).ok()?;
        Some((head[0] & 15, payload))
    }

    pub fn json(&mut self) -> Value {
        let (opcode, payload) = self.read().expect("a frame");
        assert_eq!(opcode, 1);
        serde_json::from_slice(&payload).unwrap()
    }
}

/// Waits until `what` holds; false if it never did.
pub fn wait_for(mut what: impl FnMut() -> bool) -> bool {
    let began = MonoNs::now();
    loop {
        // Looked at before: whoever stood still for as long as that looks once more.
        let is_over = MonoNs::now().since(began) >= PATIENCE;
        if what() {
            return true;
        }
        if is_over {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Does the process run (a zombie does not)?
pub fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

pub fn signal(pid: u32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}
