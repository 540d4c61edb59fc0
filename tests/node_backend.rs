//! The bundled backend's twin: started by `dyno backend --runtime`, and a run's target like the backend itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "../backend/tests/common/servers/mod.rs"]
#[expect(dead_code, reason = "the backend's own tests use the rest")]
mod servers;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use backend::Hold;
use common::{FEW_ROWS, Guarded, Run, brief, changed, dyno, json, wait_for, whole_machine};
use serde_json::Value;
use servers::postgres::Postgres;
use timeline::fault::FaultKind;

const TOKEN: &str = "a-token-of-the-tests";
/// Packages are installed and a database is filled before it is ready; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

fn testing(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("backend/node/testing").join(path)
}

/// Where the twin's packages are installed for all who do not look at how that is done: once, in a folder of Cargo's. What is in
/// there is named after the twin's files, and put into its place when it is complete.
fn installed_once() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("twin")
}

/// `dyno backend` on `runtime`, which is looked for in `path` too; its ready line, and the process that ends with the test.
fn serve(runtime: &str, path: Option<&Path>, cache: &Path, database: &str) -> (Value, Guarded) {
    let mut paths: Vec<PathBuf> = path.map(Path::to_owned).into_iter().collect();
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut child = dyno()
        .args([
            "backend",
            "--listen",
            "127.0.0.1:0",
            "--follow-stdin",
            "--rows",
            "1000",
            "--runtime",
            runtime,
        ])
        .env("PATH", std::env::join_paths(paths).unwrap())
        .env("XDG_CACHE_HOME", cache)
        .env("DYNO_TOKEN", TOKEN)
        .env("DYNO_DATABASE_URL", database)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
    (ready["ready"].clone(), Guarded(child))
}

/// What it answers. Deno's cluster now and then loses the first connection that it hands on, so what only asks asks again.
fn ask(base: &Value, method: &str, path: &str, body: &str) -> (u16, String) {
    let tries = if method == "GET" { 4 } else { 1 };
    let mut answers = (0..tries).map(|_| ask_once(base, method, path, body, PATIENCE / tries));
    answers.find_map(Result::ok).unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

fn ask_once(
    base: &Value,
    method: &str,
    path: &str,
    body: &str,
    patience: Duration,
) -> std::io::Result<(u16, String)> {
    let to = base.as_str().unwrap().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(patience))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()))
}

