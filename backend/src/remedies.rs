//! Remedies: settings that an operator holds against whatever faults do.
//!
//! Owns which advice of a diagnosis this backend can carry out, and how. Two kinds are kept apart, because they prove
//! different things. *Values* (a capacity, a number of threads, an index) are set beside the fault, which stays in force: its
//! lever still moves, and the value held is put in place over it. *Cures* are the other side of a fault's own switch: there
//! is nothing else that could be set, so the cure runs although the fault is ordered, and whoever asked is told so.
//!
//! The twin (`backend/node/remedies.js`) has no such table: it is told a [`Hold`]. So the words here are true of both.

use std::mem::discriminant;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use timeline::Remedy;
use timeline::fault::FaultKind;
use timeline::remedy::Setting;

use crate::cache::chores::Chore;
use crate::say::say;
use crate::settings::CacheSettings;
use crate::shop::Shop;
use crate::store::operators_index;
use crate::wire::Role;

/// What is held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// Connections in each worker's pool.
    PoolCapacity(usize),
    /// Threads of each worker's offload pool.
    OffloadThreads(usize),
    /// Entries in the cache.
    CacheCapacity(u64),
    /// Beta of early refreshes (XFetch), which then go on whatever becomes of those who miss.
    EarlyRefreshes(f64),
    /// An index, beside those that the shop has.
    Index {
        /// Of this table.
        table: String,
        /// By this column.
        column: String,
    },
    /// The cure of a fault.
    Cure(FaultKind),
}

/// The backend's answer to a remedy that it carries out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// What is held.
    pub hold: Hold,
    /// What that means here, a sentence without its full stop.
    pub how: String,
}

/// More connections or threads than these in each worker are refused: they are a mistake and no advice.
pub const MOST: f64 = 1_000.0;
/// More entries than this are more than the shop has.
const MOST_ENTRIES: f64 = 10_000_000.0;

/// Settings that are ways of doing something: what they begin with, what they end in, the way, whose cure that is, and what it
/// means.
const CURES: &[(&str, &str, &str, FaultKind, &str)] = &[
    (
        "route.",
        "/login.work",
        "off-loop",
        FaultKind::BlockingCrypto,
        "passwords are hashed on threads beside the loop",
    ),
    (
        "route.",
        "/search.work",
        "off-loop",
        FaultKind::RegexBacktracking,
        "the search matches with a pattern of linear time, which needs no other thread",
    ),
    (
        "route.",
        "/price-list.work",
        "off-loop",
        FaultKind::BigJson,
        "the price list is read and written piece by piece",
    ),
    (
        "loop.turns",
        "",
        "yield",
        FaultKind::StarvedPoll,
        "the ranking lets the loop look for input between turns",
    ),
    ("heap.kept", "", "bounded", FaultKind::Leak, "sessions lie in a map with a bound"),
    ("heap.buffers", "", "reused", FaultKind::Churn, "canvases are drawn on again"),
    ("heap.files", "", "streamed", FaultKind::WholeFile, "imports read their file as a stream"),
    (
        "heap.requests",
        "",
        "arena",
        FaultKind::Fragmentation,
        "what a request needs lies in an arena of its own",
    ),
    (
        "heap.compaction",
        "",
        "incremental",
        FaultKind::StopTheWorld,
        "the old generation is collected in short steps",
    ),
    (
        "pool.db.give-back",
        "",
        "always",
        FaultKind::PoolLeak,
        "every connection is given back, whichever way its user leaves",
    ),
    ("pool.db.connections", "", "kept", FaultKind::ConnectPerRequest, "connections are taken from the pool"),
    ("route.", ".statements", "joined", FaultKind::QueryFanOut, "the list comes with one join"),
    (
        "route.",
        ".statements",
        "together",
        FaultKind::SerialQueries,
        "independent statements are awaited together",
    ),
    (
        "cache.products.protection",
        "",
        "single-flight",
        FaultKind::Stampede,
        "in each worker one request loads a key, and the others wait for it",
    ),
    (
        "cache.products.emptying",
        "",
        "key-by-key",
        FaultKind::ColdCache,
        "the cache is never emptied as a whole",
    ),
    (
        "downstream.",
        ".calls",
        "published",
        FaultKind::SlowDownstream,
        "the shop leaves e-mails to the broker",
    ),
    (
        "downstream.",
        ".retries",
        "budget",
        FaultKind::RetryStorm,
        "the shop asks again after a drawn pause and within a budget; the service stays as slow as it is",
    ),
    ("broker.", ".messages", "cheaper", FaultKind::BrokerBacklog, "each message is signed once"),
    ("listener.sockets", "", "one-each", FaultKind::UnevenWorkers, "each worker gets connections of its own"),
    (
        "listener.accept",
        "",
        "at-once",
        FaultKind::AcceptOverflow,
        "clients are accepted before anything is looked up",
    ),
    (
        "feed.queues",
        "",
        "bounded",
        FaultKind::SlowConsumer,
        "each client's queue has a bound, and who is beyond it is let go",
    ),
    ("descriptors", "", "closed", FaultKind::FdExhausted, "the file of a data sheet is closed"),
];

