//! Faults between the shop and its services: that each does what it says, and its cure does not.

use std::sync::Barrier;
use std::time::Duration;

use crate::common::servers::rabbit::Rabbit;
use crate::common::{Backend, Reply, wait_for};
use timeline::MonoNs;

/// A customer with something in the cart.
fn shopper(backend: &Backend, number: u32) -> String {
    let token = backend.log_in_as(&format!("user-{number}"));
    fill(backend, &token);
    token
}

fn fill(backend: &Backend, token: &str) {
    assert_eq!(backend.post("/cart", token, r#"{"product":5,"quantity":1}"#).status, 200);
}

/// Checks out and gives the order's number.
fn buy(backend: &Backend, token: &str) -> i64 {
    let receipt = backend.post("/checkout", token, "");
    assert_eq!(receipt.status, 200, "{}", receipt.body);
    receipt.json()["order"].as_i64().unwrap()
}

fn truth_of(backend: &Backend, fault: &str, instance: &str) -> Vec<String> {
    let of = format!("{fault} {instance} ");
    backend.truth().iter().filter_map(|line| line.strip_prefix(&of).map(str::to_owned)).collect()
}

/// All at once; gives how long the slowest had to wait.
fn at_once<T: Sync>(all: &[T], each: impl Fn(&T) + Sync) -> Duration {
    let start = Barrier::new(all.len());
    let one = |what: &T| {
        start.wait();
        let began = MonoNs::now();
        each(what);
        MonoNs::now().since(began)
    };
    std::thread::scope(|scope| {
        let waiting: Vec<_> = all.iter().map(|what| scope.spawn(|| one(what))).collect();
        waiting.into_iter().map(|w| w.join().unwrap()).max().unwrap()
    })
}

#[test]
fn a_slow_service_that_is_called_slows_the_checkout_and_one_behind_the_broker_does_not() {
    let backend = Backend::start(1);
    let tokens: Vec<String> = (1..5).map(|n| shopper(&backend, n)).collect();
    let publish = |round: u64| {
        let took = at_once(&tokens, |token| assert!(buy(&backend, token) > 0));
        assert!(wait_for(|| backend.counts()[..2] == [4 * round; 2]));
        tokens.iter().for_each(|token| fill(&backend, token));
        took
    };
    // The shortest of three: in others the machine itself may have been slow.
    let published = (1..=3).map(publish).min().unwrap();
    backend.arm(r#"{"name":"slow-downstream","for_ms":600000,"knobs":{"signatures":600}}"#);
    assert!(wait_for(|| truth_of(&backend, "slow-downstream", "services-0") == ["armed"]));
    assert!(wait_for(|| truth_of(&backend, "slow-downstream", "shop-0") == ["armed"]));
    let called = at_once(&tokens, |token| assert!(buy(&backend, token) > 0));
    assert_eq!(backend.counts(), [16, 16, 0], "they know when the customer does");
    // Four times 600 signatures, one message after another, are most of a second of work, or more; a call has five.
    assert!(called > published * 3, "{published:?} by the broker, {called:?} called");
    backend.cure();
    for instance in ["shop-0", "services-0"] {
        assert_eq!(truth_of(&backend, "slow-downstream", instance), ["armed", "onset", "ended"]);
    }
}

fn backlog(backend: &Backend) {
    /// So many that a server which is asked for its depth once a second shows some of them, and that some are left when
    /// a busy machine has come to look.
    const BOUGHT: u64 = 24;
    let token = shopper(backend, 1);
    buy(backend, &token);
    assert!(wait_for(|| backend.counts()[..2] == [1, 1]), "the cure keeps up: {:?}", backend.counts());
    backend.arm(r#"{"name":"broker-backlog","for_ms":600000,"knobs":{"signatures":2000}}"#);
    for _ in 0..BOUGHT {
        fill(backend, &token);
        buy(backend, &token);
    }
    let depth = || backend.lane_of("services-0", "broker.orders.depth").unwrap_or(0.0);
    assert!(wait_for(|| backend.counts()[1] == 1 + BOUGHT), "billing keeps up: {:?}", backend.counts());
    assert!(wait_for(|| depth() >= 1.0), "{}", depth());
    assert!(backend.counts()[0] < 1 + BOUGHT, "no customer waits, and the e-mails do");
    assert!(wait_for(|| truth_of(backend, "broker-backlog", "services-0").len() == 2));
    backend.cure();
    assert!(wait_for(|| backend.counts()[0] == 1 + BOUGHT), "the cure catches up: {:?}", backend.counts());
    assert_eq!(truth_of(backend, "broker-backlog", "services-0"), ["armed", "onset", "ended"]);
    assert_eq!(truth_of(backend, "broker-backlog", "shop-0"), [""; 0], "it is no fault of the shop's");
}

#[test]
fn a_slow_consumer_s_queue_grows_and_no_checkout_waits() {
    backlog(&Backend::start(1));
}

#[test]
fn a_slow_consumer_s_queue_grows_in_rabbitmq_too() {
    let rabbit = Rabbit::start();
    backlog(&Backend::with(1, &[("DYNO_BROKER_URL", &rabbit.url())]));
}

#[test]
fn an_invoice_is_of_an_order_of_one_s_own() {
    let backend = Backend::start(1);
    let (token, other) = (shopper(&backend, 1), shopper(&backend, 2));
    let order = buy(&backend, &token);
    let invoice = |token: &str, order: &str| backend.get_as(&format!("/orders/{order}/invoice"), token);
    let mine: Reply = invoice(&token, &order.to_string());
    assert_eq!(mine.status, 200, "{}", mine.body);
    assert!(mine.body.starts_with(&format!("invoice,{order},customer,1,")), "{}", mine.body);
    assert!(mine.body.contains("\nsignature,") && mine.head.contains("text/csv"), "{}", mine.head);
    assert_eq!(invoice(&other, &order.to_string()).status, 404);
    assert_eq!(invoice("", &order.to_string()).status, 401);
    for wrong in ["-1", "99999999999999999999", "x"] {
        assert!([400, 404].contains(&invoice(&token, wrong).status), "{wrong}");
    }
}

#[test]
fn in_a_retry_storm_a_service_in_need_is_asked_many_times_as_often() {
    let backend = Backend::start(1);
    let token = shopper(&backend, 1);
    let order = buy(&backend, &token);
    let clients = [(); 40];
    let wanted = |status: &[u16]| {
        let before = backend.tick("shop-0");
        at_once(&clients, |()| {
            let got = backend.get_as(&format!("/orders/{order}/invoice"), &token);
            assert!(status.contains(&got.status), "{}", got.body);
        });
        backend.tick("shop-0");
        backend.times_after(before, "shop-0", "downstream.billing.calls").round() as u64
    };
    let cured = wanted(&[200, 502]);
    // Forty at once are more than billing has room for; what was saved up and a tenth is all that is added.
    assert!((40..=54).contains(&cured), "{cured} calls for 40 invoices");
    backend.arm(r#"{"name":"retry-storm","for_ms":600000,"knobs":{"tries":10,"signatures":400}}"#);
    assert!(wait_for(|| truth_of(&backend, "retry-storm", "shop-0") == ["armed"]));
    assert!(wait_for(|| truth_of(&backend, "retry-storm", "services-0") == ["armed"]));
    let stormed = wanted(&[200, 502]);
    assert!(stormed >= 120, "{stormed} calls for 40 invoices");
    backend.cure();
    for instance in ["shop-0", "services-0"] {
        assert_eq!(truth_of(&backend, "retry-storm", instance), ["armed", "onset", "ended"]);
    }
}