/// It serves, tells of itself, misbehaves when told to, holds what it is told in the words of the shop in Rust, and ends with its input.
fn obeys(ready: &Value, mut shop: Guarded) {
    assert_eq!(ask(&ready["url"], "GET", "/products/7", "").0, 200);
    assert_eq!(ask(&ready["url"], "GET", "/products/0", "").0, 404);
    assert_eq!(ready["workers"].as_array().unwrap().len(), 3, "two workers and the services");
    let order = |body| ask(&ready["probe"], "POST", "/v1/faults", body);
    assert_eq!(order(r#"{"name":"leak","for_ms":60000,"knobs":{"bytes":2048}}"#).0, 202);
    let (status, why) = order(r#"{"name":"leak","for_ms":60000,"knobs":{"bytes":1}}"#);
    assert!(
        status == 400 && why.contains("knob `bytes` of fault leak is 1, expected 1024 to 1048576"),
        "{why}"
    );
    assert!(wait_for(PATIENCE, || ask(&ready["probe"], "GET", "/v1/truth", "").1.contains("armed")));
    let hold = |hold: &Hold| {
        let hold = serde_json::to_string(hold).unwrap();
        ask(&ready["probe"], "POST", "/v1/remedies", &hold)
    };
    for held in [
        Hold::PoolCapacity(14),
        Hold::CacheCapacity(500),
        Hold::EarlyRefreshes(1.0),
        Hold::Index { table: "purchase".to_owned(), column: "customer".to_owned() },
        Hold::Cure(FaultKind::Leak),
    ] {
        let (status, answer) = hold(&held);
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(hold(&Hold::OffloadThreads(8)).0, 400);
    // The leak, whose cure is held now, and no worker that died of it.
    assert!(wait_for(PATIENCE, || ask(&ready["probe"], "GET", "/v1/truth", "").1.contains("ended")));
    let (_, instances) = ask(&ready["probe"], "GET", "/v1/instances", "");
    assert!(instances.contains(r#""deaths":0"#) && !instances.contains(r#""deaths":1"#), "{instances}");
    drop(shop.0.stdin.take());
    assert!(wait_for(PATIENCE, || shop.0.try_wait().unwrap().is_some_and(|s| s.success())));
}

#[test]
fn on_node_with_postgresql() {
    // It measures nothing, but installing its packages takes all of a small machine.
    let _machine = whole_machine();
    // Node.js before 22.13 has no database of its own.
    let (cache, postgres) = (tempfile::tempdir().unwrap(), Postgres::start());
    let (ready, shop) = serve("node", None, cache.path(), &postgres.url());
    obeys(&ready, shop);
    let kept: Vec<_> = std::fs::read_dir(cache.path().join("dyno")).unwrap().collect();
    assert_eq!(kept.len(), 1, "one complete folder, and nothing half done: {kept:?}");
}

#[test]
fn on_deno_and_bun_with_nothing_else() {
    let _machine = whole_machine();
    let programs = testing("runtimes/node_modules/.bin");
    assert!(programs.is_dir(), "this test needs `npm ci --prefix backend/node/testing/runtimes`");
    for runtime in ["deno", "bun"] {
        let (ready, shop) = serve(runtime, Some(&programs), &installed_once(), "");
        obeys(&ready, shop);
    }
}

#[test]
fn a_scenario_runs_against_it() {
    let _machine = whole_machine();
    let postgres = Postgres::start();
    // No detector needs its time here.
    let shorter =
        [("for = \"21s\"", "for = \"4s\""), ("at = \"8s\"", "at = \"4s\""), ("for = \"8s\"", "for = \"3s\"")];
    let (dir, scenario) = changed("stampede", &shorter);
    let folder = dir.path().join("run");
    let output = dyno()
        .args(["run", &scenario, "--runtime", "node", "--ui", "none", "--out"])
        .arg(&folder)
        .env("XDG_CACHE_HOME", installed_once())
        .env("DYNO_DATABASE_URL", postgres.url())
        .envs([FEW_ROWS])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let summary = json(&folder.join("summary.json")).unwrap_or_else(|| panic!("no summary; stderr:\n{said}"));
    assert_eq!(summary["errors"], serde_json::json!([]), "{said}");
    assert!(summary["total"]["count"].as_u64().unwrap() > 1_000, "{:#}", summary["total"]);
    for lane in ["heap.young.used", "heap.old.used", "loop.delay", "pool.db.in-use", "cache.products.hits"] {
        assert!(summary["lanes"][lane].is_object(), "{lane}");
    }
    let run = Run::of(folder, output);
    assert!(run.onset_s("stampede") > 0.0, "the fault took effect, and its truth is written down");
}

/// A fault of the catalogue, its scenario changed in some places, found by the inspector alone as it is by the agents of the shop in Rust. With a
/// part of the sessions, so that twin, database, load and inspector together leave a core free: else that is what they find first, and rightly.
fn found_by_the_inspector(fault: FaultKind, changes: &[(&str, &str)]) {
    let _machine = whole_machine();
    let (postgres, dir) = (Postgres::start(), tempfile::tempdir().unwrap());
    seen_by_the_inspector(&postgres, dir.path(), fault, changes);
}

/// The same; the run lies in `dir`.
fn seen_by_the_inspector(postgres: &Postgres, dir: &Path, fault: FaultKind, changes: &[(&str, &str)]) -> Run {
    let (_dir, scenario) = brief(fault.name());
    let mut text = std::fs::read_to_string(&scenario).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{} has {from:?}", fault.name());
        text = text.replace(from, to);
    }
    std::fs::write(&scenario, text).unwrap();
    let attempt = |nth: u32| {
        let folder = dir.join(format!("run-{nth}"));
        let mut command = on_node(postgres);
        command.args(["run", &scenario, "--runtime", "node", "--attach", "node", "--ui", "none", "--out"]);
        let output = command.arg(&folder).output().unwrap();
        Run::of(folder, output)
    };
    let mut run = attempt(1);
    // As `run_valid` does: the machine may have starved the run.
    for again in 2..=3 {
        if run.code() != Some(5) {
            break;
        }
        eprintln!("{scenario} was invalid: {}; run again ({again})", run.summary()["verdict_reason"]);
        run = attempt(again);
    }
    assert!(matches!(run.code(), Some(0 | 3)), "{}\n{}", run.stdout(), run.stderr());
    assert!(run.stdout().contains("by its inspector"), "{}", run.stdout());
    assert!(!run.stdout().contains("not available without an"), "it is seen: {}", run.stdout());
    let kinds = run.kinds();
    assert_eq!(kinds.first().map(String::as_str), Some(fault.expected().name()), "{}", run.stdout());
    run
}

/// `dyno` with what the twin needs here.
fn on_node(postgres: &Postgres) -> Command {
    let mut command = dyno();
    command.env("XDG_CACHE_HOME", installed_once()).env("DYNO_DATABASE_URL", postgres.url()).envs([FEW_ROWS]);
    command
}

/// A pool is short whatever its statements take once its connections are lost; of one that is too small a fast machine shows nothing.
#[test]
fn a_leaking_pool_is_found_by_the_inspector() {
    let fewer = [("to = 140 ", "to = 70 "), ("sessions = 140\n", "sessions = 70\n")];
    let sooner = [("for = \"12s\"", "for = \"6s\""), ("share = 0.01", "share = 0.05")];
    found_by_the_inspector(FaultKind::PoolLeak, &[fewer, sooner].concat());
}

/// With twice the steps, so that they block the loop of a fast machine for long, too, and two seconds more of them. Then the fault is ordered again,
/// and its cure held.
#[test]
fn a_blocked_loop_is_found_by_the_inspector_and_its_advice_is_tried() {
    let _machine = whole_machine();
    let fewer = [("to = 200 ", "to = 80 "), ("sessions = 200\n", "sessions = 80\n")];
    let longer = [
        ("name = \"regex-backtracking\"", "name = \"regex-backtracking\"\nsteps = 4_000_000"),
        ("for = \"9s\"", "for = \"10s\""),
        ("for = \"5s\"", "for = \"7s\""),
    ];
    let (postgres, dir) = (Postgres::start(), tempfile::tempdir().unwrap());
    let found = seen_by_the_inspector(
        &postgres,
        dir.path(),
        FaultKind::RegexBacktracking,
        &[&fewer[..], &longer].concat(),
    );
    let again = dir.path().join("again");
    let mut verify = on_node(&postgres);
    verify.args(["explain", "--verify", "--json", "--out"]).arg(&again).arg(&found.folder);
    let output = verify.output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    let v = &told["verification"];
    let expected = FaultKind::RegexBacktracking.expected().name();
    let tried = v["tried"].as_array().unwrap().iter().find(|t| t["kind"] == expected);
    let tried = tried.unwrap_or_else(|| panic!("{v:#}\n{}", found.stdout()));
    assert!(tried["remedy"]["set"].as_str().unwrap().ends_with("/search.work"), "{v:#}");
    assert_eq!(tried["applied"], true, "{v:#}");
    let truth = std::fs::read_to_string(again.join("truth.jsonl")).unwrap();
    let told = |what: &str| truth.contains(what);
    assert!(told("armed") && !told("onset") && !told("ended"), "it was ordered in vain: {truth}");
    // A machine that starves the new run leaves nothing to be said of it.
    if !v["reason"].as_str().unwrap().starts_with("the new run is invalid") {
        assert_eq!((tried["gone"].as_bool(), output.status.code()), (Some(true), Some(0)), "{v:#}");
    }
}

/// All of its sessions: that the machine is full is what is looked for.
#[test]
fn a_deoptimised_function_that_fills_the_cores_is_found_by_the_inspector() {
    found_by_the_inspector(FaultKind::Deoptimised, &[]);
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let said_of = |path: &str, more: &[&str]| {
        let mut command = dyno();
        command
            .args(["backend", "--listen", "127.0.0.1:0", "--runtime", "node"])
            .args(more)
            .env("DYNO_TOKEN", TOKEN)
            .env("PATH", path);
        command.env_remove("XDG_CACHE_HOME").env_remove("HOME");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = |path: &str| said_of(path, &[]);
    insta::assert_snapshot!(said("/nowhere"), @"dyno: there is no `node` in the search path: install it (`npm install --global node`, or your system's package), or leave out --runtime");
    let path = std::env::var("PATH").unwrap();
    insta::assert_snapshot!(said(&path), @"dyno: there is no place for the shop's packages: set XDG_CACHE_HOME to a folder");
    // Its options are the shop's in Rust.
    insta::assert_snapshot!(said_of(&path, &["--broker", "kafka://h"]), @"dyno: DYNO_BROKER_URL: `kafka://h` is of no kind that is known here; expected `memory` or `amqp://USER@HOST`");
    insta::assert_snapshot!(said_of(&path, &["--database", "postgres://me:pa55@h/x"]), @"dyno: everybody on this machine can read a password on a command line: put the URL into DYNO_DATABASE_URL");
}
