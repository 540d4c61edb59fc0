//! A recording of a browser becomes a scenario, and that scenario runs against a server like the recorded one.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use crate::common::*;
use crate::server::*;
use scenarios::import::{Options, import};
use scenarios::plan::*;
use scenarios::{Origin, Overrides};

/// Longer than any pause of the recording: the run is not about waiting.
const PAUSE_NS: u64 = 20 * MS;

/// The recorded shop, with tokens and a cookie of its own: what is sent back must be those and not the recorded ones.
fn act(path: &str, head: &str, s: &mut TcpStream) -> std::io::Result<bool> {
    let created = |s: &mut TcpStream, body: &str| {
        write!(
            s,
            "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    if path == "/" {
        // What begins a visit: all that follows is refused without its cookie.
        s.write_all(b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=fresh-sid; Path=/; HttpOnly\r\nContent-Length: 4\r\n\r\npage")?;
        return Ok(true);
    }
    if field(head, "Cookie") != Some("sid=fresh-sid") {
        s.write_all(b"HTTP/1.1 403 Nobody\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(true);
    }
    let known = head.contains("authorization: Bearer fresh-token")
        || head.contains("Authorization: Bearer fresh-token");
    match path {
        "/about" => return ok(s, "page"),
        "/api/session" => created(s, "{\"token\":\"fresh-token\",\"ticket\":\"fresh-ticket\"}")?,
        "/api/items?page=1" if known => return ok(s, "{\"items\":[{\"id\":\"fresh-item\"}]}"),
        "/api/items/fresh-item" if known => return ok(s, "{}"),
        "/api/orders" if known => created(s, "{}")?,
        "/newsletter" => {
            s.write_all(b"HTTP/1.1 303 See Other\r\nLocation: /about\r\nContent-Length: 0\r\n\r\n")?
        }
        "/ws?ticket=fresh-ticket" => {
            upgrade(head, s)?;
            return until_closed(s, |s, _, payload| s.write_all(&frame(0x81, payload)));
        }
        _ => s.write_all(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")?,
    }
    Ok(true)
}

fn shorten(steps: &mut [Step]) {
    for step in steps {
        if let Step::Think(pause) = step {
            *pause = Dist::Constant(PAUSE_NS);
        }
    }
}

#[test]
fn a_browser_s_recording_runs() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/tests/data/import/chromium.har");
    let imported = import(&file, &Options::default()).unwrap();
    let vars: BTreeMap<_, _> = imported.env.iter().map(|n| (n.clone(), "secret".to_owned())).collect();
    let origin = Origin { name: "imported".to_owned(), file: None };
    let mut plan =
        scenarios::parse(&imported.text, &origin, &Overrides { vars, ..Overrides::default() }).unwrap();
    plan.phases[0].length_ns = LONG_MS * MS;
    plan.phases[0].model = held(2);
    (plan.timeout_ns, plan.grace_ns) = (AMPLE_MS * MS, AMPLE_MS * MS);
    shorten(&mut plan.sessions[0].steps);
    let steps = plan.steps.len();
    let totals = run_until(plan, serve(act), |t| t.sum(|c| c.kinds[0].ended) >= 2);
    assert_eq!(totals.errors(), BTreeMap::new());
    let done = totals.finished.values().filter(|n| **n > 0).count();
    assert_eq!(done, steps, "each step was done");
}
