//! What a scenario says of bodies and authentication is what a real server hears.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::{AMPLE_MS, Totals, run};
use crate::server::until;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use loadgen::LoadUpdate;
use scenarios::plan::Algorithm;
use scenarios::signing::Key;
use scenarios::{Origin, Overrides, parse};

/// A request as it was heard; of a long body its length and a checksum.
#[derive(Clone, Debug)]
struct Heard {
    path: String,
    head: BTreeMap<String, String>,
    body: Vec<u8>,
    length: u64,
    sum: u64,
    /// Most memory that each of our children has held by then, KiB, by process.
    peaks_kib: BTreeMap<u32, u64>,
}

/// Longest body that is kept.
const KEPT: usize = 1 << 20;

type All = Arc<Mutex<Vec<Heard>>>;

fn serve() -> (SocketAddr, All) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let all = All::default();
    let heard = Arc::clone(&all);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let heard = Arc::clone(&heard);
            thread::spawn(move || converse(stream, &heard));
        }
    });
    (address, all)
}

fn converse(stream: TcpStream, all: &All) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let mut reader = BufReader::with_capacity(64 << 10, stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let line = read_line(&mut reader)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut head = BTreeMap::new();
        loop {
            let line = read_line(&mut reader)?;
            let Some((name, value)) = line.split_once(": ") else { break };
            head.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let before = BTreeMap::new();
        let mut heard = Heard { path, head, body: Vec::new(), length: 0, sum: 0, peaks_kib: before };
        // What was heard is noted before it is answered: the run may be over right behind the answer.
        if heard.path == "/refused" {
            all.lock().unwrap().push(heard);
            stream
                .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .ok()?;
            return None;
        }
        if heard.path == "/unheard" {
            all.lock().unwrap().push(heard);
            stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").ok()?;
            // The connection stays, and nobody reads what comes on it, until the session has gone on.
            until(|| all.lock().unwrap().iter().any(|h| h.path == "/next"));
            return None;
        }
        if heard.head.contains_key("expect") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }
        if heard.head.get("transfer-encoding").is_some_and(|v| v == "chunked") {
            loop {
                let length = u64::from_str_radix(&read_line(&mut reader)?, 16).unwrap();
                take(&mut reader, length, &mut heard)?;
                assert_eq!(read_line(&mut reader)?, "");
                if length == 0 {
                    break;
                }
            }
        } else if let Some(length) = heard.head.get("content-length") {
            take(&mut reader, length.parse().unwrap(), &mut heard)?;
        }
        heard.peaks_kib = peaks_kib();
        let answer = if heard.path == "/moved" {
            "HTTP/1.1 307 Away\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
        } else {
            "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"id\":\"a\\\"b\"}"
        };
        all.lock().unwrap().push(heard);
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    Some(line.trim_end().to_owned())
}

fn take(reader: &mut impl Read, length: u64, heard: &mut Heard) -> Option<()> {
    let (mut left, mut buffer) = (length, vec![0; 64 << 10]);
    while left > 0 {
        let room = buffer.len().min(left as usize);
        let n = reader.read(&mut buffer[..room]).ok().filter(|n| *n > 0)?;
        left -= n as u64;
        heard.length += n as u64;
        for byte in &buffer[..n] {
            heard.sum = heard.sum.wrapping_mul(31).wrapping_add(u64::from(*byte));
        }
        let keep = KEPT.saturating_sub(heard.body.len()).min(n);
        heard.body.extend_from_slice(&buffer[..keep]);
    }
    Some(())
}

/// The worker processes are our children, those of other tests among them.
fn peaks_kib() -> BTreeMap<u32, u64> {
    let own = std::process::id().to_string();
    let statuses = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let texts = statuses.filter_map(|entry| std::fs::read_to_string(entry.path().join("status")).ok());
    let field = |text: &str, name: &str| {
        text.lines().find_map(|l| l.strip_prefix(name)).map(|v| v.trim().trim_end_matches(" kB").to_owned())
    };
    let ours = texts.filter(|t| field(t, "PPid:").is_some_and(|p| p == own));
    let peak = |t: String| -> Option<(u32, u64)> {
        Some((field(&t, "Pid:")?.parse().ok()?, field(&t, "VmHWM:")?.parse().ok()?))
    };
    ours.filter_map(peak).collect()
}

