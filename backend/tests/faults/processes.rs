//! The faults of processes, sockets and descriptors, switched in real workers: each does its work, and its cure does not.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::common::{Backend, Socket, life, signal, wait_for};
use rustix::process::Signal;
use timeline::MonoNs;

/// Generation and deaths of the workers of the shop, when each has a process that answers: one that was killed does not.
fn lives(backend: &Backend) -> Vec<[u64; 2]> {
    for worker in backend.ready["workers"].as_array().unwrap() {
        backend.tick(worker["name"].as_str().unwrap());
    }
    known_lives(backend)
}

/// The same of those that have a process now.
fn known_lives(backend: &Backend) -> Vec<[u64; 2]> {
    let instances = backend.order("GET", "/v1/instances", "").json();
    let shops = instances["instances"].as_array().unwrap().iter().filter(|i| i["name"] != "services-0");
    shops.map(|i| [i["generation"].as_u64().unwrap(), i["deaths"].as_u64().unwrap_or(0)]).collect()
}

#[test]
fn a_worker_is_killed_again_and_again_and_started_each_time_and_nobody_else_is() {
    let backend = Backend::start(2);
    assert_eq!(lives(&backend), [[0, 0], [0, 0]]);
    backend.arm(r#"{"name":"worker-crash","for_ms":600000,"knobs":{"period_ms":2000}}"#);
    // Each death is followed by a start; somebody who is slow to look sees later ones.
    let twice = || known_lives(&backend).iter().any(|[started, died]| *died >= 2 && started == died);
    assert!((0..3).any(|_| wait_for(twice)), "{:?}", known_lives(&backend));
    backend.cure();
    assert_eq!(backend.truth(), life("worker-crash"));
    let after = lives(&backend);
    assert_eq!(after[1], [0, 0]);
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(lives(&backend), after, "none dies any more");
    // One that is relieved has not died.
    assert_eq!(backend.order("POST", "/v1/reload", "").status, 200);
    assert_eq!(lives(&backend), [[after[0][0] + 1, after[0][1]], [1, 0]]);
    assert!(backend.said().contains("shop-0 has ended with signal: 9"), "{}", backend.said());
}

#[test]
fn the_faults_of_a_worker_that_is_killed_end_there_and_begin_anew_in_the_next_one() {
    let backend = Backend::start(1);
    backend.arm(r#"{"name":"leak","for_ms":600000}"#);
    signal(backend.pids()[0], Signal::KILL);
    assert!(wait_for(|| backend.truth().len() == 3), "{:?}", backend.truth());
    backend.cure();
    let [armed, _, ended] = life("leak");
    assert_eq!(backend.truth(), [armed.clone(), ended.clone(), armed, ended]);
}

#[test]
fn one_worker_gets_all_new_connections_and_the_others_get_theirs_again() {
    const EACH: usize = 30;
    let backend = Backend::start(3);
    let held =
        || ["shop-0", "shop-1", "shop-2"].map(|w| backend.lane_of(w, "server.websockets").unwrap_or(0.0));
    let mut sockets = Vec::new();
    let mut more = || {
        sockets.extend((0..EACH).map(|_| Socket::open(backend.shop(), "/ws").expect("open")));
        let all = sockets.len() as f64;
        assert!(wait_for(|| held().iter().sum::<f64>() == all), "{:?}", held());
        held()
    };
    let before = more();
    assert!(before.iter().all(|n| *n > 0.0), "{before:?}");
    let armed = || backend.truth().iter().filter(|line| line.ends_with("armed")).count();
    backend.arm(r#"{"name":"uneven-workers","for_ms":600000}"#);
    assert!(wait_for(|| armed() == 3));
    // The others may have taken some before they had come to turn away.
    let mut seen = before;
    let to_one = (0..5).any(|_| {
        let held = std::mem::replace(&mut seen, more());
        seen == [held[0] + EACH as f64, held[1], held[2]]
    });
    assert!(to_one, "{before:?}, then {seen:?}");
    // The owner's successor owns them, too.
    assert_eq!(backend.order("POST", "/v1/reload", "").status, 200);
    backend.cure();
    let cured = backend.truth();
    let lines = |what: &str| cured.iter().filter(|line| line.ends_with(what)).count();
    assert!(
        lines("onset") >= 1 && cured.iter().all(|l| !l.ends_with("onset") || l.contains("shop-0")),
        "{cured:?}"
    );
    assert_eq!(lines("armed"), lines("ended"), "{cured:?}");
    for _ in 0..EACH {
        assert_eq!(backend.get("/").status, 200);
    }
    let mut again = Vec::new();
    assert!(wait_for(|| {
        again.push(Socket::open(backend.shop(), "/ws").expect("open"));
        held().iter().all(|n| *n > 0.0)
    }));
}

#[test]
fn descriptors_are_leaked_up_to_the_limit_and_given_back() {
    let backend = Backend::start(1);
    let lane = |name: &str| backend.lane(name).unwrap_or(-1.0);
    let sheet = || backend.get("/products/7/sheet");
    let many = || (0..80).for_each(|_| assert_eq!(sheet().status, 200));
    many();
    let (before, limit) = (backend.told_next("process.descriptors"), lane("process.descriptor-limit"));
    assert!(before > 0.0 && before < 80.0, "the cure leaves none open: {before}");

    backend.arm(r#"{"name":"fd-exhausted","for_ms":600000,"knobs":{"room":60}}"#);
    assert!(wait_for(|| lane("process.descriptor-limit") < limit));
    let refused = std::cell::RefCell::new(None);
    assert!(wait_for(|| {
        let reply = sheet();
        let full = reply.status == 503;
        if full {
            refused.replace(Some(reply.error()));
        }
        full
    }));
    let said = refused.take().unwrap();
    assert!(said.contains("Too many open files"), "{said}");

    backend.cure();
    assert_eq!(backend.truth(), life("fd-exhausted"));
    many();
    assert!(wait_for(|| lane("process.descriptors") <= before + 10.0), "{}", lane("process.descriptors"));
    assert!(wait_for(|| lane("process.descriptor-limit") == limit));
}

/// How long `clients` take that come at once.
fn rush(backend: &Backend, clients: usize) -> Duration {
    let began = MonoNs::now();
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| assert_eq!(backend.get("/").status, 200));
        }
    });
    MonoNs::now().since(began)
}

