//! Events from checkouts to the services, over the embedded broker and over RabbitMQ, and when either is away.

use crate::common::servers::rabbit::Rabbit;
use crate::common::{Backend, signal, wait_for};
use rustix::process::Signal;

fn buy(backend: &Backend, token: &str) {
    assert_eq!(backend.post("/cart", token, r#"{"product":5,"quantity":1}"#).status, 200);
    let receipt = backend.post("/checkout", token, "");
    assert_eq!(receipt.status, 200, "{}", receipt.body);
}

fn services_pid(backend: &Backend) -> u32 {
    let instances = backend.order("GET", "/v1/instances", "").json();
    let all = instances["instances"].as_array().unwrap();
    all.iter().find(|i| i["name"] == "services-0").unwrap()["pid"].as_u64().unwrap() as u32
}

#[test]
fn a_checkout_does_not_wait_for_services_that_are_away() {
    let backend = Backend::start(1);
    let token = backend.log_in();
    buy(&backend, &token);
    assert!(wait_for(|| backend.counts()[..2] == [1, 1]));
    let pid = services_pid(&backend);
    signal(pid, Signal::KILL);
    (0..3).for_each(|_| buy(&backend, &token));
    assert!(wait_for(|| backend.order("GET", "/v1/services", "").status == 200));
    assert!(wait_for(|| backend.counts()[..2].iter().all(|n| *n >= 3)), "{:?}", backend.counts());
    assert_ne!(services_pid(&backend), pid);
}

#[test]
fn services_that_are_called_hold_the_checkout_and_their_failure_is_told() {
    let backend = Backend::with(1, &[("DYNO_SHOP_SETTINGS", r#"{"notify":"called"}"#)]);
    let token = backend.log_in();
    buy(&backend, &token);
    assert_eq!(backend.counts(), [1, 1, 0], "they know when the customer does");
    for lane in ["downstream.email.calls", "downstream.billing.calls", "downstream.email.failures"] {
        assert!(wait_for(|| backend.lane_of("shop-0", lane).is_some()), "{lane}");
    }
    let pid = services_pid(&backend);
    signal(pid, Signal::STOP);
    assert_eq!(backend.post("/cart", &token, r#"{"product":5,"quantity":1}"#).status, 200);
    let refused = backend.post("/checkout", &token, "");
    signal(pid, Signal::CONT);
    assert_eq!(refused.status, 502, "{}", refused.body);
    assert!(refused.error().contains("is placed, but e-mail does not know"), "{}", refused.error());
}

#[test]
fn rabbitmq_that_goes_away_and_comes_back_gets_every_event() {
    let rabbit = Rabbit::start();
    let backend = Backend::with(2, &[("DYNO_BROKER_URL", &rabbit.url())]);
    let token = backend.log_in();
    buy(&backend, &token);
    assert!(wait_for(|| backend.counts()[..2] == [1, 1]), "{:?}", backend.counts());
    let pid = rabbit.pid();
    signal(pid, Signal::STOP);
    (0..3).for_each(|_| buy(&backend, &token));
    assert_eq!(backend.counts()[..2], [1, 1]);
    signal(pid, Signal::CONT);
    assert!(wait_for(|| backend.counts()[..2] == [4, 4]), "{:?}", backend.counts());
    assert!(!backend.said().contains("pa55"), "{}", backend.said());
}
