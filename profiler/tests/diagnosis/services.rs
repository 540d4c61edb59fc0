//! What goes wrong between services is found with its figures, and what only looks like it is not.

use crate::world::{self, Dice, World, cannot_tell, kinds_of, ms, phase, took};
use timeline::finding::Evidence;
use timeline::lane::names;
use timeline::{FindingKind, LaneId, LaneSpec, Status, Unit};

const SHOPS: [&str; 2] = ["shop-0", "shop-1"];

/// Two processes that answer requests and call a service.
#[derive(Clone)]
struct Calls {
    seed: u64,
    /// Requests per second of both that call the service.
    rate: f64,
    /// How long a call takes, ms, by second; below 0: it is not called then.
    call_ms: fn(f64) -> f64,
    /// How many times as long everything takes, by second.
    all_slow: fn(f64) -> f64,
    /// Share of calls that fail, by second, and how often each is tried at most.
    failing: fn(f64) -> f64,
    tries: u32,
    /// Retries that the budget allows, as a share of first calls.
    budget: f64,
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            seed: 1,
            rate: 12.0,
            call_ms: |_| 8.0,
            all_slow: |_| 1.0,
            failing: |_| 0.0,
            tries: 1,
            budget: f64::INFINITY,
        }
    }
}

struct Lanes {
    time: LaneId,
    in_flight: LaneId,
    counts: [LaneId; 3],
    checkout: LaneId,
    products: LaneId,
    requests: LaneId,
}

impl Lanes {
    fn of(w: &mut World, name: &str) -> Self {
        let rate = |w: &mut World, part: &str| {
            w.lane(LaneSpec::rate(format!("downstream.email.{part}"), name, Unit::PerSecond))
        };
        Self {
            time: w.lane(LaneSpec::histogram("downstream.email.time", name)),
            in_flight: w.lane(LaneSpec::level("downstream.email.in-flight", name, Unit::Count)),
            counts: [rate(w, "calls"), rate(w, "failures"), rate(w, "retries")],
            checkout: w.lane(LaneSpec::histogram(names::SERVER_HANDLER, name).about("/checkout")),
            products: w.lane(LaneSpec::histogram(names::SERVER_HANDLER, name).about("/products")),
            requests: w
                .lane(LaneSpec::rate(names::SERVER_REQUESTS, name, Unit::PerSecond).about("/checkout")),
        }
    }
}

impl Calls {
    fn build(&self) -> World {
        let mut w = World::empty(30, vec![phase(0, 3, 0.0, 50.0, true), phase(3, 30, 50.0, 50.0, false)]);
        let mut dice = Dice::new(self.seed);
        for name in SHOPS {
            let lanes = Lanes::of(&mut w, name);
            for i in 1..300 {
                self.tick(&mut w, &lanes, i * 100, &mut dice);
            }
        }
        w
    }

    fn tick(&self, w: &mut World, lanes: &Lanes, t_ms: u64, dice: &mut Dice) {
        let (t, at, from) = (t_ms as f64 / 1e3, ms(t_ms), ms(t_ms - 100));
        let (slow, call_ms) = ((self.all_slow)(t), (self.call_ms)(t));
        let few = |rate: f64, dice: &mut Dice| (rate / 20.0 + dice.unit()) as usize;
        let (mut took, mut checkouts, mut counts) = (Vec::new(), Vec::new(), [0.0; 3]);
        let n = few(self.rate, dice);
        for _ in 0..n {
            let mut whole = dice.between(15.0, 30.0) * slow;
            for tried in 1..=self.tries {
                if call_ms < 0.0 {
                    break;
                }
                let call = dice.exp(call_ms).max(0.5 * call_ms) * slow;
                took.push(call * 1e3);
                whole += call;
                counts[0] += 1.0;
                if dice.unit() >= (self.failing)(t) {
                    break;
                }
                counts[1] += 1.0;
                let may = self.budget.is_infinite() || dice.unit() < self.budget;
                if tried == self.tries || !may {
                    break;
                }
                counts[2] += 1.0;
            }
            checkouts.push(whole * 1e3);
        }
        let products: Vec<f64> = (0..few(30.0, dice)).map(|_| dice.between(8.0, 14.0) * 1e3 * slow).collect();
        w.sample(lanes.in_flight, at, (self.rate / 2.0 * call_ms.max(0.0) / 1e3).round());
        lanes.counts.iter().zip(counts).for_each(|(lane, n)| w.sample(*lane, at, n * 10.0));
        w.sample(lanes.requests, at, n as f64 * 10.0);
        w.histogram(lanes.time, from, at, &took);
        w.histogram(lanes.checkout, from, at, &checkouts);
        w.histogram(lanes.products, from, at, &products);
    }
}

