//! Processes and network: each pathology is found with its figures, and what only looks like it stays clean.

use std::collections::BTreeMap;

use crate::world::{Dice, World, cannot_tell, find, kinds_of, likely, ms, phase};
use dynamometer_profiler::Diagnosis;
use timeline::facts::PhaseFacts;
use timeline::lane::names;
use timeline::{FindingKind, LaneId, LaneSpec, Severity, Status, Unit};

const SECONDS: u64 = 30;
/// When what is wrong begins, seconds.
const BEGINS: f64 = 10.0;
const SEEDS: u64 = 5;

fn phases() -> Vec<PhaseFacts> {
    vec![phase(0, 4, 0.0, 200.0, true), phase(4, SECONDS, 200.0, 200.0, false)]
}

/// A cluster of workers whose lanes a test draws second by second.
struct Cluster {
    world: World,
    lanes: BTreeMap<(String, String, String), LaneId>,
    dice: Dice,
}

impl Cluster {
    fn new(seed: u64) -> Self {
        Self { world: World::empty(SECONDS, phases()), lanes: BTreeMap::new(), dice: Dice::new(seed) }
    }

    fn lane(
        &mut self,
        name: &str,
        subject: &str,
        instance: &str,
        spec: fn(&str, &str) -> LaneSpec,
    ) -> LaneId {
        let key = (name.to_owned(), subject.to_owned(), instance.to_owned());
        if let Some(&lane) = self.lanes.get(&key) {
            return lane;
        }
        let lane = self.world.lane(spec(name, instance).about(subject));
        self.lanes.insert(key, lane);
        lane
    }

    /// A level of `instance`, by second of the run; none is no sample.
    fn level(
        &mut self,
        name: &str,
        instance: &str,
        every_ms: u64,
        value: impl Fn(f64, &mut Dice) -> Option<f64>,
    ) {
        let lane = self.lane(name, "", instance, |n, i| LaneSpec::level(n, i, Unit::Count));
        self.draw(lane, every_ms, value);
    }

    fn rate(
        &mut self,
        name: &str,
        subject: &str,
        instance: &str,
        every_ms: u64,
        value: impl Fn(f64, &mut Dice) -> Option<f64>,
    ) {
        let lane = self.lane(name, subject, instance, |n, i| LaneSpec::rate(n, i, Unit::PerSecond));
        self.draw(lane, every_ms, value);
    }

    fn draw(&mut self, lane: LaneId, every_ms: u64, value: impl Fn(f64, &mut Dice) -> Option<f64>) {
        for i in 1..=SECONDS * 1_000 / every_ms {
            if let Some(v) = value(i as f64 * every_ms as f64 / 1e3, &mut self.dice) {
                self.world.sample(lane, ms(i * every_ms), v.max(0.0));
            }
        }
    }

    fn histogram(
        &mut self,
        name: &str,
        subject: &str,
        instance: &str,
        ms_of: impl Fn(f64, &mut Dice) -> f64,
    ) {
        let lane = self.lane(name, subject, instance, |n, i| LaneSpec::histogram(n, i));
        for s in 1..=SECONDS {
            let us: Vec<f64> = (0..100).map(|_| ms_of(s as f64 - 0.5, &mut self.dice) * 1e3).collect();
            self.world.histogram(lane, ms((s - 1) * 1_000), ms(s * 1_000), &us);
        }
    }
}

/// A worker's part of the connections by second, and of the requests.
type Part<'a> = (&'a dyn Fn(f64) -> f64, &'a dyn Fn(f64) -> f64);

/// `all` connections, each worker's part of them by second, and its part of all requests; CPU follows requests.
fn workers(seed: u64, parts: &[Part], all: f64) -> Cluster {
    let mut c = Cluster::new(seed);
    for (i, (held, asked)) in parts.iter().enumerate() {
        let name = format!("shop-{i}");
        c.level(names::SERVER_CONNECTIONS, &name, 100, |s, d| {
            Some((all * held(s) + d.between(-3.0, 3.0)).round())
        });
        c.rate(names::SERVER_REQUESTS, "/", &name, 100, |s, d| Some(all * asked(s) * d.between(0.5, 1.5)));
        c.level(names::PROCESS_CPU, &name, 100, |s, d| Some(0.02 + 0.3 * asked(s) * d.between(0.8, 1.2)));
    }
    c
}

