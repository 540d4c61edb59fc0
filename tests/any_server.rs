//! A scenario runs against any server that is already running, and a URL needs no file.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use common::{Guarded, dyno, json, run_valid, shop};

#[test]
fn a_url_needs_no_file() {
    let (url, _shop) = shop(1);
    let run = run_valid(&["--url", &format!("{url}/products?page=1"), "--sessions", "10", "--for", "3s"]);
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    let summary = run.summary();
    // Each session has asked more than once, however slow the machine.
    assert!(summary["steps"][0]["count"].as_u64().unwrap() > 10, "{:#}", summary["steps"]);
    assert_eq!(summary["steps"][0]["errors"], 0);
    assert!(summary["lanes"]["process.cpu"].is_object(), "the process behind the port is watched");
    assert!(!run.folder.join("truth.jsonl").exists(), "nothing is injected into somebody's server");
}

/// Answers everybody; its port is printed first.
const JAVA: &str = r#"
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

public class Serve {
    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, -1);
            exchange.close();
        });
        server.start();
        System.out.println(server.getAddress().getPort());
        System.in.read();
    }
}
"#;

#[test]
fn a_jvm_that_tells_nothing_of_itself_is_said_and_its_process_is_watched() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Serve.java");
    std::fs::write(&file, JAVA).unwrap();
    let mut java = Command::new("java");
    let java = java.arg("-XX:-UsePerfData").arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut java = Guarded(java.spawn().expect("this test needs a JDK: ./test --install"));
    let mut line = String::new();
    BufReader::new(java.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = format!("http://127.0.0.1:{}/", line.trim());
    let run = run_valid(&["--url", &url, "--rate", "20/s", "--for", "2s"]);
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    assert!(run.stdout().contains("or runs with -XX:-UsePerfData"), "{}", run.stdout());
    let lanes = &run.summary()["lanes"];
    assert!(lanes["process.cpu"].is_object() && !lanes["heap.used"].is_object(), "{lanes:#}");
}

/// A service with a page of metrics, which no framework of ours knows; its port is printed first.
const PYTHON: &str = r#"
import http.server
class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        page = b'hikaricp_connections_max{pool="orders"} 8\nhikaricp_connections_active{pool="orders"} 3\n'
        body = page if self.path == "/metrics" else b"hello"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
print(server.server_port, flush=True)
server.serve_forever()
"#;

#[test]
fn the_page_of_a_service_whose_inside_nobody_sees_is_found_by_its_port() {
    let mut python = Command::new("python3");
    let python = python.arg("-c").arg(PYTHON).stdout(Stdio::piped());
    let mut python = Guarded(python.spawn().expect("this test needs python3: ./test --install"));
    let mut line = String::new();
    BufReader::new(python.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = format!("http://127.0.0.1:{}", line.trim());
    let run = run_valid(&["--url", &format!("{url}/hello"), "--rate", "20/s", "--for", "2s"]);
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    assert!(run.stdout().contains(&format!("metrics at {url}/metrics as")), "{}", run.stdout());
    let lanes = &run.summary()["lanes"];
    assert!(lanes["pool.orders.capacity"].is_object() && lanes["process.cpu"].is_object(), "{lanes:#}");
}

/// Sends whoever asks for `/` on to `/there`, which is there; serves until the test's process ends.
fn moved() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let converse = |mut stream: TcpStream| -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        while let Some(asked) = lines.next().transpose()? {
            while lines.next().transpose()?.is_some_and(|field| !field.is_empty()) {}
            let head = if asked.starts_with("GET / ") { "302 Found\r\nLocation: /there" } else { "200 OK" };
            stream.write_all(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n").as_bytes())?;
        }
        Ok(())
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || converse(stream));
        }
    });
    url
}

#[test]
fn redirects_that_are_not_followed_are_told() {
    let url = moved();
    let run = run_valid(&["--url", &format!("{url}/"), "--attach", "none", "--rate", "20/s", "--for", "2s"]);
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    let told = "were redirects that were not followed";
    let notes = run.summary()["notes"].clone();
    let mut lines = notes.as_array().unwrap().iter().filter_map(serde_json::Value::as_str);
    let note = lines.find(|line| line.contains(told));
    let counted: u64 = note.and_then(|n| n.split(' ').next()?.parse().ok()).expect("a note says how many");
    assert!(counted >= run.summary()["steps"][0]["count"].as_u64().unwrap(), "{notes:#}");
    assert!(run.stdout().contains(told), "{}", run.stdout());

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("moved.toml");
    let text = format!(
        r#"
[target]
url = "{url}"
attach = ["none"]
redirects = 10
[[phase]]
name = "ask"
for = "2s"
requests = "20/s"
[[session]]
name = "client"
weight = 1
steps = [{{ name = "page", get = "/", check = {{ status = 200 }} }}]
"#
    );
    std::fs::write(&file, text).unwrap();
    let run = run_valid(&[file.to_str().unwrap()]);
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    let summary = run.summary();
    assert_eq!(summary["steps"][0]["errors"], 0);
    assert!(!summary["notes"].to_string().contains("redirect"), "{:#}", summary["notes"]);
}