/// What `remedy` comes to here.
///
/// # Errors
/// Why it cannot be carried out.
pub fn held(remedy: &Remedy) -> Result<Held, String> {
    match &remedy.to {
        Setting::Number(to) => of_number(&remedy.set, *to),
        Setting::Word(to) => of_word(&remedy.set, to),
    }
}

fn of_number(set: &str, to: f64) -> Result<Held, String> {
    let within = |most: f64| {
        let fits = (1.0..=most).contains(&to);
        fits.then_some(()).ok_or_else(|| format!("{set} = {to} is out of range, expected 1 to {most}"))
    };
    Ok(match set {
        "pool.db.capacity" => {
            within(MOST)?;
            Held {
                hold: Hold::PoolCapacity(to as usize),
                how: format!("each worker's pool has {to} connections"),
            }
        }
        "offload.threads" => {
            within(MOST)?;
            Held {
                hold: Hold::OffloadThreads(to as usize),
                how: format!("each worker has {to} offload threads"),
            }
        }
        "cache.products.capacity" => {
            within(MOST_ENTRIES)?;
            Held { hold: Hold::CacheCapacity(to as u64), how: format!("the cache may keep {to} entries") }
        }
        "cache.products.beta" => {
            CacheSettings { beta: to, ..CacheSettings::default() }.check(false)?;
            Held {
                hold: Hold::EarlyRefreshes(to),
                how: format!(
                    "entries are refreshed early at random (XFetch, beta {to}), and who misses all the same loads as before"
                ),
            }
        }
        // How jitter and memory of what is absent work is the cache's own setting, which these faults switch off.
        "cache.products.jitter" => {
            cure(FaultKind::Avalanche, "entries expire spread over time, as the cache is set")
        }
        "cache.products.negative-ms" => {
            cure(FaultKind::Penetration, "what does not exist is remembered, as the cache is set")
        }
        _ => return Err(unknown(set)),
    })
}

fn of_word(set: &str, to: &str) -> Result<Held, String> {
    if let Some((table, column)) = index(set).filter(|_| to == "created") {
        operators_index(table, column)
            .ok_or_else(|| format!("the bundled backend looks for no rows of {table} by {column}"))?;
        let how = format!("CREATE INDEX ON {table} ({column}), under a name of its own, before the load");
        return Ok(Held { hold: Hold::Index { table: table.to_owned(), column: column.to_owned() }, how });
    }
    let row = CURES.iter().find(|c| set.starts_with(c.0) && set.ends_with(c.1) && to == c.2);
    row.map(|c| cure(c.3, c.4)).ok_or_else(|| unknown(set))
}

fn cure(fault: FaultKind, how: &str) -> Held {
    let how =
        format!("{how}: the fault {} is ordered as before, and its cure is held against it", fault.name());
    Held { hold: Hold::Cure(fault), how }
}

fn unknown(set: &str) -> String {
    format!("the bundled backend has no setting `{set}`")
}

/// Table and column of `index.TABLE(COLUMN)`.
fn index(set: &str) -> Option<(&str, &str)> {
    set.strip_prefix("index.")?.strip_suffix(')')?.split_once('(')
}

/// What one process holds.
#[derive(Default)]
pub struct Holds {
    all: Mutex<Vec<Hold>>,
}

impl Holds {
    /// One more, which is put in place at once. An earlier value of the same thing goes.
    pub fn add(&self, hold: Hold, shop: Option<&Shop>) {
        let same =
            |other: &Hold| *other == hold || is_value(other) && discriminant(other) == discriminant(&hold);
        self.lock().retain(|other| !same(other));
        if let (Hold::Index { table, column }, Some(shop)) = (&hold, shop) {
            add_index(shop, table, column);
        }
        self.lock().push(hold);
        if let Some(shop) = shop {
            self.put_in_place(shop);
        }
    }

    /// Is the cure of `fault` held in a process with this role?
    pub fn cures(&self, fault: FaultKind, role: Role) -> bool {
        is_cured(&self.lock(), fault, role)
    }