/// Runs the steps once in each of `n` sessions.
fn session(n: u32, more: &str, steps: &str, folder: &Path) -> (Totals, Vec<Heard>) {
    let (address, all) = serve();
    let text = format!(
        "seed = 7\ntimeout = \"60s\"\n[vars]\nshop = \"hall 9\"\n[target]\nurl = \"http://{address}\"\nenv = [\"KEY\"]\nredirects = 2\n{more}\n[[phase]]\nname = \"p\"\nfor = \"120s\"\nsessions = {n}\niterations = 1\n[[session]]\nname = \"s\"\nsteps = [\n{steps}\n]\n"
    );
    let origin = Origin { name: "t".to_owned(), file: Some(folder.join("t.toml")) };
    let mut overrides = Overrides::default();
    overrides.vars.insert("KEY".to_owned(), "hush".to_owned());
    let plan = parse(&text, &origin, &overrides).unwrap_or_else(|e| panic!("{e}"));
    let totals = run(plan, address, 1);
    let heard = all.lock().unwrap().clone();
    (totals, heard)
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), b"id,name\r\n1,\xe9\r\n").unwrap();
    std::fs::write(folder.path().join("users.jsonl"), "{\"name\":\"ann\"}\n{\"name\":\"bob\"}\n").unwrap();
    std::fs::write(
        folder.path().join("order.j2"),
        "[{% for i in range(3) %}{\"n\":{{ i }},\"id\":{{ id | tojson }},\"at\":\"{{ vars.shop }}\",\"by\":\"{{ users.name }}\"},{% endfor %}null]",
    )
    .unwrap();
    folder
}

#[test]
fn forms_files_and_templates_arrive_whole() {
    let folder = folder();
    let steps = r#"
      { name = "id", get = "/id", save = { id = "$.id", gone = "$.gone" } },
      { name = "form", post = "/form", multipart = { title = "of ${id}", up = { file = "a.csv", name = 'x".csv' }, more = { generated = { size = "3KiB", kind = "text" }, type = "image/png" } } },
      { name = "file", put = "/file", file = "a.csv", expect-continue = true },
      { name = "chunked", put = "/chunked", body = "${id}", chunked = true },
      { name = "order", post = "/order", template-file = "order.j2" },
      { name = "broken", post = "/never", template = "{{ gone }}" },
      { name = "moved", post = "/moved", generated = "100KiB" },
    "#;
    let data = "[data.users]\nfile = \"users.jsonl\"";
    let (totals, heard) = session(1, data, steps, folder.path());
    assert_eq!(totals.errors(), BTreeMap::from([("template", 1)]));
    let of =
        |path: &str| heard.iter().find(|h| h.path == path).unwrap_or_else(|| panic!("{path} was not heard"));
    let csv = std::fs::read(folder.path().join("a.csv")).unwrap();

    let form = of("/form");
    let boundary = form.head["content-type"].strip_prefix("multipart/form-data; boundary=").unwrap();
    let text = String::from_utf8_lossy(&form.body).into_owned();
    let parts: Vec<_> = text.split(&format!("--{boundary}")).collect();
    assert_eq!(parts.len(), 5, "{text}");
    assert_eq!((parts[0], parts[4]), ("", "--\r\n"));
    assert_eq!(parts[1], "\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nof a\"b\r\n");
    assert!(parts[2].starts_with("\r\nContent-Disposition: form-data; name=\"up\"; filename=\"x%22.csv\"\r\nContent-Type: text/csv\r\n\r\nid,name\r\n"));
    let (head, made) = parts[3].split_once("\r\n\r\n").unwrap();
    assert!(head.ends_with("Content-Type: image/png") && made.len() == 3 * 1024 + 2, "{head}");

    assert_eq!((&of("/file").body, of("/file").head["content-type"].as_str()), (&csv, "text/csv"));
    assert_eq!(of("/chunked").body, b"a\"b");
    assert!(!of("/chunked").head.contains_key("content-length"));
    assert_eq!(of("/order").head["content-type"], "application/json");
    let order: serde_json::Value = serde_json::from_slice(&of("/order").body).unwrap();
    assert_eq!(order[2], serde_json::json!({ "n": 2, "id": "a\"b", "at": "hall 9", "by": "ann" }));
    assert_eq!(order[3], serde_json::Value::Null);
    // The same bytes again where a redirect leads.
    assert_eq!((of("/there").sum, of("/there").length), (of("/moved").sum, 100 << 10));
    assert!(heard.iter().all(|h| h.path != "/never"));
}

