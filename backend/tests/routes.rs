//! Every route of the shop, with good input and bad.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{Backend, Reply, Socket, ask, wait_for};
use serde_json::json;

fn refused(reply: &Reply, status: u16, says: &str) {
    assert_eq!(reply.status, status, "{}", reply.body);
    assert!(reply.error().contains(says), "{} does not say {says:?}", reply.error());
}

#[test]
fn the_shop() {
    let backend = Backend::start(2);
    health(&backend);
    catalogue(&backend);
    let token = login(&backend);
    cart_and_checkout(&backend, &token);
    import(&backend, &token);
    feed(&backend, &token);
    hostile(&backend);
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
}

fn login(backend: &Backend) -> String {
    let try_it = |body: &str| backend.post("/login", "", body);
    refused(&try_it(r#"{"user":"user-1","pass":"wrong"}"#), 401, "wrong");
    refused(&try_it(r#"{"user":"nobody","pass":"secret"}"#), 401, "wrong");
    refused(&try_it(r#"{"user":"' OR 1=1 --","pass":"secret"}"#), 401, "wrong");
    refused(&try_it(r#"{"user":"user-1"}"#), 400, "pass");
    refused(&try_it("{"), 400, "");
    refused(&try_it(&format!(r#"{{"user":"{}","pass":"x"}}"#, "x".repeat(100))), 400, "at most");
    refused(&try_it(&"x".repeat(20_000)), 413, "");
    refused(&ask(backend.shop(), "POST", "/login", &[], b"{}"), 415, "");
    backend.log_in()
}

fn cart_and_checkout(backend: &Backend, token: &str) {
    for path in ["/cart", "/checkout", "/import"] {
        refused(&ask(backend.shop(), "POST", path, &[], b"{}"), 401, "log in first");
        refused(&backend.post(path, &"0".repeat(32), "{}"), 401, "no session");
    }
    let put = |body| backend.post("/cart", token, body);
    refused(&put(r#"{"product":7,"quantity":0}"#), 400, "quantity is 0");
    refused(&put(r#"{"product":7,"quantity":-3}"#), 400, "quantity");
    refused(&put(r#"{"product":9999,"quantity":1}"#), 404, "no such product");
    refused(&put("[]"), 400, "");
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
}

fn import(backend: &Backend, token: &str) {
    let send = |text: &str| backend.post("/import", token, text);
    let rows: String = (0..3_234).map(|n| format!("sku-{n},\"Thing, {n}\",{n},5\n")).collect();
    let text = format!("sku,name,cents,quantity\n{rows}");
    assert_eq!(send(&text).json(), json!({"rows": 3_234, "bytes": text.len()}));
    refused(&send(&format!("{text}last,One,x,1\n")), 400, "line 3236: cents is `x`");
    refused(&send("sku,name\n"), 400, "line 1");
    refused(&send(""), 400, "line 1: expected the header");
}

fn feed(backend: &Backend, token: &str) {
    let mut socket = Socket::open(backend.shop(), &format!("/ws?token={token}")).expect("open");
    socket.send(r#"{"op":"say","id":"a-1","text":"hello"}"#);
    let said = socket.json();
    assert_eq!((&said["op"], &said["id"], &said["text"]), (&json!("said"), &json!("a-1"), &json!("hello")));
    socket.send(r#"{"op":"watch","product":7}"#);
    assert_eq!(socket.json(), json!({"op": "watching", "product": 7}));
    for bad in
        ["{", r#"{"op":"shout"}"#, r#"{"op":"watch","product":0}"#, r#"{"op":"say","id":[],"text":""}"#]
    {
        socket.send(bad);
        assert!(socket.json()["error"].is_string(), "{bad}");
    }
    let mut anonymous = Socket::open(backend.shop(), "/ws").expect("open to everybody");
    anonymous.send(&"x".repeat(100_000));
    assert!(anonymous.read().is_none_or(|(opcode, _)| opcode == 8), "too large a message ends it");
    assert_eq!(Socket::open(backend.shop(), "/ws?token=false").err(), Some(401));
    refused(&backend.get("/ws"), 400, "");
    let price = socket.json();
    assert_eq!((&price["op"], &price["product"]), (&json!("price"), &json!(7)), "within ten seconds");
}

fn hostile(backend: &Backend) {
    let raw = |text: &str| {
        use std::io::{Read, Write};
        let mut stream = common::connect(backend.shop());
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    assert!(raw("nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert!(raw(&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(500_000))).starts_with("HTTP/1.1 4"));
    assert_eq!(backend.get("/healthz").status, 200);
}