    /// Puts all values in place, over what a lever has just done.
    pub fn put_in_place(&self, shop: &Shop) {
        for hold in self.lock().iter() {
            match hold {
                Hold::PoolCapacity(capacity) => shop.database.resize(*capacity),
                Hold::OffloadThreads(threads) => shop.offload.resize(*threads),
                Hold::CacheCapacity(entries) => shop.products.chores.give(Chore::Bound(Some(*entries))),
                Hold::EarlyRefreshes(beta) => shop.products.refresh_early(*beta),
                // Without the fault, too, a cache may be set to let all load who miss.
                Hold::Cure(FaultKind::Stampede) => shop.products.let_one_load(),
                Hold::Index { .. } | Hold::Cure(_) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Hold>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_value(hold: &Hold) -> bool {
    !matches!(hold, Hold::Index { .. } | Hold::Cure(_))
}

/// Is the cure of `fault` one of `holds` in a process with this role? At a call of two ends it is the caller that is cured.
pub fn is_cured(holds: &[Hold], fault: FaultKind, role: Role) -> bool {
    let elsewhere = role == Role::Services && is_the_caller_s(fault);
    !elsewhere && holds.contains(&Hold::Cure(fault))
}

fn is_the_caller_s(fault: FaultKind) -> bool {
    matches!(fault, FaultKind::SlowDownstream | FaultKind::RetryStorm)
}

/// Adds an index; only one worker does, as an operator of the database would.
fn add_index(shop: &Shop, table: &str, column: &str) {
    let Some(statement) = operators_index(table, column).filter(|_| shop.first) else { return };
    let database = shop.database.clone();
    shop.database.beside(async move {
        if let Err(e) = database.operate(|| statement).await {
            say(format_args!("shop: not done: {statement}: {e}"));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(remedy: Remedy) -> Result<Hold, String> {
        held(&remedy).map(|held| held.hold)
    }

    #[test]
    fn values_are_held_beside_the_fault_and_cures_against_it() {
        assert_eq!(of(Remedy::number("pool.db.capacity", 14.0)), Ok(Hold::PoolCapacity(14)));
        assert_eq!(of(Remedy::number("cache.products.beta", 1.0)), Ok(Hold::EarlyRefreshes(1.0)));
        let index = Hold::Index { table: "purchase".to_owned(), column: "customer".to_owned() };
        assert_eq!(of(Remedy::word("index.purchase(customer)", "created")), Ok(index));
        let cured = held(&Remedy::word("cache.products.protection", "single-flight")).unwrap();
        assert_eq!(cured.hold, Hold::Cure(FaultKind::Stampede));
        insta::assert_snapshot!(cured.how, @"in each worker one request loads a key, and the others wait for it: the fault stampede is ordered as before, and its cure is held against it");
        let route = |path: &str, to| of(Remedy::word(format!("route.{path}"), to));
        assert_eq!(route("POST /login.work", "off-loop"), Ok(Hold::Cure(FaultKind::BlockingCrypto)));
        assert_eq!(route("GET /products.statements", "joined"), Ok(Hold::Cure(FaultKind::QueryFanOut)));
    }

    #[test]
    fn what_the_backend_does_not_have_is_refused_in_words() {
        let refused = |remedy| of(remedy).unwrap_err();
        insta::assert_snapshot!(refused(Remedy::number("pool.db.capacity", 1e9)), @"pool.db.capacity = 1000000000 is out of range, expected 1 to 1000");
        insta::assert_snapshot!(refused(Remedy::word("index.x; DROP TABLE y(z)", "created")), @"the bundled backend looks for no rows of x; DROP TABLE y by z");
        insta::assert_snapshot!(refused(Remedy::word("route.GET /.work", "off-loop")), @"the bundled backend has no setting `route.GET /.work`");
        insta::assert_snapshot!(refused(Remedy::number("cache.products.beta", 99.0)), @"beta is 99, expected 0.1 to 10");
        assert!(held(&Remedy::number("pool.db.capacity", f64::NAN)).is_err());
    }

    #[test]
    fn a_later_value_replaces_an_earlier_one_and_a_service_keeps_its_slowness() {
        let holds = Holds::default();
        holds.add(Hold::PoolCapacity(3), None);
        holds.add(Hold::Cure(FaultKind::SlowDownstream), None);
        holds.add(Hold::PoolCapacity(9), None);
        holds.add(Hold::Cure(FaultKind::Leak), None);
        assert_eq!(
            *holds.lock(),
            [Hold::Cure(FaultKind::SlowDownstream), Hold::PoolCapacity(9), Hold::Cure(FaultKind::Leak)]
        );
        assert!(holds.cures(FaultKind::Leak, Role::Shop) && !holds.cures(FaultKind::Churn, Role::Shop));
        assert!(holds.cures(FaultKind::SlowDownstream, Role::Shop));
        assert!(!holds.cures(FaultKind::SlowDownstream, Role::Services));
    }
}
