//! Bad input to every route of the shop and of the control endpoint: refused with a reason, and nothing is done or lost.
//!
//! The routes of the services, which nobody outside reaches, have theirs in `src/services/mod.rs`.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Barrier;

use crate::common::{Backend, TOKEN, ask, connect};
use serde_json::json;

/// The shop's routes: method, template, and whether they are for customers who are logged in.
const SHOP: &[(&str, &str, bool)] = &[
    ("GET", "/", false),
    ("GET", "/healthz", false),
    ("GET", "/readyz", false),
    ("POST", "/login", false),
    ("GET", "/products", false),
    ("GET", "/products/{id}", false),
    ("PUT", "/products/{id}/price", true),
    ("GET", "/dashboard", true),
    ("GET", "/export", true),
    ("GET", "/products/{id}/picture", false),
    ("GET", "/products/{id}/recommendations", false),
    ("GET", "/products/{id}/sheet", false),
    ("GET", "/popular", false),
    ("GET", "/price-list", false),
    ("GET", "/search", false),
    ("GET", "/visits", true),
    ("POST", "/cart", true),
    ("POST", "/checkout", true),
    ("GET", "/orders", true),
    ("GET", "/orders/{id}/invoice", true),
    ("POST", "/import", true),
    ("POST", "/import/supplier", true),
    ("GET", "/ws", false),
];

/// Those of the control endpoint, all of which want its token.
const CONTROL: &[(&str, &str)] = &[
    ("POST", "/v1/faults"),
    ("DELETE", "/v1/faults"),
    ("GET", "/v1/truth"),
    ("GET", "/v1/instances"),
    ("GET", "/v1/instances/{name}/{*what}"),
    ("GET", "/v1/cache"),
    ("PUT", "/v1/cache"),
    ("POST", "/v1/remedies"),
    ("GET", "/v1/services"),
    ("POST", "/v1/reload"),
    ("POST", "/v1/shutdown"),
];

/// What stands for a number in a path and is none.
const NO_NUMBERS: &[&str] =
    &["seven", "1.5", "1e3", "0x7", "%00", "7%00", "%ff", "%zz", "7%2F8", "7%20OR%201=1", "7;8", "__proto__"];
const JSON: (&str, &str) = ("Content-Type", "application/json");
/// What the head of each refusal bears.
const SAFE: &[&str] = &[
    "content-type: application/json",
    "x-content-type-options: nosniff",
    "x-frame-options: deny",
    "content-security-policy: default-src 'none'",
    "referrer-policy: no-referrer",
    "cache-control: no-store",
];