/// From `from` to `to` within two seconds of the beginning.
fn moves(from: f64, to: f64) -> impl Fn(f64) -> f64 {
    move |s| from + (to - from) * ((s - BEGINS) / 2.0).clamp(0.0, 1.0)
}

fn uneven(seed: u64) -> Diagnosis {
    let (first, second) = (moves(0.5, 1.0), moves(0.5, 0.0));
    workers(seed, &[(&first, &first), (&second, &second)], 240.0).world.diagnose()
}

#[test]
fn one_worker_that_owns_most_is_found_with_what_balance_would_give() {
    for seed in 0..SEEDS {
        let d = uneven(seed);
        assert_eq!(kinds_of(&d), [FindingKind::UnevenWorkers], "{:#?}", d.findings());
        let f = find(&d, FindingKind::UnevenWorkers);
        assert_eq!((f.subject.as_str(), f.status), ("shop-0", Status::Confirmed));
        assert!(f.onset >= ms(9_500) && f.onset <= ms(11_500) && f.found_at <= ms(13_000), "{f:#?}");
        assert!(
            f.claim.contains("balance would give each of the 2 workers 1") && f.claim.ends_with("+- 8"),
            "{}",
            f.claim
        );
    }
    // One of four.
    let (busy, others) = (moves(0.25, 0.82), moves(0.25, 0.06));
    let (busy, others): (Part, Part) = ((&busy, &busy), (&others, &others));
    let d = workers(1, &[others, busy, others, others], 400.0).world.diagnose();
    let f = find(&d, FindingKind::UnevenWorkers);
    assert!(f.claim.starts_with("shop-1 holds") && f.claim.contains("each of the 4 workers"), "{}", f.claim);
}

#[test]
fn a_worker_that_has_gone_for_good_is_one_of_the_cluster_no_more() {
    let (first, second) = (moves(0.5, 1.0), moves(0.5, 0.0));
    let mut c = workers(1, &[(&first, &first), (&second, &second)], 240.0);
    c.level(names::SERVER_CONNECTIONS, "shop-9", 100, |s, _| (s < 3.0).then_some(80.0));
    let d = c.world.diagnose();
    let f = find(&d, FindingKind::UnevenWorkers);
    assert!(f.claim.starts_with("shop-0 holds") && f.claim.contains("each of the 2 workers"), "{}", f.claim);
    // Until it has been silent for as long as an onset is looked for, it may only be slow to tell.
    assert!(f.found_at >= ms(22_500) && f.found_at <= ms(24_000), "{f:#?}");
}

#[test]
fn chance_a_slow_worker_and_a_restarted_one_are_not_uneven() {
    for seed in 0..SEEDS {
        // A fair draw of few, and a moderate lean of many.
        for (all, part) in [(12.0, 0.75), (200.0, 0.6)] {
            let (first, second) = (move |_: f64| part, move |_: f64| 1.0 - part);
            let d = workers(seed, &[(&first, &first), (&second, &second)], all).world.diagnose();
            assert!(d.findings().is_empty(), "{all} {part} {:#?}", d.findings());
        }
        // Slow: it holds nine of ten, and answers no more than its sibling.
        let d = workers(seed, &[(&|_| 0.9, &|_| 0.5), (&|_| 0.1, &|_| 0.5)], 200.0).world.diagnose();
        assert!(d.findings().is_empty(), "{:#?}", d.findings());
        // Relieved at 10 s: its clients went to the other one, and come back within ten seconds.
        let young = |s: f64| if s < BEGINS { 0.5 } else { ((s - BEGINS) / 20.0).min(0.5) };
        let old = move |s: f64| 1.0 - young(s);
        let mut c = workers(seed, &[(&young, &young), (&old, &old)], 240.0);
        c.level(names::PROCESS_GENERATION, "shop-0", 500, |s, _| Some(if s < BEGINS { 0.0 } else { 1.0 }));
        assert!(c.world.diagnose().findings().is_empty());
        // A machine with one worker has nobody to share with.
        assert!(workers(seed, &[(&|_| 1.0, &|_| 1.0)], 240.0).world.diagnose().findings().is_empty());
    }
}

