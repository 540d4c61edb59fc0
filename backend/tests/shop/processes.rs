//! The processes: a port that is taken, workers that die, and that none outlives its supervisor.

use std::fs::File;
use std::net::TcpListener;
use std::process::Stdio;

use crate::common::{Backend, Socket, alive, command, signal, wait_for};
use rustix::process::Signal;

#[test]
fn a_port_that_is_taken_is_named() {
    let somebody = TcpListener::bind("127.0.0.1:0").unwrap();
    let backend = Backend::start(1);
    let taken = [somebody.local_addr().unwrap().to_string(), backend.shop().to_owned()];
    for address in &taken {
        let output = command(&["1", address]).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, format!("dyno-shop: {address} is taken by another process\n"));
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let said = |args: &[&str], token: &str| {
        let settings = r#"{"history_rows":20000000}"#;
        let mut command = command(args);
        if token == "many rows" {
            command.env("DYNO_SHOP_SETTINGS", settings);
        }
        let output = command.env("DYNO_TOKEN", token).stderr(Stdio::piped()).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    insta::assert_snapshot!(said(&["0"], "t"), @"dyno-shop: 0 workers asked for, expected 1 to 64");
    insta::assert_snapshot!(said(&["1"], ""), @"dyno-shop: the token of control and probe is empty");
    insta::assert_snapshot!(said(&["1"], "many rows"), @"dyno-shop: 20000000 rows asked for, expected at most 10000000");
    insta::assert_snapshot!(said(&["backend-worker"], "t"), @"dyno-shop: a worker takes its settings from its supervisor, on standard input: it is none of a supervisor's");
}

/// Is there a second process of the shop's worker of this number?
fn started_again(backend: &Backend, worker: usize) -> bool {
    let instances = backend.order("GET", "/v1/instances", "").json();
    let name = format!("shop-{worker}");
    let found = instances["instances"].as_array().unwrap().iter().find(|i| i["name"] == name.as_str());
    found.is_some_and(|i| i["generation"] == 1 && i["pid"] != backend.ready["workers"][worker]["pid"])
}

#[test]
fn a_log_that_takes_nothing_keeps_no_worker_from_being_started_again() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let backend = Backend::logging(1, &[], full);
    signal(backend.pids()[0], Signal::KILL);
    assert!(wait_for(|| started_again(&backend, 0)));
}

#[test]
fn a_worker_that_dies_is_started_again_with_what_is_left_of_the_faults() {
    let backend = Backend::start(2);
    let token = backend.log_in();
    let order = backend.order("POST", "/v1/faults", r#"{"name":"stampede","for_ms":60000}"#);
    assert_eq!(order.status, 202);
    assert!(wait_for(|| backend.truth().len() == 2));
    signal(backend.pids()[1], Signal::KILL);
    assert!(wait_for(|| started_again(&backend, 1)));
    assert!(wait_for(|| backend.truth().last().is_some_and(|l| l == "stampede shop-1 armed")));
    assert!(wait_for(|| backend.order("GET", "/v1/instances/shop-1/samples?since=0", "").status == 200));
    // Sessions live in the database, so whichever worker answers knows them.
    for _ in 0..8 {
        assert_eq!(backend.post("/cart", &token, r#"{"product":3,"quantity":1}"#).status, 200);
    }
}

/// Kills or ends a backend in some way; gives what must be gone afterwards.
fn gone_after(end: impl FnOnce(&mut Backend)) {
    let mut backend = Backend::start(2);
    let mut socket = Socket::open(backend.shop(), "/ws").expect("open");
    let pids = backend.pids();
    assert!(pids.iter().all(|p| alive(*p)));
    end(&mut backend);
    assert!(wait_for(|| !pids.iter().any(|p| alive(*p))), "{pids:?}");
    while socket.read().is_some() {}
}

fn folders_of(pid: u32) -> usize {
    let prefix = format!("dyno-shop-{pid}-");
    let entries = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    entries.filter(|e| e.file_name().to_string_lossy().starts_with(&prefix)).count()
}

fn ends_well(backend: &mut Backend) {
    assert!(wait_for(|| backend.child.try_wait().unwrap().is_some()), "the supervisor ends");
    assert!(backend.child.wait().unwrap().success());
    assert_eq!(folders_of(backend.child.id()), 0, "the database is gone");
}

#[test]
fn no_worker_outlives_a_supervisor_that_is_killed() {
    gone_after(|backend| {
        signal(backend.pids()[0], Signal::STOP);
        backend.child.kill().unwrap();
        backend.child.wait().unwrap();
    });
}

#[test]
fn the_end_of_its_input_ends_it_though_a_worker_is_stopped() {
    gone_after(|backend| {
        signal(backend.pids()[0], Signal::STOP);
        drop(backend.stdin.take());
        ends_well(backend);
    });
}

#[test]
fn a_signal_or_an_order_ends_it_and_listeners_are_told() {
    // Another try: a worker that a busy machine keeps from ending in time is killed.
    let told = (0..3).any(|_| {
        let mut farewell = None;
        gone_after(|backend| {
            let mut socket = Socket::open(backend.shop(), "/ws").expect("open");
            assert_eq!(backend.order("POST", "/v1/shutdown", "").status, 202);
            farewell = socket.read();
            ends_well(backend);
        });
        farewell.is_some_and(|(opcode, said)| opcode == 8 && said.starts_with(&1001_u16.to_be_bytes()))
    });
    assert!(told, "nobody is told");
    gone_after(|backend| {
        signal(backend.child.id(), Signal::TERM);
        ends_well(backend);
    });
}

#[test]
fn the_terminals_interrupt_is_left_to_whoever_holds_the_input() {
    let backend = Backend::start(1);
    signal(backend.child.id(), Signal::INT);
    signal(backend.pids()[0], Signal::INT);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(backend.get("/healthz").status, 200);
    assert!(alive(backend.child.id()) && alive(backend.pids()[0]));
}