#[test]
fn the_same_file_runs_against_another_target() {
    let (url, _shop) = shop(1);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("browse.toml");
    std::fs::write(
        &file,
        r#"
about = "a few people browse"
[target]
url = "bundled"
[[phase]]
name = "browse"
for = "3s"
arrivals = "200/s"
[[session]]
name = "browser"
weight = 1
steps = [
  { name = "list", get = "/products?page=${int(1, 5)}", check = { status = 200 } },
  { think = "50ms..100ms" },
  { name = "detail", get = "/products/${int(1, 100)}", check = { status = 200 } },
]
[[gate]]
that = "errors < 10%"
[[gate]]
that = "p99 < 1us for detail"
"#,
    )
    .unwrap();
    let run = run_valid(&[file.to_str().unwrap(), "--target", &url]);
    assert_eq!(
        run.code(),
        Some(3),
        "no server answers within a microsecond: {}\n{}",
        run.stdout(),
        run.stderr()
    );
    let gates = run.summary()["gates"].clone();
    assert_eq!(gates[0]["holds"], true);
    assert_eq!(gates[1]["holds"], false);
    let junit = std::fs::read_to_string(run.folder.join("junit.xml")).unwrap();
    assert!(junit.contains("failures=\"1\""), "{junit}");
    let explained = dyno().args(["explain", "--json"]).arg(&run.folder).output().unwrap();
    assert!(explained.status.success());
    let told: serde_json::Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert_eq!((&told["version"], &told["verdict"]), (&1.into(), &"fail".into()));
    assert!(told["looked_for"].as_array().is_some_and(|l| !l.is_empty()), "{told:#}");
    assert!(json(&run.folder.join("summary.json")).is_some());
}

/// What somebody could have written about the shop.
const OPENAPI: &str = r#"
openapi: 3.1.0
info: { title: Shop, version: "1" }
servers: [{ url: "http://127.0.0.1:1" }]
paths:
  /products:
    get:
      parameters: [{ name: page, in: query, required: true, schema: { type: integer, minimum: 1, maximum: 20 } }]
      responses: { "200": { description: a page } }
  /products/{id}:
    get:
      parameters: [{ name: id, in: path, required: true, schema: { type: integer, minimum: 1, maximum: 100 } }]
      responses: { "200": { description: one of them } }
  /login:
    post:
      requestBody:
        content:
          application/json:
            schema:
              type: object
              required: [user, pass]
              properties: { user: { type: string, example: user-7 }, pass: { type: string, example: secret } }
      responses: { "200": { description: a token } }
"#;

#[test]
fn the_description_of_an_interface_is_imported_and_runs() {
    let (url, _shop) = shop(1);
    let dir = tempfile::tempdir().unwrap();
    let (description, scenario) = (dir.path().join("shop.yaml"), dir.path().join("shop.toml"));
    std::fs::write(&description, OPENAPI).unwrap();
    let mut import = dyno();
    import.args(["scenarios", "import", "--all", "--target", &url, "--out"]).arg(&scenario).arg(&description);
    let imported = import.output().unwrap();
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let run = run_valid(&[scenario.to_str().unwrap(), "--sessions", "3", "--for", "3s"]);
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    let steps = run.summary()["steps"].as_array().unwrap().clone();
    assert_eq!(steps.len(), 3, "{steps:#?}");
    assert!(steps.iter().all(|s| s["count"].as_u64() > Some(3) && s["errors"] == 0), "{steps:#?}");
    let told = "the load is not the scenario's: --sessions=3 --for=3s stands in the place of its 1 phase";
    let notes = run.summary()["notes"].to_string();
    assert!(notes.contains(told) && run.stdout().contains("the load is not the scenario's"), "{notes}");
}

#[test]
fn watching_a_port_without_load_shows_its_process() {
    let (url, _shop) = shop(1);
    let dir = tempfile::tempdir().unwrap();
    let output = dyno()
        .args(["watch", &url, "--for", "3s", "--ui", "plain", "--out"])
        .arg(dir.path().join("w"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = json(&dir.path().join("w/summary.json")).unwrap();
    assert!(summary["lanes"]["process.resident"]["max"].as_f64().unwrap() > 1e6, "{:#}", summary["lanes"]);
}