#[test]
fn a_large_upload_follows_from_the_seed_and_takes_no_memory() {
    const SIZE: u64 = 192 << 20;
    let steps = r#"
      { name = "large", post = "/large", generated = "192MiB" },
      { name = "chunked", post = "/chunks", generated = { size = "1MiB", kind = "zeros" }, chunked = true },
    "#;
    let [(first, worker), (second, _)] = [(); 2].map(|()| {
        let (totals, heard) = session(1, "", steps, Path::new("."));
        assert!(totals.errors().is_empty(), "{:?}", totals.errors());
        let pid = |u: &LoadUpdate| if let LoadUpdate::Joined { pid, .. } = u { Some(*pid) } else { None };
        (heard, totals.updates.iter().find_map(pid).expect("a worker has joined"))
    });
    assert_eq!((first[0].length, first[1].length), (SIZE, 1 << 20));
    assert_eq!(first[0].head["content-length"], SIZE.to_string());
    assert_eq!(first[0].sum, second[0].sum);
    assert!(first[1].body.iter().all(|b| *b == 0));
    if cfg!(target_os = "linux") {
        let peak_kib = first[0].peaks_kib[&worker];
        assert!((1..SIZE / 1024 / 2).contains(&peak_kib), "{peak_kib} KiB");
    }
}

#[test]
fn an_answer_that_comes_before_the_body_is_through_counts() {
    let steps =
        r#"{ name = "refused", post = "/refused", generated = "64MiB" }, { name = "next", get = "/next" },"#;
    let (totals, heard) = session(2, "", steps, Path::new("."));
    let errors = totals.errors();
    // A system that resets the connection may take the answer along; nothing hangs, and the session goes on.
    assert!(errors.iter().all(|(kind, n)| ["status", "reset"].contains(kind) && *n <= 2), "{errors:?}");
    assert_eq!(errors.values().sum::<u64>(), 2);
    assert_eq!(heard.iter().filter(|h| h.path == "/next").count(), 2);
}

#[test]
fn an_answer_that_comes_while_a_text_is_written_counts() {
    let folder = tempfile::tempdir().unwrap();
    // More than the system takes of what nobody reads.
    let row = format!("{{\"text\":\"{}\"}}\n", "x".repeat(12 << 20));
    std::fs::write(folder.path().join("big.jsonl"), row).unwrap();
    let steps =
        r#"{ name = "refused", post = "/unheard", body = "${big.text}" }, { name = "next", get = "/next" },"#;
    let (totals, heard) = session(1, "[data.big]\nfile = \"big.jsonl\"", steps, folder.path());
    assert_eq!(totals.errors(), BTreeMap::from([("status", 1)]));
    assert_eq!(heard.iter().filter(|h| h.path == "/next").count(), 1);
    // Not because the server has given up: it waits that long for the session to go on.
    assert!(totals.service[&0].max() < AMPLE_MS * 1000, "{} us", totals.service[&0].max());
}

#[test]
fn sessions_say_who_they_are() {
    let folder = folder();
    let more = "auth = { jwt = { secret = \"${KEY}\", claims = { sub = \"${users.name}\" }, header = { kid = \"k1\" } } }\n[data.users]\nfile = \"users.jsonl\"\norder = \"unique\"";
    let steps = r#"
      { name = "a", get = "/signed" },
      { name = "b", get = "/signed" },
      { name = "c", get = "/basic", auth = { basic = { user = "${users.name}", pass = "${KEY}" } } },
      { name = "d", get = "/nobody", auth = "none" },
    "#;
    let (totals, heard) = session(2, more, steps, folder.path());
    assert!(totals.errors().is_empty(), "{:?}", totals.errors());
    let said = |path: &str| -> Vec<Option<&String>> {
        heard.iter().filter(|h| h.path == path).map(|h| h.head.get("authorization")).collect()
    };
    assert_eq!(said("/nobody"), [None, None]);
    let basic: BTreeSet<_> = said("/basic").into_iter().flatten().cloned().collect();
    let expected = ["ann:hush", "bob:hush"].map(|both| format!("Basic {}", STANDARD.encode(both)));
    assert_eq!(basic, expected.into());
    assert_eq!(said("/signed").len(), 4);
    // One token a session, used twice.
    let tokens: BTreeSet<_> =
        said("/signed").into_iter().flatten().map(|t| t.strip_prefix("Bearer ").unwrap()).collect();
    assert_eq!(tokens.len(), 2);
    let key = Key::new(Algorithm::Hs256, "hush").unwrap();
    let mut subjects = BTreeSet::new();
    for token in tokens {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let mut ours = Vec::new();
        assert!(key.sign(signed.as_bytes(), &mut ours));
        assert_eq!(URL_SAFE_NO_PAD.encode(ours), signature);
        let json = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (head, claims) = signed.split_once('.').unwrap();
        let (head, claims) = (json(head), json(claims));
        assert_eq!(head, serde_json::json!({ "alg": "HS256", "typ": "JWT", "kid": "k1" }));
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 300);
        subjects.insert(claims["sub"].as_str().unwrap().to_owned());
    }
    assert_eq!(subjects, ["ann".to_owned(), "bob".to_owned()].into());
}
