//! A checkout while its cart is changed: nothing is sold that it has not read, and nothing is lost.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use crate::common::servers::postgres::Postgres;
use crate::common::{Backend, Reply, wait_for};
use rusqlite::Connection;

/// What somebody else does to the cart. Its lock holds up a checkout that has read the cart, and not the reading.
const CHANGE: &str = "UPDATE cart SET quantity = quantity + 1 WHERE product = 7";
/// How many products lie in all carts.
const IN_CART: &str = "SELECT coalesce(sum(quantity), 0) FROM cart";

/// `race` checks out while one piece in the cart becomes two.
fn nothing_is_lost(backend: &Backend, token: &str, in_cart: impl Fn() -> u64, race: impl Fn() -> Reply) {
    let cents = backend.get("/products/7").json()["cents"].as_u64().unwrap();
    let sold = |reply: &Reply| reply.json()["cents"].as_u64().unwrap() / cents;
    let refused = (0..5).any(|_| {
        let put = backend.post("/cart", token, r#"{"product":7,"quantity":1}"#);
        assert_eq!(put.json()["quantity"], 1);
        let reply = race();
        if reply.status == 409 {
            assert!(reply.error().contains("changed meanwhile"), "{}", reply.body);
            return true;
        }
        assert_eq!(reply.status, 200, "{}", reply.body);
        // On a slow machine it reads the cart only after the change.
        assert_eq!((sold(&reply), in_cart()), (2, 0));
        false
    });
    assert!(refused, "it never came in between");
    assert_eq!(in_cart(), 2, "both are there");
    let again = backend.post("/checkout", token, "{}");
    assert_eq!((again.status, sold(&again), in_cart()), (200, 2, 0), "{}", again.body);
}

#[test]
fn what_is_put_into_a_cart_while_it_is_sold_stays_there_on_sqlite() {
    let backend = Backend::start(1);
    let token = backend.log_in();
    let file = Connection::open(backend.database_file()).unwrap();
    let in_cart = || u64::from(file.query_row(IN_CART, [], |row| row.get::<_, u32>(0)).unwrap());
    nothing_is_lost(&backend, &token, in_cart, || {
        file.execute_batch(&format!("BEGIN IMMEDIATE; {CHANGE}")).unwrap();
        std::thread::scope(|scope| {
            let reply = scope.spawn(|| backend.post("/checkout", &token, "{}"));
            std::thread::sleep(Duration::from_millis(500));
            file.execute_batch("COMMIT").unwrap();
            reply.join().unwrap()
        })
    });
}

#[test]
fn what_is_put_into_a_cart_while_it_is_sold_stays_there_on_postgresql() {
    let postgres = Postgres::start();
    let backend = Backend::with(1, &[("DYNO_DATABASE_URL", &postgres.url())]);
    let token = backend.log_in();
    let schema = postgres.ask("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dyno%'");
    let of = |sql: &str| sql.replace("cart", &format!("{schema}.cart"));
    let in_cart = || postgres.ask(&of(IN_CART)).parse::<u64>().unwrap();
    let change = format!("BEGIN; {};", of(CHANGE));
    let changed = "SELECT count(*) FROM pg_stat_activity \
                   WHERE state = 'idle in transaction' AND query LIKE '%UPDATE%cart%'";
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    nothing_is_lost(&backend, &token, in_cart, || {
        let mut psql = postgres.tool("psql");
        let mut psql = psql.args(["-d", "postgres", "-q"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = psql.stdin.take().unwrap();
        writeln!(input, "{change}").unwrap();
        assert!(wait_for(|| postgres.ask(changed) == "1"));
        std::thread::scope(|scope| {
            let reply = scope.spawn(|| backend.post("/checkout", &token, "{}"));
            wait_for(|| reply.is_finished() || postgres.ask(waits) != "0");
            writeln!(input, "COMMIT;").unwrap();
            drop(input);
            assert!(psql.wait().unwrap().success());
            reply.join().unwrap()
        })
    });
}
