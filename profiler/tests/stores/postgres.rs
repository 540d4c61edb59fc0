//! The PostgreSQL source.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use dynamometer_profiler::sources::attach_postgres;
use timeline::event::LABEL_MAX;
use timeline::lane::names;
use timeline::{FindingKind, Quality, Status};

use crate::Run;
use crate::servers::free_port;
use crate::servers::postgres::{PASSWORD, Postgres};
use crate::watched::{Kept, patiently, soon};

const GRACE: Duration = Duration::from_secs(10);

/// A load that somebody else wrote; killed with the test.
struct Bench(Child);

impl Bench {
    fn start(server: &Postgres, arguments: &[&str]) -> Self {
        let mut command = server.tool("pgbench");
        command.args(arguments).args(["-n", "-T", "60", "postgres"]);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn url(server: &Postgres, user: &str, database: &str) -> String {
    format!("postgres://{user}@127.0.0.1:{}/{database}", server.port())
}

/// Everything about one real server, in one run: it takes seconds to set up.
#[test]
fn a_missing_index_is_found_through_the_server_alone_and_nothing_is_left_there() {
    let mut server =
        Postgres::start_with(&["shared_preload_libraries=pg_stat_statements", "log_min_messages=log"]);
    let made = server.tool("pgbench").args(["-i", "-q", "-s", "1", "postgres"]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    server.ask("CREATE EXTENSION pg_stat_statements");
    server.ask("ALTER TABLE pgbench_accounts DROP CONSTRAINT pgbench_accounts_pkey");
    server.ask("ANALYZE pgbench_accounts");

    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("recording.dyno");
    let run = Run::start(&recording);
    let attached = attach_postgres(&url(&server, "tester", "postgres"), PASSWORD, run.sink()).unwrap();
    assert!(attached.about().contains("statements (exact counts"), "{}", attached.about());
    assert!(!attached.about().contains("not available"), "{}", attached.about());
    let load = Bench::start(&server, &["-S", "-c", "3"]);
    // What is hostile in it comes from a real server, too.
    let names_too =
        format!("SELECT 1 AS \"\x1b[2J\", pg_sleep(0.01), 2 IN ({})", vec!["2"; 20_000].join(","));
    let odd = server
        .tool("psql")
        .args(["-d", "postgres", "-Atq"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    let mut odd = odd.unwrap();
    odd.stdin.take().unwrap().write_all(names_too.as_bytes()).unwrap();
    assert!(odd.wait().unwrap().success());
    patiently("found", || {
        run.finding("pgbench_accounts")
            .is_some_and(|f| f.evidence.iter().any(|e| e.text.contains("Seq Scan")))
    });
    let found = run.finding("pgbench_accounts").unwrap();
    assert_eq!(found.kind, FindingKind::SlowQuery);
    assert!(matches!(found.status, Status::Likely | Status::Confirmed), "{found:#?}");
    assert_eq!(found.subject, "SELECT abalance FROM pgbench_accounts WHERE aid = ?");
    assert!(found.advice[0].contains("`CREATE INDEX ON pgbench_accounts (aid)`"), "{found:#?}");
    assert!(
        found
            .evidence
            .iter()
            .any(|e| e.text.contains("Seq Scan on pgbench_accounts, where rows are told by (aid = ?)")),
        "{found:#?}"
    );

    let (kept, me) = (run.kept.clone(), format!("postgres-{}", server.port()));
    for (name, least) in [
        (names::DB_CONNECTIONS, 4.0),
        (names::DB_CONNECTION_LIMIT, 120.0),
        (names::DB_ACTIVE, 1.0),
        (names::DB_COMMITS, 1.0),
        (names::DB_BUFFER_HITS, 0.5),
        (names::DB_TABLE_SCANS, 1.0),
        (names::DB_TABLE_SCANNED, 50_000.0),
        (names::DB_TABLE_FETCHED, 0.0),
        (names::DB_CALLS, 1.0),
        (names::DB_ROWS, 1.0),
    ] {
        assert!(kept.values(name, &me).iter().any(|v| *v >= least), "{name}: {:?}", kept.values(name, &me));
    }
    for name in [names::DB_WAITING, names::DB_DEADLOCKS, names::DB_TEMPORARY, names::DB_CHECKPOINTS] {
        assert!(!kept.values(name, &me).is_empty(), "{name}");
    }
    let lanes = || kept.0.lock().unwrap().lanes.clone();
    soon("the odd one, made harmless", || lanes().iter().any(|l| l.subject.contains("[2J")));
    let lanes = lanes();
    let time = lanes.iter().find(|l| l.name == names::DB_TIME).unwrap();
    assert_eq!(time.quality, Quality::Inferred);
    let harmless = |l: &str| !l.contains(char::is_control) && l.chars().count() <= LABEL_MAX;
    assert!(lanes.iter().all(|l| harmless(&l.subject)), "{lanes:?}");
    assert!(!lanes.iter().any(|l| l.subject.contains("pg_stat_activity")), "ours are not counted");

    // Until it is told to end, which it says on standard error.
    let lock = "BEGIN; LOCK TABLE pgbench_tellers; SELECT pg_sleep(600)";
    let blocker = server
        .tool("psql")
        .args(["-d", "postgres", "-c", lock])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let holders = "FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' \
        AND relation = 'pgbench_tellers'::regclass";
    soon("the table is locked", || server.ask(&format!("SELECT count(*) {holders}")) == "1");
    let blocked = server
        .tool("psql")
        .args(["-d", "postgres", "-c", "SELECT count(*) FROM pgbench_tellers"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    soon("somebody waits for a lock", || kept.values(names::DB_WAITING, &me).contains(&1.0));
    assert!(kept.values(names::DB_LONGEST_TRANSACTION, &me).iter().any(|v| *v > 0.0));
    assert_eq!(server.ask(&format!("SELECT pg_terminate_backend(pid) {holders}")), "t");
    for mut child in [blocker, blocked] {
        child.wait().unwrap();
    }
    drop(load);
    what_a_stranger_puts_into_a_statement_is_not_run(&server, &kept);

    let told = || kept.values(names::DB_CONNECTIONS, &me).len();
    let (mut at_its_end, again) = (0, kept.times("answers again"));
    server.restart(|| {
        soon("trouble", || ["refused", "failing"].iter().any(|w| kept.happened(w)));
        at_its_end = told();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(told(), at_its_end, "a gap stays a gap");
    });
    soon("back", || kept.happened("back") && kept.times("answers again") > again && told() > at_its_end);
    assert_eq!(kept.times("answers again"), again + 1, "said once");
    assert!(kept.values(names::DB_COMMITS, &me).iter().all(|v| *v >= 0.0));

    assert!(attached.join(GRACE));
    soon("it is gone", || {
        server.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dyno'") == "0"
    });
    assert_eq!(server.ask("SELECT count(*) FROM pg_stat_statements WHERE query LIKE '/* dyno%'"), "0");
    assert!(!run.end(&recording, PASSWORD));

    a_user_without_rights_is_told_what_it_takes(&server);
}

/// Planning a statement runs functions that it calls: this one would leave a lock with whoever plans it.
fn what_a_stranger_puts_into_a_statement_is_not_run(server: &Postgres, kept: &Kept) {
    server.ask("CREATE ROLE stranger");
    server.ask("CREATE SCHEMA AUTHORIZATION stranger");
    server.ask(
        "CREATE FUNCTION stranger.trap() RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(42); RETURN 1; END'",
    );
    let sends = "SET ROLE stranger; SELECT stranger.trap(), pg_sleep(0.3)";
    soon("it is said", || {
        server.ask(sends);
        kept.noted("no plan of the slowest statement: another role sends it")
    });
    let ours = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) \
        WHERE locktype = 'advisory' AND application_name = 'dyno'";
    assert_eq!(server.ask(ours), "0");
}

fn a_user_without_rights_is_told_what_it_takes(server: &Postgres) {
    server.ask("CREATE ROLE guest LOGIN PASSWORD 'hunter2'");
    server.ask("CREATE DATABASE other");
    let kept = Kept::default();
    let attached =
        attach_postgres(&url(server, "guest", "other"), "hunter2", Box::new(kept.clone())).unwrap();
    let about = attached.about();
    assert!(
        about.contains("GRANT pg_monitor TO the user")
            && about.contains("CREATE EXTENSION pg_stat_statements"),
        "{about}"
    );
    let me = format!("postgres-{}", server.port());
    soon("connections", || !kept.values(names::DB_CONNECTIONS, &me).is_empty());
    assert!(kept.values(names::DB_ACTIVE, &me).is_empty(), "what it may not see is not told as nothing");
    assert!(attached.join(GRACE));
    let told = refused(&url(server, "guest", "postgres"), "wrong");
    assert!(
        told.ends_with("the server refuses: 28P01, wrong password; it is read from DYNO_POSTGRES_PASSWORD"),
        "{told}"
    );
    assert!(refused(&url(server, "guest", "absent"), "hunter2").ends_with("3D000, no such database"));
}

fn refused(url: &str, password: &str) -> String {
    match attach_postgres(url, password, Box::new(Kept::default())) {
        Ok(_) => panic!("{url} attached"),
        Err(e) => e.to_string(),
    }
}

/// A server that lets everybody in, and answers each question with `answer` until that says no more.
fn pretender(answer: impl Fn(&mut TcpStream) -> bool + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut line in listener.incoming().flatten() {
            let mut question = [0; 4096];
            drop(line.read(&mut question));
            drop(line.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"));
            while line.read(&mut question).is_ok_and(|n| n > 0) && answer(&mut line) {}
        }
    });
    format!("postgres://me@127.0.0.1:{port}")
}

/// The rows of one statement with one column.
fn rows(values: &[&[u8]]) -> Vec<u8> {
    let message = |tag: u8, body: &[u8]| [&[tag][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat();
    let column = [&b"\0\x01x\0"[..], &[0; 6], &25_u32.to_be_bytes(), &[0xff; 6], &[0; 2]].concat();
    let mut all = message(b'T', &column);
    for value in values {
        all.extend(message(b'D', &[&b"\0\x01"[..], &(value.len() as u32).to_be_bytes(), value].concat()));
    }
    all
}

#[test]
fn servers_that_refuse_or_pretend_are_named() {
    let told = refused("postgres://me:hunter2@127.0.0.1:1/x", "");
    assert!(
        told.ends_with("give it in DYNO_POSTGRES_PASSWORD")
            && !told.contains("is not an address of the form"),
        "{told}"
    );
    assert!(!told.contains("hunter2"), "{told}");
    let nameless = refused("postgres://127.0.0.1:1/x", "");
    assert!(nameless.contains("is not an address of the form postgres://USER@HOST"), "{nameless}");
    assert!(refused(&format!("postgres://me@127.0.0.1:{}", free_port()), "").contains("nobody answers"));
    let hangs_up = pretender(|line| {
        drop(line.write_all(&rows(&[b"150000"])));
        false
    });
    assert!(refused(&hangs_up, "").contains("nobody answers"));
    let endless = pretender(|line| {
        let more = rows(&[&[b'x'; 60_000][..]; 10]);
        while line.write_all(&more).is_ok() {}
        false
    });
    assert!(refused(&endless, "").ends_with("the answer is longer than 4 MiB"));
    // One message that never ends.
    let huge = pretender(|line| {
        drop(line.write_all(b"D\x7f\xff\xff\xff"));
        while line.write_all(&[0; 65_536]).is_ok() {}
        false
    });
    assert!(refused(&huge, "").ends_with("the answer is longer than 4 MiB"));
    let nonsense = pretender(|line| line.write_all(b"X\0\0\0\x01").is_ok());
    assert!(refused(&nonsense, "").ends_with("the answer is not one of PostgreSQL"));
    let poor = pretender(|line| {
        line.write_all(&[rows(&[b"\x1b[2J"]), b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I".to_vec()].concat()).is_ok()
    });
    assert!(refused(&poor, "").ends_with("the answer is not one of PostgreSQL"));
    let silent = pretender(|_| true);
    assert!(refused(&silent, "").ends_with("no answer within 2 s"));
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://me@{}", web.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut line, _) = web.accept().unwrap();
        drop(line.read(&mut [0; 1024]));
        drop(line.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    let told = refused(&url, "");
    assert!(told.ends_with("not one of PostgreSQL") || told.contains("nobody answers"), "{told}");
}
