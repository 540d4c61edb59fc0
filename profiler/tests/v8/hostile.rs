//! What is no inspector of V8, or tells what nobody should believe.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use dynamometer_profiler::sources::v8::Place;
use timeline::event::kinds;
use timeline::lane::names;
use tungstenite::Message;

use crate::served::{attach, declared, soon, why};

#[test]
fn an_inspector_elsewhere_is_not_spoken_to() {
    assert!(why(Place::At("192.0.2.1:9229".parse().unwrap())).contains("not on loopback"));
}

/// Answers `/json/list` with `list`, and plays `play` to whoever comes over WebSocket.
fn hostile(list: &'static str, play: fn(&mut tungstenite::WebSocket<TcpStream>)) -> Place {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut first = [0; 16];
            let n = stream.peek(&mut first).unwrap_or(0);
            if first[..n].starts_with(b"GET /json/list") {
                let _ = stream.read(&mut [0; 4096]);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{list}", list.len());
                let _ = stream.write_all(head.as_bytes());
            } else if let Ok(mut socket) = tungstenite::accept(stream) {
                let _ = socket.read();
                play(&mut socket);
            }
        }
    });
    Place::At(address)
}

/// A list whose target is elsewhere: only its path counts.
const LIST: &str = r#"[{"webSocketDebuggerUrl": "ws://192.0.2.1:1/abc"}]"#;

fn say(socket: &mut tungstenite::WebSocket<TcpStream>, text: impl Into<String>) {
    let _ = socket.send(Message::text(text.into()));
}

#[test]
fn what_is_no_inspector_is_named_and_costs_nothing() {
    let silence = |_: &mut tungstenite::WebSocket<TcpStream>| std::thread::sleep(Duration::from_secs(10));
    let cases: [(&str, Place, &str); 9] = [
        ("garbage for a list", hostile("\x1b[2J", silence), "its list of targets"),
        ("no target", hostile("[]", silence), "it lists no target"),
        (
            "a target without address",
            hostile(r#"[{"webSocketDebuggerUrl": "file:///etc"}]"#, silence),
            "no address of the form",
        ),
        ("silence", hostile(LIST, silence), "no answer within 2 s"),
        ("garbage", hostile(LIST, |s| say(s, "\x1b]0;title\x07")), "not V8's inspector"),
        (
            "wrong types",
            hostile(LIST, |s| say(s, r#"{"id":1,"result":{"result":{"type":"number","value":7}}}"#)),
            "a text was expected",
        ),
        (
            "an exception with escape sequences",
            hostile(LIST, |s| {
                say(
                    s,
                    r#"{"id":1,"result":{"result":{"type":"object"},"exceptionDetails":{"exception":{"description":"\u001b[2Jboom\nat secret"}}}}"#,
                );
            }),
            "the target threw \u{FFFD}[2Jboom",
        ),
        (
            "messages without end",
            hostile(LIST, |s| while s.send(Message::text(r#"{"method":"Debugger.paused"}"#)).is_ok() {}),
            "not V8's inspector: 1000 messages",
        ),
        ("a message without end", hostile(LIST, |s| say(s, "x".repeat(9 << 20))), "not V8's inspector"),
    ];
    for (what, place, expected) in cases {
        let why = why(place);
        assert!(why.contains(expected), "{what}: {why}");
        assert!(!why.contains("secret") && !why.contains('\x1b'), "{what}: {why}");
    }
}

#[test]
fn what_an_inspector_tells_is_let_in_no_further_than_an_agents() {
    let place = hostile(LIST, |socket| {
        let text = |id: u64, text: &str| {
            serde_json::json!({"id": id, "result": {"result": {"type": "string", "value": text}}}).to_string()
        };
        say(
            socket,
            text(1, r#"{"pid": 7, "runtime": "node", "version": "20\u001b[2J", "collections": true}"#),
        );
        for id in 2.. {
            if socket.read().is_err() {
                return;
            }
            let now = timeline::MonoNs::now().0;
            let batch = serde_json::json!({
                "version": 1, "instance": "x", "pid": 7, "now": now, "lost": 0,
                "lanes": [
                    {"name": "heap.used", "instance": "x", "unit": "bytes", "shape": "level", "combine": "sum", "quality": "exact"},
                    {"name": "client.errors", "instance": "x", "unit": "count", "shape": "level", "combine": "sum", "quality": "exact"},
                ],
                "ticks": [{"seq": id, "at": now, "values": [[0, 1.0], [1, 2.0], [9, 3.0]], "events": [
                    {"kind": "pause.minor", "start": now, "end": 0}]}],
            });
            say(socket, text(id, &batch.to_string()));
        }
    });
    let (attached, kept) = attach(&[place], None);
    assert!(!attached.about().contains('\x1b'));
    soon("samples", || kept.values(names::HEAP_USED, "pid-7").len() > 3);
    assert!(!declared(&kept, names::ERRORS), "a target speaks of itself only");
    assert!(kept.0.lock().unwrap().events.iter().all(|e| e.kind != kinds::PAUSE_MINOR));
    assert!(kept.noted("not taken"));
    drop(attached);
}