#[test]
fn a_worker_that_asks_the_database_about_every_client_lets_its_listen_queue_overflow() {
    const CLIENTS: usize = 60;
    let backend = Backend::start(1);
    let queue = || backend.lane("process.listen-queue");
    assert!(wait_for(|| queue() == Some(0.0)));
    rush(&backend, CLIENTS);
    // The shortest of three: in others the machine itself may have been slow.
    let cure = (0..3).map(|_| rush(&backend, CLIENTS)).min().unwrap();
    backend.arm(r#"{"name":"accept-overflow","for_ms":600000,"knobs":{"queue":8}}"#);
    // The short queue comes with the next look.
    backend.get("/");
    // Another try, should the clients have come one after the other: that the queue was full is seen when the worker looks,
    // and who waits when the agent does.
    let mut seen = Vec::new();
    let slower = (0..5).any(|_| {
        seen.push(rush(&backend, CLIENTS));
        seen[seen.len() - 1] > 2 * cure
    });
    assert!(slower, "{seen:?} with the fault, {cure:?} with the cure");
    let rushed = MonoNs::now();
    let is_full = || backend.truth().iter().any(|l| l.ends_with("onset"));
    let waited = || backend.told_since(rushed, "process.listen-queue").into_iter().fold(0.0, f64::max);
    let is_seen = (0..10).any(|_| {
        rush(&backend, CLIENTS);
        backend.tick("shop-0");
        is_full() && waited() >= 1.0
    });
    assert!(is_seen, "{} waited: {:?}", waited(), backend.truth());
    assert!(waited() <= 9.0, "{} waited, of 9 for whom there is room", waited());
    backend.cure();
    assert_eq!(backend.truth(), life("accept-overflow"));
    assert!(wait_for(|| queue() == Some(0.0)));
    rush(&backend, CLIENTS);
}

#[test]
fn a_listen_queue_that_was_short_when_its_worker_died_is_long_for_the_next_one() {
    let backend = Backend::start(1);
    backend.arm(r#"{"name":"accept-overflow","for_ms":600000,"knobs":{"queue":8}}"#);
    // The short queue comes with the next look.
    backend.get("/");
    signal(backend.pids()[0], Signal::KILL);
    // Before there is another worker, which would get what is left of the fault.
    backend.cure();
    assert_eq!(backend.get("/").status, 200);
    assert_eq!(lives(&backend), [[1, 1]]);
    let instances = backend.order("GET", "/v1/instances", "").json();
    let mut shops = instances["instances"].as_array().unwrap().iter().filter(|i| i["name"] == "shop-0");
    signal(shops.next().unwrap()["pid"].as_u64().unwrap() as u32, Signal::STOP);
    // Nobody takes them, so all of them wait in the queue.
    let shop: SocketAddr = backend.shop().parse().unwrap();
    let waiting: Vec<_> =
        (0..30).map(|_| TcpStream::connect_timeout(&shop, Duration::from_secs(1))).collect();
    assert!(waiting.iter().all(Result::is_ok), "{waiting:?}");
}