/// shop-0 is gone at each of `times` for 0.7 s; `died` says whether anybody counts that as a death.
fn gone(seed: u64, times: &'static [f64], died: bool, broken: f64) -> Diagnosis {
    let mut c = Cluster::new(seed);
    let so_far = |s: f64| times.iter().filter(|&&t| t <= s).count() as f64;
    let away = |s: f64| times.iter().any(|t| (*t..t + 0.7).contains(&s));
    for name in ["shop-0", "shop-1"] {
        let mine = name == "shop-0";
        c.level(names::PROCESS_GENERATION, name, 500, |s, _| Some(if mine { so_far(s) } else { 0.0 }));
        c.level(names::PROCESS_DEATHS, name, 500, |s, _| Some(if mine && died { so_far(s) } else { 0.0 }));
        c.level(names::SERVER_CONNECTIONS, name, 100, |s, _| (!(mine && away(s))).then_some(100.0));
    }
    c.rate(names::ERRORS, "reset", "gen-0", 100, |s, _| Some(if away(s) { broken / 0.7 } else { 0.0 }));
    c.world.diagnose()
}

#[test]
fn a_death_is_found_with_what_it_took_along() {
    for seed in 0..SEEDS {
        let d = gone(seed, &[10.2, 15.2, 20.2], true, 6.0);
        let f = &d.findings()[0];
        assert_eq!((f.kind, f.subject.as_str()), (FindingKind::WorkerLost, "shop-0"), "{:#?}", d.findings());
        assert_eq!((f.status, f.severity), (Status::Confirmed, Severity::Critical));
        assert!(f.onset >= ms(9_500) && f.onset <= ms(10_200) && f.found_at <= ms(11_500), "{f:#?}");
        assert!(
            f.claim.contains("3 times, every 5.00 s") && f.claim.contains("started again"),
            "{}",
            f.claim
        );
        assert!(d.findings()[1..].iter().all(|g| g.caused_by.as_ref() == Some(&f.id)), "{:#?}", d.findings());
        // The last one was at 20.2 s; clients meet breaks for three seconds more, and nothing is told of what came later.
        assert!(f.evidence.iter().all(|e| e.span.end <= ms(24_000)), "{f:#?}");
    }
    let d = gone(1, &[10.2], true, 0.0);
    assert_eq!(find(&d, FindingKind::WorkerLost).severity, Severity::Warning, "no client felt it");
}

#[test]
fn who_keeps_workers_counts_them_without_knowing_which_one_it_was() {
    let mut c = Cluster::new(1);
    let keeper =
        c.lane(names::PROCESS_DEATHS, "a worker", "pid-7", |n, i| LaneSpec::level(n, i, Unit::Count));
    c.draw(keeper, 100, |s, _| Some(if s < 10.2 { 0.0 } else { 1.0 }));
    // The keeper itself goes on speaking: that is no silence of the worker's.
    c.level(names::HEAP_USED, "pid-7", 100, |_, _| Some(8e6));
    c.rate(names::ERRORS, "reset", "gen-0", 100, |s, _| {
        Some(if (10.2..10.5).contains(&s) { 20.0 } else { 0.0 })
    });
    let d = c.world.diagnose();
    let f = find(&d, FindingKind::WorkerLost);
    assert_eq!((f.subject.as_str(), f.status), ("a worker of pid-7", Status::Confirmed), "{f:#?}");
    assert!(f.claim.starts_with("a worker of pid-7 died after"), "{}", f.claim);
    assert!(f.advice.iter().all(|a| !a.contains("second process")), "{:?}", f.advice);
}

#[test]
fn a_rolling_reload_is_no_death() {
    for seed in 0..SEEDS {
        let d = gone(seed, &[10.2], false, 0.0);
        assert!(kinds_of(&d).iter().all(|k| *k != FindingKind::WorkerLost), "{:#?}", d.findings());
    }
}

