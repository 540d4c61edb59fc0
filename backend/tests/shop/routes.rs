//! Every route of the shop, with good input and bad.

use crate::common::servers::postgres::Postgres;
use crate::common::servers::rabbit::Rabbit;
use crate::common::servers::redis::Redis;
use crate::common::{self, Backend, Reply, Socket, ask, wait_for};
use serde_json::json;

fn refused(reply: &Reply, status: u16, says: &str) {
    assert_eq!(reply.status, status, "{}", reply.body);
    assert!(reply.error().contains(says), "{} does not say {says:?}", reply.error());
}

#[test]
fn the_shop_on_embedded_stores() {
    the_shop(&Backend::start(2));
}

#[test]
fn the_shop_on_postgresql_redis_and_rabbitmq() {
    let (postgres, redis, rabbit) = (Postgres::start(), Redis::start(), Rabbit::start());
    let urls = [
        ("DYNO_DATABASE_URL", postgres.url()),
        ("DYNO_CACHE_URL", redis.url()),
        ("DYNO_BROKER_URL", rabbit.url()),
    ];
    let backend = Backend::with(2, &urls.each_ref().map(|(name, url)| (*name, url.as_str())));
    the_shop(&backend);
    let exchanges = rabbit.ask(&["list_exchanges", "name"]);
    assert!(exchanges.contains("dyno-shop."), "{exchanges}");
    leaves_no_trace(backend, &postgres, &redis, &rabbit);
}

/// Ends the backend well; then nothing of it is left, and no password was ever shown.
fn leaves_no_trace(mut backend: Backend, postgres: &Postgres, redis: &Redis, rabbit: &Rabbit) {
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'dyno%'";
    assert_eq!(postgres.ask(schemas), "1");
    for pid in backend.pids().into_iter().chain([backend.child.id()]) {
        let argv = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!argv.contains("pa55"), "{argv}");
    }
    drop(backend.stdin.take());
    assert!(backend.child.wait().unwrap().success());
    assert!(!backend.said().contains("pa55"), "{}", backend.said());
    assert_eq!(postgres.ask(schemas), "0");
    assert_eq!(redis.ask(&["DBSIZE"]).as_deref(), Some("0"));
    assert!(!rabbit.ask(&["list_exchanges", "name"]).contains("dyno"));
    assert!(!rabbit.ask(&["list_queues", "name"]).contains("dyno"));
}

fn the_shop(backend: &Backend) {
    health(backend);
    catalogue(backend);
    let token = login(backend);
    cart_and_checkout(backend, &token);
    prices(backend, &token);
    overview(backend, &token);
    import_and_export(backend, &token);
    feed(backend, &token);
    hostile(backend);
    assert!(!backend.said().contains("failed"), "{}", backend.said());
}

fn health(backend: &Backend) {
    for (path, status) in [("/", "open"), ("/healthz", "alive"), ("/readyz", "ready")] {
        let reply = backend.get(path);
        assert_eq!((reply.status, reply.json()["status"].as_str()), (200, Some(status)));
        for field in ["x-content-type-options: nosniff", "x-frame-options: deny", "cache-control: no-store"] {
            assert!(reply.head.contains(field), "{}", reply.head);
        }
    }
    refused(&backend.get("/no/such"), 404, "no such route");
    refused(&ask(backend.shop(), "DELETE", "/products", &[], b""), 405, "no such method");
}

fn catalogue(backend: &Backend) {
    let page = backend.get("/products?page=2").json();
    assert_eq!((page["products"].as_array().unwrap().len(), &page["products"][0]["id"]), (20, &json!(21)));
    assert_eq!(backend.get("/products").json()["products"][0]["id"], 1);
    assert_eq!(backend.get("/products?page=26").json()["products"], json!([]));
    refused(&backend.get("/products?page=0"), 400, "page is 0");
    refused(&backend.get("/products?page=x"), 400, "page");

    let product = backend.get("/products/7").json();
    assert_eq!((&product["id"], product["reviews"].as_array().unwrap().len()), (&json!(7), 4));
    assert!(product["seller"]["rating"]["stars"].as_f64().unwrap() >= 1.0);
    assert_eq!(product, backend.get("/products/7").json(), "again, from a cache or not");
    refused(&backend.get("/products/501"), 404, "no such product");
    refused(&backend.get("/products/seven"), 400, "");
    refused(&backend.get("/products/-1"), 400, "");
    search(backend);
}