#[test]
fn bad_input_to_the_shop_is_refused_with_a_reason_and_loses_nothing() {
    let backend = Backend::start(2);
    let token = backend.log_in();
    let other = backend.log_in_as("user-2");
    assert_eq!(backend.post("/cart", &token, r#"{"product":9,"quantity":2}"#).status, 200);
    let offers = "sku,name,cents,quantity\na-1,\"One, or two\",5,6\n";
    assert_eq!(backend.post("/import", &token, offers).status, 200);
    let before = data(&backend, &token);

    let routes: Vec<_> = SHOP.iter().map(|(method, template, _)| (*method, *template)).collect();
    let listed: BTreeSet<&str> = routes.iter().map(|r| r.1).collect();
    assert_eq!(templates(include_str!("../../src/shop/mod.rs")), listed);
    let bearer = format!("Bearer {token}");
    wrong_methods_and_paths(backend.shop(), &routes, &[("Authorization", &bearer), JSON]);
    wrong_tokens(backend.shop(), &token);
    wrong_numbers(backend.shop(), &bearer);
    wrong_queries(backend.shop(), &bearer);
    wrong_bodies(backend.shop(), &bearer);
    wrong_files(backend.shop(), &bearer);
    wrong_upgrades(backend.shop());
    broken_off(backend.shop(), &bearer);
    broken_heads(backend.shop());
    let others = format!("Bearer {other}");
    refuse(backend.shop(), "POST", "/checkout", &[("Authorization", &others)], b"", 409);
    let change = [("Authorization", others.as_str()), JSON];
    refuse(backend.shop(), "PUT", "/products/7/price", &change, br#"{"cents":5}"#, 403);
    refuse(backend.shop(), "PUT", "/products/7/price", &change, b"{", 403);

    assert_eq!(data(&backend, &token), before);
    let cents = backend.get("/products/9").json()["cents"].as_u64().unwrap();
    assert_eq!(backend.post("/checkout", &token, "").json()["cents"], 2 * cents, "the cart is as it was");
    unharmed(&backend);
}

#[test]
fn bad_input_to_the_control_endpoint_is_refused_with_a_reason_and_does_nothing() {
    let backend = Backend::start(2);
    let token = backend.log_in();
    let before = data(&backend, &token);
    let to = backend.control();
    let bearer = format!("Bearer {TOKEN}");
    let own = [("Authorization", bearer.as_str())];

    let listed: BTreeSet<&str> = CONTROL.iter().map(|r| r.1).collect();
    assert_eq!(templates(include_str!("../../src/supervisor/control.rs")), listed);
    wrong_methods_and_paths(to, CONTROL, &own);
    let (cut, longer, of_a_customer) =
        (&bearer[..bearer.len() - 1], format!("{bearer}x"), format!("Bearer {token}"));
    for (method, template) in CONTROL {
        for wrong in ["", "Bearer", "Bearer ", "Basic x", TOKEN, cut, &longer, &of_a_customer] {
            refuse(to, method, &address(template), &[("Authorization", wrong)], b"{}", 401);
        }
        refuse(to, method, &address(template), &[], b"{}", 401);
    }
    for (method, path, bodies) in ORDERS {
        for body in NO_OBJECTS.iter().chain(*bodies) {
            refuse(to, method, path, &own, body.as_bytes(), 400);
        }
        refuse(to, method, path, &own, b"{\"name\":\"\xff\"}", 400);
        refuse(to, method, path, &own, "[".repeat(10_000).as_bytes(), 400);
        refuse(to, method, path, &own, "x".repeat(20_000).as_bytes(), 413);
        broken_body(to, method, path, &bearer, "{\"name\"");
    }
    wrong_addresses_of_instances(to, &own);
    broken_heads(to);

    assert_eq!(data(&backend, &token), before);
    unharmed(&backend);
    one_reload_at_a_time(&backend);
}

/// Routes of the control endpoint that take an object, and objects that they do not take.
const ORDERS: &[(&str, &str, &[&str])] = &[
    (
        "POST",
        "/v1/faults",
        &[
            "{}",
            r#"["leak",1000,{}]"#,
            r#"{"name":"leak"}"#,
            r#"{"for_ms":1000}"#,
            r#"{"name":"meteor","for_ms":1000}"#,
            r#"{"name":"deoptimised","for_ms":1000}"#,
            r#"{"name":7,"for_ms":1000}"#,
            r#"{"name":"leak","for_ms":0}"#,
            r#"{"name":"leak","for_ms":-1}"#,
            r#"{"name":"leak","for_ms":1.5}"#,
            r#"{"name":"leak","for_ms":"1000"}"#,
            r#"{"name":"leak","for_ms":86400001}"#,
            r#"{"name":"leak","name":"leak","for_ms":1000}"#,
            r#"{"name":"leak","for_ms":1000,"more":1}"#,
            r#"{"name":"leak","for_ms":1000,"knobs":null}"#,
            r#"{"name":"leak","for_ms":1000,"knobs":{"speed":1}}"#,
            r#"{"name":"leak","for_ms":1000,"knobs":{"bytes":1}}"#,
            r#"{"name":"leak","for_ms":1000,"knobs":{"bytes":"4096"}}"#,
            r#"{"name":"leak","for_ms":1000,"knobs":{"bytes":1e999}}"#,
            r#"{"name":"leak","for_ms":1000}x"#,
        ],
    ),
    (
        "PUT",
        "/v1/cache",
        &[
            "[5]",
            r#"{"ttl-ms":0}"#,
            r#"{"ttl-ms":-1}"#,
            r#"{"ttl-ms":"5"}"#,
            r#"{"ttl-ms":5,"ttl-ms":6}"#,
            r#"{"ttl":5}"#,
            r#"{"mode":"aside"}"#,
            r#"{"protection":"lock"}"#,
            r#"{"jitter":1.5}"#,
            r#"{"beta":null}"#,
        ],
    ),
    (
        "POST",
        "/v1/remedies",
        &[
            "{}",
            r#"["pool.db.capacity",3]"#,
            r#"{"set":"pool.db.capacity"}"#,
            r#"{"set":7,"to":1}"#,
            r#"{"set":"pool.db.capacity","to":true}"#,
            r#"{"set":"pool.db.capacity","to":0}"#,
            r#"{"set":"pool.db.capacity","to":1e9}"#,
            r#"{"set":"pool.db.capacity","to":"many"}"#,
            r#"{"set":"no.such","to":1}"#,
        ],
    ),
];

/// No JSON object at all.
const NO_OBJECTS: &[&str] = &["", "{", "null", "true", "7", "\"x\"", "[]", "[{}]", "{]", "{'a':1}", "<a/>"];

/// The templates in the source of a table of routes, so that none is forgotten here.
fn templates(source: &str) -> BTreeSet<&str> {
    let calls = [".get(\"/", ".post(\"/", ".put(\"/", ".stream(\"/", ".route(\"/"];
    let is_route = |line: &&str| calls.iter().any(|call| line.starts_with(call));
    source.lines().map(str::trim_start).filter(is_route).filter_map(|line| line.split('"').nth(1)).collect()
}

/// An address of a route.
fn address(template: &str) -> String {
    template.replace("{id}", "7").replace("{name}/{*what}", "shop-0/samples")
}

/// All that bad input could have changed.
fn data(backend: &Backend, token: &str) -> Vec<String> {
    let open = ["/products", "/products/7", "/products/9", "/search?q=lamp"];
    let open = open.map(|path| backend.get(path).body);
    let own = ["/dashboard", "/orders", "/export"].map(|path| backend.get_as(path, token).body);
    let control = ["/v1/cache", "/v1/truth", "/v1/services", "/v1/instances"];
    let control = control.map(|path| backend.order("GET", path, "").body);
    open.into_iter().chain(own).chain(control).collect()
}

fn unharmed(backend: &Backend) {
    for path in ["/", "/healthz", "/readyz", "/products/7"] {
        assert_eq!(backend.get(path).status, 200, "{path}");
    }
    assert_eq!(backend.truth(), Vec::<String>::new());
    for word in ["panicked", "failed"] {
        assert!(!backend.said().contains(word), "{}", backend.said());
    }
}

/// Asks, and is refused: with this status, a reason, and the headers that keep browsers safe.
fn refuse(to: &str, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8], status: u16) {
    let reply = ask(to, method, path, fields, body);
    let what = format!("{method} {path:.80} {:.80}", String::from_utf8_lossy(body));
    assert_eq!(reply.status, status, "{what}: {}", reply.body);
    assert!(!reply.error().is_empty(), "{what}: {}", reply.body);
    for field in SAFE {
        assert!(reply.head.contains(field), "{what}: {}", reply.head);
    }
}

fn wrong_methods_and_paths(to: &str, routes: &[(&str, &str)], fields: &[(&str, &str)]) {
    let templates: BTreeSet<&str> = routes.iter().map(|r| r.1).collect();
    for template in templates {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
            if !routes.contains(&(method, template)) {
                refuse(to, method, &address(template), fields, b"{}", 405);
            }
        }
    }
    for path in ["/no-such", "/products/", "/v1", "/%2e%2e/etc/passwd", "/%ff", "/%00"] {
        refuse(to, "GET", path, fields, b"", 404);
        refuse(to, "POST", path, fields, b"{}", 404);
    }
}

fn wrong_tokens(to: &str, token: &str) {
    let parts: Vec<&str> = token.split('.').collect();
    let wrong = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Basic dXNlci0xOnNlY3JldA==".to_owned(),
        token.to_owned(),
        "Bearer 00000000000000000000000000000000".to_owned(),
        format!("Bearer {}.{}.{}", parts[0], parts[1], "A".repeat(43)),
        format!("Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", parts[1]),
        format!("Bearer {}", "x".repeat(20_000)),
    ];
    for (method, template, _) in SHOP.iter().filter(|route| route.2) {
        for wrong in &wrong {
            let fields = [("Authorization", wrong.as_str()), JSON];
            refuse(to, method, &address(template), &fields, br#"{"cents":5}"#, 401);
        }
        refuse(to, method, &address(template), &[JSON], br#"{"cents":5}"#, 401);
    }
}

fn wrong_numbers(to: &str, bearer: &str) {
    let fields = [("Authorization", bearer), JSON];
    let giant = "9".repeat(5_000);
    for (method, template, _) in SHOP.iter().filter(|route| route.1.contains("{id}")) {
        // Of orders there may be more than of products.
        let (too_much, unknown): (&[&str], &[&str]) = if template.starts_with("/orders") {
            (&["9223372036854775808"], &["0", "-1", "9223372036854775807"])
        } else {
            (&["-1", "4294967296"], &["0", "501", "4294967295"])
        };
        let none = NO_NUMBERS.iter().chain(too_much).copied().chain([giant.as_str()]).map(|id| (id, 400));
        for (id, status) in none.chain(unknown.iter().map(|id| (*id, 404))) {
            refuse(to, method, &template.replace("{id}", id), &fields, br#"{"cents":5}"#, status);
        }
    }
}

fn wrong_queries(to: &str, bearer: &str) {
    let wrong: &[(&str, &str, &[&str])] = &[
        ("GET", "/products?page=", &["", "0", "-1", "1.5", "x", "%00", "100001", "4294967296", "1&page=2"]),
        ("GET", "/price-list?rows=", &["", "0", "-1", "x", "50001", "18446744073709551616", "1&rows=2"]),
        ("GET", "/search?q=", &["", "%25", "_", "%00", "%ff", "%27%20OR%201=1", "lamp&q=lamp"]),
        ("GET", "/search?word=", &["lamp"]),
        ("GET", "/search", &[""]),
        ("POST", "/import/supplier?megabytes=", &["", "0", "-1", "x", "1025", "1&megabytes=1"]),
        ("POST", "/import/supplier", &[""]),
    ];
    let giant = "9".repeat(5_000);
    for (method, path, values) in wrong {
        let giant = path.ends_with('=').then_some(giant.as_str());
        for value in values.iter().copied().chain(giant) {
            refuse(to, method, &format!("{path}{value}"), &[("Authorization", bearer)], b"", 400);
        }
    }
}

/// Bodies of routes that take an object.
fn wrong_bodies(to: &str, bearer: &str) {
    let fields = [("Authorization", bearer), JSON];
    let (name, word) = ("x".repeat(65), "x".repeat(129));
    let long_name = format!(r#"{{"user":"{name}","pass":"secret"}}"#);
    let long_word = format!(r#"{{"user":"user-1","pass":"{word}"}}"#);
    let routes: &[(&str, &str, &str, &[&str])] = &[
        (
            "POST",
            "/login",
            r#"{"user":"user-1","pass":"secret"}"#,
            &[
                r#"["user-1","secret"]"#,
                r#"{"user":"user-1"}"#,
                r#"{"user":1,"pass":"secret"}"#,
                r#"{"user":"user-1","pass":null}"#,
                r#"{"user":"user-1\u0000","pass":"secret"}"#,
                r#"{"user":"\ud800","pass":"secret"}"#,
                r#"{"user":"user-1","pass":"secret","ttl_s":0}"#,
                r#"{"user":"user-1","pass":"secret","ttl_s":-1}"#,
                r#"{"user":"user-1","pass":"secret","ttl_s":3601}"#,
                r#"{"user":"user-1","pass":"secret","ttl_s":1.5}"#,
                r#"{"user":"user-1","pass":"secret","ttl_s":"60"}"#,
                r#"{"user":"user-1","pass":"secret","ttl_s":null}"#,
                &long_name,
                &long_word,
            ],
        ),
        (
            "POST",
            "/cart",
            r#"{"product":9,"quantity":1}"#,
            &[
                "[9,1]",
                r#"{"product":9}"#,
                r#"{"product":-9,"quantity":1}"#,
                r#"{"product":4294967296,"quantity":1}"#,
                r#"{"product":"9","quantity":1}"#,
                r#"{"product":9,"quantity":0}"#,
                r#"{"product":9,"quantity":100}"#,
                r#"{"product":9,"quantity":-1}"#,
                r#"{"product":9,"quantity":1.5}"#,
                r#"{"product":9,"quantity":null}"#,
                r#"{"product":9,"quantity":1,"__proto__":{"admin":true}}"#,
            ],
        ),
        (
            "PUT",
            "/products/9/price",
            r#"{"cents":5}"#,
            &[
                "[5]",
                r#"{"cents":0}"#,
                r#"{"cents":-1}"#,
                r#"{"cents":100000001}"#,
                r#"{"cents":1.5}"#,
                r#"{"cents":"5"}"#,
                r#"{"cents":null}"#,
            ],
        ),
    ];
    for (method, path, good, bad) in routes {
        let inner = &good[1..good.len() - 1];
        let (twice, more) = (format!("{{{inner},{inner}}}"), format!("{{{inner},\"more\":1}}"));
        let common = [twice, more, format!("{good}x"), "{}".to_owned()];
        for body in NO_OBJECTS.iter().chain(*bad).copied().chain(common.iter().map(String::as_str)) {
            refuse(to, method, path, &fields, body.as_bytes(), 400);
        }
        refuse(to, method, path, &fields, &[&b"{\"\xff\":1,"[..], inner.as_bytes(), b"}"].concat(), 400);
        refuse(to, method, path, &fields, "[".repeat(10_000).as_bytes(), 400);
        refuse(to, method, path, &fields, "x".repeat(20_000).as_bytes(), 413);
        for kind in ["", "text/plain", "application/x-www-form-urlencoded", "json", "application/xml"] {
            let fields = [("Authorization", bearer), ("Content-Type", kind)];
            refuse(to, method, path, &fields, good.as_bytes(), 415);
        }
        refuse(to, method, path, &[("Authorization", bearer)], good.as_bytes(), 415);
    }
    for product in ["0", "501", "4294967295"] {
        let body = format!(r#"{{"product":{product},"quantity":1}}"#);
        refuse(to, "POST", "/cart", &fields, body.as_bytes(), 404);
    }
}

fn wrong_files(to: &str, bearer: &str) {
    let head = "sku,name,cents,quantity\n";
    let rows = ["b-1,One,1", "b-1,One,1,2,3", ",One,1,2", "b-1,,1,2", "b-1,One,x,2", "b-1,One,1,1000001"];
    let mut files: Vec<Vec<u8>> = rows.iter().map(|row| format!("{head}{row}\n").into_bytes()).collect();
    files.extend(["", "\n", "{}", "sku,name\n"].map(|text| text.as_bytes().to_vec()));
    files.push(format!("{head}b-1,{},1,2\n", "x".repeat(5_000)).into_bytes());
    files.push(format!("{head}b\0,One,1,2\n").into_bytes());
    files.push([head.as_bytes(), b"b-\xff,One,1,2\n"].concat());
    for file in files {
        refuse(to, "POST", "/import", &[("Authorization", bearer)], &file, 400);
    }
}

fn wrong_upgrades(to: &str) {
    refuse(to, "GET", "/ws", &[], b"", 400);
    refuse(to, "GET", "/ws?token=a&token=b", &[], b"", 400);
    let upgrade = |line: &str, version: u32| {
        let head = format!(
            "{line} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        raw(to, head.as_bytes())
    };
    says_why(&upgrade("GET /ws?token=false", 13), 401);
    says_why(&upgrade("GET /ws", 12), 400);
    says_why(&upgrade("POST /ws", 13), 405);
}

/// Bodies that end before they should.
fn broken_off(to: &str, bearer: &str) {
    broken_body(to, "POST", "/login", bearer, "{\"user\":");
    broken_body(to, "POST", "/cart", bearer, "{\"product\":9");
    broken_body(to, "PUT", "/products/9/price", bearer, "{\"cents\":5}");
    broken_body(to, "POST", "/import", bearer, "sku,name,cents,quantity\nb-1,One,1,2\n");
}

/// The client leaves with the promised rest unsent, or sends what is no chunk.
fn broken_body(to: &str, method: &str, path: &str, bearer: &str, begun: &str) {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\
         Content-Type: application/json\r\n"
    );
    says_why(&cut(to, format!("{head}Content-Length: 9999\r\n\r\n{begun}").as_bytes()), 400);
    let chunk = format!("{:x}\r\n{begun}\r\nnonsense\r\n", begun.len());
    says_why(&raw(to, format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}").as_bytes()), 400);
}

/// What is no head for hyper never comes to a route, and is told why all the same.
fn broken_heads(to: &str) {
    let begun = "GET / HTTP/1.1\r\nCookie: ";
    let cookies = format!("{begun}{}", "x".repeat(64 * 1024 - begun.len()));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(500));
    for (head, status) in [
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nno field\r\n\r\n", 400),
        ("GET /\0 HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/3.0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (cookies.as_str(), 431),
        (many.as_str(), 431),
    ] {
        let answer = raw(to, head.as_bytes());
        says_why(&answer, status);
        safe_and_last(&answer);
    }
    for begun in ["G", "GET / HTTP/1.1\r\nHos", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let answer = cut(to, begun.as_bytes());
        says_why(&answer, 400);
        safe_and_last(&answer);
    }
    // Behind a good one that has had its answer.
    let answer = raw(to, b"GET /no-such HTTP/1.1\r\nHost: x\r\n\r\nnonsense\r\n\r\n");
    says_why(second(&answer), 400);
    let answer = cut(to, b"GET /no-such HTTP/1.1\r\nHost: x\r\n\r\nGET / HT");
    says_why(second(&answer), 400);
    safe_and_last(second(&answer));
    leaving_between_heads_is_no_fault(to);
}

/// Who leaves where no head has begun has nothing to be told, be it at once or after an answer.
fn leaving_between_heads_is_no_fault(to: &str) {
    for nothing in ["", "\r\n"] {
        assert_eq!(cut(to, nothing.as_bytes()), "");
        let mut stream = connect(to);
        stream.write_all(format!("GET /no-such HTTP/1.1\r\nHost: x\r\n\r\n{nothing}").as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\"}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.extend(byte);
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let mut more = String::new();
        stream.read_to_string(&mut more).unwrap();
        assert_eq!(more, "");
    }
}

/// The answer that comes behind another.
fn second(answers: &str) -> &str {
    let at = answers.rfind("HTTP/1.1 ").unwrap();
    assert!(at > 0, "{answers}");
    &answers[at..]
}

fn safe_and_last(answer: &str) {
    let lower = answer.to_ascii_lowercase();
    assert!(
        SAFE.iter().chain(&["connection: close", "date: "]).all(|field| lower.contains(field)),
        "{answer}"
    );
}

/// The answer to bytes as they are. A head that is refused early may find the connection closed.
fn raw(to: &str, bytes: &[u8]) -> String {
    let mut stream = connect(to);
    let _ = stream.write_all(bytes);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// The answer to bytes after which the client sends no more.
fn cut(to: &str, bytes: &[u8]) -> String {
    let mut stream = connect(to);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn says_why(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains("{\"error\":\""), "{answer}");
}

fn wrong_addresses_of_instances(to: &str, own: &[(&str, &str)]) {
    let giant = "9".repeat(5_000);
    for since in ["", "x", "-1", "1.5", "%00", "%ff", "18446744073709551616", "1&since=2", &giant] {
        refuse(to, "GET", &format!("/v1/truth?since={since}"), own, b"", 400);
    }
    for (what, status) in [
        ("shop-9/samples", 404),
        ("shop-0/no-such", 404),
        ("shop-0/", 404),
        ("", 404),
        ("%ff/samples", 400),
        ("shop-0/%ff", 400),
        ("shop-0/samples?since=x", 400),
        ("shop-0/samples?since=-1", 400),
        ("shop-0/profile?seconds=0", 400),
        ("shop-0/profile?seconds=x", 400),
        ("shop-0/profile?format=gif", 400),
        (format!("shop-0/samples?since={giant}").as_str(), 414),
        (format!("shop-0/{}", "x".repeat(60_000)).as_str(), 414),
    ] {
        refuse(to, "GET", &format!("/v1/instances/{what}"), own, b"", status);
    }
}

/// Of two that are asked for at once one is done, and the other is told why not.
fn one_reload_at_a_time(backend: &Backend) {
    let (both, bearer) = (Barrier::new(2), format!("Bearer {TOKEN}"));
    let reload = || {
        both.wait();
        ask(backend.control(), "POST", "/v1/reload", &[("Authorization", &bearer)], b"")
    };
    let mut replies = std::thread::scope(|scope| {
        [scope.spawn(reload), scope.spawn(reload)].map(|reload| reload.join().unwrap())
    });
    replies.sort_by_key(|reply| reply.status);
    assert_eq!(replies.each_ref().map(|reply| reply.status), [200, 409]);
    assert!(replies[1].error().contains("a reload is under way"), "{}", replies[1].body);
    let instances = backend.order("GET", "/v1/instances", "").json();
    let generation = |name: &str| {
        let found = instances["instances"].as_array().unwrap().iter().find(|i| i["name"] == name);
        found.unwrap()["generation"].clone()
    };
    assert_eq!(["shop-0", "shop-1"].map(generation), [json!(1), json!(1)]);
}
