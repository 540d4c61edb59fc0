//! Response time in the presence of stalls: measured percentiles against a fluid model of the same server.
//!
//! # The fluid model
//! Requests flow in at `a` per second; the server works off at most `c` per second, and nothing at all in the first
//! `s` seconds of each period of `p`. With no backlog a request takes `b`, its bare time. Consider what arrives at time u
//! of a period:
//!
//! - during the stall, 0 <= u < s: it waits out the stall, s - u, and then for the a u requests in front of it, a u / c:
//!   response = b + s - u (1 - a / c);
//! - while the backlog drains: at the stall's end it is a s deep and shrinks by c - a per second, so it is gone at
//!   d = s + a s / (c - a) = s / (1 - a / c). In front of what arrives at u in [s, d) are a u - c (u - s) requests, each 1 / c:
//!   response = b + a u / c - (u - s) = b + s - u (1 - a / c), the same line;
//! - afterwards, d <= u < p: response = b.
//!
//! So over all arrivals, which are even, the response falls from b + s to b over a share d / p of the period, and the
//! quantile q lies at u = (1 - q) p where that is below d: R(q) = b + s - (1 - q) p (1 - a / c).
//! The drain is what a model without a backlog (R = b + s - (1 - q) p) lacks: at p95 more than a tenth of the answer here.
//!
//! `c` is measured on the machine, by a burst of requests that all wait for the same stall to end: the time from
//! the first answer to the last. The server takes `WORK` for each request, one at a time over all connections, so that `c` has a value at all;
//! and as that is done by spinning, other load on the machine makes it slower in both measurements. What the machine steals between them is why a
//! run that disagrees is done again, up to `TRIES` times; a wrong engine disagrees every time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on is to panic")]

mod common;
#[path = "common/server.rs"]
mod server;

use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use common::*;
use scenarios::plan::Model;
use server::*;
use timeline::MonoNs;
use timeline::histogram::Histogram;

const PERIOD: u64 = 1000 * MS;
const STALL: u64 = 100 * MS;
/// What the server works on one request, ns: some 1,200 of them in a second.
const WORK: u64 = 800_000;
/// Arrivals per second: about a sixth of what the server can do.
const RATE: f64 = 200.0;
/// Length of the open model's run: so many stalls, too.
const STALLS: u64 = 6;
/// How far measurement and model may lie apart.
const TOLERANCE: f64 = 0.05;
/// How often a run is repeated that the machine has spoilt.
const TRIES: usize = 6;

/// The tests share the server's one turn, so they run one after the other.
static ALONE: Mutex<()> = Mutex::new(());
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn act(_: &str, _: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    {
        let _turn = ONE_AT_A_TIME.lock().unwrap();
        let into = MonoNs::now().0 % PERIOD;
        if into < STALL {
            std::thread::sleep(Duration::from_nanos(STALL - into));
        }
        let end = MonoNs::now().0 + WORK;
        while MonoNs::now().0 < end {
            std::hint::spin_loop();
        }
    }
    ok(s, "")
}

fn ms(h: &Histogram, q: f64) -> f64 {
    h.value_at_quantile(q) as f64 / 1e3
}

/// The service rate, per second, from the answers of a burst.
fn service_rate(address: std::net::SocketAddr) -> f64 {
    const BURST: u64 = 100;
    let totals = run(
        plan(Model::Arrivals { from: 2000.0, to: 2000.0 }, 1000 * BURST / 2000, vec![get(0, "/")]),
        address,
        1,
    );
    let service = &totals.service[&0];
    assert_eq!(service.len(), BURST);
    // The queue grows all the while: what is in the middle came after the first quarter and before the last, so their
    // completions, not the stall, set the slope. Response = waiting behind n others of 1 / c each.
    let (low, high) = (ms(&totals.response[&0], 0.25), ms(&totals.response[&0], 0.75));
    // Between those quantiles lie half of the burst; arrivals meanwhile are 1 / 2000 s apart.
    let between = BURST as f64 / 2.0;
    1e3 * between / (high - low + 1e3 * between / 2000.0)
}

/// Quantile `q` of the response time after the model, ms.
fn model(q: f64, bare_ms: f64, a: f64, c: f64) -> f64 {
    bare_ms + STALL as f64 / 1e6 - (1.0 - q) * PERIOD as f64 / 1e6 * (1.0 - a / c)
}

#[test]
fn an_open_model_agrees_with_a_fluid_one() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let address = serve(act);
    let mut said = String::new();
    for _ in 0..TRIES {
        // A burst that meets a stall, or steal, only seems slower.
        let c = service_rate(address).max(service_rate(address));
        let plan = plan(Model::Requests { from: RATE, to: RATE }, STALLS * PERIOD / MS, vec![get(0, "/")]);
        let totals = run(plan, address, 1);
        let (response, service) = (&totals.response[&0], &totals.service[&0]);
        assert_eq!(response.len() + totals.sum(|c| c.dropped), STALLS * RATE as u64);
        let bare = ms(response, 0.5);
        let seen = [0.95, 0.97, 0.99].map(|q| (ms(response, q), model(q, bare, RATE, c)));
        let errors = seen.map(|(seen, want)| (seen / want - 1.0).abs());
        said += &format!("c {c:.0}/s, bare {bare:.2} ms, measured and modelled {seen:.1?}\n");
        // Nobody waits for a free connection, so the target's own time tells of the stall as well.
        assert!(ms(service, 0.99) > 70.0);
        if errors.iter().all(|e| *e < TOLERANCE) {
            let drained = model(0.95, bare, RATE, c) - model(0.95, bare, 0.0, c);
            assert!(drained > 2.0 * TOLERANCE * seen[0].1, "the drain would be missed: {drained} ms");
            return;
        }
    }
    panic!("no run of {TRIES} agreed:\n{said}");
}

#[test]
fn a_closed_model_reports_both_times_and_hides_the_stall_in_one() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let address = serve(act);
    let steps = vec![forever(Some(10), vec![get(0, "/")])];
    let mut said = String::new();
    for _ in 0..TRIES {
        let totals = run(plan(held(1), STALLS * PERIOD / MS, steps.clone()), address, 1);
        let (response, service) = (&totals.response[&0], &totals.service[&0]);
        assert_eq!(response.len(), service.len());
        // One answer in a hundred meets the stall, so that p95 of the service time knows nothing of it; the grid points that
        // went by meanwhile are a tenth, and each of them has its wait.
        let (usual, worst, waited) = (ms(service, 0.95), ms(service, 1.0), ms(response, 0.95));
        said += &format!("service {usual:.1} and at worst {worst:.1} ms, response {waited:.1} ms\n");
        if usual < 20.0 && worst > 80.0 && waited > 40.0 {
            return;
        }
    }
    panic!("no run of {TRIES} shows it:\n{said}");
}
