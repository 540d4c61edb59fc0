//! The cache of product details: its modes and protections, counted by what reaches the database.

use std::io::Write;
use std::sync::Barrier;
use std::time::Duration;

use crate::common::servers::redis::Redis;
use crate::common::{Backend, Socket, connect, signal, wait_for};
use rustix::process::Signal;
use timeline::MonoNs;

/// How many loads of the first `workers` there are while `work` runs.
fn loads_during(backend: &Backend, workers: usize, work: impl FnOnce()) -> u64 {
    let names: Vec<String> = (0..workers).map(|index| format!("shop-{index}")).collect();
    let before: Vec<u64> = names.iter().map(|name| backend.tick(name)).collect();
    work();
    let of = |(name, before): (&String, &u64)| {
        backend.tick(name);
        backend.times_after(*before, name, "cache.products.loads")
    };
    names.iter().zip(&before).map(of).sum::<f64>().round() as u64
}

/// `clients` ask for a product in the same moment.
fn burst(backend: &Backend, product: u32, clients: usize) {
    let start = Barrier::new(clients);
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                start.wait();
                assert_eq!(backend.get(&format!("/products/{product}")).status, 200);
            });
        }
    });
}

/// Loads for one burst on a product that is in no cache. A load may take long here; its lock must not end before.
fn loads_of_a_burst(backend: &Backend, workers: usize, protection: &str, product: u32) -> u64 {
    backend.set_cache(&format!(r#"{{"protection":"{protection}","ttl-ms":600000,"lock-ms":600000}}"#));
    loads_during(backend, workers, || burst(backend, product, 24))
}

/// Without protection many load. Another try with another product, should the machine have sent the clients one after another.
fn many_load(backend: &Backend, workers: usize) -> bool {
    (111..116).any(|product| loads_of_a_burst(backend, workers, "none", product) > 3)
}

/// Under the lock one of all workers loads. Another try with another product, should the server not have answered for a moment: the
/// shop goes on without the lock then, and says so.
fn one_loads_under_the_lock(backend: &Backend, workers: usize) -> bool {
    (101..107).any(|product| {
        let loads = loads_of_a_burst(backend, workers, "lock", product);
        assert!(loads == 1 || backend.said().contains("the cache failed"), "{loads} loads of {product}");
        loads == 1
    })
}

#[test]
fn without_protection_many_load_and_in_one_flight_one_does() {
    let backend = Backend::start(1);
    assert!(many_load(&backend, 1));
    assert_eq!(loads_of_a_burst(&backend, 1, "single-flight", 108), 1);
    let refused = backend.order("PUT", "/v1/cache", r#"{"protection":"lock"}"#);
    assert_eq!((refused.status, refused.error().contains("Redis")), (400, true), "{}", refused.body);
    for bad in [r#"{"protection":"hope"}"#, r#"{"beta":0}"#, r#"{"jitter":2}"#, r#"{"speed":1}"#, "", "7"] {
        assert_eq!(backend.order("PUT", "/v1/cache", bad).status, 400, "{bad}");
    }
}

#[test]
fn over_all_workers_the_lock_lets_one_load() {
    let redis = Redis::start();
    let backend = Backend::with(3, &[("DYNO_CACHE_URL", &redis.url())]);
    assert!(one_loads_under_the_lock(&backend, 3), "{}", backend.said());
    let flights = loads_of_a_burst(&backend, 3, "single-flight", 108);
    assert!((1..=3).contains(&flights), "{flights}: one in each worker");
    assert!(many_load(&backend, 3));
}

#[test]
fn what_a_slow_holder_writes_late_is_refused() {
    let redis = Redis::start();
    let backend = Backend::with(1, &[("DYNO_CACHE_URL", &redis.url())]);
    assert_eq!(loads_of_a_burst(&backend, 1, "lock", 107), 1);
    assert!(
        redis.ask(&["EVAL", "return redis.call('KEYS', '*lock:107')[1] or 'none'", "0"]).as_deref()
            == Some("none")
    );
    let number = "local k = redis.call('KEYS', '*fence:107')[1] return tonumber(redis.call('GET', k))";
    assert_eq!(redis.ask(&["EVAL", number, "0"]).as_deref(), Some("1"));
    // Somebody with number 9 has written since; the next holder here has number 2, so what it writes is refused.
    let later = "local k = redis.call('KEYS', '*written:107')[1] redis.call('SET', k, 9) return redis.call('DEL', redis.call('KEYS', '*product:107')[1])";
    assert_eq!(redis.ask(&["EVAL", later, "0"]).as_deref(), Some("1"));
    assert_eq!(backend.get("/products/107").status, 200, "it is answered all the same");
    assert_eq!(
        redis.ask(&["EVAL", "return redis.call('KEYS', '*product:107')[1] or 'none'", "0"]).as_deref(),
        Some("none")
    );
    // A lock whose holder is dead goes by itself.
    let dead = "local k = redis.call('KEYS', '*fence:107')[1] return redis.call('SET', string.gsub(k, 'fence', 'lock'), 'dead', 'PX', 700)['ok']";
    assert_eq!(redis.ask(&["EVAL", dead, "0"]).as_deref(), Some("OK"));
    assert_eq!(backend.get("/products/107").status, 200);
}

#[test]
fn early_refreshes_spare_the_expiry_and_some_load() {
    let backend = Backend::start(1);
    // So eager, and entries good for so long, that some come early where a machine asks for them only twice a second.
    backend.set_cache(r#"{"protection":"xfetch","ttl-ms":2000,"jitter":0,"beta":4}"#);
    assert_eq!(backend.get("/products/7").status, 200);
    let early = || backend.times("shop-0", "cache.products.early-refreshes");
    let asked = wait_for(|| {
        burst(&backend, 7, 4);
        early() >= 3.0
    });
    assert!(asked, "{} early refreshes", early());
}

#[test]
fn an_early_refresh_that_fails_refuses_nobody() {
    let settings = r#"{"history_rows":3000,"round_trip_ms":100,"pool_patience_ms":200}"#;
    let backend = Backend::with(1, &[("DYNO_SHOP_SETTINGS", settings)]);
    // A load takes 1.2 s, so one in forty requests refreshes an entry that is good for another 45 s. The pool is empty long
    // before that, and the entry good for longer than two of them take on a busy machine.
    backend.set_cache(r#"{"protection":"xfetch","ttl-ms":60000,"jitter":0,"beta":10}"#);
    let shown = backend.get("/products/107");
    assert_eq!(shown.status, 200);
    backend.arm(r#"{"name":"pool-leak","for_ms":600000,"knobs":{"share":0.5}}"#);
    let page = || backend.get("/products?page=3").status;
    assert!(wait_for(|| page() == 503 && backend.lane("pool.db.in-use") == Some(12.0)), "the pool is empty");
    let early = || backend.times("shop-0", "cache.products.early-refreshes");
    let before = early();
    let refreshed = wait_for(|| {
        let reply = backend.get("/products/107");
        assert_eq!((reply.status, &reply.body), (200, &shown.body));
        early() >= before + 2.0
    });
    assert!(refreshed, "{} early refreshes", early());
    assert_eq!(page(), 503);
}

#[test]
fn it_is_remembered_that_there_is_none_for_a_while_or_not_at_all() {
    let backend = Backend::start(1);
    let loads_for = |settings: &str, product: u32| {
        backend.set_cache(settings);
        let ask = || assert_eq!(backend.get(&format!("/products/{product}")).status, 404);
        loads_during(&backend, 1, || (0..10).for_each(|_| ask()))
    };
    assert_eq!(loads_for(r#"{"negative-ms":60000}"#, 70_001), 1);
    assert_eq!(loads_for(r#"{"negative-ms":0}"#, 70_002), 10);
}

/// A product is loaded, once for each of these protections, while its price is changed.
fn nothing_old_is_kept(backend: &Backend, mode: &str, protections: &[&str]) {
    let keeper = backend.log_in();
    for (product, protection) in (107..).zip(protections) {
        let settings =
            format!(r#"{{"protection":"{protection}","mode":"{mode}","ttl-ms":600000,"lock-ms":60000}}"#);
        backend.set_cache(&settings);
        let path = format!("/products/{product}");
        // A load takes 600 ms; it reads the price at its beginning, and writes at its end.
        std::thread::scope(|scope| {
            let loaded = scope.spawn(|| backend.get(&path).status);
            std::thread::sleep(Duration::from_millis(300));
            let changed = backend.put(&format!("{path}/price"), &keeper, r#"{"cents":654321}"#);
            assert_eq!(changed.status, 200, "{}", changed.body);
            assert_eq!(loaded.join().unwrap(), 200);
        });
        assert_eq!(backend.get(&path).json()["cents"], 654_321, "{protection}, {mode}");
        assert_eq!(backend.get(&path).json()["cents"], 654_321, "{protection}, {mode}: from the cache");
    }
}

#[test]
fn what_was_loaded_before_a_price_was_changed_is_not_kept_after_it() {
    let settings = ("DYNO_SHOP_SETTINGS", r#"{"history_rows":3000,"round_trip_ms":50}"#);
    let redis = Redis::start();
    let url = redis.url();
    let shared = Backend::with(2, &[settings, ("DYNO_CACHE_URL", &url)]);
    nothing_old_is_kept(&shared, "cache-aside", &["single-flight", "lock", "none"]);
    for mode in ["cache-aside", "write-through"] {
        nothing_old_is_kept(&Backend::with(1, &[settings]), mode, &["single-flight", "none"]);
    }
}

#[test]
fn a_shop_whose_cache_is_away_goes_on_without() {
    let redis = Redis::start();
    let backend = Backend::with(1, &[("DYNO_CACHE_URL", &redis.url())]);
    assert_eq!(backend.get("/products/7").status, 200);
    drop(redis);
    for protection in ["single-flight", "lock"] {
        backend.set_cache(&format!(r#"{{"protection":"{protection}"}}"#));
        assert_eq!(backend.get("/products/8").status, 200, "{protection}");
    }
    assert!(backend.said().contains("the cache failed"), "{}", backend.said());
}

#[test]
fn a_cache_that_stands_still_is_waited_for_once_and_asked_again_when_it_answers() {
    let redis = Redis::start();
    let backend = Backend::with(1, &[("DYNO_CACHE_URL", &redis.url())]);
    backend.set_cache(r#"{"ttl-ms":600000,"jitter":0}"#);
    assert_eq!(backend.get("/products/107").status, 200);
    let took = |products: std::ops::Range<u32>| {
        let began = MonoNs::now();
        for product in products {
            assert_eq!(backend.get(&format!("/products/{product}")).status, 200);
        }
        MonoNs::now().since(began)
    };
    signal(redis.pid(), Signal::STOP);
    // The first one waits for an answer; those after it know better.
    let (first, two_more) = (took(108..109), took(109..111));
    assert!(two_more < first, "{two_more:?} for two, after {first:?} for the first");
    assert!(backend.said().contains("the cache failed"), "{}", backend.said());
    signal(redis.pid(), Signal::CONT);
    let before = backend.tick("shop-0");
    let found_again = || {
        assert_eq!(backend.get("/products/107").status, 200);
        backend.times_after(before, "shop-0", "cache.products.hits") > 0.0
    };
    assert!(wait_for(found_again));
}

#[test]
fn a_changed_price_reaches_every_worker_at_once_whatever_its_cache_holds() {
    for mode in ["cache-aside", "write-through"] {
        let backend = Backend::start(3);
        backend.set_cache(&format!(r#"{{"ttl-ms":600000,"mode":"{mode}"}}"#));
        // Connections find their worker by chance; thirty find all three.
        let prices = |cents: &str| (0..30).all(|_| backend.get("/products/107").body.contains(cents));
        let watchers: Vec<Socket> = (0..12)
            .map(|_| {
                let mut socket = Socket::open(backend.shop(), "/ws").unwrap();
                socket.send(r#"{"op":"watch","product":107}"#);
                socket.send(r#"{"op":"say","id":"1","text":"there"}"#);
                while socket.json()["op"] != "said" {}
                socket
            })
            .collect();
        assert!(!prices("\"cents\":987654"));
        let changed = backend.put("/products/107/price", &backend.log_in(), r#"{"cents":987654}"#);
        assert_eq!(changed.status, 200, "{}", changed.body);
        assert!(wait_for(|| prices("\"cents\":987654")), "{mode}");
        for mut socket in watchers {
            // Rounds of the feed tell prices that differ a little.
            while socket.json()["cents"] != 987_654 {}
        }
    }
}

#[test]
fn a_changed_price_is_seen_to_when_the_client_hangs_up_meanwhile() {
    let settings = r#"{"history_rows":3000,"round_trip_ms":50}"#;
    let backend = Backend::with(1, &[("DYNO_SHOP_SETTINGS", settings)]);
    backend.set_cache(r#"{"ttl-ms":600000,"mode":"write-through"}"#);
    let shown = || backend.get("/products/107").json()["cents"].as_u64();
    assert_ne!(shown(), Some(654_321));
    let mut watcher = Socket::open(backend.shop(), "/ws").unwrap();
    watcher.send(r#"{"op":"watch","product":107}"#);
    assert_eq!(watcher.json()["op"], "watching");
    let (token, body) = (backend.log_in(), r#"{"cents":654321}"#);
    let mut keeper = connect(backend.shop());
    let request = format!(
        "PUT /products/107/price HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    keeper.write_all(request.as_bytes()).unwrap();
    // The price is written after 50 ms, and its entry is loaded for another 600.
    std::thread::sleep(Duration::from_millis(300));
    drop(keeper);
    assert!(wait_for(|| shown() == Some(654_321)));
    while watcher.json()["cents"] != 654_321 {}
}
