//! The data set: the same in both databases, and a million rows of it in seconds.

use crate::common::servers::postgres::Postgres;
use crate::common::{self, Backend};

/// What the shop shows of its first content: pages, details, a customer's orders.
fn shown(backend: &Backend) -> Vec<String> {
    let token = backend.log_in_as("user-77");
    let mut shown: Vec<String> =
        ["/products", "/products?page=13", "/search?q=lamp"].map(|path| backend.get(path).body).into();
    shown.extend([1, 250, 500].map(|id| backend.get(&format!("/products/{id}")).body));
    shown.push(backend.get_as("/orders", &token).body);
    let mut dashboard = backend.get_as("/dashboard", &token).json();
    dashboard["sessions"].take();
    shown.push(dashboard.to_string());
    shown
}

#[test]
fn both_databases_begin_alike_and_with_a_million_rows_if_asked() {
    let postgres = Postgres::start();
    let million = r#"{"history_rows":1000000}"#;
    let url = postgres.url();
    let environment = [("DYNO_SHOP_SETTINGS", million), ("DYNO_DATABASE_URL", url.as_str())];
    let (embedded, server) = (Backend::with(1, &environment[..1]), Backend::with(1, &environment));
    let (one, other) = (shown(&embedded), shown(&server));
    assert_eq!(one, other);
    assert!(one.iter().any(|text| text.contains("\"lines\":[{")), "user-77 has bought something");
    let schema = postgres.ask("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dyno%'");
    let count = |table: &str| -> u64 {
        postgres.ask(&format!("SELECT count(*) FROM {schema}.{table}")).parse().unwrap()
    };
    assert_eq!(count("purchase") + count("purchase_line"), 999_999, "three rows for each order");
    // Customers' orders are found by an index, not by reading a third of a million.
    let plan = postgres.ask(&format!(
        "EXPLAIN SELECT * FROM {schema}.purchase WHERE customer = 77 ORDER BY id DESC LIMIT 20"
    ));
    assert!(plan.contains("purchase_by_customer"), "{plan}");
}

#[test]
fn imports_of_the_same_offers_at_once_all_go_through_whatever_their_order() {
    const OFFERS: u32 = 6_000;
    let postgres = Postgres::start();
    let backend = Backend::with(2, &[("DYNO_DATABASE_URL", &postgres.url())]);
    let token = backend.log_in();
    let file = |numbers: &mut dyn Iterator<Item = u32>| {
        let rows: String = numbers.map(|n| format!("sku-{n},Thing,{n},1\n")).collect();
        format!("sku,name,cents,quantity\n{rows}")
    };
    let files = [file(&mut (0..OFFERS)), file(&mut (0..OFFERS).rev())];
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let (backend, token) = (&backend, &token);
        let importers: Vec<_> = files
            .iter()
            .cycle()
            .take(8)
            .map(|text| scope.spawn(move || backend.post("/import", token, text).status))
            .collect();
        importers.into_iter().map(|importer| importer.join().unwrap()).collect()
    });
    assert_eq!(statuses, [200; 8], "{}", backend.said());
    assert_eq!(backend.get_as("/export", &token).body.lines().count(), OFFERS as usize + 1);
}

#[test]
fn what_a_killed_backend_left_in_a_server_is_cleared_by_the_next() {
    let postgres = Postgres::start();
    let url = postgres.url();
    let schemas = || postgres.ask("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dyno%'");
    let lives = Backend::with(1, &[("DYNO_DATABASE_URL", &url)]);
    let of_the_living = schemas();
    let mut killed = Backend::with(1, &[("DYNO_DATABASE_URL", &url)]);
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert!(common::wait_for(|| killed.pids().iter().all(|pid| !common::alive(*pid))));
    // The server takes its time to see that nobody is there any more.
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted";
    assert!(common::wait_for(|| postgres.ask(locks) == "1"));
    assert_eq!(schemas().lines().count(), 2);
    let _next = Backend::with(1, &[("DYNO_DATABASE_URL", &url)]);
    assert!(schemas().contains(&of_the_living), "somebody lives there");
    assert_eq!(schemas().lines().count(), 2, "{}", schemas());
    assert_eq!(lives.get("/products/7").status, 200);
}