fn slow_service() -> Calls {
    Calls { call_ms: |s| if s > 12.0 && s < 22.0 { 300.0 } else { 8.0 }, ..Calls::default() }
}

fn storm() -> Calls {
    Calls {
        rate: 60.0,
        failing: |s| if s > 12.0 && s < 20.0 { 0.9 } else { 0.0 },
        tries: 8,
        ..Calls::default()
    }
}

/// A topic: messages that come, and consumers that take them.
#[derive(Clone)]
struct Topic {
    seed: u64,
    /// Messages per second, by second, and how many the growing queue's consumer takes.
    published: fn(f64) -> f64,
    takes: fn(f64) -> f64,
    /// All that waits is taken at once, every so many seconds.
    batch: Option<f64>,
    /// A second queue gets each message, too, and keeps up.
    copies: bool,
    /// Told every so many tenths of a second; a server that tells it seldom knows no ages.
    told: usize,
    seconds: u64,
}

impl Default for Topic {
    fn default() -> Self {
        Self {
            seed: 1,
            published: |_| 10.0,
            takes: |_| 200.0,
            batch: None,
            copies: true,
            told: 1,
            seconds: 30,
        }
    }
}

impl Topic {
    fn build(&self) -> World {
        let phases = vec![phase(0, 3, 0.0, 50.0, true), phase(3, self.seconds, 50.0, 50.0, false)];
        let mut w = World::empty(self.seconds, phases);
        let mut dice = Dice::new(self.seed);
        let (mut come, mut gone) = (0, 0);
        let published = w.lane(LaneSpec::rate("broker.orders.published", "shop-0", Unit::PerSecond));
        let consumed = w.lane(LaneSpec::rate("broker.orders.consumed", "services-0", Unit::PerSecond));
        let depth = w.lane(LaneSpec::level("broker.orders.depth", "services-0", Unit::Count));
        let consumers = w.lane(LaneSpec::level("broker.orders.consumers", "services-0", Unit::Count));
        let age = w.lane(LaneSpec::histogram("broker.orders.age", "services-0"));
        let mut queue = std::collections::VecDeque::new();
        let mut ready = 0.0;
        for i in 1..self.seconds * 10 {
            let (t, at) = (i as f64 / 10.0, ms(i * 100));
            let came = ((self.published)(t) / 10.0 + dice.unit()) as usize;
            (0..came).for_each(|_| queue.push_back(t));
            ready = (ready + (self.takes)(t) / 10.0).min((self.takes)(t).max(1.0));
            let mut ages = Vec::new();
            let batch = self.batch.is_some_and(|b| (t / b).floor() > ((t - 0.1) / b).floor());
            while (self.batch.is_none() && ready >= 1.0 || batch) && !queue.is_empty() {
                ready -= 1.0;
                ages.push((t - queue.pop_front().expect("not empty") + 0.001) * 1e6);
            }
            let kept_up = if self.copies { came } else { 0 };
            ages.extend((0..kept_up).map(|_| 500.0));
            (come, gone) = (come + came, gone + ages.len());
            if (i as usize).is_multiple_of(self.told) {
                let rate = |n: usize| n as f64 * 10.0 / self.told as f64;
                w.sample(published, at, rate(std::mem::take(&mut come)));
                w.sample(consumed, at, rate(std::mem::take(&mut gone)));
                w.sample(depth, at, queue.len() as f64);
                w.sample(consumers, at, if self.copies { 2.0 } else { 1.0 });
            }
            if self.told == 1 {
                w.histogram(age, ms(i * 100 - 100), at, &ages);
            }
        }
        w
    }
}

fn backlog() -> Topic {
    Topic { takes: |s| if s > 8.0 { 5.0 } else { 200.0 }, ..Topic::default() }
}

