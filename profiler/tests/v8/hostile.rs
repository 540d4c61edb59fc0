//! What is no inspector of V8, or tells what nobody should believe; and what one is told.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynamometer_profiler::sources::v8::{Place, Readers, Search, install};
use timeline::event::kinds;
use timeline::lane::names;
use tungstenite::Message;

use crate::served::{attach, declared, soon, why};
use crate::watched::Kept;

#[test]
fn an_inspector_elsewhere_is_not_spoken_to() {
    assert!(why(Place::At("192.0.2.1:9229".parse().unwrap())).contains("not on loopback"));
}

/// Answers `/json/list` with `list`, and has `talk` talk with everybody who comes over WebSocket.
fn talking(
    list: &'static str,
    talk: impl Fn(&mut tungstenite::WebSocket<TcpStream>) + Send + Sync + 'static,
) -> Place {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let talk = Arc::new(talk);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let talk = Arc::clone(&talk);
            std::thread::spawn(move || {
                let mut first = [0; 16];
                let n = stream.peek(&mut first).unwrap_or(0);
                if first[..n].starts_with(b"GET /json/list") {
                    let _ = stream.read(&mut [0; 4096]);
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{list}", list.len());
                    let _ = stream.write_all(head.as_bytes());
                } else if let Ok(mut socket) = tungstenite::accept(stream) {
                    talk(&mut socket);
                }
            });
        }
    });
    Place::At(address)
}

/// The same, and plays `play` to whoever has said something.
fn hostile(list: &'static str, play: fn(&mut tungstenite::WebSocket<TcpStream>)) -> Place {
    talking(list, move |socket| {
        let _ = socket.read();
        play(socket);
    })
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

/// What a process answers that allocates much, and is blocked or not.
fn busy(id: &serde_json::Value, blocked: bool) -> String {
    let now = timeline::MonoNs::now().0;
    let lane = |name: &str, unit: &str, shape: &str| serde_json::json!({"name": name, "instance": "x", "unit": unit, "shape": shape, "combine": "sum", "quality": "exact"});
    let stalls = [serde_json::json!({"kind": kinds::PAUSE_WORKER_STALL, "start": now, "end": now})];
    let batch = serde_json::json!({
        "version": 1, "instance": "x", "pid": 7, "now": now, "lost": 0,
        "lanes": [lane(names::HEAP_USED, "bytes", "level"), lane(names::HEAP_ALLOCATED, "bytes-per-second", "rate")],
        "ticks": [{"seq": id, "at": now, "values": [[0, 1.0], [1, 1e9]], "events": &stalls[..usize::from(blocked)]}],
    });
    batch.to_string()
}

/// Methods that an inspector was asked for, with their parameters.
type Said = Arc<Mutex<Vec<(String, String)>>>;

/// An inspector of a process that allocates much, and `is_blocked` at a reading or not; what it was asked.
fn profiled(is_blocked: impl Fn(&[(String, String)]) -> bool + Send + Sync + 'static) -> (Place, Said) {
    let said = Said::default();
    let keeps = Arc::clone(&said);
    let place = talking(LIST, move |socket| {
        while let Ok(Message::Text(text)) = socket.read() {
            let asked: serde_json::Value = serde_json::from_str(&text).unwrap();
            let method = asked["method"].as_str().unwrap().to_owned();
            let params = asked["params"].to_string();
            let value = if params.contains("?.read(") {
                busy(&asked["id"], is_blocked(&keeps.lock().unwrap()))
            } else if params.contains("memoryUsage().heapUsed") {
                "1".to_owned()
            } else {
                r#"{"pid": 7, "runtime": "node", "version": "20", "collections": true}"#.to_owned()
            };
            let answer = if method == "HeapProfiler.getSamplingProfile" {
                serde_json::json!({"id": asked["id"], "error": {"message": "nobody samples"}})
            } else {
                let result = serde_json::json!({"type": "string", "value": value, "objectId": "1"});
                serde_json::json!({"id": asked["id"], "result": {"result": result, "objects": result}})
            };
            keeps.lock().unwrap().push((method, params));
            say(socket, answer.to_string());
        }
    });
    (place, said)
}

/// An inspector of a process that is 7 in a container, and says that it began then.
fn contained(born: &'static str) -> Place {
    talking(LIST, move |socket| {
        while let Ok(Message::Text(text)) = socket.read() {
            let asked: serde_json::Value = serde_json::from_str(&text).unwrap();
            let about = serde_json::json!({"pid": 7, "born": born, "runtime": "node", "version": "20", "collections": true});
            let is_reading = asked["params"].to_string().contains("?.read(");
            let value = if is_reading { busy(&asked["id"], false) } else { about.to_string() };
            let result = serde_json::json!({"type": "string", "value": value});
            say(socket, serde_json::json!({"id": asked["id"], "result": {"result": result}}).to_string());
        }
    })
}

#[test]
fn processes_that_have_the_same_id_in_containers_of_their_own_are_told_apart() {
    let (one, other, same) = (contained("1.5"), contained("2.25"), contained("1.5"));
    let (attached, kept) = attach(&[one, other, same], None);
    let about = attached.about();
    assert!(about.ends_with(&format!("; {same} not attached: process 7 is read already")), "{about}");
    let Place::At(address) = other else { unreachable!() };
    for instance in ["pid-7".to_owned(), format!("pid-7-127.0.0.1-{}", address.port())] {
        soon(&instance, || kept.values(names::HEAP_USED, &instance).len() > 3);
    }
    drop(attached);
}

#[test]
fn a_stall_that_the_end_of_a_profile_makes_is_no_sign_for_the_next_one() {
    // Blocked at the first reading after the heap was collected for a profile, and never else.
    let (place, said) = profiled(|said| {
        let last =
            |what: &str| said.iter().rposition(|(method, params)| method == what || params.contains(what));
        last("HeapProfiler.stopSampling").is_some_and(|end| last("?.read(") < Some(end))
    });
    let (attached, _kept) = attach(&[place], None);
    let asked = |what: &str| said.lock().unwrap().iter().any(|(method, _)| method == what);
    soon("HeapProfiler.stopSampling", || asked("HeapProfiler.stopSampling"));
    let readings = || said.lock().unwrap().iter().filter(|(_, params)| params.contains("?.read(")).count();
    let before = readings();
    soon("ten readings more", || readings() >= before + 10);
    assert!(!asked("Profiler.start"));
    drop(attached);
}

#[test]
fn nothing_is_enabled_that_talks_of_itself_and_nothing_is_imported() {
    let (place, said) = profiled(|_| true);
    let installed = install(&[place], None, Search::Heap, None, &Readers::default()).unwrap();
    let attached = installed.attach(Box::new(Kept::default()));
    for wanted in ["Runtime.queryObjects", "Profiler.start", "HeapProfiler.startSampling"] {
        soon(wanted, || said.lock().unwrap().iter().any(|(method, _)| method == wanted));
    }
    drop(attached);
    for (method, params) in said.lock().unwrap().iter() {
        // A profile of the CPU cannot be had without the first one, which talks of profiles alone.
        assert!(method == "Profiler.enable" || !method.ends_with(".enable"), "{method}");
        assert!(!method.starts_with("Debugger."), "{method}");
        assert!(!params.contains("import("), "{method}: {params}");
    }
}