#[test]
fn a_backend_whose_lock_was_lost_takes_it_again_before_the_next_one_comes() {
    let postgres = Postgres::start();
    let url = postgres.url();
    let schemas = || postgres.ask("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dyno%'");
    let holder = || postgres.ask("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted");
    let mut lives = Backend::with(1, &[("DYNO_DATABASE_URL", &url)]);
    let (of_the_living, before) = (schemas(), holder());
    assert_eq!(postgres.ask(&format!("SELECT pg_terminate_backend({before})")), "t");
    assert!(common::wait_for(|| !["", before.as_str()].contains(&holder().as_str())), "it is taken again");
    let next = Backend::with(1, &[("DYNO_DATABASE_URL", &url)]);
    assert!(schemas().contains(&of_the_living), "somebody lives there");
    assert_eq!(lives.get("/products/7").status, 200);
    // What it drops its schema over is not the connection with which it began.
    drop(lives.stdin.take());
    assert!(lives.child.wait().unwrap().success());
    assert!(!schemas().contains(&of_the_living), "{}", lives.said());
    assert_eq!(next.get("/products/7").status, 200);
}

#[test]
fn what_another_role_left_in_a_server_keeps_nobody_from_starting() {
    let postgres = Postgres::start();
    for sql in [
        "CREATE SCHEMA dyno_shop_7_7",
        "CREATE ROLE guest LOGIN PASSWORD 'guest'",
        "GRANT CREATE ON DATABASE postgres TO guest",
    ] {
        postgres.ask(sql);
    }
    let url = format!("postgres://guest:guest@127.0.0.1:{}/postgres", postgres.port());
    let backend = Backend::with(1, &[("DYNO_DATABASE_URL", &url)]);
    assert_eq!(backend.get("/products/7").status, 200);
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'dyno%'";
    assert_eq!(postgres.ask(schemas), "2", "{}", backend.said());
    assert_eq!(postgres.ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "1");
}

#[test]
fn a_schema_that_only_begins_like_a_backend_s_is_left_alone() {
    let postgres = Postgres::start();
    let others = ["dyno_shop_7_7_of_mine", "dyno_shop_node", "dyno_shop_of_mine", "my_dyno_shop_7_7"];
    for name in others.iter().chain(&["dyno_shop_7_7"]) {
        postgres.ask(&format!("CREATE SCHEMA {name}; CREATE TABLE {name}.kept (id int)"));
    }
    let backend = Backend::with(1, &[("DYNO_DATABASE_URL", &postgres.url())]);
    assert_eq!(backend.get("/products/7").status, 200);
    let kept = "SELECT schemaname FROM pg_tables WHERE tablename = 'kept' ORDER BY schemaname";
    assert_eq!(postgres.ask(kept).lines().collect::<Vec<_>>(), others, "{}", backend.said());
}

#[test]
fn a_store_that_is_not_there_or_lets_nobody_in_is_named_without_its_password() {
    let postgres = Postgres::start();
    let wrong = postgres.url().replace("pa55", "wrong-pa55");
    let nowhere = format!("127.0.0.1:{}", common::servers::free_port());
    let (database, cache) = (format!("postgres://me:pa55@{nowhere}/x"), format!("redis://:pa55@{nowhere}"));
    let said = |variable: &str, url: &str| {
        let mut command = common::command(&["1"]);
        let mut child = command.env(variable, url).stderr(std::process::Stdio::piped()).spawn().unwrap();
        // Its end would end the backend, too.
        let _input = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap().replace(&nowhere, "HOST:PORT")
    };
    let all = [
        said("DYNO_DATABASE_URL", &database),
        said("DYNO_DATABASE_URL", &wrong),
        said("DYNO_CACHE_URL", &cache),
    ];
    assert!(all.iter().all(|text| !text.contains("pa55")), "{all:?}");
    assert!(all[0].contains("PostgreSQL at postgres://HOST:PORT/x: "), "{}", all[0]);
    assert!(all[1].contains("password authentication failed"), "{}", all[1]);
    assert!(all[2].contains("cache: "), "{}", all[2]);
}