/// Queues of WebSockets: what the client furthest behind has waiting, by second; all are `clients` times as much.
fn queues(seed: u64, clients: f64, longest: impl Fn(f64) -> f64 + Copy) -> Diagnosis {
    let mut c = Cluster::new(seed);
    c.level(names::SERVER_SEND_QUEUE_LONGEST, "shop-0", 100, |s, _| Some(longest(s)));
    c.level(names::SERVER_SEND_QUEUE, "shop-0", 100, |s, _| Some(clients * longest(s)));
    c.level(names::SERVER_WEBSOCKETS, "shop-0", 100, |_, _| Some(40.0));
    c.level(names::HEAP_USED, "shop-0", 100, |s, d| Some(8e6 + clients * longest(s) * d.between(1.0, 1.1)));
    c.world.diagnose()
}

/// 15 KB ten times a second from 10 s on, in whole messages.
fn deaf(s: f64) -> f64 {
    ((s - BEGINS).max(0.0) * 10.0).floor() * 15_000.0
}

#[test]
fn clients_that_do_not_read_are_found_with_bytes_and_the_end_of_memory() {
    for seed in 0..SEEDS {
        let d = queues(seed, 8.0, deaf);
        let f = &d.findings()[0];
        assert_eq!((f.kind, f.status), (FindingKind::SlowConsumer, Status::Confirmed), "{:#?}", d.findings());
        assert!(f.onset >= ms(9_500) && f.onset <= ms(11_500), "{f:#?}");
        // Five seconds of growth are the least data.
        assert!(f.found_at <= ms(16_500), "{f:#?}");
        assert!(f.claim.contains("about 8 clients that do not"), "{}", f.claim);
        assert!(f.advice.iter().any(|a| a.contains("GiB of memory is full")), "{:#?}", f.advice);
        assert!(d.findings()[1..].iter().all(|g| g.caused_by.as_ref() == Some(&f.id)), "{:#?}", d.findings());
    }
}

#[test]
fn queues_with_a_bound_and_links_with_gaps_are_healthy() {
    // A bound of 480 KB, then the client is let go, and the next is half as far.
    let bounded = |s: f64| 150e3 * (s % 3.2);
    // A link that stands still for three seconds and then catches up.
    let gaps = |s: f64| if s % 8.0 < 3.0 { 200e3 * (s % 8.0) } else { 0.0 };
    let full = |s: f64| (150e3 * s).min(480e3);
    for seed in 0..SEEDS {
        for (what, d) in [
            ("bounded", queues(seed, 5.0, bounded)),
            ("gaps", queues(seed, 5.0, gaps)),
            ("full", queues(seed, 5.0, full)),
        ] {
            assert!(
                kinds_of(&d).iter().all(|k| *k != FindingKind::SlowConsumer),
                "{what}: {:#?}",
                d.findings()
            );
        }
    }
}

/// The listen queue of each of two workers by second, attempts lost per second, and what clients and handlers take.
fn accepts(seed: u64, queue: fn(f64) -> f64, lost: fn(f64) -> f64, client_ms: fn(f64) -> f64) -> Cluster {
    let mut c = Cluster::new(seed);
    for name in ["shop-0", "shop-1"] {
        c.level(names::PROCESS_LISTEN_QUEUE, name, 100, |s, d| {
            Some((queue(s) + d.between(-0.4, 0.4)).round())
        });
        c.rate(names::SERVER_REQUESTS, "/", name, 100, |_, _| Some(88.0));
        c.histogram(names::SERVER_HANDLER, "/", name, |_, d| d.exp(1.0));
    }
    for name in [names::HOST_LISTEN_OVERFLOWS, names::HOST_LISTEN_DROPS] {
        c.rate(name, "", "host", 500, |s, _| Some(lost(s)));
    }
    c.histogram(names::SERVICE, "hello", "gen-0", |s, d| client_ms(s) * d.between(0.8, 1.2));
    c
}

/// Sessions of so many requests each, which do not get through.
fn overflow(seed: u64, each: f64) -> Diagnosis {
    let mut c = accepts(
        seed,
        |s| (60.0 * (s - BEGINS)).clamp(0.0, 65.0),
        |s| if s > BEGINS + 1.0 { 90.0 } else { 0.0 },
        |s| if s > BEGINS { 750.0 } else { 1.5 },
    );
    c.rate(names::COMPLETED, "", "gen-0", 100, |_, _| Some(176.0));
    c.rate(names::SESSIONS_STARTED, "caller", "gen-0", 100, |_, _| Some(176.0 / each));
    c.world.diagnose()
}

