//! The endpoint as a stranger, a reader and a clumsy client meet it.

#[path = "common/fresh.rs"]
mod fresh;
#[path = "common/http.rs"]
mod http;
#[path = "common/start.rs"]
mod start;

use fresh::*;
use http::*;
use start::*;
use std::io::{Read, Write};
use std::net::TcpStream;

use timeline::probe::{Batch, Instances, VERSION};

#[test]
fn a_stranger_learns_nothing_not_even_what_exists() {
    let agent = agent();
    for path in ["/v1/instances", "/v1/instances/shop-0/samples", "/nothing"] {
        for field in ["", "authorization: Bearer wrong-token\r\n", "authorization: Basic dGVzdA==\r\n"] {
            let (status, head, body) = ask(agent.addr(), &format!("GET {path} HTTP/1.1\r\n{field}\r\n"));
            assert_eq!(status, 401, "{path} {field}");
            assert!(head.contains("WWW-Authenticate: Bearer") && head.contains("Connection: close"));
            assert_eq!(body, br#"{"error":"the bearer token is missing or wrong"}"#);
        }
    }
}

#[test]
fn a_reader_is_told_who_answers_and_gets_only_what_is_new() {
    let agent = agent();
    fresh_tick(&agent);
    let (status, body) = get(agent.addr(), "/v1/instances");
    let instances: Instances = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, instances.version, instances.service.as_str()), (200, VERSION, "shop"));
    let info = &instances.instances[0];
    assert_eq!((info.name.as_str(), info.pid, info.generation), ("shop-0", std::process::id(), 3));

    let batch = |since: &str| -> Batch {
        serde_json::from_slice(&get(agent.addr(), &format!("/v1/instances/shop-0/samples{since}")).1).unwrap()
    };
    let all = batch("");
    assert_eq!((all.ticks[0].seq, all.lost, all.pid), (1, 0, std::process::id()));
    let newest = all.ticks.last().unwrap().seq;
    fresh_tick(&agent);
    let new = batch(&format!("?since={newest}"));
    assert_eq!(new.ticks[0].seq, newest + 1);
    assert!(new.now.0 >= new.ticks.last().unwrap().at);
    assert_eq!(batch("?since=1000000").ticks, []);
}

#[test]
fn mistakes_are_named() {
    let agent = agent();
    let told = |path: &str| {
        let (status, body) = get(agent.addr(), path);
        format!("{status} {}", String::from_utf8(body).unwrap())
    };
    let mut lines: Vec<String> = [
        "/",
        "/v1/instances/",
        "/v1/instances/shop-1/samples",
        "/v1/instances/shop-0/samples?since=x",
        "/v1/instances/shop-0/profile?seconds=31",
        "/v1/instances/shop-0/profile?seconds=0",
        "/v1/instances/shop-0/profile?format=png",
    ]
    .map(told)
    .to_vec();
    for request in [
        format!("POST /v1/instances HTTP/1.1\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n"),
        "PUT /v1/instances HTTP/1.1\r\ncontent-length: 9\r\n\r\n".to_owned(),
        "nonsense\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(9_000)),
    ] {
        let (status, _, body) = ask(agent.addr(), &request);
        lines.push(format!("{status} {}", String::from_utf8(body).unwrap()));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    404 {"error":"there is nothing here"}
    404 {"error":"there is nothing here"}
    404 {"error":"there is nothing here"}
    400 {"error":"since must be a whole number"}
    400 {"error":"seconds must be 1 to 30"}
    400 {"error":"seconds must be 1 to 30"}
    400 {"error":"format must be pprof or svg"}
    405 {"error":"only GET is answered here"}
    400 {"error":"a request to the probe has no body"}
    400 {"error":"not an HTTP/1.1 request"}
    400 {"error":"the request's head is too long"}
    "#);
}

#[test]
fn one_connection_serves_many_requests() {
    let agent = agent();
    let mut stream = TcpStream::connect(agent.addr()).unwrap();
    let request = format!("GET /v1/instances HTTP/1.1\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    // Two at once, then a third in two pieces.
    stream.write_all(request.repeat(2).as_bytes()).unwrap();
    let (first, second) = request.as_bytes().split_at(20);
    stream.write_all(first).unwrap();
    stream.flush().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    stream.write_all(second).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3);
}

#[test]
fn the_ninth_connection_is_turned_away_and_a_place_is_free_again_later() {
    let agent = agent();
    // Whoever is turned away may still write when it is hung up on, and be reset.
    let answered = |request: &str, status: &str| {
        let mut client = TcpStream::connect(agent.addr()).ok()?;
        client.set_read_timeout(Some(std::time::Duration::from_millis(300))).ok()?;
        let _ = client.write_all(request.as_bytes());
        let mut answer = String::new();
        let _ = client.read_to_string(&mut answer);
        answer.starts_with(&format!("HTTP/1.1 {status}")).then_some(())
    };
    let idle: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(agent.addr()).unwrap()).collect();
    until("a full house", || answered("", "503"));
    drop(idle);
    let request =
        format!("GET /v1/instances HTTP/1.1\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n");
    until("a free place", || answered(&request, "200"));
}