/// Seeds for each case; `DYNO_SEEDS=100` looks harder.
fn seeds() -> u64 {
    std::env::var("DYNO_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(3)
}

#[test]
fn a_slow_service_is_found_with_the_route_that_waits_for_it() {
    let never_before: fn(f64) -> f64 = |s| if s > 12.0 && s < 22.0 { 300.0 } else { -1.0 };
    for seed in 0..seeds() {
        for call_ms in [slow_service().call_ms, never_before] {
            let d = Calls { seed, call_ms, ..slow_service() }.build().diagnose();
            assert_eq!(kinds_of(&d), [FindingKind::DownstreamCascade], "{:#?}", d.findings());
            let f = &d.findings()[0];
            assert!(took(f, 12.0) <= 3.0 && f.onset >= ms(11_000) && f.onset <= ms(12_600), "{f:#?}");
            assert_eq!((f.status, f.subject.as_str()), (Status::Confirmed, "email"));
            assert!(f.claim.contains("/checkout") && !f.claim.contains("/products"), "{}", f.claim);
        }
    }
}

#[test]
fn what_comes_after_a_slow_service_is_not_told_as_its_own() {
    for seed in 0..seeds() {
        let d = Calls { seed, ..slow_service() }.build().diagnose();
        let f = &d.findings()[0];
        // The last slow call ends at 22 s; a window of three seconds sees it for longer.
        assert!(f.ended.is_some_and(|end| end >= ms(21_500) && end <= ms(22_500)), "{f:#?}");
        assert!(f.evidence.iter().all(|e| e.span.end <= ms(22_500)), "{f:#?}");
    }
}

#[test]
fn a_service_that_serves_but_one_a_second_is_found_by_its_eighth_call() {
    let call_ms: fn(f64) -> f64 = |s| if s > 14.0 { 700.0 } else { 8.0 };
    for seed in 0..seeds() {
        let d = Calls { seed, rate: 2.2, call_ms, ..Calls::default() }.build().diagnose();
        assert_eq!(kinds_of(&d), [FindingKind::DownstreamCascade], "{:#?}", d.findings());
        let f = &d.findings()[0];
        assert!(took(f, 14.0) <= 7.0, "{f:#?}");
    }
}

#[test]
fn retries_without_a_budget_are_found_with_how_they_multiply() {
    for seed in 0..seeds() {
        for tries in [3, 8, 20] {
            let d = Calls { seed, tries, ..storm() }.build().diagnose();
            let f = &d.findings()[0];
            assert_eq!(
                (f.kind, f.status),
                (FindingKind::RetryStorm, Status::Confirmed),
                "{:#?}",
                d.findings()
            );
            assert!(took(f, 12.0) <= 3.0 && f.onset >= ms(11_800) && f.onset <= ms(12_500), "{f:#?}");
            let times: f64 = f.claim.split(", ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            let law = (1.0 - 0.9_f64.powi(tries as i32)) / 0.1;
            assert!((times / law - 1.0).abs() < 0.3, "{law}: {}", f.claim);
        }
    }
}

#[test]
fn a_queue_that_grows_is_found_with_the_consumers_that_it_needs() {
    for seed in 0..seeds() {
        for copies in [true, false] {
            let d = Topic { seed, copies, ..backlog() }.build().diagnose();
            assert_eq!(kinds_of(&d), [FindingKind::BrokerBacklog], "{:#?}", d.findings());
            let f = &d.findings()[0];
            assert!(took(f, 8.0) <= 8.0 && f.onset >= ms(7_000) && f.onset <= ms(10_000), "{f:#?}");
            assert_eq!((f.status, f.subject.as_str()), (Status::Confirmed, "orders"), "{f:#?}");
            // One takes 5/s and 10 to 11/s come: 2.1 busy, 2.7 with room.
            assert!(f.advice[0].contains("grows 3 consumers instead of 1"), "{:?}", f.advice);
        }
    }
}

#[test]
fn a_law_that_fails_speaks_against_the_finding() {
    let mut w = backlog().build();
    w.silence("broker.orders.age");
    let age = w.lane(LaneSpec::histogram("broker.orders.age", "services-0"));
    for i in 1..300 {
        // As if nothing had waited.
        w.histogram(age, ms(i * 100 - 100), ms(i * 100), &[900.0; 4]);
    }
    let d = w.diagnose();
    let f = &d.findings()[0];
    assert_eq!((f.kind, f.status), (FindingKind::BrokerBacklog, Status::Likely), "{f:#?}");
    let fails = |e: &Evidence| e.text.contains("they do not agree");
    assert!(f.contradicting.iter().any(fails) && !f.evidence.iter().any(fails), "{f:#?}");
}

/// A topic whose queue two processes keep: each holds so many messages for five seconds, and from second 15 on both grow.
fn kept_by_two(held: [f64; 2]) -> Vec<FindingKind> {
    let mut w = World::empty(30, vec![phase(0, 3, 0.0, 50.0, true), phase(3, 30, 50.0, 50.0, false)]);
    for (name, held) in ["services-0", "services-1"].into_iter().zip(held) {
        let depth = w.lane(LaneSpec::level("broker.orders.depth", name, Unit::Count));
        for i in 1..300 {
            let t = i as f64 / 10.0;
            let before = if (5.0..10.0).contains(&t) { held } else { 0.0 };
            w.sample(depth, ms(i * 100), before + (2.5 * (t - 15.0)).max(0.0));
        }
    }
    kinds_of(&w.diagnose())
}

#[test]
fn how_deep_a_queue_was_before_is_the_sum_of_whoever_keeps_it() {
    // 74 in the end, where 40 or 80 were held before.
    assert_eq!(kept_by_two([40.0, 0.0]), [FindingKind::BrokerBacklog]);
    assert_eq!(kept_by_two([40.0, 40.0]), []);
}

#[test]
fn a_queue_that_is_told_every_five_seconds_is_found_after_fifteen_of_them() {
    for seed in 0..seeds() {
        let slow =
            |takes: fn(f64) -> f64| Topic { seed, takes, copies: false, told: 50, seconds: 170, ..backlog() };
        let d = slow(|s| if s > 40.0 { 5.0 } else { 200.0 }).build().diagnose();
        assert_eq!(kinds_of(&d), [FindingKind::BrokerBacklog], "{:#?}", d.findings());
        let f = &d.findings()[0];
        assert!(took(f, 40.0) <= 90.0 && f.onset >= ms(35_000) && f.onset <= ms(50_000), "{f:#?}");
        assert_eq!(f.status, Status::Likely, "without ages the law is not whole: {f:#?}");
        for well in [slow(|_| 200.0), slow(|_| 14.0), Topic { batch: Some(30.0), ..slow(|_| 200.0) }] {
            let d = well.build().diagnose();
            assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
        }
    }
}

#[test]
fn services_that_are_well_stay_unblamed() {
    let calls: [(&str, Calls); 7] = [
        ("a service that always takes long", Calls { call_ms: |_| 300.0, ..Calls::default() }),
        (
            "everything slows alike",
            Calls { call_ms: |_| 30.0, all_slow: |s| if s > 12.0 { 8.0 } else { 1.0 }, ..Calls::default() },
        ),
        (
            "a service a little slower",
            Calls { call_ms: |s| if s > 12.0 { 12.0 } else { 8.0 }, ..Calls::default() },
        ),
        ("a budget of a tenth", Calls { budget: 0.1, ..storm() }),
        ("one blip", Calls { failing: |s| if s > 12.0 && s < 12.4 { 0.9 } else { 0.0 }, ..storm() }),
        ("a few failures, repeated", Calls { failing: |_| 0.05, ..storm() }),
        ("failures that nobody repeats", Calls { tries: 1, ..storm() }),
    ];
    for (what, setup) in calls {
        for seed in 0..seeds() {
            let d = Calls { seed, ..setup.clone() }.build().diagnose();
            assert_eq!(kinds_of(&d), [], "{what}, seed {seed}: {:#?}", d.findings());
        }
    }
    let topics: [(&str, Topic); 4] = [
        ("a consumer that keeps up", Topic::default()),
        ("a consumer with little to spare", Topic { takes: |_| 14.0, ..Topic::default() }),
        (
            "a burst that drains",
            Topic {
                published: |s| if s > 10.0 && s < 13.0 { 60.0 } else { 10.0 },
                takes: |_| 30.0,
                ..Topic::default()
            },
        ),
        ("batches", Topic { batch: Some(3.0), ..Topic::default() }),
    ];
    for (what, setup) in topics {
        for seed in 0..seeds() {
            let d = Topic { seed, ..setup.clone() }.build().diagnose();
            assert_eq!(kinds_of(&d), [], "{what}, seed {seed}: {:#?}", d.findings());
        }
    }
}

#[test]
fn without_the_lanes_none_of_them_can_tell() {
    let d = World::empty(10, vec![phase(0, 10, 5.0, 5.0, false)]).diagnose();
    for kind in [FindingKind::DownstreamCascade, FindingKind::RetryStorm, FindingKind::BrokerBacklog] {
        cannot_tell(&d, kind, ".NAME.");
    }
}

#[test]
fn what_is_said() {
    insta::assert_snapshot!("slow_service", world::told(&slow_service().build().diagnose()));
    insta::assert_snapshot!("storm", world::told(&storm().build().diagnose()));
    insta::assert_snapshot!("backlog", world::told(&backlog().build().diagnose()));
}