#[test]
fn a_full_listen_queue_is_found_and_named() {
    for seed in 0..SEEDS {
        let d = overflow(seed, 1.0);
        assert_eq!(kinds_of(&d)[0], FindingKind::AcceptOverflow, "{:#?}", d.findings());
        let f = &d.findings()[0];
        assert_eq!((f.status, f.severity), (Status::Confirmed, Severity::Critical));
        assert!(f.onset >= ms(9_900) && f.onset <= ms(10_500) && f.found_at <= ms(13_500), "{f:#?}");
        assert!(f.claim.contains("130 wait there"), "{}", f.claim);
    }
}

#[test]
fn requests_are_not_taken_for_accepts_where_a_connection_carries_several() {
    let advice = |each| overflow(1, each).findings()[0].advice.join("\n");
    assert!(advice(1.0).contains("About 182/s get through"), "{}", advice(1.0));
    let several = advice(10.0);
    assert!(!several.contains("get through") && !several.contains("of accepting"), "{several}");
    assert!(several.contains("against bursts only: clients wait 899 ms at p99 already"), "{several}");
}

#[test]
fn bursts_and_other_peoples_overflows_are_not_blamed_on_the_target() {
    for seed in 0..SEEDS {
        // A burst that is taken in at once, and lost attempts of somebody else in the same network namespace.
        let burst = accepts(
            seed,
            |s| if (BEGINS..BEGINS + 0.3).contains(&s) { 128.0 } else { 0.0 },
            |s| if (BEGINS..BEGINS + 1.6).contains(&s) { 300.0 } else { 0.0 },
            |_| 2.0,
        );
        let others = accepts(seed, |_| 0.0, |_| 200.0, |_| 2.0);
        // A queue that stands, and loses nobody.
        let long = accepts(seed, |_| 40.0, |_| 0.0, |_| 2.0);
        for d in [burst, others, long].map(|c| c.world.diagnose()) {
            assert!(kinds_of(&d).iter().all(|k| *k != FindingKind::AcceptOverflow), "{:#?}", d.findings());
        }
    }
}

/// Descriptors of two workers beside `connections`, by second, of a limit.
fn descriptors(
    seed: u64,
    limit: f64,
    connections: fn(f64) -> f64,
    beside: impl Fn(f64) -> f64 + Copy,
    errors: fn(f64) -> f64,
) -> Diagnosis {
    let mut c = Cluster::new(seed);
    for (name, share) in [("shop-0", 1.0), ("shop-1", 0.9)] {
        c.level(names::SERVER_CONNECTIONS, name, 100, |s, _| Some(connections(s).round()));
        c.level(names::PROCESS_DESCRIPTORS, name, 500, |s, d| {
            let open = 40.0 + connections(s) + share * beside(s) + d.between(-1.0, 1.0);
            Some(open.min(limit).round())
        });
        c.level(names::PROCESS_DESCRIPTOR_LIMIT, name, 500, |_, _| Some(limit));
        c.rate(names::SERVER_REQUESTS, "/", name, 100, |_, _| Some(60.0));
    }
    c.rate(names::ERRORS, "status", "gen-0", 100, |s, _| Some(errors(s)));
    c.world.diagnose()
}

fn leaking(seed: u64) -> Diagnosis {
    descriptors(seed, 20_000.0, |_| 60.0, |s| 10.0 * (s - BEGINS).max(0.0), |_| 0.0)
}

#[test]
fn leaked_descriptors_are_found_with_the_time_that_is_left() {
    for seed in 0..SEEDS {
        let d = leaking(seed);
        assert_eq!(kinds_of(&d), [FindingKind::FdExhausted], "{:#?}", d.findings());
        let f = find(&d, FindingKind::FdExhausted);
        assert_eq!((f.subject.as_str(), f.severity), ("shop-0", Severity::Warning));
        // Five seconds of growth are the least data.
        assert!(f.onset >= ms(9_000) && f.onset <= ms(11_000) && f.found_at <= ms(16_500), "{f:#?}");
        let rate = f.evidence[0].value;
        assert!((8.0..12.0).contains(&rate), "{rate} {f:#?}");
    }
}