fn search(backend: &Backend) {
    let lamps = backend.get("/search?q=LAMP").json()["products"].as_array().unwrap().clone();
    assert!(!lamps.is_empty());
    assert!(lamps.iter().all(|p| p["name"].as_str().unwrap().contains("Lamp")), "{lamps:?}");
    for nothing in ["", "%25", "_", "'", "'%20OR%20'1'='1", "%27;DROP%20TABLE%20product;--", "%00"] {
        refused(&backend.get(&format!("/search?q={nothing}")), 400, "not a list of words");
    }
    refused(&backend.get("/search"), 400, "q");
    refused(&backend.get(&format!("/search?q={}", "x".repeat(121))), 400, "121 bytes");
}

fn login(backend: &Backend) -> String {
    let try_it = |body: &str| backend.post("/login", "", body);
    refused(&try_it(r#"{"user":"user-1","pass":"wrong"}"#), 401, "wrong");
    refused(&try_it(r#"{"user":"nobody","pass":"secret"}"#), 401, "wrong");
    refused(&try_it(r#"{"user":"' OR 1=1 --","pass":"secret"}"#), 401, "wrong");
    refused(&try_it(r#"{"user":"user-1"}"#), 400, "pass");
    refused(&try_it("{"), 400, "");
    refused(&try_it("{\"user\":\"a\\u0000\",\"pass\":\"x\"}"), 400, "NUL");
    refused(&try_it(&format!(r#"{{"user":"{}","pass":"x"}}"#, "x".repeat(100))), 400, "at most");
    refused(&try_it(&"x".repeat(20_000)), 413, "");
    refused(&ask(backend.shop(), "POST", "/login", &[], b"{}"), 415, "");
    for ttl_s in ["0", "3601"] {
        let body = format!(r#"{{"user":"user-1","pass":"secret","ttl_s":{ttl_s}}}"#);
        refused(&try_it(&body), 400, &format!("ttl_s is {ttl_s}, expected 1 to 3600"));
    }
    short_lived(backend);
    backend.log_in()
}

/// A token that is good for a while, by what the customer asked for; another one's is good for longer.
fn short_lived(backend: &Backend) {
    let other = backend.log_in();
    let reply = backend.post("/login", "", r#"{"user":"user-1","pass":"secret","ttl_s":5}"#);
    assert_eq!(reply.status, 200, "{}", reply.body);
    let token = reply.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(backend.get_as("/orders", &token).status, 200, "five seconds are not over");
    assert!(wait_for(|| backend.get_as("/orders", &token).status != 200), "it is good for ever");
    refused(&backend.get_as("/orders", &token), 401, "this token has expired");
    assert_eq!(backend.get_as("/orders", &other).status, 200);
}

fn cart_and_checkout(backend: &Backend, token: &str) {
    for path in ["/cart", "/checkout", "/import"] {
        refused(&ask(backend.shop(), "POST", path, &[], b"{}"), 401, "log in first");
        refused(&backend.post(path, &"0".repeat(32), "{}"), 401, "no token");
        let (claims, _) = token.rsplit_once('.').unwrap();
        refused(&backend.post(path, &format!("{claims}.{}", "A".repeat(43)), "{}"), 401, "signature");
    }
    for token in forged(token) {
        refused(&backend.post("/cart", &token, "{}"), 401, "token");
    }
    let put = |body| backend.post("/cart", token, body);
    refused(&put(r#"{"product":7,"quantity":0}"#), 400, "quantity is 0");
    refused(&put(r#"{"product":7,"quantity":-3}"#), 400, "quantity");
    refused(&put(r#"{"product":9999,"quantity":1}"#), 404, "no such product");
    refused(&put("[]"), 400, "");
    refused(
        &put(r#"{"product":7,"quantity":1,"__proto__":{"admin":true}}"#),
        400,
        "unknown field `__proto__`",
    );
    refused(&backend.post("/checkout", token, ""), 409, "empty");

    assert_eq!(put(r#"{"product":7,"quantity":2}"#).json()["quantity"], 2);
    // Each request is a connection of its own, so both workers serve them: the cart is shared.
    assert_eq!(put(r#"{"product":7,"quantity":1}"#).json()["quantity"], 3);
    assert_eq!(put(r#"{"product":9,"quantity":1}"#).json()["quantity"], 1);
    let cents = |id: u32| backend.get(&format!("/products/{id}")).json()["cents"].as_u64().unwrap();
    let bought = backend.post("/checkout", token, "{}").json();
    assert_eq!(bought["cents"], cents(7) * 3 + cents(9));
    refused(&backend.post("/checkout", token, "{}"), 409, "empty");

    let bearer = format!("Bearer {token}");
    let orders = ask(backend.shop(), "GET", "/orders", &[("Authorization", &bearer)], b"").json();
    assert_eq!(orders["orders"][0]["id"], bought["order"]);
    assert_eq!(orders["orders"][0]["lines"][0], json!({"product": 7, "quantity": 3, "cents": cents(7)}));
    refused(&backend.get("/orders"), 401, "log in");
    let stock = || backend.get("/products/9").json()["in_stock"].as_u64().unwrap();
    assert!(wait_for(|| stock() < 100_000_000), "the stock went down, when the cache has it");
    // E-mail and billing hear of it without being asked.
    assert!(wait_for(|| backend.counts()[..2] == [1, 1]), "{:?}", backend.counts());
    assert!(wait_for(|| backend.lane_of("services-0", "broker.orders.depth") == Some(0.0)));
    assert!(wait_for(|| backend.lane_of("services-0", "broker.orders.consumers") == Some(2.0)));
}

#[test]
fn a_token_that_the_shop_signed_itself_lets_nobody_in_after_its_time() {
    // So long that it is over only after the first look at what it opens.
    let settings = r#"{"history_rows":3000,"session_life_ms":10000}"#;
    let backend = Backend::with(2, &[("DYNO_SHOP_SETTINGS", settings)]);
    let token = backend.log_in();
    let orders = || backend.get_as("/orders", &token);
    assert_eq!(orders().status, 200);
    // The session is over with it, and a worker that has not seen it may say that first.
    let expired = |reply: Reply| reply.status == 401 && reply.error().contains("this token has expired");
    assert!(wait_for(|| expired(orders())));
    for path in ["/cart", "/checkout", "/import"] {
        refused(&backend.post(path, &token, "{}"), 401, "this token has expired");
    }
    refused(&backend.put("/products/11/price", &token, r#"{"cents":5}"#), 401, "this token has expired");
    assert_eq!(Socket::open(backend.shop(), &format!("/ws?token={token}")).err(), Some(401));
}

/// Tokens that look like a good one and are none.
fn forged(token: &str) -> Vec<String> {
    let parts: Vec<&str> = token.split('.').collect();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    vec![
        format!("{}.{}.{}", parts[0], parts[1], "A".repeat(43)),
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.eyJhdWQiOiJkeW5vLXNob3AiLCJzdWIiOiIyIn0.{}", parts[0], parts[2]),
        "x".repeat(3_000),
    ]
}

fn prices(backend: &Backend, token: &str) {
    let put = |body: &str| backend.put("/products/11/price", token, body);
    refused(&put(r#"{"cents":0}"#), 400, "cents is 0");
    refused(&put(r#"{"cents":-1}"#), 400, "");
    refused(&put("{}"), 400, "cents");
    refused(&put(r#"{"cents":5,"currency":"EUR"}"#), 400, "unknown field `currency`");
    refused(&backend.put("/products/9999/price", token, r#"{"cents":5}"#), 404, "no such product");
    refused(
        &backend.put("/products/11/price", &backend.log_in_as("user-2"), r#"{"cents":5}"#),
        403,
        "keeper",
    );
    refused(&backend.put("/products/11/price", "", r#"{"cents":5}"#), 401, "");
    for mode in ["cache-aside", "write-through"] {
        let settings = format!(r#"{{"ttl-ms":60000,"mode":"{mode}"}}"#);
        backend.set_cache(&settings);
        let cents = if mode == "cache-aside" { 4_321 } else { 1_234 };
        let shown = || backend.get("/products/11").json()["cents"].as_u64().unwrap();
        shown();
        assert_eq!(put(&format!(r#"{{"cents":{cents}}}"#)).json(), json!({"product": 11, "cents": cents}));
        // Whichever worker answers, if they share the cache; the one that changed it, if they do not.
        assert!(wait_for(|| shown() == cents), "{mode}");
    }
    assert_eq!(backend.order("PUT", "/v1/cache", "{}").status, 200);
}

fn overview(backend: &Backend, token: &str) {
    refused(&backend.get("/dashboard"), 401, "log in");
    let shown = backend.get_as("/dashboard", token).json();
    assert_eq!(shown["customers"], 10_000);
    assert!(shown["sessions"].as_u64().unwrap() >= 1);
    for list in ["last_orders", "dearest", "best_rated", "scarcest"] {
        assert_eq!(shown[list].as_array().unwrap().len(), 5, "{list}");
    }
    assert_eq!(shown["scarcest"][0]["product"], 7, "three of it were sold");
}

fn import_and_export(backend: &Backend, token: &str) {
    let send = |text: &str| backend.post("/import", token, text);
    let rows: String = (0..3_234).map(|n| format!("sku-{n},\"Thing, {n}\",{n},5\n")).collect();
    let text = format!("sku,name,cents,quantity\n{rows}");
    assert_eq!(send(&text).json(), json!({"rows": 3_234, "bytes": text.len()}));
    refused(&backend.get("/export"), 401, "log in");
    let exported = backend.get_as("/export", token);
    assert!(exported.head.contains("text/csv"));
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[1..].sort();
        lines
    };
    assert_eq!(sorted(&exported.body), sorted(&text), "what went in comes out");
    let again = send("sku,name,cents,quantity\nsku-7,Thing,2,2\nsku-6,Thing,6,6\nsku-7,Another,1,1\n");
    assert_eq!(again.json()["rows"], 3);
    let exported = backend.get_as("/export", token).body;
    assert!(exported.contains("\nsku-7,Another,1,1\n"), "the last row of an offer is the one that stays");
    refused(&send(&format!("{text}last,One,x,1\n")), 400, "line 3236: cents is `x`");
    refused(&send("sku,name,cents,quantity\na\0b,One,1,1\n"), 400, "line 2: sku holds a NUL");
    refused(&send("sku,name\n"), 400, "line 1");
    refused(&send(""), 400, "line 1: expected the header");
}

fn feed(backend: &Backend, token: &str) {
    let mut socket = Socket::open(backend.shop(), &format!("/ws?token={token}")).expect("open");
    socket.send(r#"{"op":"say","id":"a-1","text":"hello"}"#);
    let said = socket.json();
    assert_eq!((&said["op"], &said["id"], &said["text"]), (&json!("said"), &json!("a-1"), &json!("hello")));
    // Before anything is watched, since prices come between answers.
    for bad in
        ["{", r#"{"op":"shout"}"#, r#"{"op":"watch","product":0}"#, r#"{"op":"say","id":[],"text":""}"#]
    {
        socket.send(bad);
        assert!(socket.json()["error"].is_string(), "{bad}");
    }
    socket.send(r#"{"op":"watch","product":7}"#);
    assert_eq!(socket.json(), json!({"op": "watching", "product": 7}));
    let mut anonymous = Socket::open(backend.shop(), "/ws").expect("open to everybody");
    anonymous.send(&"x".repeat(100_000));
    let (opcode, payload) = anonymous.read().expect("too large a message ends it with a farewell");
    assert_eq!((opcode, &payload[..2]), (8, &1009_u16.to_be_bytes()[..]));
    assert_eq!(Socket::open(backend.shop(), "/ws?token=false").err(), Some(401));
    refused(&backend.get("/ws"), 400, "");
    let price = socket.json();
    assert_eq!((&price["op"], &price["product"]), (&json!("price"), &json!(7)), "within ten seconds");
}

fn hostile(backend: &Backend) {
    let raw = |text: &str| {
        use std::io::{Read, Write};
        let mut stream = common::connect(backend.shop());
        // A head that is refused early may find the connection closed.
        let _ = stream.write_all(text.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    assert!(raw("nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert!(raw(&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(500_000))).starts_with("HTTP/1.1 4"));
    // Refused before it has an end, and read to its last byte.
    let begun = "GET / HTTP/1.1\r\nCookie: ";
    let giant = format!("{begun}{}", "x".repeat(64 * 1024 - begun.len()));
    assert!(raw(&giant).starts_with("HTTP/1.1 431"));
    assert_eq!(backend.get("/healthz").status, 200);
}