/// A pool opens 60 connections a second, of which some more than before are on their way out when the machine is busy.
#[test]
fn connections_that_linger_when_each_use_opens_one_are_no_leak_of_descriptors() {
    let found = |opened: f64, a_second: f64| {
        let mut c = Cluster::new(3);
        for name in ["shop-0", "shop-1"] {
            c.level(names::SERVER_CONNECTIONS, name, 100, |_, _| Some(60.0));
            c.level(names::PROCESS_DESCRIPTORS, name, 500, |s, d| {
                let more = a_second * (s - BEGINS).max(0.0);
                Some(
                    (100.0 + if a_second < 20.0 { more.min(22.0) } else { more } + d.between(-1.0, 1.0))
                        .round(),
                )
            });
            c.level(names::PROCESS_DESCRIPTOR_LIMIT, name, 500, |_, _| Some(20_000.0));
            c.rate("pool.db.opened", "", name, 100, |_, _| Some(opened));
        }
        kinds_of(&c.world.diagnose()).contains(&FindingKind::FdExhausted)
    };
    assert!(found(0.0, 4.0), "it would be one");
    assert!(!found(60.0, 4.0));
    assert!(found(60.0, 30.0), "half of them stay");
}

#[test]
fn the_limit_itself_is_found_with_its_errors() {
    for seed in 0..SEEDS {
        let d = descriptors(
            seed,
            250.0,
            |_| 60.0,
            |s| 50.0 * (s - BEGINS).max(0.0),
            |s| if s > 13.5 { 20.0 } else { 0.0 },
        );
        let f = find(&d, FindingKind::FdExhausted);
        assert_eq!((f.status, f.severity), (Status::Confirmed, Severity::Critical), "{f:#?}");
        assert!(f.found_at <= ms(14_500) && f.claim.contains("250 of 250"), "{f:#?}");
        // The other worker leaks more slowly, and is there soon after.
        assert!(f.claim.ends_with(" is near its limit, too"), "{}", f.claim);
        assert!(f.evidence.iter().any(|e| e.text.ends_with(" of its 250 descriptors open")), "{f:#?}");
    }
}

#[test]
fn descriptors_of_a_ramp_a_filling_pool_and_steady_traffic_are_healthy() {
    for seed in 0..SEEDS {
        let ramp = descriptors(seed, 20_000.0, |s| 20.0 * s, |_| 0.0, |_| 0.0);
        let filling = descriptors(seed, 20_000.0, |_| 60.0, |s| 60.0 * (1.0 - (-s / 3.0).exp()), |_| 0.0);
        let breathing = descriptors(
            seed,
            20_000.0,
            |s| 60.0 + 20.0 * (s / 3.0).sin(),
            |s| 5.0 * (s / 2.0).sin(),
            |_| 0.0,
        );
        for d in [ramp, filling, breathing] {
            assert!(d.findings().is_empty(), "{:#?}", d.findings());
        }
    }
}

/// Connections that come and go are told by a page each so many seconds, descriptors twice a second.
#[test]
fn what_was_last_told_of_connections_is_not_taken_for_none() {
    let seldom = |seed: u64, every_ms: u64, connections: fn(f64) -> f64, beside: fn(f64) -> f64| {
        let mut c = Cluster::new(seed);
        for name in ["shop-0", "shop-1"] {
            c.level(names::SERVER_CONNECTIONS, name, every_ms, |s, _| Some(connections(s).round()));
            c.level(names::PROCESS_DESCRIPTORS, name, 500, |s, d| {
                Some((40.0 + connections(s) + beside(s) + d.between(-1.0, 1.0)).round())
            });
            c.level(names::PROCESS_DESCRIPTOR_LIMIT, name, 500, |_, _| Some(20_000.0));
        }
        c.world.diagnose()
    };
    for seed in 0..SEEDS {
        for every_ms in [5_000, 15_000] {
            let coming = seldom(seed, every_ms, |s| 60.0 + 30.0 * s, |_| 0.0);
            assert_eq!(kinds_of(&coming), [], "{every_ms} ms: {:#?}", coming.findings());
        }
        let leaking = seldom(seed, 5_000, |_| 60.0, |s| 10.0 * (s - BEGINS).max(0.0));
        assert_eq!(kinds_of(&leaking), [FindingKind::FdExhausted], "{:#?}", leaking.findings());
    }
}

/// A process that is seen from outside only, with so many descriptors; its limit is told in the beginning, and a page of its own tells of idle
/// connections of a pool.
fn from_outside(seed: u64, open: fn(f64) -> f64, clients: fn(f64) -> f64, pool: fn(f64) -> f64) -> Diagnosis {
    let mut c = Cluster::new(seed);
    c.level(names::PROCESS_DESCRIPTORS, "pid-7", 500, |s, d| Some((open(s) + d.between(-1.0, 1.0)).round()));
    c.level(names::PROCESS_DESCRIPTOR_LIMIT, "pid-7", 5_000, |s, _| (s < 6.0).then_some(1_024.0));
    c.level(names::OPEN_CONNECTIONS, "gen-0", 100, |s, _| Some(clients(s).round()));
    c.level("pool.db.idle", "metrics-8080", 2_000, |s, _| Some(pool(s).round()));
    c.world.diagnose()
}

#[test]
fn what_clients_and_pools_open_is_no_leak_of_a_process_that_counts_neither() {
    fn growing(s: f64) -> f64 {
        10.0 * (s - BEGINS).max(0.0)
    }
    for seed in 0..SEEDS {
        let sessions = from_outside(seed, |s| 20.0 + 10.0 * s, |s| 10.0 * s, |_| 4.0);
        let pool = from_outside(seed, |s| 40.0 + growing(s), |_| 20.0, growing);
        for d in [sessions, pool] {
            assert_eq!(kinds_of(&d), [], "{:#?}", d.findings());
        }
        // Clients that go away explain nothing of it.
        let few_and_fewer: [fn(f64) -> f64; 2] = [|_| 20.0, |s| 400.0 - 10.0 * s];
        for clients in few_and_fewer {
            let d = from_outside(seed, |s| 40.0 + growing(s), clients, |_| 4.0);
            assert_eq!(kinds_of(&d), [FindingKind::FdExhausted], "{:#?}", d.findings());
            let rate = find(&d, FindingKind::FdExhausted).evidence[0].value;
            assert!((8.0..12.0).contains(&rate), "{rate}");
        }
    }
}

#[test]
fn a_missing_lane_is_named() {
    let d = Cluster::new(1).world.diagnose();
    for (kind, lane) in [
        (FindingKind::UnevenWorkers, names::SERVER_CONNECTIONS),
        (FindingKind::WorkerLost, names::PROCESS_DEATHS),
        (FindingKind::SlowConsumer, names::SERVER_SEND_QUEUE_LONGEST),
        (FindingKind::AcceptOverflow, names::PROCESS_LISTEN_QUEUE),
        (FindingKind::FdExhausted, names::PROCESS_DESCRIPTOR_LIMIT),
    ] {
        cannot_tell(&d, kind, lane);
    }
}

/// Claim, evidence and advice of the findings as people read them.
fn told(d: &Diagnosis) -> String {
    let mut text = String::new();
    for f in d.findings().iter().filter(|f| likely(f)) {
        text += &format!(
            "{} {} {} {}\n  {}\n",
            f.kind.name(),
            f.subject,
            f.severity.name(),
            f.status.name(),
            f.claim
        );
        f.evidence.iter().for_each(|e| text += &format!("  + {} [{}]\n", e.text, e.lane));
        f.advice.iter().for_each(|a| text += &format!("  > {a}\n"));
    }
    text
}

#[test]
fn the_words_of_each_finding() {
    insta::assert_snapshot!("uneven_workers", told(&uneven(1)));
    insta::assert_snapshot!("worker_lost", told(&gone(1, &[10.2, 15.2, 20.2], true, 6.0)));
    insta::assert_snapshot!("slow_consumer", told(&queues(1, 8.0, deaf)));
    insta::assert_snapshot!("accept_overflow", told(&overflow(1, 1.0)));
    insta::assert_snapshot!("fd_exhausted", told(&leaking(1)));
}
